"""The recipes of networks that restore nothing by themselves: classifiers that guide, and the detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from restore.degradations import LABELS
from restore.denoisers.network import LevelInput
from restore.denoisers.parameterization import Parameterization
from restore.diffusion.schedule import Linear, ScheduleSpec
from restore.networks import ClassifierNetworkSpec, TwoViewsSpec
from restore.schema import Spec
from restore.tasks import Detection, Weather

__all__ = ["ClassifierRecipe", "DetectorRecipe"]


class ClassifierRecipe(Spec):
    """A classifier of noised images: it guides a model, and restores nothing by itself.

    Attributes:
        name: of the model.
        tasks: what it is for.
        network: that classifies.
        schedule: by which images are noised.
        level_input: the number by which the network sees the noise level.
        level_scale: a factor on that number.
    """

    kind: Literal["classifier"] = "classifier"
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    tasks: dict[str, str] = Field({"guide": "unknown"})
    network: ClassifierNetworkSpec
    schedule: ScheduleSpec = Linear()
    level_input: LevelInput = "t"
    level_scale: float = Field(1.0, gt=0)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its classes."""
        return LABELS

    @property
    def task(self) -> Weather:
        """The degradations that it classifies."""
        return Weather()

    def parameterization(self) -> Parameterization:
        """Return at which levels it is called, and how it knows them."""
        return Parameterization(self.schedule.build(), None, self.level_input, self.level_scale)


class DetectorRecipe(Spec):
    """A detector: it classifies the weather in an image, for `--task auto`.

    Attributes:
        name: how it is called.
        tasks: what it is for.
        task: the degradations that it was trained to classify.
        network: the classifier's architecture and size.
        labels: names of its classes, in order; `unknown` stands for weather of several kinds.
        clean: the lowest probability at which an image counts as clean: it is then left as it is.
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

    @model_validator(mode="after")
    def _check(self) -> DetectorRecipe:
        if self.network.labels != len(self.labels):
            given = f"network.labels={self.network.labels}"
            raise ValueError(f"{given} does not fit the {len(self.labels)} labels of the detector")
        return self

    def parameterization(self) -> None:
        """Return None: it sees images without noise."""
        return None
