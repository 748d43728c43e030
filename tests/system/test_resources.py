from __future__ import annotations

from pathlib import Path

import pytest

from restore.errors import ConfigError
from restore.system import resources


def test_the_checkout_is_found() -> None:
    names = resources.list_cards()
    assert "snow100k" in names and names == sorted(names)
    assert all(resources.card_path(name).is_file() for name in names)


def test_an_unknown_name_lists_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError, match=r"no dataset card is named 'Snow100'; did you mean snow100k"):
        resources.card_path("Snow100")
    with pytest.raises(ConfigError, match="outdoor-rain"):
        resources.card_path("outdoor_rain")


@pytest.mark.parametrize("name", ["../pyproject", "snow100k.yaml", "", "/etc/passwd", "README"])
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ConfigError):
        resources.card_path(name)


def make(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("a: 1\n")


def test_installed_files_come_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "restore"
    make(tmp_path, "configs/train/old.yaml", "configs/models/old.yaml", "datasets/old.yaml")
    make(package, "weights/small.safetensors")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert resources.list_configs("train") == resources.list_configs("models") == resources.list_cards() == ["old"]
    make(package, "_share/configs/train/new.yaml", "_share/configs/models/m.yaml", "_share/datasets/d.yaml")
    assert (resources.list_configs("train"), resources.list_cards()) == (["new"], ["d"])
    assert resources.config_path("models", "m") == package / "_share/configs/models/m.yaml"
    for name in ("small", "small.safetensors"):
        assert resources.weights_path(name) == package / "weights/small.safetensors"
    assert resources.list_weights() == ["small"]
    with pytest.raises(ConfigError, match=r"no train config is named 'old'.*the names are: new"):
        resources.config_path("train", "old")
    with pytest.raises(ConfigError, match="small"):
        resources.weights_path("large.safetensors")
