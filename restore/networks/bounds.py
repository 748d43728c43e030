"""The largest network that a document may specify: a number too large must not fill the memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

__all__ = ["Blocks", "Channels", "check_weights"]

Channels = Annotated[int, Field(ge=1, le=4096)]
"""Width of a level."""

Blocks = Annotated[int, Field(ge=1, le=128)]
"""Residual blocks of a level."""

MOST_WEIGHTS = 2_000_000_000
"""Of a network, 8 GB in float32: four times the largest that the published families have."""


def check_weights(about: int) -> None:
    """Check that a network with about so many weights can be built.

    >>> check_weights(10**7)

    Raises:
        ValueError: it would have more than `MOST_WEIGHTS`.
    """
    if about > MOST_WEIGHTS:
        raise ValueError(
            f"this network would have about {about / 1e9:.1f} billion weights; the most is {MOST_WEIGHTS / 1e9:.0f} "
            "billion: take fewer or narrower blocks"
        )
