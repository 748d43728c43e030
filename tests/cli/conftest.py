"""The command line, run in this process: what it prints and how it exits."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ran]]:
    """A function that runs `restore ARGS...`."""
    from restore.cli import main

    before = signal.getsignal(signal.SIGTERM)

    def run(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["restore", *map(str, args)])
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                main()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return Ran(code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)
