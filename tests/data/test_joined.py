"""Two images in one file: each half is what it would be by itself, wherever images are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restore import images
from restore.data.joined import Half, decode, path_of, read_file, size_of
from restore.data.pairs import folder_pairs, joined_pairs
from restore.data.preview import preview
from restore.data.unjoin import unjoin
from restore.errors import ConfigError, DataError, ImageError
from restore.training.loading import PairStore


@pytest.fixture
def joined(tmp_path: Path, image: Callable, save: Callable) -> Path:
    """Three files in a folder, the clean image on the left and its negative on the right."""
    for number in (1, 2, 10):
        save(tmp_path / "joined" / f"{number}.png", np.concatenate([image(number), 255 - image(number)], axis=1))
    return tmp_path / "joined"


def test_a_half_is_the_image_that_it_holds(joined: Path, image: Callable) -> None:
    left, right = Half(joined / "2.png", "left"), Half(joined / "2.png", "right")
    assert np.array_equal(decode(left).permute(1, 2, 0), image(2))
    assert torch.equal(decode(right), 255 - decode(left))
    assert size_of(left) == (48, 64) and size_of(joined / "2.png") == (48, 128)
    assert path_of(right) == path_of(joined / "2.png") == joined / "2.png"
    assert str(right).endswith("2.png (right half)")


def test_alpha_depth_and_gray_go_along(tmp_path: Path, image: Callable, save: Callable) -> None:
    ramp = np.tile(np.arange(128, dtype=np.uint8), (48, 1))
    path = save(tmp_path / "alpha.png", np.dstack([image(1, width=128), ramp]))
    assert np.array_equal(read_file(Half(path, "left")).alpha, ramp[:, :64])
    assert np.array_equal(read_file(Half(path, "right")).alpha, ramp[:, 64:])
    gray = np.random.default_rng(0).integers(0, 2**16, (8, 20), dtype=np.uint16)
    Image.fromarray(gray).save(tmp_path / "deep.png")
    half = read_file(Half(tmp_path / "deep.png", "right"))
    half.save(tmp_path / "half.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "half.png")), gray[:, 10:])


def test_an_odd_width_is_an_error(tmp_path: Path, image: Callable, save: Callable) -> None:
    odd = Half(save(tmp_path / "odd.png", image(1, width=33)), "left")
    assert size_of(odd) is None
    with pytest.raises(ImageError, match="33 pixels wide"):
        read_file(odd)


@pytest.mark.parametrize("memory_mb", [10, 0.02])
def test_regions_of_halves_are_those_of_files(joined: Path, tmp_path: Path, memory_mb: float) -> None:
    pairs = joined_pairs(joined, first="target")
    assert [one.error for one in unjoin(pairs, tmp_path / "apart")] == [""] * 3
    apart = folder_pairs(tmp_path / "apart" / "input", tmp_path / "apart" / "target")
    assert [pair.name for pair in apart] == [pair.name for pair in pairs] == ["1", "2", "10"]
    stores = [PairStore([(p.input, p.target) for p in some], memory_mb=memory_mb) for some in (pairs, apart)]
    assert stores[0].in_memory == stores[1].in_memory == (memory_mb == 10)
    for step in range(3):
        halves, files = (store.regions(step, 4, 40, 7) for store in stores)
        assert torch.equal(halves[0], files[0]) and torch.equal(halves[1], files[1])
        assert torch.equal(halves[0], 255 - halves[1])
    assert preview(pairs, count=2).size == preview(apart, count=2).size


def test_damage_is_named_by_file(joined: Path, image: Callable, save: Callable) -> None:
    save(joined / "odd.png", image(1, width=33))
    store = PairStore([(p.input, p.target) for p in joined_pairs(joined, first="input")], corrupt_limit=0.3)
    assert list(store.corrupt) == [joined / "odd.png"] and "33 pixels wide" in store.corrupt[joined / "odd.png"]


def test_what_cannot_be_taken_apart_is_told(joined: Path, good: Path, tmp_path: Path, save: Callable, image) -> None:
    save(joined / "3.png", image(1, width=33))
    pairs = joined_pairs(joined, first="input")
    (bad,) = [one for one in unjoin(pairs, tmp_path / "apart") if one.error]
    assert bad.name == "3" and "33 pixels wide" in bad.error
    for side in ("input", "target"):
        assert sorted(path.name for path in (tmp_path / "apart" / side).iterdir()) == ["1.png", "10.png", "2.png"]
    assert images.read(tmp_path / "apart" / "input" / "1.png").width == 64
    with pytest.raises(ConfigError, match="not empty"):
        list(unjoin(pairs, tmp_path / "apart"))
    with pytest.raises(DataError, match="files of their own"):
        list(unjoin(folder_pairs(good / "input", good / "target"), tmp_path / "other"))
    with pytest.raises(DataError, match="no images"):
        (tmp_path / "empty").mkdir()
        joined_pairs(tmp_path / "empty", first="input")
