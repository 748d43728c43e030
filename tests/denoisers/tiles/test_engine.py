"""The engine: exact, and indifferent to batches, order and neighbours."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.tiles import FixedBatch, Tiled, Tiles, in_tiles
from restore.denoisers.tiles.engine import Capacity
from restore.errors import ConfigError
from restore.networks import EfficientUNetSpec
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.tasks import Prepared

SPEC = EfficientUNetSpec(channels=(8, 16), blocks=(1, 1), embedding=16, context=8)
KINDS = ["anchored", "weatherdiffusion", "shifted", "whole"]


@pytest.fixture(scope="module")
def network() -> NetworkDenoiser:
    torch.manual_seed(0)
    network = SPEC.build().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return NetworkDenoiser(network.requires_grad_(False), "residual", "sqrt_alpha_bar")


def inputs(batch: int, height: int, width: int, seed: int = 0, t: int = 7) -> tuple[Tensor, Level, Condition]:
    generator = torch.Generator().manual_seed(seed)
    x_t, image = torch.randn(2, batch, 3, height, width, generator=generator)
    level = Level(torch.full((batch,), t), torch.full((batch,), 0.3, dtype=torch.float64))
    return x_t, level, Condition(image, torch.arange(batch) % 3)


def pointwise(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
    """A denoiser without a field of view: what it says of a pixel is the same in every tile."""
    label = condition.label[:, None, None, None]
    return Estimate(2 * x_t + condition.image * label, x_t - level.alpha_bar[:, None, None, None].float())


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 8),
    st.integers(1, 7),
    st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["uniform", "hann", "gaussian"]),
    st.integers(0, 999),
)
def test_where_tiles_agree_the_merge_changes_nothing(
    kind: str, half: int, batch: int, shape: tuple[int, int, int], window: str, t: int
) -> None:
    size = 2 * half
    tiles = Tiles(grid=kind, size=size, overlap=size // 3, multiple=2, batch=batch, window=window)
    x_t, level, condition = inputs(*shape, t=t)
    got = Tiled(pointwise, tiles, halo=3)(x_t, level, condition)
    want = pointwise(x_t, level, condition)
    assert got.gradient is None
    for mine, theirs in zip(got[:2], want[:2], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (37, 1), (7, 9), (16, 16), (61, 45)])
def test_the_batch_size_changes_nothing(network: NetworkDenoiser, kind: str, height: int, width: int) -> None:
    args = inputs(2, height, width)
    tiles = Tiles(grid=kind, size=16, overlap=4, multiple=4, batch=1, context=16)
    one = Tiled(network, tiles, SPEC.halo)(*args).x0
    assert one.shape == args[0].shape and bool(one.isfinite().all())
    for batch in (3, 64):
        other = Tiled(network, tiles.model_copy(update={"batch": batch}), SPEC.halo)(*args).x0
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_and_order_change_nothing(network: NetworkDenoiser, kind: str) -> None:
    x_t, level, condition = inputs(3, 41, 30)
    tiles = Tiles(grid=kind, size=16, overlap=2, multiple=4, batch=4, context=16)
    seeds = (5, 6, 7)
    together = Tiled(network, tiles, SPEC.halo, seeds)(x_t, level, condition).x0
    order = torch.tensor([2, 0, 1])
    shuffled = Tiled(network, tiles, SPEC.halo, tuple(seeds[i] for i in order))(
        x_t[order], level.map(lambda part: part[order]), condition.select(order)
    ).x0
    torch.testing.assert_close(shuffled, together[order], rtol=1e-4, atol=1e-5)
    alone = Tiled(network, tiles, SPEC.halo, seeds[1:2])(
        x_t[1:2], level.map(lambda part: part[1:2]), condition.select(slice(1, 2))
    ).x0
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-5)


def plain_loop(network: NetworkDenoiser, args: tuple[Tensor, Level, Condition], size: int, stride: int) -> Tensor:
    """The published merge: noise estimates summed crop by crop and divided by their count; NaN where there is none."""
    x_t, level, condition = args
    height, width = x_t.shape[-2:]
    total, count = torch.zeros_like(x_t), torch.zeros_like(x_t)
    a, s = level.alpha_bar[0].sqrt().item(), (1 - level.alpha_bar[0]).sqrt().item()
    for top in range(0, height - size + 1, stride):
        for left in range(0, width - size + 1, stride):
            rows, columns = slice(top, top + size), slice(left, left + size)
            crop = x_t[..., rows, columns]
            x0 = network(crop, level, Condition(condition.image[..., rows, columns], condition.label)).x0
            total[..., rows, columns] += (crop - a * x0) / s
            count[..., rows, columns] += 1
    return (x_t - s * (total / count)) / a


@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 50), (16, 16), (33, 16)])
@pytest.mark.parametrize("stride", [4, 7, 16])
def test_the_published_grid_gives_the_published_result(
    network: NetworkDenoiser, height: int, width: int, stride: int
) -> None:
    """Averaged noise estimates are averaged x0, to rounding; where the original has nothing, there is something."""
    args = inputs(1, height, width)
    tiles = Tiles(grid="weatherdiffusion", size=16, stride=stride, overlap=0, multiple=4, window="uniform", batch=5)
    want, got = plain_loop(network, args, 16, stride), Tiled(network, tiles)(*args).x0
    defined = want.isfinite()
    assert bool(defined[..., :16, :16].all()) and bool(got.isfinite().all())
    assert bool(defined.all()) == ((height - 16) % stride == 0 and (width - 16) % stride == 0)
    torch.testing.assert_close(got[defined], want[defined], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (50, 83), (20, 71), (1, 90)])
def test_parts_of_the_whole_grid_are_the_untiled_result(network: NetworkDenoiser, height: int, width: int) -> None:
    args = inputs(2, height, width)
    whole = Tiles(grid="whole", size=256, overlap=0, multiple=4, batch=2, context=16)
    untiled = Tiled(network, whole, SPEC.halo)(*args).x0
    for size in (16, 36):
        parts = Tiled(network, whole.model_copy(update={"size": size}), SPEC.halo)(*args).x0
        torch.testing.assert_close(parts, untiled, rtol=1e-5, atol=2e-6)
    # with less than the field of view it is not: the halo is needed
    if height == 64:
        less = Tiled(network, whole.model_copy(update={"size": 16}), SPEC.halo // 4)(*args).x0
        assert (less - untiled).abs().max() > 1e-4


@pytest.mark.parametrize(
    "spec",
    [
        EfficientUNetSpec(channels=(8,), blocks=(2,), stem=1, embedding=8, context=0),
        EfficientUNetSpec(channels=(4, 8, 8), blocks=(1, 2, 1), stem=2, embedding=8, context=0),
        EfficientUNetSpec(channels=(4, 8), blocks=(1, 1), stem=4, embedding=8, context=0),
    ],
)
def test_the_halo_is_the_field_of_view(spec: EfficientUNetSpec) -> None:
    """Nothing further away matters, and what is just inside does, in double precision."""
    torch.manual_seed(0)
    network = spec.build().double().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    m, h = spec.multiple, spec.halo
    side = 2 * h + m
    x_t, image = torch.randn(2, 1, 3, side, side, dtype=torch.float64)
    middle = slice(h, h + m)

    def answer(changed: int) -> Tensor:
        """The middle's prediction where the outer `changed` pixels are others."""
        other = x_t + 1
        other[..., changed : side - changed, changed : side - changed] = x_t[
            ..., changed : side - changed, changed : side - changed
        ]
        return network(other, torch.ones(1), Condition(image))[..., middle, middle]

    # a larger image around it, so that padding does not matter either
    around = torch.nn.functional.pad(x_t, (m,) * 4), torch.nn.functional.pad(image, (m,) * 4)
    far = network(around[0], torch.ones(1), Condition(around[1]))[..., h + m : h + 2 * m, h + m : h + 2 * m]
    torch.testing.assert_close(far, answer(0), rtol=0, atol=1e-12)
    assert not torch.equal(answer(m), answer(0))


