"""Images between two images: `restore interpolate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from restore.errors import ArrayError, ConfigError
from restore.restoration.restorer import Restorer
from restore.samplers import DDIM, SeededNoise
from restore.samplers.interpolation import frames_by_diffusion, frames_by_inversion
from restore.tasks import Request

__all__ = ["InterpolationMethod", "interpolate"]

InterpolationMethod = Literal["inversion", "diffusion"]


@torch.no_grad()
def interpolate(
    restorer: Restorer,
    a: Tensor,
    b: Tensor,
    frames: int,
    *,
    method: InterpolationMethod = "inversion",
    steps: int = 20,
    start: float = 0.5,
    task: str | None = None,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Yield (3, H, W) images in [-1, 1] from a to b, both ends included; see `restore.samplers.interpolation`.

    The condition of a frame is the same mixture of the two images.

    Args:
        restorer: the model that makes the frames.
        a: (3, H, W) in [-1, 1].
        b: (3, H, W), of the same size.
        frames: how many, at least 2.
        method: along a great circle between the noises that DDIM leads up to, or mixed after both were given the
            same noise.
        steps: of DDIM.
        start: how far up the schedule the images are given noise, from 0 to 1, for `diffusion`.
        task: one of the recipe's; its first by default.
        seed: of that noise.

    Raises:
        ArrayError: the sizes differ.
        ConfigError: fewer than two frames, another value is out of range, or the model fills in parts of images.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise ArrayError(f"two images of one size are needed, not {tuple(a.shape)} and {tuple(b.shape)}")
    if frames < 2:
        raise ConfigError(f"frames must be at least 2 (both ends), not {frames}")
    if not 0 < start <= 1:
        raise ConfigError(f"start must be above 0 and at most 1, not {start}")
    level = max(1, round(start * restorer.schedule.T))
    most = level if method == "diffusion" else restorer.schedule.T
    if not 1 <= steps <= most:
        raise ConfigError(f"steps must be between 1 and {most}, the levels that are visited at most, not {steps}")
    chosen = restorer.task(task)
    if not chosen.whole:
        raise ConfigError(f"{restorer.recipe.name} fills in parts of an image; only whole images are interpolated")
    sampler = DDIM(
        steps=steps,
        spacing="trailing",
        start=level if method == "diffusion" else None,
    )
    label = restorer.recipe.label(task or next(iter(restorer.recipe.tasks)))
    ends, channels = [], restorer.codec.state_channels
    for image in (a, b):
        condition = restorer.condition(chosen.prepare(image[None], Request()).image, label)
        ends.append((condition.image[:, :channels], condition))
    make = frames_by_diffusion if method == "diffusion" else frames_by_inversion
    weights = [i / (frames - 1) for i in range(frames)]
    schedule, noise = restorer.schedule, SeededNoise([seed])
    # the noise cannot be recovered from a clipped estimate
    denoiser = restorer.denoiser(seeds=[seed], clipped=method == "diffusion")
    for frame in make(denoiser, ends[0], ends[1], weights, schedule, sampler, noise):
        yield frame[0].clamp(-1, 1)
