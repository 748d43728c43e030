from __future__ import annotations

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.masked import Masked
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.threshold import Clipped
from restore.denoisers.tiles import Tiles, in_tiles
from restore.diffusion.schedule import Linear
from restore.errors import ArrayError
from restore.samplers import DDIM, Ancestral, DPMSolver, RecordedNoise, SeededNoise

SCHEDULE = Linear(steps=30, beta_start=1e-3, beta_end=0.3).build()


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 3, 3, padding=1)).requires_grad_(False)


def as_eps(network: nn.Module):
    """The network as one that predicts noise, told the level by its alpha_bar."""
    return lambda x_t, value, condition: (
        network(torch.cat([condition.image, x_t], 1)) * value[:, None, None, None].sqrt()
    )


def drawn(n: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 8, 6, generator=generator) for _ in range(n)]


@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
@settings(max_examples=15, deadline=None)
def test_masking_equals_palettes_loop(seed: int, share: float) -> None:
    """Palette's loop, written out: after every step known pixels are overwritten by clean ones (not noised ones)."""
    network = small_network()
    image, start, *noises = drawn(32, seed)
    image = image.clamp(-1, 1)
    hole = torch.rand(2, 1, 8, 6, generator=torch.Generator().manual_seed(seed)) < share
    given_image = torch.where(hole, start, image)  # condition and start: noise in the hole

    y_t = given_image
    for t in range(SCHEDULE.T, 0, -1):
        alpha_bar, before = SCHEDULE.alpha_bar[t], SCHEDULE.alpha_bar[t - 1]
        gamma = alpha_bar.expand(2)
        eps = as_eps(network)(y_t, gamma.float(), Condition(given_image))
        y_0 = ((y_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()).clamp(-1, 1).float()
        beta = 1 - alpha_bar / before
        mean = before.sqrt() * beta / (1 - alpha_bar) * y_0 + (1 - beta).sqrt() * (1 - before) / (1 - alpha_bar) * y_t
        noise = noises[SCHEDULE.T - t] if t > 1 else torch.zeros_like(y_t)
        y_t = (mean + (beta * (1 - before) / (1 - alpha_bar)).sqrt() * noise).float()
        y_t = torch.where(hole, y_t, image)

    denoiser = Clipped(Masked(NetworkDenoiser(as_eps(network), "eps", "alpha_bar"), image, hole))
    steps = Ancestral()(denoiser, Condition(given_image), SCHEDULE, RecordedNoise([given_image, *noises]))
    (last,) = deque(steps, maxlen=1)
    torch.testing.assert_close(last.x_t, y_t, rtol=0, atol=2e-5)
    assert torch.equal(torch.where(hole, image, last.x_t), image)


@pytest.mark.parametrize("sampler", [DDIM(steps=5), DDIM(steps=5, eta=0.5), DPMSolver(steps=5)])
@pytest.mark.parametrize("clean_input", [True, False])
def test_every_sampler_keeps_the_known_pixels(sampler, clean_input: bool) -> None:
    image = drawn(1, 3)[0].clamp(-1, 1)
    hole = torch.zeros(1, 1, 8, 6)
    hole[..., 2:5, 1:4] = 1
    core = NetworkDenoiser(as_eps(small_network()), "eps", "alpha_bar")
    denoiser = Clipped(Masked(core, image, hole, clean_input))
    (last,) = deque(sampler(denoiser, Condition(image), SCHEDULE, SeededNoise([0, 1])), maxlen=1)
    known = (hole == 0).expand_as(image)
    assert torch.equal(last.x_t[known], image[known])
    assert bool((last.x_t[~known] != image[~known]).any())


def test_without_clean_input_the_network_sees_x_t() -> None:
    seen = []

    def watched(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        seen.append(x_t)
        return Estimate(x_t, x_t, torch.ones_like(x_t))

    image, x_t = drawn(2, 4)
    hole = torch.zeros(2, 1, 8, 6)
    hole[..., :3] = 1
    for clean in (True, False):
        estimate = Masked(watched, image, hole, clean)(x_t, SCHEDULE.level(3, 2), Condition(image))
        assert torch.equal(estimate.x0, torch.where(hole > 0, x_t, image))
        assert torch.equal(estimate.gradient, hole.expand_as(x_t))
    assert torch.equal(seen[0], torch.where(hole > 0, x_t, image)) and torch.equal(seen[1], x_t)


def test_masks_and_patches_commute() -> None:
    """Known pixels may be pasted before the tiles are cut, or into each tile."""
    image, x_t = drawn(2, 5)
    hole = torch.zeros(2, 1, 8, 6)
    hole[..., 3:, 1:4] = 1
    tiles = Tiles(size=4, overlap=2, multiple=2, fixed=True, context=0)

    def core(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(torch.tanh(x_t + condition.image))

    def pasting(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        known, hidden = condition.image[:, 3:6], condition.image[:, 6:] > 0
        x0 = core(torch.where(hidden, x_t, known), level, condition.replaced(image=condition.image[:, :3])).x0
        return Estimate(torch.where(hidden, x0, known))

    level = SCHEDULE.level(7, 2)
    outside = Masked(in_tiles(core, tiles), image, hole)(x_t, level, Condition(image))
    packed = Condition(torch.cat([image, image, hole], dim=1))
    inside = in_tiles(pasting, tiles)(x_t, level, packed)
    torch.testing.assert_close(outside.x0, inside.x0)


def test_a_mask_of_another_size_is_refused() -> None:
    image, x_t = drawn(2, 6)
    with pytest.raises(ArrayError, match=r"\(2, 1, 8, 5\) must fit \(2, 3, 8, 6\)"):
        Masked(lambda x, level, condition: Estimate(x), image, torch.zeros(2, 1, 8, 5))(
            x_t, SCHEDULE.level(3, 2), Condition(image)
        )
