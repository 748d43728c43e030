from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level, whole_image, with_the_image
from restore.denoisers.aligned import Aligned
from restore.denoisers.ensemble import SelfEnsemble
from restore.denoisers.guidance import ClassifierFree
from restore.denoisers.stack import Guidance, stacked
from restore.denoisers.threshold import Static
from restore.denoisers.tiles import Tiled, Tiles, grid, in_tiles
from restore.samplers.interpolation import blended


def full() -> Condition:
    image = torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2)
    return Condition(image, torch.tensor([1, 2]), torch.ones(2, 3, 4, 4), torch.ones(2, 8, 1, 1), torch.zeros(2, 4))


def test_select_takes_images_of_every_field() -> None:
    chosen = full().select(torch.tensor([1, 1, 0]))
    assert chosen.image.shape == (3, 3, 2, 2) and chosen.label.tolist() == [2, 2, 1]
    assert chosen.thumbnail.shape == (3, 3, 4, 4) and chosen.box.shape == (3, 4)
    assert chosen.features.shape == (3, 8, 1, 1)
    bare = Condition(full().image).select(slice(0, 1))
    assert bare.image.shape == (1, 3, 2, 2) and bare.label is bare.thumbnail is bare.features is bare.box is None


def test_to_changes_the_type_of_images_and_not_of_labels() -> None:
    half = full().to(dtype=torch.bfloat16)
    assert half.image.dtype == half.thumbnail.dtype == half.features.dtype == half.box.dtype == torch.bfloat16
    assert half.label.dtype == torch.int64


def test_some_fields_are_replaced() -> None:
    changed = full().replaced(label=None)
    assert changed.label is None and torch.equal(changed.image, full().image)


def test_an_estimate_says_nothing_that_it_was_not_told() -> None:
    estimate = Estimate(torch.zeros(1))
    assert estimate.fraction is None and estimate.gradient is None


def test_a_function_is_applied_to_fields_by_their_kind() -> None:
    for spatial, image, label in ((None, 2, 2), (True, 2, 1), (False, 1, 2)):
        changed = full().map(lambda value: value * 2, spatial)
        assert torch.equal(changed.image, full().image * image) and torch.equal(changed.label, full().label * label)
        assert torch.equal(changed.features, full().features * label)
    bare = Condition(full().image).map(lambda value: value * 2)
    assert bare.label is bare.thumbnail is bare.features is bare.box is None


def test_levels_as_plain_numbers() -> None:
    level = Level(torch.tensor([7, 7]), torch.tensor([0.25, 0.25]), 7, 0.25)
    assert level.numbers() == [7, 7] and Level(*level[:2]).numbers() == [7, 7]
    tripled = level.map(lambda x: x[torch.tensor([0, 1, 1])])
    assert tripled.t.tolist() == tripled.numbers() == [7, 7, 7] and tripled.alpha_bar.tolist() == [0.25] * 3
    assert (tripled.number, tripled.share) == (7, 0.25)
    assert Level(torch.tensor([3, 5]), torch.tensor([0.5, 0.25])).numbers() == [3, 5]


@dataclass(frozen=True, eq=False)
class Hinted(Condition):
    """A condition with a spatial and a global field more, as an extension would have it."""

    hint: Tensor | None = with_the_image(default=None)
    tokens: Tensor | None = whole_image(default=None)


def numbered(height: int = 30, width: int = 44) -> Hinted:
    """Three images, the k-th of values between k / 4 - 0.5 and k / 4 - 0.4, with the hint that they are themselves."""
    order = torch.tensor([2, 0, 1])
    noise = torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0)) / 10
    image = noise + order.view(3, 1, 1, 1) / 4 - 0.5
    return Hinted(image, order, hint=image.clone(), tokens=order.view(3, 1, 1).expand(3, 5, 2).float())


