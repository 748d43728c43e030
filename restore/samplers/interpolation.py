"""Interpolation between two images, in the space of their noise."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.diffusion.parameterization import noised, to_eps
from restore.diffusion.schedule import Schedule
from restore.diffusion.update import ddim_update
from restore.errors import ConfigError
from restore.samplers.noise import Noise
from restore.samplers.step import Sampler, Step, x0_of

__all__ = ["blended", "frames_by_diffusion", "frames_by_inversion", "invert", "slerp"]


def slerp(a: Tensor, b: Tensor, w: float) -> Tensor:
    """Return the point a share w of the way from a to b on the sphere, (B, C, H, W) (DDIM, eq. 67).

    A straight line between two noises would pass through points of too small a norm. Each image of the batch has an
    angle of its own; where two noises are the same, or opposite, the way is straight.
    """
    cosine = torch.cosine_similarity(a.flatten(1).double(), b.flatten(1).double(), dim=1).clamp(-1, 1)
    angle = torch.arccos(cosine)
    sine = angle.sin()
    straight = sine < 1e-6
    safe = sine.masked_fill(straight, 1.0)
    of_a = torch.where(straight, 1 - w, ((1 - w) * angle).sin() / safe)
    of_b = torch.where(straight, w, (w * angle).sin() / safe)
    shape = (-1, *(1,) * (a.ndim - 1))
    return a * of_a.to(a).reshape(shape) + b * of_b.to(b).reshape(shape)


def blended(a: Condition, b: Condition, w: float) -> Condition:
    """Return the condition a share w of the way from a to b; labels do not blend, the nearer one counts."""
    mixed = {}
    for name in (one.name for one in fields(a)):
        x, y = getattr(a, name), getattr(b, name)
        if x is None or y is None:
            mixed[name] = None
        else:
            mixed[name] = torch.lerp(x, y, w) if x.is_floating_point() else (x if w < 0.5 else y)
    return replace(a, **mixed)


@torch.no_grad()
def invert(
    denoiser: Denoiser, x0: Tensor, condition: Condition, schedule: Schedule, sampler: Sampler, beyond: bool = False
) -> Iterator[Step]:
    """Yield the steps of DDIM upwards from an image, to the first level that the sampler visits (DDIM, section 4.3).

    The image stands for itself at the lowest visited level, where it hardly differs. The last `Step` holds the noise
    that leads back to the image, the better the more steps there are.

    Args:
        denoiser: without clipping, which cannot be undone.
        x0: (B, 3, H, W) in [-1, 1].
        condition: of it.
        schedule: the model's.
        sampler: which levels are visited.
        beyond: one more step, to where alpha_bar is 0, as guided-diffusion takes.
    """
    levels = sampler.levels(schedule)[-2::-1]
    x_t = x0
    for t, u in zip(levels, [*levels[1:], None], strict=True):
        if u is None and not beyond:
            return
        level = schedule.level(t, len(x_t), x_t.device)
        estimate = x0_of(denoiser(x_t, level, condition))
        if u is None:
            yield Step(schedule.T + 1, to_eps(estimate, x_t, level.alpha_bar), estimate)
            return
        x_t = ddim_update(x_t, estimate, float(schedule.alpha_bar[t]), float(schedule.alpha_bar[u]))
        yield Step(u, x_t, estimate)


def frames_by_inversion(
    denoiser: Denoiser,
    a: tuple[Tensor, Condition],
    b: tuple[Tensor, Condition],
    weights: Sequence[float],
    schedule: Schedule,
    sampler: Sampler,
    noise: Noise,
) -> Iterator[Tensor]:
    """Yield the images, (B, 3, H, W), at shares of the way between two, along a great circle of their noises.

    Args:
        denoiser: without clipping, for the way up.
        a: an image, (B, 3, H, W) in [-1, 1], and its condition.
        b: another.
        weights: 0 gives a (as well as its inversion allows), 1 gives b.
        schedule: the model's.
        sampler: deterministic, else the ends are not met.
        noise: for samplers that draw some.
    """
    levels = sampler.levels(schedule)
    ends = []
    for image, condition in (a, b):
        above = deque(invert(denoiser, image, condition, schedule, sampler), maxlen=1)
        ends.append(above[0].x_t if above else image)
    for w in weights:
        yield _last(
            sampler.solve(denoiser, blended(a[1], b[1], w), schedule, slerp(ends[0], ends[1], w), levels, noise)
        )


def frames_by_diffusion(
    denoiser: Denoiser,
    a: tuple[Tensor, Condition],
    b: tuple[Tensor, Condition],
    weights: Sequence[float],
    schedule: Schedule,
    sampler: Sampler,
    noise: Noise,
) -> Iterator[Tensor]:
    """Yield the images, (B, 3, H, W), at shares of the way between two, after both were given the same noise.

    DDPM, section 4.4: the noised images are mixed in a straight line; the network makes the mixture an image again.
    The more noise (`sampler.start`), the further a frame may be from both.

    Args:
        denoiser: the model's.
        a: an image, (B, 3, H, W) in [-1, 1], and its condition.
        b: another.
        weights: 0 gives a, 1 gives b.
        schedule: the model's.
        sampler: starts at the level where the images are mixed.
        noise: the first draw is the one that both are given.

    Raises:
        ConfigError: the sampler starts from noise alone, where nothing of the images is left to mix.
    """
    if sampler.start is None:
        raise ConfigError("interpolation by diffusion needs a level to mix the images at: set the sampler's start")
    levels = sampler.levels(schedule)
    eps = noise.draw(a[0])
    alpha_bar = schedule.level(levels[0], len(eps), eps.device).alpha_bar
    for w in weights:
        x_t = noised(torch.lerp(a[0], b[0], w), eps, alpha_bar)
        yield _last(sampler.solve(denoiser, blended(a[1], b[1], w), schedule, x_t, levels, noise))


def _last(steps: Iterator[Step]) -> Tensor:
    """Return where a sampler arrives, holding one step at a time."""
    (last,) = deque(steps, maxlen=1)
    return last.x_t
