"""What the tests of the mathematics share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of recorded numbers that belong to the tests."""
    return Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module", autouse=True)
def few_threads(one_thread: None) -> None:
    """Tensors are small here."""
