"""The colour guard."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.tiles import Tiles, in_tiles
from restore.denoisers.tiles.guard import shrink
from restore.diffusion.schedule import Cosine

PATCHES = Tiles(size=32, overlap=8, batch=8, context=8)


def inputs(height: int, width: int) -> tuple[Tensor, Level, Condition]:
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(1, 3, height, width, generator=generator)
    ramp = torch.linspace(-1, 1, width).expand(1, 3, height, width).contiguous()
    return x_t, Level(torch.tensor([5]), torch.tensor([0.2], dtype=torch.float64)), Condition(ramp)


def drifting(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
    """A denoiser that gives every tile but the whole image a hue of its own."""
    box = condition.box
    assert box is not None
    hue = torch.stack([box[:, 0], box[:, 1], -box[:, 0]], dim=1) * 0.5
    whole = ((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) == 1)[:, None]
    return Estimate(condition.image + torch.where(whole, 0.0, hue)[:, :, None, None])


# two rows of tiles in an image so low that its coarse look has one: what drifts between them stays
@pytest.mark.parametrize(
    ("height", "width", "left"), [(128, 192, 0.35), (100, 64, 0.35), (30, 300, 0.35), (40, 300, 0.5)]
)
def test_drift_goes_and_detail_stays(height: int, width: int, left: float) -> None:
    args = inputs(height, width)
    free = in_tiles(drifting, PATCHES)(*args).x0
    held = in_tiles(drifting, PATCHES.model_copy(update={"guard": 1.0}))(*args).x0
    truth = args[2].image
    assert (held - truth).abs().mean() < left * (free - truth).abs().mean()


def test_an_image_of_one_tile_is_left_alone() -> None:
    args = inputs(32, 20)
    guarded = in_tiles(drifting, PATCHES.model_copy(update={"guard": 1.0}))(*args).x0
    assert torch.equal(guarded, in_tiles(drifting, PATCHES)(*args).x0)


def test_off_is_off() -> None:
    assert type(in_tiles(drifting, PATCHES)).__name__ == "Tiled"


def test_a_denoiser_without_drift_is_not_disturbed() -> None:
    args = inputs(96, 96)
    flat = args[2].replaced(image=torch.full_like(args[2].image, 0.25))

    def honest(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(condition.image * 2)

    got = in_tiles(honest, PATCHES.model_copy(update={"guard": 1.0}))(args[0], args[1], flat).x0
    torch.testing.assert_close(got, flat.image * 2)


@pytest.mark.parametrize("side", [256, 100, 66])
def test_the_coarse_look_is_at_the_same_noise_level(side: int) -> None:
    """Shrunken noise has its variance back, and is the same for the same seed and level."""
    x_t = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    level = Level(torch.tensor([9, 9]), torch.tensor([0.0, 0.0], dtype=torch.float64))
    small = shrink(x_t, level, (64, 64), (1, 2))
    assert small.shape == (2, 3, 64, 64)
    assert abs(small.std().item() - 1) < 0.02
    assert torch.equal(small, shrink(x_t, level, (64, 64), (1, 2)))
    assert not torch.equal(small, shrink(x_t, level, (64, 64), (1, 3)))
    clean = Level(level.t, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(shrink(x_t, clean, (64, 64), ()), torch.nn.functional.adaptive_avg_pool2d(x_t, (64, 64)))


def test_a_thumbnail_is_of_the_colours_whatever_is_beside_them() -> None:
    """Without one in the condition, the tiles and the guard make it; a mask in a fourth channel is no colour."""
    seen: list[Tensor | None] = []

    def watch(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        seen.append(condition.thumbnail)
        assert condition.image.shape[1] == 4
        return Estimate(x_t)

    image = torch.rand(1, 4, 96, 80)
    cut = Tiles(size=64, overlap=16, multiple=4, context=8, guard=0.5)
    level = Cosine(steps=10).build().level(10, 1)
    in_tiles(watch, cut)(torch.rand(1, 3, 96, 80), level, Condition(image))
    whole = F.adaptive_avg_pool2d(image[:, :3], 8)
    assert len(seen) > 1 and all(one is not None and torch.equal(one[:1], whole) for one in seen)
