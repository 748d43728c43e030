"""Samplers, tasks and degradations of a package, named on the command line."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from restore.cli import main
from restore.models import native

SOURCE = '''
from typing import Literal

from restore.degradations import Random
from restore.samplers import Sampler, Step
from restore.schema import Spec
from restore.tasks import Prepared, Task


class Jump(Sampler):
    """Straight to the estimate of the first level."""
    kind: Literal["jump"] = "jump"
    gray: bool = False

    def solve(self, denoiser, condition, schedule, x_t, levels, noise):
        x0 = denoiser(x_t, schedule.level(levels[0], len(x_t), x_t.device), condition).x0
        yield Step(0, x0 * (not self.gray), x0)


class Negative(Task):
    """The network is shown negatives."""
    kind: Literal["negative"] = "negative"

    def prepare(self, images, request):
        self.check(request)
        return Prepared(-images)


class Dim(Spec):
    """Half of the light."""
    kind: Literal["dim"] = "dim"

    def __call__(self, clean, random: Random, severity=None):
        return clean * (1 - 0.5 * random.severity(severity))[:, None, None, None]
'''
POINTS = {
    "restore.samplers": {"jump": "shop:Jump"},
    "restore.tasks": {"negative": "shop:Negative"},
    "restore.degradations": {"dim": "shop:Dim"},
}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def command(package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs `restore ARGS...` beside the package, which must exit with `code`; returns the output."""
    package("shop", {"__init__.py": SOURCE}, POINTS)

    def run(*args: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["restore", *map(str, args)])
        handler = signal.getsignal(signal.SIGTERM)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                main()
                ended = 0
            except SystemExit as stop:
                ended = stop.code
        signal.signal(signal.SIGTERM, handler)
        printed = capsys.readouterr()
        assert ended == code, printed.err
        return printed.out + printed.err

    return run


def pixels(path: Path) -> torch.Tensor:
    import restore

    return restore.read(path).pixels


def test_a_sampler_is_named(command, tiny_model: Path, photographs: Path, tmp_path: Path) -> None:
    photo = photographs / "chelsea.png"
    common = ("run", photo, "--model", tiny_model, "--device", "cpu", "-o")
    command(*common, tmp_path / "own.png")
    command(*common, tmp_path / "jump.png", "--sampler", "jump,steps=3")
    command(*common, tmp_path / "gray.png", "--sampler", "jump,steps=3,gray=true")
    assert not torch.equal(pixels(tmp_path / "own.png"), pixels(tmp_path / "gray.png"))
    assert pixels(tmp_path / "gray.png").abs().max() < 0.01 < pixels(tmp_path / "jump.png").abs().max()
    said = command(*common, tmp_path / "no.png", "--sampler", "jmup", code=2)
    assert "unknown kind 'jmup'; did you mean jump?" in said and "jump (of shop 1.0)" in said
    said = command(*common, tmp_path / "no.png", "--sampler", "jump,grey=true", code=2)
    assert "did you mean gray?" in said


def test_a_task_is_named(command, tiny_recipe, photographs: Path, tmp_path: Path) -> None:
    network = tiny_recipe.network.build()  # whose residual is nothing before it is trained: what it is shown comes back
    document = {**tiny_recipe.model_dump(mode="json"), "name": "negative", "task": {"kind": "negative"}}
    document["tasks"] = {"negative": "unknown"}
    native.save(tmp_path / "negative.safetensors", network.state_dict(), document)
    photo = photographs / "chelsea.png"
    common = ("run", photo, "--model", tmp_path / "negative.safetensors", "--device", "cpu", "-o")
    command(*common, tmp_path / "out.png", "--task", "negative")
    assert (pixels(tmp_path / "out.png") + pixels(photo)).abs().max() < 0.02
    said = command(*common, tmp_path / "no.png", "--task", "negativ", code=2)
    assert "did you mean negative?" in said


def test_a_degradation_is_named(command, photographs: Path, tmp_path: Path) -> None:
    out = command("evaluate", "--clean", photographs, "--model", "none", "--degradation", "dim,rain", "--severity", 1)
    assert "dim" in out and "rain" in out
    made = ("data", "synthesize", photographs, tmp_path / "pairs", "--severity", 1, "--degradation")
    assert "did you mean dim?" in command(*made, "dimm", code=2)
    command(*made, "dim")
    degraded = pixels(tmp_path / "pairs" / "input" / "chelsea.png")
    light = (degraded + 1) / (pixels(photographs / "chelsea.png") + 1).clamp(min=0.2)
    assert 0.45 < light.median() < 0.55
