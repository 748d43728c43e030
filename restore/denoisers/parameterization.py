"""What a network is asked, and what is drawn to train it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.denoisers.history import LossHistory
from restore.denoisers.network import LevelInput, NetworkDenoiser, level_value, split_variance
from restore.diffusion.parameterization import Prediction, noised, prediction_target, to_x0
from restore.diffusion.schedule import LearnedSchedule, Schedule
from restore.errors import ConfigError

__all__ = ["Answer", "Problem"]


@dataclass(frozen=True)
class Answer:
    """What a network answered for one batch, and what it should have.

    Attributes:
        level: of each picture.
        x_t: (B, 3, H, W), what it saw.
        eps: (B, 3, H, W), the noise in it.
        output: (B, 3, H, W), its prediction.
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
class Problem:
    """What a network is asked: its schedule, what it predicts, and the scale in which it knows the level.

    Attributes:
        level_scale: a factor on the number that tells it the level.
        history: the loss of each level so far, for importance sampling.
    """

    schedule: Schedule
    prediction: Prediction
    level_input: LevelInput
    level_scale: float = 1.0
    history: LossHistory = field(default_factory=LossHistory, compare=False)

    def denoiser(self, network: Network, dtype: torch.dtype = torch.float32) -> NetworkDenoiser:
        """Return a network that was trained for this problem as a denoiser."""
        return NetworkDenoiser(network, self.prediction, self.level_input, dtype, self.level_scale, self.schedule)

    def to(self, device: torch.device | str) -> Problem:
        """Return the problem with what is trained of it, if anything, on a device."""
        if isinstance(self.schedule, LearnedSchedule):
            self.schedule.module.to(device)
        return self

    def parameters(self) -> list[Tensor]:
        """Return what is trained besides the network: a learned schedule's parameters, or nothing."""
        return list(self.schedule.module.parameters()) if isinstance(self.schedule, LearnedSchedule) else []

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what changes in training, to be saved."""
        learned = self.schedule.module.state_dict() if isinstance(self.schedule, LearnedSchedule) else {}
        return {"history": self.history.state_dict(), "schedule": learned}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Take over a saved state; an empty one changes nothing."""
        self.history.load_state_dict(state.get("history", {}))
        if isinstance(self.schedule, LearnedSchedule) and state.get("schedule"):
            self.schedule.module.load_state_dict(state["schedule"])

    def value(self, level: Level) -> Tensor:
        """Return the (B,) number by which the network knows a level."""
        return level_value(level, self.level_input, self.level_scale)

    def below(self, level: Level) -> Tensor:
        """Return the (B,) alpha_bar of the level below."""
        return self.schedule.level(level.t - 1, device=level.alpha_bar.device).alpha_bar

    def ask(self, network: Network, x0: Tensor, condition: Condition, level: Level, eps: Tensor) -> Answer:
        """Return what the network says to a batch of pictures at their levels with this noise."""
        x_t = noised(x0, eps, level.alpha_bar)
        below = self.below(level) if self.prediction == "posterior_mean" else None
        target = prediction_target(x0, eps, level.alpha_bar, self.prediction, condition.image, below)
        output, fraction = split_variance(network(x_t, self.value(level), condition), x0.shape[1])
        return Answer(level, x_t, eps, output, fraction, target)

    def x0(self, answer: Answer, condition: Condition) -> Tensor:
        """Return the estimate of x0, (B, 3, H, W), that an answer stands for."""
        below = self.below(answer.level) if self.prediction == "posterior_mean" else None
        return to_x0(answer.output, answer.x_t, answer.level.alpha_bar, self.prediction, condition.image, below)

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
