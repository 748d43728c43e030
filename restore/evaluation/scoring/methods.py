"""The methods that are evaluated: a model with one of its tasks, or a folder of finished outputs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

from restore import images
from restore.data.files import walk
from restore.data.joined import size_of
from restore.errors import ConfigError, DataError, ImageError
from restore.evaluation.scoring.cases import Case, Loaded, enlarged_to
from restore.evaluation.scoring.likelihood import check_likelihood, likelihood_bits
from restore.restoration.detector import AUTO
from restore.restoration.pipeline import Pipeline, State, check_detectable
from restore.restoration.restorer import Posterior, Restorer
from restore.restoration.settings import Settings
from restore.samplers import SamplerSpec
from restore.tasks import Prepared, Task

__all__ = [
    "LABEL_CONDITIONS",
    "LabelCondition",
    "Method",
    "ModelMethod",
    "Output",
    "OutputFolder",
    "Unrestored",
    "distinct_names",
    "tasks_for",
]

LabelCondition = Literal["true", "blind", "detected"]
"""What a model is conditioned on: the label of the made degradation, none, or the one that a detector finds."""

LABEL_CONDITIONS: tuple[LabelCondition, ...] = get_args(LabelCondition)

DESCRIBED = frozenset({"task", "request", "seed", "steps", "samples", "sampler", "tiles", "gradients"})
"""Settings that change no score, belong to the case, or are described as what follows from them."""


@dataclass(frozen=True)
class Output:
    """A restored image, (3, H, W) in [-1, 1], and what it took.

    Attributes:
        pixels: the image, the mean where there are several samples.
        seconds: None for finished outputs.
        tiles: that the network has seen.
        deviation: (3, H, W), the standard deviation of the samples; None for one.
        hole: (1, H, W), 1 where pixels were to be restored; None for all.
    """

    pixels: Tensor
    seconds: float | None = None
    tiles: int = 0
    deviation: Tensor | None = None
    hole: Tensor | None = None


class Method(Protocol):
    """Something that restores, or has restored, an image."""

    @property
    def model(self) -> str:
        """Its name in tables."""
        ...

    @property
    def task(self) -> str:
        """The name of its task; empty for finished outputs."""
        ...

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        """Return the restored images of some cases.

        Args:
            cases: which images.
            degraded: (3, H, W) each, in [-1, 1].
            seed: of the evaluation; each image's own noise follows from it (`Case.sampler_seed`).

        Raises:
            RestoreError: there is none for one of them.
        """
        ...

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        """Return the bound on the ground truth's likelihood in bits per dimension, empty where it is not computed."""
        ...

    def identity(self, case: Case) -> dict[str, Any]:
        """Return, as plain JSON values, all that the output depends on beside the degraded image and the seed."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return, as plain JSON values, what a reader wants to know of the method."""
        ...


