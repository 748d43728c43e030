"""A training run as a document: what to train, on what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from restore.diffusion.schedule import Learned
from restore.models.auxiliary import ClassifierRecipe, DetectorRecipe
from restore.models.card import AnyRecipe
from restore.models.recipe import Recipe
from restore.schema import Spec, apply_overrides, parse, read_yaml
from restore.system import resources
from restore.training.objective import Classification, ContinuousBound, Objective, Recognition, Simple
from restore.training.optimizer import Optimizer
from restore.training.sources import Source

__all__ = ["Stage", "TrainConfig", "Validation", "load_train_config"]


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
        drops = {"label": self.label_drop if self.model.label_conditioned else 0.0, "image": self.image_drop}
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
