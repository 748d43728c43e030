"""Guidance: denoisers whose estimates are steered towards a condition or a target.

For one x_t, estimates of x0, of the noise and of the score are affine in each other, so that guidance by the score is
a change of x0: adding `g` to the score adds `(1 - alpha_bar) / sqrt(alpha_bar) g` to x0 (Tweedie's formula).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.denoisers.network import LevelInput, level_value
from restore.diffusion.parameterization import shaped
from restore.errors import ConfigError

__all__ = [
    "ClassifierFree",
    "ClassifierGradient",
    "ClassifierGuided",
    "Droppable",
    "ScoreFunction",
    "ScoreGuided",
    "data_consistency",
    "dropped",
    "score_to_x0",
]

Droppable = Literal["label", "image"]


def dropped(condition: Condition, what: tuple[Droppable, ...], rows: Tensor | None = None) -> Condition:
    """Return the condition without its label (0 = unknown), or without its image and thumbnail (all 0: mid-grey).

    Args:
        condition: of B images.
        what: which parts.
        rows: (B,) bool, which images lose them; all by default.
    """

    def cleared(field: Tensor | None) -> Tensor | None:
        if field is None or rows is None:
            return None if field is None else torch.zeros_like(field)
        return field.masked_fill(rows.to(field.device).reshape(-1, *(1,) * (field.ndim - 1)), 0)

    if "label" in what:
        condition = condition.replaced(label=cleared(condition.label))
    if "image" in what:
        names = ("image", "thumbnail", "features")
        condition = condition.replaced(**{name: cleared(getattr(condition, name)) for name in names})
    return condition


def score_to_x0(score: Tensor, alpha_bar: Tensor) -> Tensor:
    """Return what adding `score`, (B, C, H, W), to the score adds to x0; nothing where alpha_bar is 0.

    There x_t is independent of x0, and the gradient of a likelihood has no meaning.
    """
    alpha_bar = alpha_bar.to(torch.float64)
    factor = torch.where(alpha_bar > 0, (1 - alpha_bar) / alpha_bar.clamp(min=1e-300).sqrt(), 0)
    return score * shaped(factor, score)


@dataclass(frozen=True)
class ClassifierFree:
    """A denoiser extrapolated away from the same network's unconditional estimate (Ho & Salimans 2022, eq. 6).

    Attributes:
        denoiser: of a network that was trained with the condition dropped at times.
        scale: 0 ignores the condition, 1 is the denoiser itself, above it the condition counts for more (1 + w in the
            paper).
        drop: what was dropped in training.
        features: (1, ...), what stands for the features of a dropped image's thumbnail; zeros by default.
    """

    denoiser: Denoiser
    scale: float
    drop: tuple[Droppable, ...] = ("label",)
    features: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.drop and self.scale != 1:
            raise ConfigError(
                f"guidance scale {self.scale} needs a network that was trained with its label or image dropped at"
                " times (label_drop, image_drop); this one was not, so only scale 1 is possible"
            )

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the guided estimate; see `Denoiser`."""
        estimate = self.denoiser(x_t, level, condition)
        if self.scale == 1:
            return estimate
        without = dropped(condition, self.drop)
        if "image" in self.drop and self.features is not None and without.features is not None:
            without = without.replaced(features=self.features.to(without.features).expand_as(without.features))
        free = self.denoiser(x_t, level, without).x0
        return estimate._replace(x0=torch.lerp(free, estimate.x0, self.scale))


class Gradient(Protocol):
    """`(x_t, level, condition) -> gradient of log p(target | x_t) with respect to x_t`."""

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Tensor:
        """Return the gradient, (B, C, H, W)."""
        ...


@dataclass(frozen=True)
class ClassifierGradient:
    """The gradient of a classifier's log-probability of the condition's label, for noisy images.

    Attributes:
        classifier: `(x_t, value, condition) -> (B, labels)` logits.
        level_input: the scale in which the noise level is given to it.
        level_scale: a factor on that number.
        dtype: the classifier's floating-point type.
        label: the target label; None takes the condition's.
    """

    classifier: Callable[[Tensor, Tensor, Condition], Tensor]
    level_input: LevelInput = "t"
    level_scale: float = 1.0
    dtype: torch.dtype = torch.float32
    label: int | None = None

    def towards(self, label: int) -> ClassifierGradient:
        """Return the gradient of another label."""
        return replace(self, label=label)

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Tensor:
        """Return the gradient, (B, C, H, W).

        Raises:
            ConfigError: there is no label.
        """
        if self.label is not None:
            condition = condition.replaced(label=torch.full_like(level.t, self.label))
        if condition.label is None:
            raise ConfigError("classifier guidance needs the label to guide towards")

        def log_probability(x: Tensor, level: Level, condition: Condition) -> Tensor:
            value = level_value(level, self.level_input, self.level_scale)
            logits = self.classifier(x.to(self.dtype), value, condition.to(dtype=self.dtype))
            target = condition.label
            assert target is not None
            return F.log_softmax(logits.float(), dim=1).gather(1, target[:, None])

        return gradient_of(log_probability, x_t, level, condition)


