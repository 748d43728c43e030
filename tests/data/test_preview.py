from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore.data.card import load_card
from restore.data.pairs import find_pairs
from restore.data.preview import DAMAGED, preview
from restore.errors import DataError


def test_sheet_shows_input_beside_target(good: Path) -> None:
    pairs = find_pairs(load_card("folder"), good)
    sheet = np.asarray(preview(pairs, count=2, size=64, columns=1))
    for row, pair in enumerate((pairs[0], pairs[4])):
        from restore.data.joined import decode

        top = 8 + row * (64 + 16 + 8) + (64 - 48) // 2
        for left, path in ((8, pair.input), (8 + 64 + 2, pair.target)):
            tile = sheet[top : top + 48, left : left + 64]
            assert np.array_equal(tile, decode(path).permute(1, 2, 0).numpy())


def test_sheet_of_clean_images_and_of_few(good: Path) -> None:
    pairs = find_pairs(load_card("kodak24"), good / "target")
    wide, narrow = preview(pairs, count=6, size=32), preview(pairs[:1], size=32)
    assert wide.size == (3 * 40 + 8, 2 * 56 + 8) and narrow.size == (40 + 8, 56 + 8)


def test_damaged_image_is_a_red_tile(good: Path) -> None:
    (good / "input" / "1.png").write_bytes(b"")
    sheet = np.asarray(preview(find_pairs(load_card("folder"), good), count=1, size=20))
    assert (sheet[8:28, 8:28] == DAMAGED).all()


def test_nothing_to_show_is_an_error() -> None:
    with pytest.raises(DataError):
        preview([])