LEVEL = Level(torch.full((3,), 5), torch.full((3,), 0.2, dtype=torch.float64), 5, 0.2)
TILES = Tiles(size=16, overlap=4, multiple=8, batch=4, context=8)
DECORATED: dict[str, Callable[[Denoiser], Denoiser]] = {
    "tiles": lambda denoiser: Tiled(denoiser, TILES),
    "shifted tiles": lambda denoiser: Tiled(
        denoiser, Tiles(grid="shifted", size=16, overlap=4, multiple=8), seeds=(4, 5, 6)
    ),
    "guard": lambda denoiser: in_tiles(denoiser, TILES.model_copy(update={"guard": 1.0})),
    "self-ensemble": lambda denoiser: SelfEnsemble(denoiser, 8, lambda turned: turned),
    "aligned": Aligned,
    "guidance": lambda denoiser: ClassifierFree(denoiser, 2.0, ("label",)),
    "whole stack": lambda denoiser: stacked(
        denoiser,
        lambda inner: in_tiles(inner, TILES.model_copy(update={"guard": 0.5})),
        guidance=Guidance(1.5, ("label",)),
        orientations=4,
        aligned=True,
        threshold=Static(),
    ),
}


@pytest.mark.parametrize("name", DECORATED)
def test_new_fields_go_where_the_image_goes(name: str) -> None:
    seen, whole = [], numbered()

    def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        assert isinstance(condition, Hinted) and condition.hint is not None and condition.tokens is not None
        assert condition.hint is not condition.image and torch.equal(condition.hint, condition.image)
        assert condition.image.shape == x_t.shape and condition.tokens.shape == (len(x_t), 5, 2)
        # what an image's values say of its number is what its tokens say
        number = ((condition.image.mean((1, 2, 3)) + 0.45) * 4).round()
        assert torch.equal(condition.tokens, number.view(-1, 1, 1).expand(-1, 5, 2))
        seen.append(tuple(condition.image.shape))
        return Estimate(condition.hint.clone())

    x_t = torch.randn(whole.image.shape, generator=torch.Generator().manual_seed(1))
    estimate = DECORATED[name](denoiser)(x_t, LEVEL, whole)
    # by its hint alone, each image comes back at its own place
    torch.testing.assert_close(
        estimate.x0, whole.image, rtol=0, atol=0.06 if name in ("guard", "whole stack") else 1e-5
    )
    shapes = set(seen)
    if name in ("tiles", "shifted tiles"):
        assert all(shape[-2:] != (30, 44) for shape in shapes)
    elif name == "guard":
        # beside the tiles, one look at the whole of each image
        assert sum(shape[0] for shape in seen) == 3 * (len(grid(TILES, 30, 44)) + 1)
    elif name == "self-ensemble":
        assert shapes == {(3, 3, 30, 44), (3, 3, 44, 30)}
    elif name == "aligned":
        assert shapes == {(3, 3, 32, 48)}


def test_new_fields_go_to_the_device_of_the_tiles() -> None:
    places = []

    def denoiser(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        assert isinstance(condition, Hinted) and condition.hint is not None and condition.tokens is not None
        places.extend((condition.hint.device.type, condition.tokens.device.type, x_t.device.type))
        assert condition.hint.shape == condition.image.shape and condition.tokens.shape == (len(x_t), 5, 2)
        return Estimate(torch.zeros(x_t.shape))

    whole = numbered()
    Tiled(denoiser, TILES, device=torch.device("meta"))(torch.zeros_like(whole.image), LEVEL, whole)
    assert set(places) == {"meta"}


def test_new_fields_are_selected_converted_and_mixed() -> None:
    whole = numbered()
    chosen = whole.select(torch.tensor([1, 1]))
    assert isinstance(chosen, Hinted) and torch.equal(chosen.hint, whole.hint[[1, 1]])
    assert torch.equal(chosen.tokens, whole.tokens[[1, 1]])
    half = whole.to(dtype=torch.bfloat16)
    assert half.hint.dtype == half.tokens.dtype == torch.bfloat16 and half.label.dtype == torch.int64
    mixed = blended(whole, whole.replaced(hint=whole.hint + 1, tokens=whole.tokens + 1), 0.25)
    assert isinstance(mixed, Hinted)
    torch.testing.assert_close(mixed.hint, whole.hint + 0.25)
    torch.testing.assert_close(mixed.tokens, whole.tokens + 0.25)
