"""The recipes of networks that restore nothing by themselves: classifiers that guide, and the detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from restore.degradations import LABELS
from restore.denoisers.network import LevelInput
from restore.denoisers.parameterization import Problem
from restore.denoisers.tiles import Patches
from restore.diffusion.schedule import Linear, ScheduleSpec
from restore.networks import ClassifierNetworkSpec, TwoViewsSpec
from restore.schema import Spec
from restore.tasks import Detection, Weather

__all__ = ["ClassifierRecipe", "DetectorRecipe"]


class ClassifierRecipe(Spec):
    """A classifier of noised pictures: it guides a model, and restores nothing by itself."""

    kind: Literal["classifier"] = "classifier"
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    tasks: dict[str, str] = Field({"guide": "unknown"})
    network: ClassifierNetworkSpec
    schedule: ScheduleSpec = Linear()
    level_input: LevelInput = "t"
    level_scale: float = Field(1.0, gt=0)

    @property
    def labels(self) -> tuple[str, ...]:
        """What it tells apart."""
        return LABELS

    @property
    def patches(self) -> Patches:
        """How it sees pictures: as they come, without a thumbnail."""
        return Patches()

    @property
    def task(self) -> Weather:
        """Which degradations it tells apart."""
        return Weather()

    def problem(self) -> Problem:
        """Return at which levels it is asked; the prediction counts for nothing."""
        return Problem(self.schedule.build(), "x0", self.level_input, self.level_scale)


class DetectorRecipe(Spec):
    """A detector: it says which weather a picture shows, for `--task auto`.

    Attributes:
        name: how it is called.
        tasks: what it is for.
        task: what it was trained to tell apart.
        network: that looks.
        labels: what its answers mean; `unknown` stands for weather of several kinds.
        clean: the lowest probability at which a picture counts as clean: it is then left as it is.
        threshold: the lowest confidence in a kind of weather; below it, the weather counts as unknown.
    """

    kind: Literal["detector"] = "detector"
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    tasks: dict[str, str] = Field({"detect": "unknown"})
    task: Detection = Detection()
    network: TwoViewsSpec = TwoViewsSpec()
    labels: tuple[str, ...] = LABELS
    clean: float = Field(0.65, ge=0, le=1)
    threshold: float = Field(0.45, ge=0, le=1)

    @property
    def patches(self) -> Patches:
        """How training shows it pictures: as they come, without a thumbnail; it cuts them by itself."""
        return Patches()

    @property
    def schedule(self) -> ScheduleSpec:
        """A schedule, which a training run has and which counts for nothing here: no picture is noised."""
        return Linear()

    def problem(self) -> Problem:
        """Return what a training run carries along; see `schedule`."""
        return Problem(self.schedule.build(), "x0", "t", 1.0)
