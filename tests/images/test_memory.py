"""Reading and writing need about three float images of memory at once, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.images import read, write

HEIGHT, WIDTH = 1500, 2000
FLOAT_IMAGE = 3 * 4 * HEIGHT * WIDTH


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    Image.fromarray(np.stack([x >> 3, y >> 3, (x + y) >> 4], -1).astype(np.uint8)).save(tmp_path / "a.jpg")
    return tmp_path / "a.jpg"


@pytest.mark.parametrize("name", ["b.jpg", "b.png", "b.tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_peaks(photograph: Path, peak_memory: Callable[[], int], name: str, depth: int) -> None:
    read(photograph)
    peak_memory()
    before = peak_memory()
    image = replace(read(photograph), depth=depth)
    assert peak_memory() - before < 3 * FLOAT_IMAGE
    target = photograph.parent / name
    before = peak_memory()
    write(image, target)
    assert peak_memory() - before < 2 * FLOAT_IMAGE
    del image
    peak_memory()
    before = peak_memory()
    read(target)
    assert peak_memory() - before < 3 * FLOAT_IMAGE
