"""Blocks of JPEG images that were cropped since are found, and shown to the network where files have them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.degradations.jpeg import compress
from restore.denoisers.aligned import Aligned, block_phase
from restore.denoisers.ensemble import SelfEnsemble

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


def test_blocks_of_a_large_image_are_found_in_some_of_its_lines(clean: Tensor) -> None:
    large = F.interpolate(clean[None], (1540, 1100), mode="bicubic")[0].clamp(0, 1)
    assert block_phase(compress(large, 20)[None, :, 6:, 1:] * 2 - 1).tolist() == [[2, 7]]


@pytest.mark.parametrize("side", [17, 40, 96, 160])
def test_where_there_are_no_blocks_nothing_is_moved(clean: Tensor, side: int) -> None:
    noise = torch.rand(8, 3, side, side, generator=torch.Generator().manual_seed(0))
    parts = [clean[:, y : y + side, x : x + side] for y in (0, 41, 90) for x in (0, 75, 141)]
    assert not block_phase(torch.cat([torch.stack(parts), noise, torch.zeros_like(noise)]) * 2 - 1).any()


def test_each_image_of_a_batch_is_shown_aligned_and_comes_back_as_alone(clean: Tensor) -> None:
    packed, size = compress(clean, 20) * 2 - 1, 200
    image = torch.stack([packed[:, y : y + size, x : x + size] for y, x in ((0, 0), (3, 6), (5, 0))])
    x_t, shapes = torch.randn(image.shape), []

    def blur(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Something that sees its neighbourhood, and the image's size."""
        shapes.append(tuple(x_t.shape))
        return Estimate(F.avg_pool2d(x_t + condition.image, 9, 1, 4) * x_t.shape[-1], fraction=x_t)

    estimate = Aligned(blur)(x_t, LEVEL, Condition(image))
    assert sorted(shapes) == [(3, 3, size, size), (3, 3, size + 8, size), (3, 3, size + 8, size + 8)]
    assert estimate.fraction is not None and torch.equal(estimate.fraction, x_t)
    assert estimate.gradient is None
    for i in range(3):
        alone = Aligned(blur)(x_t[i : i + 1], LEVEL, Condition(image[i : i + 1]))
        torch.testing.assert_close(estimate.x0[i : i + 1], alone.x0)


def test_mirrored_too_an_image_is_shown_in_whole_blocks(clean: Tensor) -> None:
    """Of an image that is too small to tell by itself where its blocks lie, a mirrored one has them elsewhere."""
    image = compress(clean, 20)[None, :, :90, :92] * 2 - 1
    phases = []

    def look(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        steps = condition.image.mean(1).diff(dim=-1).abs().mean((0, 1))
        phases.append(int(torch.stack([steps[k::8].mean() for k in range(8)]).argmax()))
        return Estimate(condition.image)

    estimate = Aligned(SelfEnsemble(look, 2, lambda turned: turned))(torch.zeros_like(image), LEVEL, Condition(image))
    assert phases == [7, 7]  # between columns 7 and 8
    torch.testing.assert_close(estimate.x0, image)


def test_where_blocks_lie_is_found_once(clean: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, image = [], compress(clean, 20)[None, :, 3:] * 2 - 1
    monkeypatch.setattr("restore.denoisers.aligned.block_phase", lambda x: (looks.append(x), block_phase(x))[1])
    aligned = Aligned(lambda x_t, level, condition: Estimate(condition.image))
    condition = Condition(image)
    for _ in range(3):
        assert torch.equal(aligned(torch.zeros_like(image), LEVEL, condition).x0, image)
    assert len(looks) == 1
    other = Condition(image.flip(3))
    assert torch.equal(aligned(torch.zeros_like(image), LEVEL, other).x0, other.image)
    assert len(looks) == 2


def test_a_file_as_it_is_costs_no_copy(clean: Tensor) -> None:
    image = compress(clean, 20)[None] * 2 - 1

    def look(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        assert condition.image is image
        return Estimate(condition.image)

    Aligned(look)(image, LEVEL, Condition(image))
