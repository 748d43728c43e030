"""The typed documents: a model's recipe, its card, and a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from restore import resources
from restore.degradations import LABELS, Mixture
from restore.diffusion.denoiser import LevelInput
from restore.diffusion.objective import Problem, Simple
from restore.diffusion.parameterization import Prediction
from restore.diffusion.schedule import Cosine, ScheduleSpec
from restore.errors import ConfigError
from restore.networks import EfficientUNetSpec, NetworkSpec
from restore.patches import Patches
from restore.sampling import DDIM, SamplerSpec
from restore.schema import Spec, apply_overrides, parse, read_yaml

__all__ = ["CleanFolders", "ModelCard", "PairedFolders", "Recipe", "Stage", "TrainConfig", "load_train_config"]


class Recipe(Spec):
    """Everything about a model but its weights: enough to restore a picture with them.

    Attributes:
        name: how the model is called.
        tasks: what it can be asked for, each with the degradation label that it is told.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    tasks: dict[str, str] = {"weather": "unknown"}
    network: NetworkSpec = EfficientUNetSpec()
    schedule: ScheduleSpec = Cosine()
    prediction: Prediction = "residual"
    level_input: LevelInput = "sqrt_alpha_bar"
    sampler: SamplerSpec = DDIM()
    patches: Patches = Patches()
    labels: tuple[str, ...] = LABELS

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        for task, label in self.tasks.items():
            if label not in self.labels:
                raise ValueError(f"task {task!r} asks for label {label!r}; the labels are {', '.join(self.labels)}")
        if self.patches.size % self.network.multiple:
            raise ValueError(f"patches.size must be a multiple of {self.network.multiple}, not {self.patches.size}")
        return self

    def problem(self) -> Problem:
        """Return what the network is asked."""
        return Problem(self.schedule.build(), self.prediction, self.level_input)

    def label(self, task: str) -> int:
        """Return the degradation label of a task.

        Raises:
            ConfigError: the model does not know the task.
        """
        if task not in self.tasks:
            raise ConfigError(f"model {self.name!r} does not know task {task!r}; it knows {', '.join(self.tasks)}")
        return self.labels.index(self.tasks[task])


class Score(Spec):
    """One measured number: what, on which pictures, before and after, and the command that measures it again."""

    data: str
    task: str
    metric: str
    before: float
    after: float
    command: str


class ModelCard(Spec):
    """What a person should know of a model before using it, and where its weights are."""

    recipe: Recipe
    summary: str
    weights: str
    sha256: str
    licence: str
    data: str
    command: str
    cost: str
    scores: tuple[Score, ...] = ()
    limits: tuple[str, ...] = ()


class CleanFolders(Spec):
    """Clean photographs, degraded on the fly."""

    kind: Literal["clean"] = "clean"
    folders: tuple[Path, ...] = Field(min_length=1)
    degradation: Mixture = Mixture()


class PairedFolders(Spec):
    """Pairs with equal names in two folders; `label` says which degradation they show."""

    kind: Literal["pairs"] = "pairs"
    input: Path
    target: Path
    label: str = "unknown"


class Stage(Spec):
    """A part of a run: until which step, with patches of which size, how many regions and patches of each."""

    until: int = Field(ge=1)
    patch: int = Field(64, ge=8)
    regions: int = Field(8, ge=1)
    patches: int = Field(4, ge=1)


class Optimizer(Spec):
    """A timm optimizer by name, with a warm-up and a cosine decay of its rate."""

    name: str = "adamw"
    rate: float = Field(5e-4, gt=0)
    final_rate: float = Field(1e-6, ge=0)
    warmup: int = Field(300, ge=0)
    weight_decay: float = Field(1e-4, ge=0)
    clip: float = Field(1.0, gt=0)


class Validation(Spec):
    """How often, and on how many held-out pictures, the averaged weights are looked at."""

    every: int = Field(1000, ge=1)
    pictures: int = Field(6, ge=0)
    size: int = Field(256, ge=16)


class TrainConfig(Spec):
    """A training run; all randomness follows from `seed` and the step, so that a resumed run is the same run."""

    model: Recipe
    data: Annotated[CleanFolders | PairedFolders, Field(discriminator="kind")]
    output: Path
    stages: tuple[Stage, ...] = Field(min_length=1)
    objective: Simple = Simple()
    optimizer: Optimizer = Optimizer()
    ema: float = Field(0.999, ge=0, lt=1)
    region: int = Field(256, ge=16)
    label_drop: float = Field(0.3, ge=0, le=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    validation: Validation = Validation()
    save_every: int = Field(500, ge=1)
    seed: int = Field(0, ge=0)
    start_from: str | None = None

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            raise ValueError(f"the stages' `until` must increase, not {ends}")
        for stage in self.stages:
            if stage.patch > self.region or stage.patch % self.model.network.multiple:
                multiple = self.model.network.multiple
                raise ValueError(f"a stage's patch must be a multiple of {multiple} up to {self.region}")
        return self

    @property
    def steps(self) -> int:
        """The number of optimizer steps of the whole run."""
        return self.stages[-1].until

    def stage(self, step: int) -> Stage:
        """Return the stage of a step, counted from 0."""
        return next(stage for stage in self.stages if step < stage.until)


def load_train_config(source: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return a training run from a YAML file, or by the name of one that is shipped, with `key.sub=value` overrides.

    Raises:
        ConfigError: the file, a key or a value is wrong; the message names its path.
    """
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"}:
        path = resources.config_path("train", str(source))
    document: dict[str, Any] = apply_overrides(read_yaml(path), overrides)
    return parse(TrainConfig, document, str(path))
