"""Metrics that compare whole sets of pictures: FID and KID, on the outputs that a run has kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from restore import images
from restore.errors import ConfigError
from restore.evaluate.cases import Case
from restore.evaluate.engine import Plan, comparable, kept_path
from restore.evaluate.records import Record
from restore.evaluate.summary import Series, group
from restore.metrics import fid, get_metric, kid

__all__ = ["SetScores", "score_sets"]


@dataclass(frozen=True)
class SetScores:
    """Scores of a whole set by metric: of the inputs (empty where there are none) and of the outputs."""

    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)


def score_sets(
    plan: Plan, records: Sequence[Record], metrics: Sequence[str], features: nn.Module | None = None
) -> dict[Series, SetScores]:
    """Return FID and KID of each series, at the original size; of several seeds the first is taken.

    Args:
        plan: which pictures; it must keep the restored ones.
        records: those with scores are compared.
        metrics: `fid`, `kid` or both.
        features: another network than Inception; see `restore.metrics.fid`.

    Raises:
        ConfigError: the plan keeps no pictures, or a metric is not one of sets.
        MissingResource: the Inception weights are not there.
    """
    wrong = [name for name in metrics if get_metric(name).per != "set"]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)} has a score for each picture and none for sets")
    if metrics and plan.keep is None:
        raise ConfigError(f"{' and '.join(metrics)} need the restored pictures: pass --keep")
    cases = {(case.data, case.name): case for case, _ in plan.jobs}
    found = {}
    for series, members in group(records).items():
        chosen = [record for record in members if record.seed == members[0].seed]
        scores = SetScores()
        for metric in metrics:
            scores.after[metric] = _compare(metric, _restored(plan, chosen), _side(cases, chosen, "target"), features)
            if all(record.before for record in chosen):
                inputs = _side(cases, chosen, "degraded")
                scores.before[metric] = _compare(metric, inputs, _side(cases, chosen, "target"), features)
        found[series] = scores
    return found


def _compare(metric: str, first: Iterator[Tensor], second: Iterator[Tensor], features: nn.Module | None) -> float:
    if metric == "fid":
        return fid(first, second, features=features)
    return kid(first, second, features=features)[0]


def _restored(plan: Plan, records: Sequence[Record]) -> Iterator[Tensor]:
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
