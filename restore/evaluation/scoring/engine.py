"""The engine: every image, restored by every method, scored under every protocol; one record at a time.

Nothing is held but the images at hand, so memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from restore import images
from restore.errors import ConfigError, RestoreError
from restore.evaluation.metrics import prepare_input
from restore.evaluation.scoring.cases import Case, Digests, Loaded, enlarged_to
from restore.evaluation.scoring.methods import Method, Output
from restore.evaluation.scoring.provenance import origin_on
from restore.evaluation.scoring.records import Record, Scores
from restore.evaluation.scoring.scoring import Scoring, Size, input_size, score_all
from restore.samplers import Calibration
from restore.system.devices import is_out_of_memory

__all__ = ["EvaluationPlan", "Shown", "evaluate_plan", "kept_path", "show"]


@dataclass(frozen=True)
class EvaluationPlan:
    """A plan of an evaluation.

    Attributes:
        jobs: each image with the methods that restore it.
        scoring: what is scored.
        seeds: each gives a degradation (where it is made) and a restoration of every image.
        batch: images that are held, and restored together where they have one size.
        keep: folder in which every restored image is kept; None keeps none.
        digests: of the files.
    """

    jobs: Sequence[tuple[Case, Sequence[Method]]]
    scoring: Scoring
    seeds: Sequence[int] = (0,)
    batch: int = 1
    keep: Path | None = None
    digests: Digests = field(default_factory=Digests)

    def __post_init__(self) -> None:
        if not self.jobs:
            raise ConfigError("there is nothing to evaluate")
        if self.batch < 1:
            raise ConfigError(f"a batch holds at least one image, not {self.batch}")

    def __len__(self) -> int:
        return len(self.seeds) * sum(len(methods) for _, methods in self.jobs)

    @property
    def methods(self) -> list[Method]:
        """All methods, each once."""
        return unique_methods(self.jobs)

    def key(self, case: Case, method: Method, seed: int) -> str:
        """Return the digest of all that the scores depend on.

        Raises:
            ImageError: a file cannot be read.
        """
        document = {
            "files": {name: self.digests(path) for name, path in case.files.items()},
            "case": case.identity(),
            "method": method.identity(case),
            "seed": seed,
            "scoring": self.scoring.identity(),
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def unique_methods(jobs: Sequence[tuple[Case, Sequence[Method]]]) -> list[Method]:
    """Return the methods of some jobs, each once, in the order of their first appearance."""
    return list({id(method): method for _, methods in jobs for method in methods}.values())


def evaluate_plan(plan: EvaluationPlan, done: Mapping[str, Record] | None = None) -> Iterator[Record]:
    """Yield the record of every image and method; one that fails says why and does not stop the others.

    Args:
        plan: what is to be done.
        done: records by key that are handed back instead of being made again.
    """
    for start in range(0, len(plan.jobs), plan.batch):
        jobs = plan.jobs[start : start + plan.batch]
        for seed in plan.seeds:
            opened = _Opened(plan, seed)
            for method in unique_methods(jobs):
                cases = [case for case, methods in jobs if any(one is method for one in methods)]
                yield from _evaluate(opened, method, cases, done or {})


class _Opened:
    """The images of a batch and the scores of their inputs, each read and scored once for all methods."""

    def __init__(self, plan: EvaluationPlan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        self.origin = origin_on(plan.scoring.device)
        self._known: dict[tuple[str, str], tuple[Loaded, Scores]] = {}

    def __call__(self, case: Case) -> tuple[Loaded, Scores]:
        """Return the images of a case and the scores of its input.

        Raises:
            RestoreError: a file cannot be read, or the two cannot be compared.
        """
        place = (case.data, case.name)
        if place not in self._known:
            loaded = case.load(self.seed)
            before: Scores = {}
            if loaded.degraded is not None:
                shown = comparable(loaded.degraded, loaded.target)
                inputs = {protocol.name: shown for protocol in self.plan.scoring.protocols}
                before = score_all(self.plan.scoring, inputs, loaded.target, loaded.gray)
            self._known[place] = loaded, before
        return self._known[place]


def _evaluate(opened: _Opened, method: Method, cases: Sequence[Case], done: Mapping[str, Record]) -> Iterator[Record]:
    """Yield the records of one method: what is done, what cannot be read, then what is restored together."""
    todo: list[Record] = []
    ready: list[Case] = []
    for case in cases:
        record = Record("", case.data, case.name, method.model, method.task, opened.seed, origin=opened.origin)
        try:
            record = replace(record, key=opened.plan.key(case, method, opened.seed))
            if record.key in done and _is_kept(opened.plan, record, done[record.key].kept):
                # equal outputs of two methods have one key: the scores are the same, the names are not
                yield replace(done[record.key], model=record.model, task=record.task)
                continue
            opened(case)
        except (RestoreError, MemoryError, RuntimeError) as error:
            yield replace(record, failure=_reason(error, case))
        else:
            todo.append(record)
            ready.append(case)
    if not ready:
        return
    try:
        outputs = restore_all(opened.plan, method, ready, [opened(case)[0] for case in ready], opened.seed)
    except (RestoreError, MemoryError, RuntimeError) as error:
        failure = _reason(error, ready[0])
        if len(ready) == 1:
            yield replace(todo[0], failure=failure)
            return
        for case in ready:  # so that the bad one is named, and stops no other
            yield from _evaluate(opened, method, [case], done)
        return
    for record, case, by_protocol in zip(todo, ready, outputs, strict=True):
        yield _finish(opened, method, record, case, by_protocol)


def _finish(opened: _Opened, method: Method, record: Record, case: Case, outputs: Mapping[str, Output]) -> Record:
    """Return the record with its scores; `outputs` are by the name of the protocol that scores them."""
    loaded, before = opened(case)
    protocols = opened.plan.scoring.protocols
    first = outputs[protocols[0].name]
    # kept, and compared with its samples, is what was restored at the original size, where a protocol leaves it
    whole = next((p for p in protocols if input_size(loaded.degraded, p) is None), protocols[0])
    try:
        photos = {name: output.pixels for name, output in outputs.items()}
        after = score_all(opened.plan.scoring, photos, loaded.target, loaded.gray)
        if opened.plan.keep is not None:
            image = images.Photo(outputs[whole.name].pixels)
            path = kept_path(opened.plan.keep, record)
            images.write(image, path, overwrite=True)
            record = replace(record, kept=Digests()(path))
        bits = method.bits_per_dim(case, loaded, record.seed)
    except (RestoreError, MemoryError, RuntimeError) as error:
        return replace(record, failure=_reason(error, case))
    height, width = loaded.target.shape[-2:]
    return replace(
        record,
        height=height,
        width=width,
        seconds=first.seconds,
        tiles=first.tiles,
        before=before,
        after=after,
        spread=_spread(method, outputs[whole.name], prepare_input(loaded.target[None], whole)[0]),
        bits_per_dim=bits,
    )


def _spread(method: Method, output: Output, truth: Tensor) -> dict[str, Any]:
    """Return the fields of the `Calibration` of one image, inside its hole where there is one; empty for one sample.

    `truth`: (3, H, W), at the size at which the output was restored; of another size there is nothing to compare.
    """
    mean, deviation = output.pixels, output.deviation
    if deviation is None or deviation.shape != truth.shape:
        return {}
    if output.hole is not None:
        missing = output.hole.to(truth).bool().expand_as(truth)
        truth, mean, deviation = (x[missing] for x in (truth, mean, deviation))
    calibration = Calibration(method.describe()["samples"])
    calibration.add(truth, mean, deviation)
    return vars(calibration) | {"ks": list(calibration.ks)}


def _reason(error: Exception, case: Case) -> str:
    """Return why a case failed; an error that is neither ours nor a lack of memory is raised again."""
    if isinstance(error, RestoreError):
        return str(error)
    if not is_out_of_memory(error):
        raise error
    return f"{case.name}: out of memory"


def kept_path(folder: Path, record: Record) -> Path:
    """Return where the restored image of a record is kept: always below `folder`."""
    method = "-".join(part for part in (record.model, record.task) if part)
    return folder / _one_part(record.data) / f"{_one_part(method)}-{record.seed}" / f"{record.name}.png"


def _one_part(text: str) -> str:
    """Return a name without what would lead to another folder."""
    return re.sub(r"[\\/:]+", "-", text).strip(".-") or "-"


def _is_kept(plan: EvaluationPlan, record: Record, digest: str) -> bool:
    """Return whether the image is there, and not that of another evaluation that was kept in the same folder."""
    if plan.keep is None:
        return True
    path = kept_path(plan.keep, record)
    return path.is_file() and Digests()(path) == digest


def restore_all(
    plan: EvaluationPlan, method: Method, cases: Sequence[Case], loaded: Sequence[Loaded], seed: int
) -> list[dict[str, Output]]:
    """Return, for each case, the output that each protocol scores, by its name; each size is restored once."""
    protocols = plan.scoring.protocols
    places: dict[tuple[int, Size], int] = {}
    inputs: list[Tensor | None] = []
    for index, one in enumerate(loaded):
        for protocol in protocols:
            place = index, input_size(one.degraded, protocol)
            if place not in places:
                places[place] = len(inputs)
                inputs.append(None if one.degraded is None else prepare_input(one.degraded[None], protocol)[0])
    outputs = method([cases[index] for index, _ in places], inputs, seed)
    return [
        {protocol.name: outputs[places[index, input_size(one.degraded, protocol)]] for protocol in protocols}
        for index, one in enumerate(loaded)
    ]


def comparable(degraded: Tensor, target: Tensor) -> Tensor:
    """Return the input, (3, h, w), as it is compared to the ground truth: of super-resolution, enlarged bicubically."""
    return enlarged_to(degraded, target.shape[-2], target.shape[-1])


@dataclass(frozen=True)
class Shown:
    """The images of one record, (3, H, W) in [-1, 1], as the first protocol sees them; `degraded` may be absent."""

    record: Record
    target: Tensor
    degraded: Tensor | None
    restored: Tensor


def show(plan: EvaluationPlan, record: Record) -> Shown:
    """Return the images of a record, made again: the same seed gives the same image.

    They have the size at which the first protocol scores them, so that the displayed images are those that were scored.

    Raises:
        RestoreError: a file has gone, or cannot be read any more.
    """
    wanted = (record.data, record.name, record.model, record.task)
    for case, methods in plan.jobs:
        for method in methods:
            if (case.data, case.name, method.model, method.task) == wanted:
                loaded = case.load(record.seed)
                given = None if loaded.degraded is None else _resized(plan, loaded.degraded)
                target = _resized(plan, loaded.target)
                restored = _resized(plan, method([case], [given], record.seed)[0].pixels)
                return Shown(record, target, None if given is None else comparable(given, target), restored)
    raise ConfigError(f"{record.data}/{record.name} is not part of this evaluation")


def _resized(plan: EvaluationPlan, image: Tensor) -> Tensor:
    """Return an image, (3, H, W), in the size at which the first protocol restores and scores it."""
    return prepare_input(image[None], plan.scoring.protocols[0])[0]
