"""Pipelines: stages between which an image is handed on. `auto` is the first one: detector, then restorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from restore import images
from restore.errors import ConfigError
from restore.images import Photo
from restore.models.recipe import Recipe
from restore.restoration.detector import AUTO, Decision, Detector
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import Posterior
from restore.system.seeds import seeds_of

__all__ = ["Detecting", "Pipeline", "Restoring", "Stage", "State", "can_detect", "label_for"]


@dataclass(frozen=True)
class State:
    """What a stage is given, and gives: an image, how it is to be restored, and what is known of it so far.

    Attributes:
        image: (3, H, W) in [-1, 1].
        settings: of the stages to come.
        posterior: of the last restoration; None before the first.
        decision: which weather was found; None where nobody looked.
        done: nothing is left to do: the image is clean.
        on_tiles: called with the number of tiles after each evaluation of a network.
    """

    image: Tensor
    settings: Settings = Settings()
    posterior: Posterior | None = None
    decision: Decision | None = None
    done: bool = False
    on_tiles: Callable[[int], None] | None = None

    def result(self) -> Posterior:
        """Return the posterior; that of an image that was left as it is has no spread."""
        if self.posterior is not None:
            return self.posterior
        image = self.image.cpu()
        return Posterior(image, torch.zeros_like(image) if self.settings.samples > 1 else None)


class Stage(Protocol):
    """`State -> State`; a stage knows nothing of its neighbours."""

    def __call__(self, state: State) -> State:
        """Return the state after this stage."""
        ...

    def size(self, height: int, width: int, settings: Settings) -> tuple[int, int]:
        """Return the height and width of the result for an image of that size."""
        ...

    def evaluations(self, height: int, width: int, settings: Settings) -> int:
        """Return how many tiles a network will see for an image of that size, for a progress bar."""
        ...

    def finish(self, given: Photo, pixels: Tensor, settings: Settings) -> Photo:
        """Return the resulting pixels, (3, H, W) in [-1, 1], as an image of the kind of the one that was given."""
        ...


def label_for(decision: Decision, recipe: Recipe) -> str:
    """Return the degradation label that a model is conditioned on after a decision; unknown where it has no other."""
    return decision.label if decision.label in recipe.labels else "unknown"


def can_detect(recipe: Recipe) -> bool:
    """Return whether a model restores weather by labels, so that there is something for a detector to find."""
    return recipe.task.labelled and bool(set(recipe.tasks.values()) - {"unknown", "clean"})


def check_detectable(recipe: Recipe) -> None:
    """Raise ConfigError unless a model is conditioned on what a detector finds."""
    if not can_detect(recipe):
        raise ConfigError(
            f"model {recipe.name!r} is not conditioned on the weather of an image, so that task {AUTO!r} has "
            f"nothing to decide; it knows {', '.join(recipe.tasks)}"
        )


@dataclass(frozen=True)
class Detecting:
    """The stage that finds out which weather an image shows, and leaves a clean one as it is.

    Attributes:
        detector: decides.
        recipe: of the model that restores, for the labels that it knows.

    Raises:
        ConfigError: that model is conditioned on nothing that a detector finds.
    """

    detector: Detector
    recipe: Recipe

    def __post_init__(self) -> None:
        check_detectable(self.recipe)

    def __call__(self, state: State) -> State:
        """Return the state with the decision, and the label that follows from it."""
        decision = self.detector(state.image)
        settings = state.settings.changed(label=label_for(decision, self.recipe))
        return replace(state, settings=settings, decision=decision, done=decision.clean)

    def size(self, height: int, width: int, settings: Settings) -> tuple[int, int]:
        """Return the size: it stays."""
        return height, width

    def evaluations(self, height: int, width: int, settings: Settings) -> int:
        """Return 0: no tile is seen."""
        return 0

    def finish(self, given: Photo, pixels: Tensor, settings: Settings) -> Photo:
        """Return the image: nothing is changed."""
        return given


@dataclass(frozen=True)
class Restoring:
    """The stage that restores an image.

    Attributes:
        restorer: the model.
    """

    restorer: Restorer

    def __call__(self, state: State) -> State:
        """Return the state with the restored image."""
        settings, task = state.settings, self.restorer.task(state.settings.task)
        prepared = task.prepare(state.image[None], settings.request)
        found = self.restorer.batch(prepared, settings, seeds=[settings.seed], on_tiles=state.on_tiles)[0]
        return replace(state, image=found.mean, posterior=found)

    def size(self, height: int, width: int, settings: Settings) -> tuple[int, int]:
        """Return the height and width of the result: that of the task."""
        return self.restorer.task(settings.task).size(height, width, settings.request)

    def evaluations(self, height: int, width: int, settings: Settings) -> int:
        """Return how many tiles the network will see for an image of that size."""
        return self.restorer.evaluations(*self.size(height, width, settings), settings)

    def finish(self, given: Photo, pixels: Tensor, settings: Settings) -> Photo:
        """Return the restored pixels as the task has it."""
        return self.restorer.task(settings.task).finish(given, pixels, settings.request)


@dataclass(frozen=True)
class Pipeline:
    """Stages, one after the other; `auto` is `Pipeline.of(restorer, "auto")`.

    Attributes:
        stages: what is done; the first that finds nothing left to do is the last.
    """

    stages: Sequence[Stage]

    @classmethod
    def of(cls, restorer: Restorer, task: str | None = None, detector: Detector | None = None) -> Pipeline:
        """Return the pipeline of a task: the restorer alone, or for `auto` a detector before it.

        Raises:
            ConfigError: the model is conditioned on nothing that a detector finds.
            MissingResource: the detector's weights are not there.
        """
        if task != AUTO:
            return cls([Restoring(restorer)])
        check_detectable(restorer.recipe)  # before weights are loaded that would not help
        detector = detector or Detector.from_pretrained(device=str(restorer.device))
        return cls([Detecting(detector, restorer.recipe), Restoring(restorer)])

    @classmethod
    def auto(cls, model: str | Path = "weather", device: str = "auto") -> Pipeline:
        """Return a model with the detector before it: each image is restored from the weather that it shows."""
        return cls.of(Restorer.from_pretrained(model, device), AUTO)

    def compiled(self, settings: Settings = Settings()) -> Pipeline:
        """Return the pipeline with its restorers' networks compiled; see `Restorer.compiled`."""
        return Pipeline(
            [
                Restoring(stage.restorer.compiled(settings.tiles)) if isinstance(stage, Restoring) else stage
                for stage in self.stages
            ]
        )

    @property
    def detector(self) -> Detector | None:
        """What decides; None where nothing does."""
        return next((stage.detector for stage in self.stages if isinstance(stage, Detecting)), None)

    def run(self, state: State) -> State:
        """Return the state after the last stage."""
        for stage in self.stages:
            if not state.done:
                state = stage(state)
        return state

    def __call__(self, image: Any, settings: Settings = Settings(), **changes: Any) -> Any:
        """Return the restored image in the kind of what was given; see `Restorer.__call__`."""
        settings = settings.changed(**changes)
        given, form = images.from_any(image)
        seeds = seeds_of(settings.seed, len(given))
        states = [
            self.run(State(one.pixels, settings.changed(seed=seed))) for one, seed in zip(given, seeds, strict=True)
        ]
        return form.to_same_kind([self.finish(one, state) for one, state in zip(given, states, strict=True)])

    def finish(self, given: Photo, state: State) -> Photo:
        """Return the result of a run as an image of the kind of the one that was given."""
        if state.done:
            return given
        for stage in self.stages:
            given = stage.finish(given, state.image, state.settings)
        return given

    def size(self, height: int, width: int, settings: Settings) -> tuple[int, int]:
        """Return the height and width of the result for an image of that size."""
        for stage in self.stages:
            height, width = stage.size(height, width, settings)
        return height, width

    def evaluations(self, height: int, width: int, settings: Settings) -> int:
        """Return how many tiles the networks will see for an image of that size, if every stage has work to do."""
        total = 0
        for stage in self.stages:
            total += stage.evaluations(height, width, settings)
            height, width = stage.size(height, width, settings)
        return total
