"""Reflection beyond the border."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.denoisers.tiles.padding import reflect_crop


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40))
def test_it_is_numpys_reflection(height: int, width: int, to_height: int, to_width: int) -> None:
    image = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
    padded = reflect_crop(image, slice(0, max(height, to_height)), slice(0, max(width, to_width)))
    more = ((0, 0), (0, max(0, to_height - height)), (0, max(0, to_width - width)))
    assert padded.numpy().tolist() == np.pad(image.numpy(), more, mode="reflect").tolist()


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_part_is_cut_as_if_all_had_been_padded(height: int, width: int, data: st.DataObject) -> None:
    image = torch.rand(2, height, width)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    h, w = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 30))
    part = reflect_crop(image, slice(top, top + h), slice(left, left + w))
    more = ((0, 0), (0, max(0, top + h - height)), (0, max(0, left + w - width)))
    padded = np.pad(image.numpy(), more, mode="reflect")
    assert part.numpy().tolist() == padded[:, top : top + h, left : left + w].tolist()


def test_what_lies_inside_is_not_copied() -> None:
    image = torch.rand(3, 20, 30)
    assert reflect_crop(image, slice(2, 20), slice(0, 9)).data_ptr() == image[:, 2:].data_ptr()
