"""Metrics that compare whole sets of images: FID and KID, on the outputs that a run has kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from restore import images
from restore.errors import ConfigError, RestoreError
from restore.evaluation.metrics import get_metric
from restore.evaluation.scoring.cases import Case
from restore.evaluation.scoring.engine import EvaluationPlan, comparable, kept_path
from restore.evaluation.scoring.records import Record
from restore.evaluation.scoring.summary import Series, group

__all__ = ["SetScores", "score_sets"]


@dataclass(frozen=True)
class SetScores:
    """Scores of a whole set by metric: of the inputs (empty where there are none) and of the outputs.

    Attributes:
        before: of the inputs.
        after: of the outputs.
        notes: what a reader must know of them: why one is absent, how far it scatters, what it is over.
    """

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def score_sets(
    plan: EvaluationPlan, records: Sequence[Record], metrics: Sequence[str], features: nn.Module | None = None
) -> dict[Series, SetScores]:
    """Return FID and KID of each series, at the original size; of several seeds the first is taken.

    A metric that cannot be taken, of one image for instance, is a note, and takes no other score with it.

    Args:
        plan: which images; it must keep the restored ones.
        records: those with scores are compared.
        metrics: `fid`, `kid` or both.
        features: another network than Inception; see `restore.evaluation.metrics.fid`.

    Raises:
        ConfigError: the plan keeps no images, or a metric is not one of sets.
    """
    functions = {name: function for name in metrics if (function := get_metric(name).compare) is not None}
    if wrong := [name for name in metrics if name not in functions]:
        raise ConfigError(f"{', '.join(wrong)} has a score for each image and none for sets")
    if metrics and plan.keep is None:
        raise ConfigError(f"{' and '.join(metrics)} need the restored images: pass --keep")
    cases = {(case.data, case.name): case for case, _ in plan.jobs}
    found = {}
    for series, members in group(records).items():
        chosen = [record for record in members if record.seed == members[0].seed]
        scores = SetScores()
        if metrics and len(chosen) < len(members):
            scores.notes.append(f"{' and '.join(metrics)}: over the restorations of seed {chosen[0].seed} alone")
        for metric, compare in functions.items():
            sides = {"after": _restored(plan, chosen)}
            if all(record.before for record in chosen):
                sides["before"] = _side(cases, chosen, "degraded")
            for side, photos in sides.items():
                try:
                    value, deviation = compare(photos, _side(cases, chosen, "target"), features)
                except RestoreError as error:
                    scores.notes.append(f"{metric} {side} could not be taken: {error}")
                    continue
                getattr(scores, side)[metric] = value
                if deviation is not None:
                    scores.notes.append(f"{metric} {side} has a standard deviation of {deviation:.4f} over its subsets")
        found[series] = scores
    return found


def _restored(plan: EvaluationPlan, records: Sequence[Record]) -> Iterator[Tensor]:
    assert plan.keep is not None
    for record in records:
        yield images.read(kept_path(plan.keep, record)).pixels[None].to(plan.scoring.device)


def _side(cases: dict[tuple[str, str], Case], records: Sequence[Record], side: str) -> Iterator[Tensor]:
    for record in records:
        loaded = cases[record.data, record.name].load(record.seed)
        if side == "degraded" and loaded.degraded is not None:
            yield comparable(loaded.degraded, loaded.target)[None]
        else:
            yield loaded.target[None]
