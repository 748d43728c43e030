"""The first guess for lost pixels."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.images.fill import flow_in


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_known_pixels_stay_and_guesses_stay_in_their_range(height: int, width: int, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, height, width, generator=generator) * 2 - 1
    hole = (torch.rand(2, 1, height, width, generator=generator) < share).float()
    filled = flow_in(image, hole)
    known = (hole < 0.5).expand_as(image)
    assert torch.equal(filled[known], image[known])
    for one, before, there in zip(filled, image, known, strict=True):
        if there.any():
            low, high = before[there].min(), before[there].max()
            assert one.min() >= min(low, 0) - 1e-5 and one.max() <= max(high, 0) + 1e-5
        else:
            assert not one.any()


def test_what_is_flat_stays_flat() -> None:
    hole = torch.zeros(1, 1, 33, 47)
    hole[..., 5:30, 7:40] = 1
    flat = torch.full((1, 3, 33, 47), -0.4)
    garbage = torch.where(hole > 0, 9.0, flat)
    torch.testing.assert_close(flow_in(garbage, hole), flat)


def test_a_hole_takes_the_colours_beside_it() -> None:
    image = torch.zeros(1, 1, 32, 64)
    image[..., 32:] = 1
    hole = torch.zeros(1, 1, 32, 64)
    hole[..., 12:20, :] = 1
    filled = flow_in(image, hole)
    assert filled[..., 12:20, :24].max() < 0.05 and filled[..., 12:20, 40:].min() > 0.95
