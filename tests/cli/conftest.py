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

    before = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM)}
    # a shell that starts the tests in the background has them ignore Ctrl-C; a user's terminal does not
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
    for sign, handler in before.items():
        signal.signal(sign, handler)