@dataclass(frozen=True)
class ModelMethod:
    """A model with one of its tasks.

    Attributes:
        model: how the table calls it.
        task: one of its tasks, or `auto`.
        restorer: the model.
        sha256: of its file of weights.
        settings: of each restoration, but for task, request and seed.
        likelihood: whether the bits per dimension of the ground truth are computed too.
    """

    model: str
    task: str
    restorer: Restorer
    sha256: str
    settings: Settings = Settings()
    likelihood: bool = False

    def __post_init__(self) -> None:
        _ = self.pipeline, self.asked, self.sampler
        if self.likelihood:
            if self.task == AUTO:
                raise ConfigError("bits per dimension are those of one label: name a task in place of auto")
            check_likelihood(self.restorer.recipe)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline: the model, or the detector and then the model."""
        return Pipeline.of(self.restorer, self.task)

    @property
    def chosen(self) -> Settings:
        """The settings with the task; a detector chooses the label alone."""
        return self.settings.changed(task=None if self.task == AUTO else self.task)

    @property
    def asked(self) -> Task:
        """The task itself."""
        return self.restorer.task(self.chosen.task)

    @property
    def sampler(self) -> SamplerSpec:
        """The sampler with the requested number of steps."""
        return self.restorer.sampler(self.settings)

    @property
    def label(self) -> str:
        """The degradation label that the network is conditioned on: `unknown` is blind, `auto` the detected one."""
        return AUTO if self.task == AUTO else self.restorer.recipe.tasks[self.task]

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        """Return the mean of the samples, the time of each, and the tiles that the network has seen.

        Images of one size are restored together.
        """
        groups: dict[torch.Size, list[int]] = defaultdict(list)
        for index, (case, image) in enumerate(zip(cases, degraded, strict=True)):
            if image is None:
                raise DataError(f"{case.name} has no input image that a model could restore")
            groups[image.shape].append(index)
        outputs: dict[int, Output] = {}
        for members in groups.values():
            start = time.perf_counter()
            shown = [(cases[i], image) for i in members if (image := degraded[i]) is not None]
            restored = self._restored(shown, seed)
            seconds = (time.perf_counter() - start) / len(members)
            tiles = self.restorer.evaluations(*restored[0][0].mean.shape[-2:], self.settings)
            for i, (x, clean) in zip(members, restored, strict=True):
                outputs[i] = Output(x.mean, seconds, 0 if clean else tiles, x.deviation, x.hole)
        return [outputs[index] for index in range(len(cases))]

    def _restored(self, shown: list[tuple[Case, Tensor]], seed: int) -> list[tuple[Posterior, bool]]:
        """Return mean and spread, and whether it was left as it is, for each of some images of one size.

        Each has noise of its own; the result does not depend on the others.
        """
        requests = [case.request(self.asked, seed, *image.shape[-2:]) for case, image in shown]
        seeds = [case.sampler_seed(seed) for case, _ in shown]
        if len(shown) == 1 or self.task == AUTO:  # with a decision each, images have little to share
            own = [self.chosen.changed(request=r, seed=s) for r, s in zip(requests, seeds, strict=True)]
            states = [self.pipeline.run(State(image, one)) for (_, image), one in zip(shown, own, strict=True)]
            return [(state.result(), state.done) for state in states]
        prepared = [self.asked.prepare(image[None], r) for (_, image), r in zip(shown, requests, strict=True)]
        holes = [one.hole for one in prepared if one.hole is not None]
        together = Prepared(torch.cat([one.image for one in prepared]), torch.cat(holes) if holes else None)
        found = self.restorer.batch(together, self.chosen, seeds=seeds)
        return [(found[i], False) for i in range(len(shown))]

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        """Return the likelihood bound and its terms; empty where they are not computed."""
        if not self.likelihood or loaded.degraded is None:
            return {}
        request, own = case.request(self.asked, seed, *loaded.degraded.shape[-2:]), case.sampler_seed(seed)
        return likelihood_bits(
            self.restorer, self.task, loaded.degraded, loaded.target, request, self.settings.steps, own
        )

    def identity(self, case: Case) -> dict[str, Any]:
        """Return all that the output depends on, the machine's own rounding left aside.

        Recipe and settings are in it as a whole, so that what either will have one day cannot be forgotten here. A
        guide is a function, whose text differs from process to process: what one process scored, no other continues.
        """
        described = {key: value for key, value in self.describe().items() if key not in {"model", "device"}}
        others = {key: value for key, value in vars(self.settings).items() if key not in DESCRIBED}
        return {
            **described,
            "recipe": self.restorer.recipe.model_dump(mode="json", exclude={"name", "presets"}),
            "settings": {key: value if value is None else str(value) for key, value in others.items()},
            "noise": "from the seed and the name of the image",
        }

    def describe(self) -> dict[str, Any]:
        """Return model, weights, task, and how outputs are sampled."""
        return {
            "model": self.model,
            "sha256": self.sha256,
            "task": self.task,
            "label": self.label,
            **({"detector": detector.sha256} if (detector := self.pipeline.detector) is not None else {}),
            "sampler": self.sampler.model_dump(mode="json"),
            "threshold": self.restorer.recipe.threshold.model_dump(mode="json"),
            "samples": self.settings.samples,
            "guidance": self.settings.guidance,
            "self_ensemble": self.settings.self_ensemble,
            "levels_of_likelihood": (self.settings.steps or self.restorer.schedule.T) if self.likelihood else 0,
            "tiles": self.restorer.tiles(self.settings).model_dump(mode="json"),
            "dtype": str(self.restorer.dtype).removeprefix("torch."),
            "device": str(self.restorer.device),
        }


class Unrestored:
    """No method at all: the degraded image as it is, for the first line of a table."""

    model, task = "none", ""

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        """Return the degraded images; those of a low resolution are enlarged bicubically.

        Raises:
            DataError: a case has none.
        """
        outputs = []
        for case, image in zip(cases, degraded, strict=True):
            if image is None:
                raise DataError(f"{case.name} has no input image")
            size = size_of(case.target)
            outputs.append(Output(image if size is None else enlarged_to(image, *size)))
        return outputs

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        """Return an empty mapping: without a model there is no likelihood."""
        return {}

    def identity(self, case: Case) -> dict[str, Any]:
        """Return that nothing was done."""
        return {"output": "none"}

    def describe(self) -> dict[str, Any]:
        """Return that nothing was done."""
        return {"model": self.model}


class OutputFolder:
    """A folder of images that somebody restored, found by the names of the inputs.

    Args:
        folder: where they are.
        digest: returns the SHA-256 of a file.
        name: what tables call it; the folder's own name by default.

    Raises:
        DataError: it is no folder, is empty, or two files have one name.
    """

    task = ""

    def __init__(self, folder: Path, digest: Callable[[Path], str], name: str = "") -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder")
        self.folder, self.model, self._digest = folder, name or folder.resolve().name, digest
        self.files: dict[str, Path] = {}
        for path in walk(folder):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in self.files:
                both = f"{self.files[name].name} beside {path.name}"
                raise DataError(f"ambiguous names in {folder}: {both}; keep one of each")
            self.files[name] = path
        if not self.files:
            raise DataError(f"{folder} holds no images")

    def path(self, case: Case) -> Path:
        """Return the output that belongs to a case.

        Raises:
            ImageError: there is none of that name.
        """
        if case.name not in self.files:
            raise ImageError(f"{self.folder} holds no image named {case.name}")
        return self.files[case.name]

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        """Return the images as they are."""
        return [Output(images.read(self.path(case)).pixels) for case in cases]

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        """Return an empty mapping: without a model there is no likelihood."""
        return {}

    def identity(self, case: Case) -> dict[str, Any]:
        """Return the digest of the image."""
        return {"output": self._digest(self.path(case))}

    def describe(self) -> dict[str, Any]:
        """Return the folder."""
        return {"model": self.model, "folder": str(self.folder)}


def distinct_names(paths: Sequence[Path], taken: Collection[str] = ()) -> list[str]:
    """Return the shortest end of each path that is neither taken nor the end of another path.

    >>> distinct_names([Path("/a/run/model"), Path("/b/run/model"), Path("/c/mine")])
    ['a/run/model', 'b/run/model', 'mine']
    """

    def end(path: Path, parts: int) -> str:
        return "/".join(path.parts[-parts:]).replace("//", "/")

    names = []
    for path in paths:
        others = [other for other in paths if other != path]
        for parts in range(1, len(path.parts) + 1):
            name = end(path, parts)
            if name not in taken and all(name != end(other, parts) for other in others):
                break
        names.append(name)
    return names


def tasks_for(
    restorer: Restorer, degradation: str | None, tasks: Sequence[str] = (), labels: Sequence[LabelCondition] = ()
) -> list[str]:
    """Return the tasks that a model is evaluated on: the named ones, then one for each label condition, each once.

    Without either they are the true label and the blind one of a known degradation, else the model's first task.

    Args:
        restorer: the model.
        degradation: the label of what was made; None where it is not known.
        tasks: by name; `auto` is the label that the detector finds.
        labels: what the model is conditioned on: the degradation's own label (the blind one where the model has none
            for it, its first task where it has neither), no label, or what the detector finds.

    Raises:
        ConfigError: the model does not know a task, has no blind label, or detects nothing.
    """
    known = restorer.recipe.tasks
    first = next(iter(known))
    true = [task for task, name in known.items() if name == degradation][:1]
    blind = [task for task, name in known.items() if name == "unknown"][:1]
    if not tasks and not labels:
        return [first] if degradation is None else true + blind or [first]
    if "blind" in labels and not blind:
        raise ConfigError(f"model {restorer.recipe.name!r} has no blind label; its tasks are {', '.join(known)}")
    conditions = {"true": true or blind or [first], "blind": blind, "detected": [AUTO]}
    chosen = [*tasks, *(task for label in labels for task in conditions[label])]
    for task in chosen:
        if task == AUTO:
            check_detectable(restorer.recipe)
        else:
            restorer.task(task)
    return list(dict.fromkeys(chosen))