def gradient_of(
    function: Callable[[Tensor, Level, Condition], Tensor], x: Tensor, level: Level, condition: Condition
) -> Tensor:
    """Return the gradient of the sum of a function at x, in x's shape, also where gradients are switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        return torch.autograd.grad(function(x, *differentiable(level, condition)).sum(), x)[0]


def differentiable(level: Level, condition: Condition) -> tuple[Level, Condition]:
    """Return both in tensors that a gradient may pass by, which those made in inference mode are not."""

    def copied(tensor: Tensor) -> Tensor:
        return tensor.clone() if tensor.is_inference() else tensor

    return level.map(copied), condition.map(copied)


@dataclass(frozen=True)
class ClassifierGuided:
    """A denoiser guided by the gradient of a classifier (Dhariwal & Nichol 2021).

    Attributes:
        denoiser: what is guided.
        gradient: of log p(label | x_t), a `ClassifierGradient` for instance.
        scale: a factor on it; 1 samples from the posterior, above it the label counts for more.
        by: `score` changes x0 (algorithm 2), for every sampler; `mean` is left to the ancestral sampler, which shifts
            the mean of its step (algorithm 1).
    """

    denoiser: Denoiser
    gradient: Gradient
    scale: float = 1.0
    by: Literal["score", "mean"] = "score"

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the guided estimate; see `Denoiser`."""
        estimate = self.denoiser(x_t, level, condition)
        gradient = self.gradient(x_t, level, condition) * self.scale
        if self.by == "mean":
            return estimate._replace(gradient=gradient)
        return estimate._replace(x0=estimate.x0 + score_to_x0(gradient, level.alpha_bar))


ScoreFunction = Callable[[Tensor, Level, Condition], Tensor]
"""`(x0, level, condition) -> (B,)`: a differentiable log-likelihood of the target given x0."""


@dataclass(frozen=True)
class ScoreGuided:
    """A denoiser guided by any differentiable score of its x0: data consistency, a CLIP score, a measured blur.

    Attributes:
        denoiser: what is guided.
        score: of x0; see `ScoreFunction`.
        scale: a factor on the gradient.
        through: `network` takes the gradient with respect to x_t, through the denoiser (diffusion posterior sampling,
            Chung et al. 2023, eq. 15): right, but needs the memory of training. `x0` takes one step uphill in x0; the
            scale then stands for the variance of x0 given x_t (universal guidance, Bansal et al. 2023, eq. 8).
    """

    denoiser: Denoiser
    score: ScoreFunction
    scale: float = 1.0
    through: Literal["network", "x0"] = "network"

    def __call__(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        """Return the guided estimate; see `Denoiser`."""
        if self.through == "x0":
            estimate = self.denoiser(x_t, level, condition)
            uphill = gradient_of(self.score, estimate.x0, level, condition)
            return estimate._replace(x0=estimate.x0 + uphill * self.scale)
        with torch.inference_mode(False), torch.enable_grad():
            x = x_t.detach().clone().requires_grad_()
            level, condition = differentiable(level, condition)
            estimate = self.denoiser(x, level, condition)
            gradient = torch.autograd.grad(self.score(estimate.x0, level, condition).sum(), x)[0]
        x0, fraction, other = (None if field is None else field.detach() for field in estimate)
        assert x0 is not None
        return Estimate(x0 + score_to_x0(gradient * self.scale, level.alpha_bar), fraction, other)


def data_consistency(operator: Callable[[Tensor], Tensor], sigma: float) -> ScoreFunction:
    """Return the log-likelihood of the degraded image, given x0, a known degradation and noise of deviation sigma.

    Args:
        operator: the degradation, differentiable, of (B, 3, H, W) images in [-1, 1].
        sigma: in the range [-1, 1] of pixels; above 0.

    Raises:
        ConfigError: sigma is not above 0.
    """
    if not sigma > 0:
        raise ConfigError(f"data consistency needs a noise deviation above 0, not {sigma}")

    def score(x0: Tensor, level: Level, condition: Condition) -> Tensor:
        return -(operator(x0) - condition.image).square().flatten(1).sum(1) / (2 * sigma**2)

    return score
