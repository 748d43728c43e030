"""The scripts that make and measure what ships: what they write, and what they refuse before hours of work."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from restore import Restorer
from restore.models import native
from restore.models.card import ModelCard
from restore.schema import parse, read_yaml
from restore.system import resources
from restore.tasks import Prepared
from restore.training.config import TrainConfig

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A function that imports a script as it is run: with what lies beside it."""

    def load(name: str) -> ModuleType:
        path = SCRIPTS / name
        monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
        return importlib.import_module(path.stem)

    return load


def test_a_run_becomes_the_weights_that_ship(
    script: Callable, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the run's own network, not the config's, and of a folder whose name has a comma."""
    folder, root = tmp_path / "mine, and yours", tmp_path / "root"
    shutil.copytree(photographs, folder)
    card = root / "configs" / "models" / "jpeg.yaml"
    card.parent.mkdir(parents=True)
    shutil.copy(resources.config_path("models", "jpeg"), card)
    settings = [
        "model.network.channels=[8, 16]",
        "model.network.blocks=[1, 1]",
        "model.network.embedding=16",
        "stages=[{until: 2, patch: 32, regions: 2, patches: 1}]",
        "region=64",
        "validation.images=0",
    ]
    given = [str(folder), "--models", "jpeg", "--runs", str(tmp_path / "runs"), *(f"--set={s}" for s in settings)]
    script("train_models.py").main(given, root)
    weights = root / "restore" / "weights" / "jpeg.safetensors"
    restorer = Restorer.from_pretrained(weights, "cpu")
    assert restorer.recipe.network.channels == (8, 16)
    assert restorer.batch(Prepared(torch.zeros(1, 3, 32, 32))).mean.shape == (1, 3, 32, 32)
    assert parse(ModelCard, read_yaml(card), "card").sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    told = capsys.readouterr().out
    assert f"{card}: its recipe is not that of the run" in told
    assert "scores, of the card" in told and "rewrite them by hand" in told


def test_each_part_goes_on_from_parts_before_it_and_the_last_ships(script: Callable) -> None:
    module = script("train_models.py")
    for model, parts in module.PARTS.items():
        names = list(parts)
        assert names[-1] == model and not parts[names[0]]
        for place, name in enumerate(names[1:], 1):
            assert set(parts[name]) <= set(names[:place]) and sum(parts[name].values()) == 1
        shares = module.SHIPS.get(model, {model: 1})
        assert set(shares) <= set(names) and model in shares and sum(shares.values()) == 1
        configs = {name: parse(TrainConfig, read_yaml(resources.config_path("train", name)), name) for name in names}
        for mean in (*parts.values(), shares):  # weights of one shape only have a mean
            assert len({configs[name].model.network.model_dump_json() for name in mean}) <= 1


def test_the_parts_of_a_training_follow_each_other(
    script: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, commands, runs = script("train_models.py"), [], tmp_path / "runs"

    def run(command: list[str], check: bool) -> None:
        """Stand in for hours of training."""
        assert check
        commands.append(command[4:])
        output = Path(next(text for text in command if text.startswith("output=")).removeprefix("output="))
        weights = {"x": torch.full((2,), float(len(commands)))}
        native.save(output / "model.safetensors", weights, {"name": output.name})
        (output / "last.pt").touch()

    monkeypatch.setattr(module.subprocess, "run", run)
    monkeypatch.setattr(module, "PARTS", {"c": {"a": {}, "b": {"a": 1}, "c": {"a": 0.5, "b": 0.5}}})
    module.train("c", [tmp_path], runs, ["seed=3"])
    data = f'data.folders=["{tmp_path}"]'
    mean = runs / "c_start.safetensors"
    assert commands == [
        ["a", data, f"output={runs / 'a'}", "seed=3"],
        ["b", data, f"output={runs / 'b'}", f"start_from={runs / 'a' / 'model.safetensors'}", "seed=3"],
        ["c", data, f"output={runs / 'c'}", f"start_from={mean}", "seed=3"],
    ]
    assert native.load(mean)["x"].tolist() == [1.5, 1.5]
    module.train("c", [tmp_path], runs, [])
    assert [command[-1] for command in commands[3:]] == ["--resume"] * 3


def test_weights_of_several_parts_are_their_mean(script: Callable, tmp_path: Path) -> None:
    module = script("train_models.py")
    for part, value in (("before", 2.0), ("one", 6.0)):
        native.save(tmp_path / part / "model.safetensors", {"x": torch.full((3,), value)}, {"name": part})
    assert module.mean_of({"before": 0.25, "one": 0.75}, tmp_path)["x"].tolist() == [5.0] * 3
    assert module.start_of("two", {"one": 1}, tmp_path) == tmp_path / "one" / "model.safetensors"
    start = module.start_of("two", {"before": 0.25, "one": 0.75}, tmp_path)
    assert start == tmp_path / "two_start.safetensors" and native.load(start)["x"].tolist() == [5.0] * 3
    assert native.read_metadata(start)["recipe"] == {"name": "one"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["PHOTOGRAPHS", "--models", "jpeg,uncrop"], "uncrop is not one of weather, detector"),
        (["--models", "jpeg"], "one or more folders"),
        (["nowhere", "--models", "jpeg"], "no such folder: nowhere"),
        (["--models", "jpeg", "--export-only", "--runs", "nowhere"], "nowhere holds no run of jpeg"),
    ],
)
def test_training_refuses_first(
    given: list[str], message: str, script: Callable, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        script("train_models.py").main([str(photographs) if text == "PHOTOGRAPHS" else text for text in given])
    assert caught.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "nothing to look at"),
        (["--folder", "rain"], "'rain' is not KIND=FOLDER"),
        (["--folder", "fog=PHOTOGRAPHS"], "with a kind of rain, snow, haze"),
        (["--folder", "rain=nowhere"], "nowhere is not a folder"),
        (["--folder", "rain=EMPTY"], "holds no images"),
        (["--clean", "nowhere"], "nowhere is not a folder"),
        (["--clean", "PHOTOGRAPHS", "--severity", "2"], "'2' is not a number from 0 to 1"),
    ],
)
def test_the_detector_is_measured_on_images_of_known_kinds(
    given: list[str],
    message: str,
    script: Callable,
    photographs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [text.replace("PHOTOGRAPHS", str(photographs)).replace("EMPTY", str(tmp_path)) for text in given]
    with pytest.raises(SystemExit) as caught:
        script("measure_detector.py").main(given)
    assert caught.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


def test_the_counts_of_one_folder_taken_for_two_kinds_are_kept_apart(
    script: Callable, photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, folders = tmp_path / "counts.json", [f"--folder={kind}={photographs}" for kind in ("rain", "clean")]
    script("measure_detector.py").main([*folders, "--json", str(out)])
    sets = json.loads(out.read_text())
    assert [entry["kind"] for entry in sets] == ["rain", "clean"] and sets[0]["answers"] == sets[1]["answers"]
    assert sum(sets[0]["answers"].values()) == 5 and capsys.readouterr().out.count(str(photographs)) == 2


def test_benchmarks_in_made_weather_skip_nothing_silently(script: Callable, photographs: Path) -> None:
    quality = script("bench/quality.py")
    parser = quality.weather_options(None)
    with pytest.raises(SystemExit):
        parser.parse_args([str(photographs), "--weather", "fog"])
    with pytest.raises(SystemExit, match=r"model jpeg has no label for rain; --weather takes none"):
        quality.opened(parser.parse_args([str(photographs), "--weather", "rain", "--model", "jpeg"]))
    options = parser.parse_args([str(photographs), "--weather", "rain", "haze", "--crop", "32"])
    assert len(quality.photographs(options)) == 5
    assert [label for label, _, _ in quality.pairs(options)] == ["rain", "haze"] * 5


def test_a_shift_of_the_whole_counts_as_a_difference(script: Callable) -> None:
    assert script("bench/seams.py").rms(torch.full((4, 6), -3.0)) == 3.0
