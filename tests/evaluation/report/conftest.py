"""A finished evaluation to report on, without a network: outputs are blurred images of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from restore.data.card import load_card
from restore.evaluation.metrics import PROTOCOLS
from restore.evaluation.report import Result
from restore.evaluation.scoring import Case, EvaluationPlan, Loaded, Output, Provenance, Scoring, evaluate_plan
from restore.evaluation.scoring.images import from_clean


@dataclass(frozen=True)
class Blur:
    """A method that needs no weights: a box blur of some width."""

    model: str
    width: int
    task: str = "smooth"

    def __call__(self, cases: Sequence[Case], degraded: Sequence[Tensor | None], seed: int) -> list[Output]:
        half = self.width // 2
        pixels = [torch.nn.functional.pad(x[None], [half] * 4, mode="reflect") for x in degraded if x is not None]
        return [Output(torch.nn.functional.avg_pool2d(x, self.width, 1)[0], 0.01, 1) for x in pixels]

    def bits_per_dim(self, case: Case, loaded: Loaded, seed: int) -> Mapping[str, float]:
        return {}

    def identity(self, case: Case) -> dict[str, object]:
        return {"width": self.width}

    def describe(self) -> dict[str, object]:
        return {"model": self.model, "task": self.task, "sampler": {"steps": 1}, "samples": 1, "sha256": "ab" * 32}


@pytest.fixture(scope="session")
def plan(photographs: Path) -> EvaluationPlan:
    """Two degradations of five photographs, restored by two methods."""
    methods = (Blur("three", 3), Blur("<b>five</b> & more", 5))
    cases = from_clean(photographs, ["rain", "snow"]).cases
    scoring = Scoring((PROTOCOLS["native"], PROTOCOLS["rgb"]))
    return EvaluationPlan([(case, methods) for case in cases], scoring)


@pytest.fixture(scope="session")
def result(plan: EvaluationPlan) -> Result:
    """What came of it."""
    records = list(evaluate_plan(plan))
    provenance = Provenance.gather(plan, records, {"name": "photographs"}, torch.device("cpu"))
    return Result("three on photographs", records, len(plan), provenance, ["a <script>note</script>"])


@pytest.fixture(scope="session")
def card_result(result: Result) -> Result:
    """The same, as if on a set that papers have reported on."""
    card = load_card("raindrop")
    split = card.reported[0].split
    return Result("on a card", result.records, result.expected, result.provenance, (), card, split)
