"""The stack: what is put around what, and what is left out where nothing asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from restore.contracts import Condition, Denoiser, Estimate, Level
from restore.denoisers import stack
from restore.denoisers.stack import Guidance, Known, stacked
from restore.denoisers.threshold import NoThreshold, Static
from restore.schema import Spec

LEVEL = Level(torch.tensor([5]), torch.tensor([0.2], dtype=torch.float64))


class Recorder:
    """Makes decorators that note their name, and the options that they were given, when they are called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.options: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def network(self, x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        self.called.append("network")
        return Estimate(x_t)

    def named(self, name: str) -> Callable[..., Denoiser]:
        def around(denoiser: Denoiser, *args: Any, **options: Any) -> Denoiser:
            self.options[name] = args, options

            def call(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
                self.called.append(name)
                return denoiser(x_t, level, condition)

            return call

        return around


class Recorded(Spec):
    """A threshold that is a recorder's."""

    recorder: Any = None

    def around(self, denoiser: Denoiser) -> Denoiser:
        return self.recorder.named("threshold")(denoiser)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    for name in ("ClassifierFree", "SelfEnsemble", "Aligned", "Masked"):
        monkeypatch.setattr(stack, name, found.named(name))
    return found


def test_the_order_of_the_stack(recorder: Recorder) -> None:
    x, hole, features = torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 4, 4), torch.ones(1, 2, 1, 1)

    def overview(condition: Condition) -> Condition:
        return condition

    denoiser = stacked(
        recorder.network,
        recorder.named("tiles"),
        guidance=Guidance(2.0, ["label"], features),
        guide=recorder.named("guide"),
        orientations=4,
        overview=overview,
        aligned=True,
        threshold=Recorded(recorder=recorder),  # type: ignore[arg-type]
        known=Known(x, hole, clean=True),
    )
    assert recorder.called == []
    denoiser(x, LEVEL, Condition(x))
    inside_out = ["network", "ClassifierFree", "guide", "tiles", "SelfEnsemble", "Aligned", "threshold", "Masked"]
    assert recorder.called == inside_out[::-1]
    assert recorder.options["ClassifierFree"] == ((2.0, ("label",), features), {})
    assert recorder.options["SelfEnsemble"] == ((4, overview), {})
    assert recorder.options["Masked"] == ((x, hole), {"clean_input": True})


def test_what_is_not_asked_for_is_not_there(recorder: Recorder) -> None:
    x = torch.full((1, 3, 4, 4), 3.0)
    plain = stacked(recorder.network, recorder.named("tiles"))
    assert torch.equal(plain(x, LEVEL, Condition(x)).x0, x)
    assert recorder.called == ["tiles", "network"]


@pytest.mark.parametrize("name", ["ClassifierFree", "guide", "SelfEnsemble", "Aligned", "threshold", "Masked"])
def test_each_is_there_by_itself(recorder: Recorder, name: str) -> None:
    x = torch.zeros(1, 3, 4, 4)
    options: dict[str, Any] = {
        "ClassifierFree": {"guidance": Guidance(0.0)},
        "guide": {"guide": recorder.named("guide")},
        "SelfEnsemble": {"orientations": 2},
        "Aligned": {"aligned": True},
        "threshold": {"threshold": Recorded(recorder=recorder)},
        "Masked": {"known": Known(x, x[:, :1], clean=False)},
    }
    stacked(recorder.network, recorder.named("tiles"), **options[name])(x, LEVEL, Condition(x))
    inner = name in ("ClassifierFree", "guide")
    assert recorder.called == (["tiles", name, "network"] if inner else [name, "tiles", "network"])


def test_the_whole_stack_with_nothing_faked() -> None:
    """Thresholds come after the merge, known pixels after the threshold: they may lie outside of its range."""

    def network(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(condition.image * 2)

    image, hole = torch.full((1, 3, 16, 16), 0.75), torch.zeros(1, 1, 16, 16)
    hole[..., :8] = 1
    known = Known(torch.full_like(image, 1.5), hole, clean=True)
    asked = {"orientations": 8, "aligned": True, "known": known}
    for threshold, value in ((Static(), 1.0), (NoThreshold(), 1.5)):
        denoiser = stacked(network, lambda denoiser: denoiser, threshold=threshold, **asked)  # type: ignore[arg-type]
        x0 = denoiser(torch.zeros_like(image), LEVEL, Condition(image)).x0
        torch.testing.assert_close(x0[..., :8], torch.full((1, 3, 16, 8), value))
        assert torch.equal(x0[..., 8:], torch.full((1, 3, 16, 8), 1.5))
