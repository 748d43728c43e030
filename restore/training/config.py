"""A training run as a document: what to train, on what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from restore.degradations.color_augmentation import translate
from restore.diffusion.schedule import Learned
from restore.models.card import AnyRecipe
from restore.models.recipe import Recipe
from restore.schema import Spec, apply_overrides, parse, read_yaml
from restore.system import resources
from restore.training.objective import ObjectiveSpec, Simple
from restore.training.optimizer import Optimizer
from restore.training.sources import Source

__all__ = ["TrainConfig", "TrainingStage", "Validation", "load_train_config"]


MOST_PIXELS = 2**29
"""Of the regions or the patches of a step: 6 GB of clean images in float32, and as much of degraded ones."""


class TrainingStage(Spec):
    """A part of a run: until which step, with patches of which size, how many regions and patches of each.

    Attributes:
        until: the step before which it ends.
        patch: side of the training patches in pixels.
        regions: regions in a batch, over all processes.
        patches: patches that are cut from each region.
    """

    until: int = Field(ge=1, le=10**9)
    patch: int = Field(64, ge=8, le=4096)
    regions: int = Field(8, ge=1, le=65536)
    patches: int = Field(4, ge=1, le=4096)


class Validation(Spec):
    """How often, and on how many held-out images, the averaged weights are validated.

    Attributes:
        every: so many steps, and at the end.
        images: number of held-out images; 0 for no validation.
        size: side of the square that is cut from each held-out image.
        severity: of the degradations; fixed, since the PSNR of nearly clean images would drown all others.
    """

    every: int = Field(1000, ge=1, le=10**9)
    images: int = Field(6, ge=0, le=100_000)
    size: int = Field(256, ge=16, le=4096)
    severity: float = Field(0.6, ge=0, le=1)


class TrainConfig(Spec):
    """A training run; all randomness follows from `seed` and the step, so that a resumed run is the same run.

    Attributes:
        model: recipe of the model.
        data: the files to train on; may be left out where the `Trainer` is given a data set.
        output: folder of checkpoints, curves and the finished model.
        stages: parts of the run, with steps that increase.
        objective: what is minimised.
        optimizer: what minimises it.
        ema: decay of the averaged weights, at most: early in a run it is 1 - step**(-2/3), which is 0.99 at step 1,000
            and 0.999 at step 31,600. A larger `ema` than a run comes to changes nothing.
        region: side of the square that is cut from a photograph and degraded.
        align: patches begin at multiples of it within their region; 16 keeps the blocks of JPEG that is made in
            training where a file has them. (Those of pairs lie anywhere, as their regions do.)
        label_drop: share of the patches whose label is dropped, for blind restoration and classifier-free guidance.
        image_drop: share of the patches whose degraded image is left out, for guidance.
        precision: arithmetic of the network; `auto` is bf16 where the processor or GPU is fast at it.
        validation: on held-out images.
        save_every: steps between two checkpoints for `--resume`.
        seed: of all random numbers of the run.
        start_from: a model, or a file of weights, to begin with. An `efficient_unet` may have more blocks and levels
            than the weights: what is new does not change the output before it is trained.
    """

    model: AnyRecipe
    data: Source | None = None
    output: Path
    stages: tuple[TrainingStage, ...] = Field(min_length=1)
    objective: ObjectiveSpec = Simple()
    optimizer: Optimizer = Optimizer()
    ema: float = Field(0.999, ge=0, lt=1)
    region: int = Field(256, ge=16, le=4096)
    align: int = Field(1, ge=1, le=4096)
    label_drop: float = Field(0.3, ge=0, le=1)
    image_drop: float = Field(0.0, ge=0, le=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    validation: Validation = Validation()
    save_every: int = Field(500, ge=1, le=10**9)
    seed: int = Field(0, ge=0, lt=2**63)
    start_from: str | None = None

    @model_validator(mode="after")
    def _check_steps(self) -> TrainConfig:
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            raise ValueError(f"the stages' `until` must increase, not {ends}")
        for stage in self.stages:
            pixels = stage.regions * max(self.region**2, stage.patches * stage.patch**2)
            if pixels > MOST_PIXELS:
                raise ValueError(
                    f"a step of {stage.regions} regions of {self.region} pixels a side, with {stage.patches} patches "
                    f"of {stage.patch} each, holds {pixels / 1e6:,.0f} megapixels; the most is {MOST_PIXELS / 1e6:,.0f}"
                )
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
        objective, kind = self.objective, f"objective kind {self.objective.kind}"
        if not isinstance(self.model, objective.trains):
            wanted, given = (_kind(recipe) for recipe in (objective.trains, type(self.model)))
            raise ValueError(f"{kind} trains a model of kind {wanted}, not {given}: they belong together")
        if objective.labelled and (self.label_drop or self.validation.images):
            raise ValueError(f"{kind} needs every label and restores nothing: set label_drop and images to 0")
        if objective.labelled and self.image_drop:
            raise ValueError("an image that is left out has nothing to recognise: set image_drop to 0")
        known_pixels = self.model.task.clean_known
        if self.image_drop and known_pixels:
            raise ValueError("image_drop takes the mask with the image, so that no hole is left to be trained on")
        if known_pixels and not objective.known_pixels:
            raise ValueError(f"{kind} has no meaning for known pixels, which have no noise")
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> TrainConfig:
        learns, schedule = self.objective.learns_schedule, getattr(self.model, "schedule", None)
        kind, learned = f"objective kind {self.objective.kind}", isinstance(schedule, Learned)
        if learns and not learned:
            raise ValueError(f"{kind} trains a schedule of kind learned, not a fixed one")
        if isinstance(schedule, Learned) and learns and schedule.table is not None:
            raise ValueError(f"{kind} trains a schedule that has no table yet: leave schedule.table out")
        if isinstance(schedule, Learned) and not learns and schedule.table is None:
            raise ValueError(
                f"a schedule of kind learned is trained by objective kind continuous_bound alone, not by {kind}"
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
    def thumbnail(self) -> int:
        """The side of the thumbnail that the network gets of each region, 0 for none."""
        return self.model.tiles.context if isinstance(self.model, Recipe) else 0

    @property
    def steps(self) -> int:
        """The number of optimizer steps of the whole run."""
        return self.stages[-1].until

    def stage(self, step: int) -> TrainingStage:
        """Return the stage of a step, counted from 0."""
        return next(stage for stage in self.stages if step < stage.until)


def _kind(recipe: type[Spec]) -> str:
    """Return what the model of a recipe is called in a config."""
    kind = recipe.model_fields.get("kind")
    return "model" if kind is None else str(kind.default)


def load_train_config(source: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return a training run from a YAML file, or by the name of one that is shipped, with `key.sub=value` overrides.

    Raises:
        ConfigError: the file, a key or a value is wrong; the message names its path.
    """
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"}:
        path = resources.config_path("train", str(source))
    document: dict[str, Any] = apply_overrides(read_yaml(path), overrides)
    # before it is checked, so that errors name the present key
    document["data"] = translate(document.get("data"))
    return parse(TrainConfig, document, f"{path} with what was given" if overrides else str(path))
