"""Windows and their normalisation."""

from __future__ import annotations

import pytest
import torch

from restore.denoisers.tiles import axis_weights, window
from restore.errors import ConfigError


@pytest.mark.parametrize("kind", ["uniform", "hann", "gaussian"])
@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_windows_are_positive_and_symmetric(kind: str, size: int) -> None:
    w = window(kind, size)
    assert w.shape == (size,) and bool((w > 0).all())
    torch.testing.assert_close(w, w.flip(0))


def test_hann_tiles_that_share_half_need_no_normalisation() -> None:
    """A Hann window and its copy half a tile away sum to one by themselves (sin^2 + cos^2)."""
    inner = axis_weights([0, 8, 16], 16, 32, "hann")[1]
    torch.testing.assert_close(inner, window("hann", 16).float())


def test_uniform_weights_are_one_over_the_count() -> None:
    first, second = axis_weights([0, 2], 4, 6, "uniform")
    assert first.tolist() == [1, 1, 0.5, 0.5] and second.tolist() == [0.5, 0.5, 1, 1]


def test_an_unknown_window_is_named() -> None:
    with pytest.raises(ConfigError, match="'triangle'"):
        window("triangle", 8)  # type: ignore[arg-type]
