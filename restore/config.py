"""The typed documents: a model's recipe, its card, and a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from restore import resources
from restore.degradations import LABELS
from restore.diffusion.denoiser import LevelInput
from restore.diffusion.guidance import Droppable
from restore.diffusion.objective import Classification, ContinuousBound, Objective, Problem, Recognition, Simple
from restore.diffusion.parameterization import Prediction
from restore.diffusion.schedule import Cosine, Learned, ScheduleSpec
from restore.diffusion.threshold import Static, ThresholdSpec
from restore.errors import ConfigError, did_you_mean
from restore.networks import EfficientUNetSpec, NetworkSpec
from restore.optimizer import Optimizer
from restore.patches import Patches
from restore.recipes import ClassifierRecipe, DetectorRecipe
from restore.sampling import DDIM, SamplerSpec
from restore.schema import Spec, apply_overrides, parse, read_yaml
from restore.sources import Source
from restore.tasks import TaskSpec, Weather

__all__ = [
    "AnyRecipe",
    "ClassifierRecipe",
    "DetectorRecipe",
    "ModelCard",
    "Preset",
    "Recipe",
    "Stage",
    "TrainConfig",
    "load_train_config",
]


class Preset(Spec):
    """Another way to make pictures with the same weights, under a name: `published` is how the authors do.

    Attributes:
        sampler: and its steps.
        patches: how pictures are cut.
        threshold: what keeps estimates in the range of pictures.
    """

    sampler: SamplerSpec
    patches: Patches
    threshold: ThresholdSpec = Static()


class Recipe(Spec):
    """Everything about a model but its weights: enough to restore a picture with them.

    Attributes:
        name: how the model is called.
        task: what is given and what is asked.
        tasks: what it can be asked for, each with the degradation label that it is told; the task's kind by default.
        level_scale: a factor on the number that tells the network the noise level.
        threshold: what keeps estimates in the range of pictures.
        dropped: what training left out at times; guidance without it is impossible.
        sampling_schedule: the schedule that pictures are made with, where it is not that of training (Palette).
        presets: other ways to make pictures.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: TaskSpec = Weather()
    tasks: dict[str, str] = Field({"weather": "unknown"}, min_length=1)
    network: NetworkSpec = EfficientUNetSpec()
    schedule: ScheduleSpec = Cosine()
    prediction: Prediction = "residual"
    level_input: LevelInput = "sqrt_alpha_bar"
    level_scale: float = Field(1.0, gt=0)
    threshold: ThresholdSpec = Static()
    dropped: tuple[Droppable, ...] = ()
    sampling_schedule: ScheduleSpec | None = None
    sampler: SamplerSpec = DDIM()
    patches: Patches = Patches()
    presets: dict[str, Preset] = Field(default_factory=dict)
    labels: tuple[str, ...] = LABELS

    @model_validator(mode="before")
    @classmethod
    def _call_by_kind(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
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
        if self.network.condition_channels not in (0, self.task.channels):
            kind, needed = self.task.kind, self.task.channels
            given = self.network.condition_channels
            raise ValueError(f"task {kind} needs network.condition_channels={needed}, not {given}")
        for task, label in self.tasks.items():
            if label not in self.labels:
                raise ValueError(f"task {task!r} asks for label {label!r}; the labels are {', '.join(self.labels)}")
        if (known := getattr(self.network, "labels", None)) is not None and known < len(self.labels):
            raise ValueError(f"network.labels={known} is too few for the {len(self.labels)} labels of the model")
        given = {"patches": self.patches, **{f"presets.{name}.patches": x.patches for name, x in self.presets.items()}}
        for name, patches in given.items():
            self._check_tiles(name, patches)
        told = self.level_input in {"alpha_bar", "sqrt_alpha_bar"} and self.level_scale == 1
        if getattr(self.network, "gated", False) and not told:
            raise ValueError(
                "network.gated needs level_input=sqrt_alpha_bar or alpha_bar and level_scale=1, "
                f"not {self.level_input} and {self.level_scale}; or set network.gated=false"
            )
        if self.prediction == "posterior_mean" and self.sampling_schedule is not None:
            raise ValueError("a posterior_mean belongs to the schedule of training: leave sampling_schedule out")
        return self

    def _check_tiles(self, name: str, patches: Patches) -> None:
        """Return nothing if all tiles that a picture can be cut into have sides that the network takes."""
        needed, one_size = self.network.multiple, patches.fixed or patches.grid == "weatherdiffusion"
        for key, value in (("size", patches.size), *(() if one_size else (("multiple", patches.multiple),))):
            if value % needed:
                raise ValueError(f"{name}.{key} must be a multiple of {needed}, as the network needs it, not {value}")

    @property
    def tellable(self) -> bool:
        """Whether the network sees which degradation it is told."""
        known = getattr(self.network, "labels", getattr(self.network, "classes", 0))
        return known > 1 and len(self.labels) > 1

    def problem(self) -> Problem:
        """Return what the network is asked."""
        return Problem(self.schedule.build(), self.prediction, self.level_input, self.level_scale)

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


class Original(Spec):
    """Where a published model comes from.

    Attributes:
        family: which codebase made its file; an adapter of `restore.checkpoints`.
        file: what its authors call it.
        size: of the file in bytes, or None where it is not known.
        settings: what the shapes of its tensors cannot tell, in the words of its config.
    """

    family: Literal["weather_diffusion", "palette", "sr3", "guided_diffusion"]
    file: str
    size: int | None = Field(None, ge=1)
    settings: dict[str, Any] = Field(default_factory=dict)


class Score(Spec):
    """One measured number: what, on which pictures, before and after, and the command that measures it again."""

    data: str
    task: str
    metric: str
    before: float
    after: float
    command: str


def _recipe_kind(document: Any) -> str:
    kind = document.get("kind") if isinstance(document, dict) else getattr(document, "kind", None)
    return kind if kind in {"classifier", "detector"} else "model"


AnyRecipe = Annotated[
    Annotated[Recipe, Tag("model")]
    | Annotated[ClassifierRecipe, Tag("classifier")]
    | Annotated[DetectorRecipe, Tag("detector")],
    Discriminator(_recipe_kind),
]


class ModelCard(Spec):
    """What a person should know of a model before using it, and where its weights are.

    Attributes:
        recipe: of the model.
        summary: in one sentence.
        weights: the file that ships; empty for a published model, whose file its authors distribute.
        sha256: of the file, or `unknown`.
        licence: of the weights.
        data: what it was trained on.
        command: how it was trained, or how its file becomes one of ours.
        cost: of the training.
        url: where the authors publish it; empty where they do not.
        original: the published file, for a model that does not ship.
        protocol: how its authors measure; of our own models, how `scores` were measured.
        scores: measured by us.
        limits: what it is bad at.
        picture: of that, a file of the repository: given, restored, true; empty where there is none.
    """

    recipe: AnyRecipe
    summary: str
    weights: str = ""
    sha256: str
    licence: str
    data: str
    command: str
    cost: str = "unknown"
    url: str = ""
    original: Original | None = None
    protocol: str = "unknown"
    scores: tuple[Score, ...] = ()
    limits: tuple[str, ...] = ()
    picture: str = ""

    @model_validator(mode="after")
    def _check(self) -> ModelCard:
        if not self.weights and self.original is None:
            raise ValueError("a model either ships (weights) or is published by others (original)")
        return self


class Stage(Spec):
    """A part of a run: until which step, with patches of which size, how many regions and patches of each."""

    until: int = Field(ge=1)
    patch: int = Field(64, ge=8)
    regions: int = Field(8, ge=1)
    patches: int = Field(4, ge=1)


class Validation(Spec):
    """How often, and on how many held-out pictures, the averaged weights are looked at.

    Attributes:
        severity: of the degradations; fixed, since the PSNR of nearly clean pictures would drown all others.
    """

    every: int = Field(1000, ge=1)
    pictures: int = Field(6, ge=0)
    size: int = Field(256, ge=16)
    severity: float = Field(0.6, ge=0, le=1)


class TrainConfig(Spec):
    """A training run; all randomness follows from `seed` and the step, so that a resumed run is the same run.

    Attributes:
        region: side of the square that is cut from a photograph and degraded.
        align: patches begin at multiples of it within their region; 16 keeps the blocks of JPEG that is made in
            training where a file has them. (Those of pairs lie anywhere, as their regions do.)
        ema: decay of the averaged weights, at most: early in a run it is 1 - step**(-2/3), which is 0.99 at step 1,000
            and 0.999 at step 31,600. A larger `ema` than a run comes to changes nothing.
        label_drop: share of the patches whose label is not told, for blind use and guidance.
        image_drop: share of the patches whose degraded picture is left out, for guidance.
        start_from: a model, or a file of weights, to begin with. An `efficient_unet` may have more blocks and levels
            than the weights: what is new changes no answer before it is trained.
    """

    model: AnyRecipe
    data: Source
    output: Path
    stages: tuple[Stage, ...] = Field(min_length=1)
    objective: Objective = Simple()
    optimizer: Optimizer = Optimizer()
    ema: float = Field(0.999, ge=0, lt=1)
    region: int = Field(256, ge=16)
    align: int = Field(1, ge=1)
    label_drop: float = Field(0.3, ge=0, le=1)
    image_drop: float = Field(0.0, ge=0, le=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    validation: Validation = Validation()
    save_every: int = Field(500, ge=1)
    seed: int = Field(0, ge=0)
    start_from: str | None = None

    @model_validator(mode="after")
    def _check_steps(self) -> TrainConfig:
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            raise ValueError(f"the stages' `until` must increase, not {ends}")
        for stage in self.stages:
            if stage.patch > self.region or stage.patch % self.model.network.multiple:
                multiple = self.model.network.multiple
                raise ValueError(f"a stage's patch must be a multiple of {multiple} up to {self.region}")
            if 0 < (room := self.region - stage.patch) < self.align:
                raise ValueError(
                    f"align={self.align} leaves a patch of {stage.patch} one place in a region of {self.region}: "
                    f"set align to {room} or less"
                )
        if self.optimizer.final_rate > self.optimizer.rate:
            raise ValueError(
                f"optimizer.final_rate={self.optimizer.final_rate} is above optimizer.rate={self.optimizer.rate}, "
                "from which it falls"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        detector = self.model if isinstance(self.model, DetectorRecipe) else None
        if detector and detector.network.labels != len(detector.labels):
            told = f"network.labels={detector.network.labels}"
            raise ValueError(f"{told} does not fit the {len(detector.labels)} labels of the detector")
        if isinstance(self.objective, Classification) != isinstance(self.model, ClassifierRecipe):
            raise ValueError("model kind classifier and objective kind classification belong together")
        if isinstance(self.objective, Recognition) != isinstance(self.model, DetectorRecipe):
            raise ValueError("model kind detector and objective kind recognition belong together")
        looks = isinstance(self.objective, Classification | Recognition)
        if looks and (self.label_drop or self.validation.pictures):
            name = "classifier" if isinstance(self.objective, Classification) else "detector"
            raise ValueError(f"a {name} needs every label and restores nothing: set label_drop and pictures to 0")
        if looks and self.image_drop:
            raise ValueError("a picture that is left out has nothing to recognise: set image_drop to 0")
        holed = isinstance(self.model, Recipe) and self.model.task.kind in ("inpaint", "uncrop")
        if self.image_drop and holed:
            raise ValueError("image_drop takes the mask with the picture, so that no hole is left to be trained on")
        bound = isinstance(self.objective, ContinuousBound)
        if bound and holed:
            raise ValueError("objective kind continuous_bound has no meaning for known pixels, which have no noise")
        learned = isinstance(self.model.schedule, Learned)
        if bound and not learned:
            raise ValueError("objective kind continuous_bound trains a schedule of kind learned, not a fixed one")
        if isinstance(self.model.schedule, Learned) and (self.model.schedule.table is None) != bound:
            raise ValueError(
                "a schedule of kind learned is trained by objective kind continuous_bound alone"
                if not bound
                else "objective kind continuous_bound trains a schedule that has no table yet: leave schedule.table out"
            )
        return self

    @property
    def trained(self) -> AnyRecipe:
        """The model's recipe, with what its training leaves out at times."""
        if not isinstance(self.model, Recipe):
            return self.model
        drops = {"label": self.label_drop if self.model.tellable else 0.0, "image": self.image_drop}
        return self.model.model_copy(update={"dropped": tuple(what for what, share in drops.items() if share > 0)})

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
    return parse(TrainConfig, document, f"{path} with what was given" if overrides else str(path))
