"""What samplers have in common: what they yield, where they start, which levels they visit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import Field, model_validator
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate
from restore.diffusion.parameterization import noised
from restore.diffusion.schedule import Schedule, Spacing
from restore.diffusion.schedule.spacing import section_count
from restore.errors import ConfigError
from restore.samplers.noise import Noise
from restore.schema import Spec

__all__ = ["Sampler", "Step", "x0_of"]


class Step(NamedTuple):
    """What a sampler yields after each step.

    Attributes:
        t: the level that was reached; 0 after the last step.
        x_t: (B, C, H, W), the state at that level; at t = 0 it is the result.
        x0: (B, C, H, W), the estimate of the clean state that the step was made with.
    """

    t: int
    x_t: Tensor
    x0: Tensor


class Sampler(Spec):
    """A sampler: `(denoiser, condition, schedule, noise) -> Iterator[Step]`.

    Attributes:
        steps: how many levels are visited; None for all, or for as many as the spacing's sections say.
        spacing: which; see `restore.diffusion.schedule.spacing`.
        start: the level to start from, at which the degraded image is given noise; None starts from noise alone at
            the first level.
    """

    steps: int | None = Field(None, ge=1, le=100_000)
    spacing: Spacing = "trailing"
    start: int | None = Field(None, ge=1, le=100_000)

    @model_validator(mode="before")
    @classmethod
    def _count_sections(cls, document: Any) -> Any:
        if isinstance(document, dict) and type(document.get("spacing")) is int:
            document = {**document, "spacing": str(document["spacing"])}  # one section, as YAML reads it
        if isinstance(document, dict) and isinstance(document.get("spacing"), str):
            sections = section_count(document["spacing"])
            if sections and document.get("steps", sections) not in (None, sections):
                spacing = document["spacing"]
                raise ValueError(f"spacing {spacing!r} visits {sections} levels, not {document['steps']}")
            return {**document, "steps": sections} if sections else document
        return document

    def levels(self, schedule: Schedule) -> list[int]:
        """Return the levels that are visited, strictly decreasing, the last of them 0.

        Raises:
            ConfigError: the schedule has fewer levels.
        """
        return schedule.steps(self.steps, self.spacing, self.start)

    def evaluations(self, schedule: Schedule) -> int:
        """Return the number of evaluations of the denoiser."""
        return len(self.levels(schedule)) - 1

    def begin(self, state: Tensor, schedule: Schedule, noise: Noise) -> Tensor:
        """Return x_t at the first visited level, in the shape of `state`: noise, or the noised degraded state."""
        eps = noise.draw(state)
        if self.start is None:
            return eps
        level = schedule.level(self.levels(schedule)[0], len(state), state.device)
        return noised(state, eps, level.alpha_bar)

    def __call__(
        self,
        denoiser: Denoiser,
        condition: Condition,
        schedule: Schedule,
        noise: Noise,
        state: Tensor | None = None,
    ) -> Iterator[Step]:
        """Return an iterator over a `Step` after each step down to the clean state.

        Args:
            denoiser: what estimates x0.
            condition: for the denoiser.
            schedule: whose levels are visited.
            noise: of x_T and of the steps.
            state: (B, C, H, W), the degraded image as a state: it gives x_T its shape, and is what a sampler that
                starts below the first level starts from. The condition's image where it is nothing else.
        """
        state = condition.image if state is None else state
        x_t, levels = self.begin(state, schedule, noise), self.levels(schedule)
        return self.solve(denoiser, condition, schedule, x_t, levels, noise)

    def solve(
        self,
        denoiser: Denoiser,
        condition: Condition,
        schedule: Schedule,
        x_t: Tensor,
        levels: Sequence[int],
        noise: Noise,
    ) -> Iterator[Step]:
        """Yield a `Step` after each step from x_t through the levels; x_t stays as it is.

        Args:
            denoiser: what estimates x0.
            condition: for the denoiser.
            schedule: to which the levels belong.
            x_t: (B, C, H, W), at the first level.
            levels: strictly decreasing, the last 0.
            noise: of the steps.
        """
        raise NotImplementedError


def x0_of(estimate: Estimate) -> Tensor:
    """Return the x0 of an estimate, for samplers that use no other part of it.

    Raises:
        ConfigError: the estimate carries a gradient for the mean of an ancestral step.
    """
    if estimate.gradient is not None:
        raise ConfigError("guidance by the mean needs the ancestral sampler; choose guidance by the score for this one")
    return estimate.x0
