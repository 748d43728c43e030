"""Tensors are small here."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def few_threads(one_thread: None) -> None:
    """Tensors are small here."""