def test_a_step_can_be_repeated_and_another_is_cut_elsewhere(network: NetworkDenoiser) -> None:
    tiles = Tiles(grid="shifted", size=16, overlap=2, multiple=4)
    x_t, level, condition = inputs(1, 50, 60)
    first = Tiled(network, tiles, seeds=(3,))
    assert torch.equal(first(x_t, level, condition).x0, first(x_t, level, condition).x0)
    other = Level(level.t + 1, level.alpha_bar)
    assert not torch.equal(first(x_t, level, condition).x0, first(x_t, other, condition).x0)
    assert not torch.equal(first(x_t, level, condition).x0, Tiled(network, tiles, seeds=(4,))(x_t, level, condition).x0)


class Small:
    """A denoiser on a device that has room for a few tiles."""

    def __init__(self, room: int, error: type[RuntimeError] = torch.OutOfMemoryError) -> None:
        self.room, self.error, self.tried = room, error, []

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        self.tried.append(len(x_t))
        if len(x_t) > self.room:
            raise self.error("DefaultCPUAllocator: can't allocate memory")
        return pointwise(x_t, level, condition)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_a_batch_that_does_not_fit_is_halved_once_and_for_all(error: type[RuntimeError]) -> None:
    args = inputs(2, 40, 40)
    small = Small(room=3, error=error)
    patched = Tiled(small, Tiles(size=8, overlap=0, multiple=8, batch=16))
    torch.testing.assert_close(patched(*args).x0, pointwise(*args).x0)
    assert small.tried[:4] == [16, 8, 4, 2] and sum(small.tried[3:]) == 50
    small.tried.clear()
    patched(*args)
    assert max(small.tried) == 2


