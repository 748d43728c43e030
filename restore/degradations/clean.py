"""No weather at all: what must stay as it is."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from restore.degradations.random import Random
from restore.schema import Spec

__all__ = ["Clean"]


class Clean(Spec):
    """The image itself, so that a model learns to leave good images alone."""

    kind: Literal["clean"] = "clean"

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` unchanged, whatever the severity."""
        random.host.severity(severity)
        return clean.clone()
