"""The registry: one registration is all that a metric needs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from pydantic import ValidationError

from restore.errors import ConfigError
from restore.evaluation.metrics import METRICS, Metric, Protocol, mae, register, score


@pytest.fixture
def rmse() -> Iterator[Metric]:
    """A metric of somebody's own, gone again after the test."""
    metric = Metric(
        name="rmse",
        label="RMSE",
        direction="lower",
        low=0,
        high=255,
        unit="levels",
        description="root mean square error",
        reference="",
        score=lambda pair: (pair.channels[0] - pair.channels[1]).square().mean((1, 2, 3)).sqrt().double(),
    )
    register(metric)
    yield metric
    del METRICS["rmse"]


def test_a_registered_metric_is_scored_like_those_that_ship(rmse: Metric) -> None:
    a, b = torch.rand(2, 3, 3, 40, 50).mul(2).sub(1)
    found = score(a, b, "rgb", metrics=("rmse", "psnr"))
    assert torch.allclose(20 * torch.log10(255 / found["rmse"]), found["psnr"])
    own = Protocol(name="own", description="", luma="none", metrics=("rmse",))
    assert torch.equal(score(a, b, own)["rmse"], found["rmse"])
    assert rmse.text(2.5) == "2.50 levels" and rmse.gain(before=3.0, after=2.0) == 1.0
    with pytest.raises(ConfigError, match="'rmse' already"):
        register(rmse)


def test_every_metric_has_the_function_of_its_kind_and_is_written_without_it() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name and (metric.score is None) == (metric.per == "set") == (metric.compare is not None)
        written = metric.model_dump(mode="json")
        assert {"name", "label", "unit", "reference"} <= written.keys() and "score" not in written
    with pytest.raises(ValidationError, match="has the function compare"):
        Metric(name="x", label="X", direction="lower", per="set", description="", reference="", score=mae)
