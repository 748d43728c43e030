"""What every objective shares: the batch, what a loss is built from, and the loss with its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from restore.contracts import Condition, Level, Network
from restore.denoisers.parameterization import Parameterization
from restore.errors import ConfigError
from restore.models.card import AnyRecipe
from restore.models.recipe import Recipe
from restore.schema import Spec
from restore.tasks import Task
from restore.training.objective.history import LossHistory
from restore.training.objective.levels import LevelSampler

__all__ = ["Batch", "LevelLoss", "Loss", "Objective", "Setting"]


@dataclass(frozen=True)
class Batch:
    """This process's rows of a step's global batch, and the randomness of the whole of it.

    Everything is drawn for the global batch, and each process takes its own rows of it: so a run does not depend on how
    many processes share it.

    Attributes:
        x0: (B, 3, H, W) in [-1, 1], the clean images.
        condition: of them.
        generator: of the step; in the same state in every process.
        rank: which process this is.
        processes: how many share the global batch, each with B rows.
    """

    x0: Tensor
    condition: Condition
    generator: torch.Generator
    rank: int = 0
    processes: int = 1

    @property
    def size(self) -> int:
        """Images of the global batch."""
        return len(self.x0) * self.processes

    def rows(self, drawn: Tensor) -> Tensor:
        """Return the (B, ...) rows of this process of what was drawn for the global batch."""
        return drawn[self.rank * len(self.x0) : (self.rank + 1) * len(self.x0)]

    def eps(self, like: Tensor | None = None) -> Tensor:
        """Return standard normal noise in the shape and type of (B, ...) images, of x0 by default."""
        like = self.x0 if like is None else like
        shape = (self.size, *like.shape[1:])
        source = self.generator
        return self.rows(torch.randn(shape, generator=source, device=source.device, dtype=like.dtype))

    def number(self) -> float:
        """Return a number in [0, 1), one for the whole batch, for what a program must know before the device does.

        On a CPU it is the generator's next; elsewhere it comes from a generator of its own with the same seed.
        """
        source = self.generator
        if source.device.type != "cpu":
            source = torch.Generator().manual_seed(source.initial_seed())
        return torch.rand((), generator=source).item()


@dataclass(frozen=True)
class Setting:
    """The inputs of a loss besides a batch.

    Attributes:
        network: the one that is trained.
        parameterization: how it is called; None where its images have no noise (a detector).
        task: says what is predicted of each batch; None for every pixel.
        ema: the network with averaged weights, which follows the trained one; not to be trained itself.
        teachers: other networks, by name; not to be trained either.
    """

    network: Network
    parameterization: Parameterization | None = None
    task: Task | None = None
    ema: Network | None = None
    teachers: Mapping[str, Network] = field(default_factory=dict)

    def known(self) -> Parameterization:
        """Return how the network is called.

        Raises:
            ConfigError: its images have no noise.
        """
        if self.parameterization is None:
            raise ConfigError("this model sees images without noise: it is trained by objective kind recognition")
        return self.parameterization

    def of(self, batch: Batch) -> Parameterization:
        """Return how the network is called for a batch: with a hole, for the hole alone."""
        own = self.known()
        return own if self.task is None else self.task.parameterization(own, batch.x0, batch.condition)


class Loss:
    """`(batch) -> scalar`, with whatever it has learned; an objective builds it for one run.

    Args:
        setting: what it may use.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def __call__(self, batch: Batch) -> Tensor:
        """Return the scalar loss of this process's rows; its mean over the processes is that of the global batch."""
        raise NotImplementedError

    def modules(self) -> Mapping[str, nn.Module]:
        """Return what is trained besides the network, by name."""
        return {}

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of `modules`."""
        return [parameter for module in self.modules().values() for parameter in module.parameters()]

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return what has changed in training, to be saved."""
        return {name: module.state_dict() for name, module in self.modules().items()}

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        """Take over a saved state; what it lacks stays as it is."""
        for name, module in self.modules().items():
            if state.get(name):
                module.load_state_dict(state[name])

    def trained(self, recipe: AnyRecipe) -> AnyRecipe:
        """Return the model's recipe with what the loss has learned of it."""
        return recipe


class LevelLoss(Loss):
    """A loss at drawn noise levels, weighted so that the draw does not bias it.

    Args:
        setting: see `Loss`.
        levels: draws them.
    """

    def __init__(self, setting: Setting, levels: LevelSampler) -> None:
        super().__init__(setting)
        self.levels, self.history = levels, LossHistory()

    def __call__(self, batch: Batch) -> Tensor:
        """Return the scalar loss; see `Loss`."""
        parameterization = self.setting.of(batch)
        schedule = parameterization.schedule
        drawn, weight = self.levels.draw(batch.size, schedule, batch.generator, self.history)
        level = Level(batch.rows(drawn.t), batch.rows(drawn.alpha_bar))
        loss = self.each(parameterization, batch, level)
        self.levels.learn(level, loss, schedule, self.history)
        return (loss if weight is None else loss * batch.rows(weight)).mean()

    def each(self, parameterization: Parameterization, batch: Batch, level: Level) -> Tensor:
        """Return the (B,) loss of each image at its level."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Return the state to be saved: that of `Loss`, and the losses so far."""
        return {**super().state_dict(), "history": self.history.state_dict()}

    def load_state_dict(self, state: Mapping[str, dict[str, Tensor]]) -> None:
        """Take over a saved state."""
        super().load_state_dict(state)
        self.history.load_state_dict(state.get("history", {}))


class Objective(Spec):
    """What a network is trained to minimise, as a document; each kind declares what it requires of a run.

    Attributes:
        trains: the recipe of the models that it trains.
        labelled: every image must have its label, and no image may be left out: there is nothing else to learn from.
        learns_schedule: it trains a schedule of kind learned along with the network.
        known_pixels: it has a meaning for tasks with known pixels, which have no noise.
    """

    trains: ClassVar[type[Spec]] = Recipe
    labelled: ClassVar[bool] = False
    learns_schedule: ClassVar[bool] = False
    known_pixels: ClassVar[bool] = True

    kind: str

    def build(self, setting: Setting) -> Loss:
        """Return the loss of a run.

        Raises:
            ConfigError: it has no meaning in this setting.
        """
        raise NotImplementedError
