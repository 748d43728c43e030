"""Bits per dimension of ground truths under a model: a variational bound on their negative log-likelihood."""

from __future__ import annotations

from torch import Tensor

from restore.diffusion import likelihood
from restore.errors import ArrayError, ConfigError
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.samplers import Ancestral, SeededNoise
from restore.tasks import Request

__all__ = ["TERMS", "check_likelihood", "likelihood_bits"]

TERMS = ("total", "L_T", "L_t-1", "L_0")
"""The bound on -log2 p(x0) per value, and what it is the sum of (DDPM, eq. 5); L_t-1 is the sum over t > 1."""


def check_likelihood(recipe: Recipe) -> None:
    """Raise where the bound has no meaning.

    Raises:
        ConfigError: the model keeps the known pixels of its input, so that only a part of the image is random.
    """
    if not recipe.task.whole:
        raise ConfigError(
            f"bits per dimension are those of whole images; {recipe.name} fills in parts of them and keeps the rest"
        )


def likelihood_bits(
    restorer: Restorer,
    task: str,
    degraded: Tensor,
    target: Tensor,
    request: Request,
    steps: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return the variational bound (DDPM, eq. 5) on -log2 p(target | degraded) per value and its `TERMS`, in bits.

    Args:
        restorer: the model.
        task: the task, with the label that the model is conditioned on.
        degraded: (3, h, w) in [-1, 1], the image that the model is conditioned on.
        target: (3, H, W) in [-1, 1], the 8-bit ground truth.
        request: the task's further inputs: mask, scale, padding.
        steps: levels of the bound, each one evaluation of the network; all of the schedule by default, which gives
            the model's own bound. Fewer are that of the respaced model (improved DDPM, section 4).
        seed: of the one draw of noise that each term is estimated with.

    Raises:
        ConfigError: the schedule has fewer levels.
        ArrayError: the restoration of the degraded image would not have the ground truth's size.
    """
    image, _ = restorer.task(task).prepare(degraded[None], request)
    if image.shape[-2:] != target.shape[-2:]:
        sizes = " and ".join(f"{x.shape[-2]}x{x.shape[-1]}" for x in (image, target))
        raise ArrayError(f"bits per dimension need a ground truth of the result's size, not {sizes}")
    condition = restorer.condition(image, restorer.recipe.label(task))
    network, sampler = restorer.recipe.network, restorer.recipe.sampler
    learned = network.capabilities.learned_variance
    variance = "learned" if learned else sampler.variance if isinstance(sampler, Ancestral) else "beta_tilde"
    bits = likelihood.bits_per_dim(
        restorer.denoiser(seeds=[seed]),
        target[None].to(condition.image.device),  # large images stay on the CPU
        condition,
        restorer.schedule,
        SeededNoise([seed]).draw,
        levels=restorer.schedule.steps(steps),
        variance=variance,
    )
    found = (bits.total, bits.prior, bits.steps[:, :-1].sum(1), bits.steps[:, -1])
    return {name: float(value) for name, value in zip(TERMS, found, strict=True)}