def test_a_single_tile_that_does_not_fit_is_an_error_that_helps() -> None:
    with pytest.raises(ConfigError, match=r"8x8 pixels does not fit.*smaller patch"):
        Tiled(Small(room=0), Tiles(size=8, overlap=0, multiple=8, batch=4))(*inputs(1, 20, 20))
    known = Capacity({(8, 8): 2})
    assert known.batch(8, (8, 8)) == 2 and known.batch(8, (4, 8)) == 8


def test_what_fits_is_known_to_the_next_image(tiny_model: Path) -> None:
    restorer = Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)
    tiles, small = Tiles(size=16, overlap=0, multiple=4, batch=8, context=16), Small(room=3)
    for _ in range(3):
        settings = Settings(tiles=tiles, guide=lambda denoiser: small)
        restorer.batch(Prepared(torch.zeros(1, 3, 32, 32)), settings)
    assert small.tried == [4, 2, 2, 2, 2, 2, 2]


def test_tiles_may_be_denoised_elsewhere(network: NetworkDenoiser) -> None:
    """The way to another device and back, with `meta` standing for a device whose numbers do not matter."""

    def far(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        given = [x_t, level.t, level.alpha_bar, *(getattr(condition, one.name) for one in fields(condition))]
        assert {t.device.type for t in given if t is not None} == {"meta"}
        assert condition.thumbnail is not None and condition.label is not None
        return Estimate(torch.full(x_t.shape, 3.0))

    args = inputs(2, 30, 20)
    tiles = Tiles(size=8, overlap=2, multiple=4, batch=3, context=8)
    got = Tiled(far, tiles, device=torch.device("meta"))(*args).x0
    torch.testing.assert_close(got, torch.full_like(args[0], 3.0))


def test_memory_is_the_image_and_one_batch() -> None:
    """No denoiser call sees more than a batch, and what is held besides are buffers of the image's size."""
    seen = []

    def watch(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        seen.append(x_t.shape)
        return Estimate(x_t)

    tiles = Tiles(grid="weatherdiffusion", size=16, stride=4, overlap=0, batch=6)
    Tiled(watch, tiles)(*inputs(1, 64, 64))
    assert sum(shape[0] for shape in seen) == 13 * 13 and max(shape[0] for shape in seen) == 6


def test_the_image_tells_each_tile_where_it_is() -> None:
    boxes = []

    def watch(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        boxes.append(condition.box)
        assert condition.thumbnail is not None and condition.thumbnail.shape == (len(x_t), 3, 16, 16)
        return Estimate(x_t)

    Tiled(watch, Tiles(size=16, overlap=0, batch=3, context=16))(*inputs(1, 32, 48))
    want = [[y / 2, x / 3, (y + 1) / 2, (x + 1) / 3] for y in range(2) for x in range(3)]
    torch.testing.assert_close(torch.cat(boxes), torch.tensor(want))


def test_the_network_may_be_shown_features_instead_of_thumbnails(network: NetworkDenoiser) -> None:
    x_t, level, condition = inputs(1, 16, 16)
    condition = condition.replaced(thumbnail=torch.rand(1, 3, 16, 16), box=torch.tensor([[0.0, 0.0, 0.5, 1.0]]))
    features = network.network.encode(condition.thumbnail)  # type: ignore[attr-defined]
    shown = network(x_t, level, condition).x0
    for thumbnail in (None, torch.rand(1, 3, 16, 16)):  # where both are there, the features count
        encoded = condition.replaced(thumbnail=thumbnail, features=features)
        assert torch.equal(network(x_t, level, encoded).x0, shown)
    assert not torch.equal(network(x_t, level, condition.replaced(features=-features)).x0, shown)


class Strict(torch.nn.Module):
    """A network that takes note of the shapes that it sees."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.encode, self.shapes = network, network.encode, set()

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        self.shapes.add((x_t.shape, value.shape, condition.image.shape))
        return self.network(x_t, value, condition)


def test_a_network_for_one_shape_sees_one_shape(network: NetworkDenoiser) -> None:
    strict = Strict(network.network)
    args = inputs(1, 40, 40)
    tiles = Tiles(size=16, overlap=4, multiple=4, batch=4)
    fixed = FixedBatch(strict, 4)
    got = in_tiles(NetworkDenoiser(fixed, network.prediction, network.level_input), tiles)(*args).x0
    torch.testing.assert_close(got, in_tiles(network, tiles)(*args).x0, rtol=1e-4, atol=1e-5)
    assert len(strict.shapes) == 1
    thumbnail = torch.rand(1, 3, 16, 16)
    assert torch.equal(fixed.encode(thumbnail), network.network.encode(thumbnail))  # type: ignore[attr-defined]
