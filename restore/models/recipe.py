"""A model's recipe: everything about it but its weights."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from restore.degradations import LABELS
from restore.denoisers.guidance import Droppable
from restore.denoisers.network import LevelInput
from restore.denoisers.parameterization import Parameterization
from restore.denoisers.threshold import Static, ThresholdSpec
from restore.denoisers.tiles import Tiles
from restore.diffusion.parameterization import PredictionKind
from restore.diffusion.schedule import Cosine, ScheduleSpec
from restore.errors import ConfigError, did_you_mean
from restore.networks import EfficientUNetSpec, NetworkSpec
from restore.networks.base import BaseNetworkSpec
from restore.networks.codec import Identity
from restore.samplers import DDIM, SamplerSpec
from restore.schema import Spec
from restore.tasks import TaskSpec, Weather

__all__ = ["Preset", "Recipe"]


def renamed(document: Any) -> Any:
    """Return a document with today's keys: files of version 0.1 call the tiles `patches`."""
    if isinstance(document, dict) and "patches" in document and "tiles" not in document:
        return {"tiles" if key == "patches" else key: value for key, value in document.items()}
    return document


class Preset(Spec):
    """Another way to make images with the same weights, under a name: `published` is how the authors do.

    Attributes:
        sampler: and its steps.
        tiles: how images are cut.
        threshold: what keeps estimates in the range of images.
    """

    sampler: SamplerSpec
    tiles: Tiles
    threshold: ThresholdSpec = Static()

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, document: Any) -> Any:
        return renamed(document)


class Recipe(Spec):
    """Everything about a model but its weights: enough to restore an image with them.

    Attributes:
        name: how the model is called.
        task: the restoration problem: what is observed and what is to be restored.
        tasks: supported tasks, each with the degradation label it is conditioned on; the task's kind by default.
        network: its architecture and size.
        schedule: the noise schedule of training.
        prediction: what the network predicts.
        level_input: the encoding of the noise level that is the network's input.
        level_scale: a factor on that encoding of the noise level.
        threshold: what keeps estimates in the range of images.
        dropped: what training left out at times; guidance without it is impossible.
        sampling_schedule: the schedule that images are made with, where it is not that of training (Palette).
        codec: what leads from images to the states that are diffused, and back.
        sampler: how images are sampled by default.
        tiles: how images are cut into tiles by default.
        presets: other ways to make images.
        labels: names of the degradation labels, in the order of the network's; the first is `unknown`, blind.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: TaskSpec = Weather()
    tasks: dict[str, str] = Field({"weather": "unknown"}, min_length=1)
    network: NetworkSpec = EfficientUNetSpec()
    schedule: ScheduleSpec = Cosine()
    prediction: PredictionKind = "residual"
    level_input: LevelInput = "sqrt_alpha_bar"
    level_scale: float = Field(1.0, gt=0)
    threshold: ThresholdSpec = Static()
    dropped: tuple[Droppable, ...] = ()
    sampling_schedule: ScheduleSpec | None = None
    sampler: SamplerSpec = DDIM()
    tiles: Tiles = Tiles()
    codec: Identity = Identity()
    presets: dict[str, Preset] = Field(default_factory=dict)
    labels: tuple[str, ...] = LABELS

    @model_validator(mode="before")
    @classmethod
    def _call_by_kind(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        document = renamed(document)
        if "upscale" in document and document["upscale"] is None:
            # files written before there was `task` carry this key, always empty
            document = {key: value for key, value in document.items() if key != "upscale"}
        if "task" in document and "tasks" not in document:
            task = document["task"]
            kind = task.get("kind") if isinstance(task, dict) else getattr(task, "kind", None)
            return {**document, "tasks": {str(kind): "unknown"}}
        return document

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        network = self.network.capabilities
        if network.condition_channels not in (0, self.task.channels):
            kind, needed = self.task.kind, self.task.channels
            given = network.condition_channels
            raise ValueError(f"task {kind} needs network.condition_channels={needed}, not {given}")
        if network.state_channels != self.codec.state_channels:
            given, needed = network.state_channels, self.codec.state_channels
            raise ValueError(f"codec {self.codec.kind} needs network.state_channels={needed}, not {given}")
        for task, label in self.tasks.items():
            if label not in self.labels:
                raise ValueError(f"task {task!r} asks for label {label!r}; the labels are {', '.join(self.labels)}")
        if 0 < network.labels < len(self.labels):
            raise ValueError(
                f"network.labels={network.labels} is too few for the {len(self.labels)} labels of the model"
            )
        given = {"tiles": self.tiles, **{f"presets.{name}.tiles": x.tiles for name, x in self.presets.items()}}
        for name, tiles in given.items():
            self._check_tiles(name, tiles)
        fits = self.level_input in {"alpha_bar", "sqrt_alpha_bar"} and self.level_scale == 1
        if network.gated and not fits:
            raise ValueError(
                "network.gated needs level_input=sqrt_alpha_bar or alpha_bar and level_scale=1, "
                f"not {self.level_input} and {self.level_scale}; or set network.gated=false"
            )
        if self.prediction == "posterior_mean" and self.sampling_schedule is not None:
            raise ValueError("a posterior_mean belongs to the schedule of training: leave sampling_schedule out")
        return self

    def _check_tiles(self, name: str, tiles: Tiles) -> None:
        """Raise ValueError unless every possible tile has sides that are multiples of what the network needs."""
        needed, one_size = self.network.multiple, tiles.fixed or tiles.grid == "weatherdiffusion"
        for key, value in (("size", tiles.size), *(() if one_size else (("multiple", tiles.multiple),))):
            if value % needed:
                raise ValueError(f"{name}.{key} must be a multiple of {needed}, as the network needs it, not {value}")

    @property
    def label_conditioned(self) -> bool:
        """Whether the network is conditioned on a degradation label."""
        return self.network.capabilities.labels > 1 and len(self.labels) > 1

    @property
    def components(self) -> dict[str, BaseNetworkSpec]:
        """The networks of the model by the names that its file has for them; a codec without weights is none."""
        return {"network": self.network}

    def parameterization(self) -> Parameterization:
        """Return what the network predicts, and how it is called."""
        return Parameterization(self.schedule.build(), self.prediction, self.level_input, self.level_scale)

    def preset(self, name: str) -> Recipe:
        """Return the recipe with sampler, patches and threshold of a preset.

        Raises:
            ConfigError: it has none of that name.
        """
        if name not in self.presets:
            known = f"it has {', '.join(self.presets)}" if self.presets else "it has none"
            raise ConfigError(f"model {self.name!r} has no preset {name!r}; {known}")
        return self.model_copy(update=dict(self.presets[name]))

    def label(self, task: str) -> int:
        """Return the degradation label of a task.

        Raises:
            ConfigError: the model does not know the task.
        """
        if task not in self.tasks:
            hint, known = did_you_mean(task, self.tasks), ", ".join(self.tasks)
            raise ConfigError(f"model {self.name!r} does not know task {task!r}; {hint}it knows {known}")
        return self.labels.index(self.tasks[task])
