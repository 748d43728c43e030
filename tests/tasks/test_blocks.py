"""Blocks of JPEG pictures that were cropped since are found, and shown to the network where files have them."""

from __future__ import annotations

import pytest
import torch
from skimage import data
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.degradations.jpeg import compress
from restore.tasks.blocks import Aligned, block_phase

LEVEL = Level(torch.tensor([5]), torch.tensor([0.2], dtype=torch.float64))


@pytest.fixture(scope="module")
def clean() -> Tensor:
    """A photograph in [0, 1], (3, 256, 320)."""
    return torch.from_numpy(data.chelsea()[20:276, 60:380].copy()).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("quality", [5, 20, 60])
@pytest.mark.parametrize(("top", "left"), [(0, 0), (3, 0), (1, 7), (4, 4)])
def test_blocks_are_found(clean: Tensor, quality: int, top: int, left: int) -> None:
    cropped = compress(clean, quality)[:, top:, left:] * 2 - 1
    assert block_phase(cropped[None]).tolist() == [[-top % 8, -left % 8]]


def test_where_there_are_no_blocks_nothing_is_moved(clean: Tensor) -> None:
    batch = torch.stack([clean, torch.rand(clean.shape), torch.zeros_like(clean)]) * 2 - 1
    assert not block_phase(batch).any()
    assert not block_phase(batch[..., :20, :17]).any()


def test_each_picture_of_a_batch_is_shown_aligned_and_comes_back_where_it_was(clean: Tensor) -> None:
    packed, size = compress(clean, 20) * 2 - 1, 200
    image = torch.stack([packed[:, y : y + size, x : x + size] for y, x in ((0, 0), (3, 6), (5, 0))])
    x_t, seen = torch.randn(image.shape), []

    def look(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        seen.append((x_t, condition.image))
        return Estimate(x_t + condition.image, fraction=x_t)

    estimate = Aligned(look)(x_t, LEVEL, Condition(image))
    assert torch.equal(estimate.x0, x_t + image)
    assert estimate.fraction is not None and torch.equal(estimate.fraction, x_t)
    assert estimate.gradient is None
    assert not block_phase(seen[0][1]).any()
    assert seen[0][0].shape == seen[0][1].shape == (3, 3, size + 5, size + 6)


def test_a_file_as_it_is_costs_no_copy(clean: Tensor) -> None:
    image = compress(clean, 20)[None] * 2 - 1

    def look(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        assert condition.image is image
        return Estimate(condition.image)

    Aligned(look)(image, LEVEL, Condition(image))
