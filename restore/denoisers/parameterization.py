"""What a network predicts and how it is conditioned on the noise level; used by inference and training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.denoisers.network import LevelInput, NetworkDenoiser, level_value, split_variance
from restore.diffusion.parameterization import PredictionKind, noised, prediction_target, to_x0
from restore.diffusion.schedule import Schedule
from restore.errors import ConfigError

__all__ = ["Parameterization", "Prediction"]


@dataclass(frozen=True)
class Prediction:
    """What a network predicted for one batch, and what it should have predicted.

    Attributes:
        level: of each image.
        x_t: (B, 3, H, W), the network's input.
        eps: (B, 3, H, W), the noise in it.
        output: (B, 3, H, W), the prediction.
        fraction: (B, 3, H, W), the learned variance's, or None.
        target: (B, 3, H, W), what the prediction should have been.
    """

    level: Level
    x_t: Tensor
    eps: Tensor
    output: Tensor
    fraction: Tensor | None
    target: Tensor


@dataclass(frozen=True)
class Parameterization:
    """How a network is called: its schedule, what it predicts, and the scale of its noise level.

    Attributes:
        schedule: the levels that it is trained at.
        prediction: what it predicts; None for a classifier, which predicts no image.
        level_input: the scale of the number that stands for the level.
        level_scale: a factor on that number.
    """

    schedule: Schedule
    prediction: PredictionKind | None
    level_input: LevelInput
    level_scale: float = 1.0

    @property
    def predicts(self) -> PredictionKind:
        """What the network predicts.

        Raises:
            ConfigError: no image, since it is a classifier.
        """
        if self.prediction is None:
            raise ConfigError("a classifier predicts no image: train it by objective kind classification")
        return self.prediction

    def denoiser(self, network: Network, dtype: torch.dtype = torch.float32) -> NetworkDenoiser:
        """Return a network of this parameterization as a denoiser."""
        return NetworkDenoiser(network, self.predicts, self.level_input, dtype, self.level_scale, self.schedule)

    def value(self, level: Level) -> Tensor:
        """Return the (B,) number that conditions the network on a level."""
        return level_value(level, self.level_input, self.level_scale)

    def below(self, level: Level) -> Tensor:
        """Return the (B,) alpha_bar of the level below."""
        return self.schedule.level(level.t - 1, device=level.alpha_bar.device).alpha_bar

    def predict(self, network: Network, x0: Tensor, condition: Condition, level: Level, eps: Tensor) -> Prediction:
        """Return what the network predicts for a batch of images at their levels with this noise."""
        x_t = noised(x0, eps, level.alpha_bar)
        below = self.below(level) if self.prediction == "posterior_mean" else None
        target = prediction_target(x0, eps, level.alpha_bar, self.predicts, condition.image, below)
        output, fraction = split_variance(network(x_t, self.value(level), condition), x0.shape[1])
        return Prediction(level, x_t, eps, output, fraction, target)

    def x0(self, predicted: Prediction, condition: Condition) -> Tensor:
        """Return the estimate of x0, (B, 3, H, W), that a prediction stands for."""
        level, output = predicted.level, predicted.output
        below = self.below(level) if self.prediction == "posterior_mean" else None
        return to_x0(output, predicted.x_t, level.alpha_bar, self.predicts, condition.image, below)

    def error_ratio(self, level: Level) -> Tensor:
        """Return (B,) by how much the squared error of the prediction exceeds that of x0 (infinite at alpha_bar = 1).

        It is the signal-to-noise ratio for eps, and that plus 1 for v (Hang et al. 2023, section 3.4).
        """
        alpha_bar = level.alpha_bar.to(torch.float64)
        if self.prediction in ("x0", "residual"):
            return torch.ones_like(alpha_bar)
        if self.prediction == "eps":
            return alpha_bar / (1 - alpha_bar)
        if self.prediction == "v":
            return 1 / (1 - alpha_bar)
        if self.prediction == "posterior_mean":
            below = self.below(level)
            return below * ((1 - alpha_bar / below) / (1 - alpha_bar)) ** 2
        raise ConfigError(f"no error ratio is known for prediction {self.prediction!r}")
