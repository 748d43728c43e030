"""Bits per dimension of ground truths under a model: how well it predicts what it was not shown."""

from __future__ import annotations

from torch import Tensor

from restore.config import Recipe
from restore.diffusion import likelihood
from restore.errors import ConfigError
from restore.restorer import Restorer
from restore.sampling import SeededNoise
from restore.tasks import Request

__all__ = ["bits_per_dim", "check_likelihood"]


def check_likelihood(recipe: Recipe) -> None:
    """Raise where the bound has no meaning.

    Raises:
        ConfigError: the model keeps the known pixels of its input, so that only a part of the picture is random.
    """
    if recipe.task.channels != 3:
        raise ConfigError(
            f"bits per dimension are those of whole pictures; {recipe.name} fills in parts of them and keeps the rest"
        )


def bits_per_dim(
    restorer: Restorer,
    task: str,
    degraded: Tensor,
    target: Tensor,
    request: Request,
    steps: int | None = None,
    seed: int = 0,
) -> float:
    """Return the variational bound (DDPM, eq. 5) on -log2 p(target | degraded) per value, in bits.

    Args:
        restorer: the model.
        task: what it is told.
        degraded: (3, h, w) in [-1, 1], what it is shown.
        target: (3, H, W) in [-1, 1], the 8-bit ground truth.
        request: what else is asked for.
        steps: levels of the bound, each one evaluation of the network; all of the schedule by default, which gives
            the model's own bound. Fewer are that of the respaced model (improved DDPM, section 4).
        seed: of the one draw of noise that each term is estimated with.

    Raises:
        ConfigError: the schedule has fewer levels.
    """
    image, _ = restorer.task(task).prepare(degraded[None], request)
    condition = restorer.condition(image, restorer.recipe.label(task))
    network = restorer.recipe.network
    learned = getattr(network, "learned_variance", False) or getattr(network, "outputs", 3) == 6
    bits = likelihood.bits_per_dim(
        restorer.denoiser(seeds=[seed]),
        target[None].to(restorer.device),
        condition,
        restorer.schedule,
        SeededNoise([seed]).draw,
        levels=restorer.schedule.steps(steps),
        variance="learned" if learned else "beta_tilde",
    )
    return float(bits.total)
