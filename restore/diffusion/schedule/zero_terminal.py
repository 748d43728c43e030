"""Any schedule, changed so that nothing of the image is left at its last level."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field

from restore.diffusion.schedule.betas import Constant, Linear, Quadratic, Sigmoid, Warmup
from restore.diffusion.schedule.cosine import Cosine
from restore.diffusion.schedule.table import Schedule
from restore.schema import Spec

__all__ = ["ZeroTerminal"]


class ZeroTerminal(Spec):
    """The schedule `base` with zero terminal signal-to-noise ratio (Lin et al. 2024, algorithm 1).

    sqrt(alpha_bar) is shifted to 0 at level T and stretched so that level 1 keeps its value. A network needs another
    prediction than `eps` there.

    Attributes:
        base: the schedule that is changed.
    """

    kind: Literal["zero_terminal"] = "zero_terminal"
    base: Annotated[Linear | Quadratic | Constant | Sigmoid | Warmup | Cosine, Field(discriminator="kind")] = Linear()

    def build(self) -> Schedule:
        """Return the table; of a base with a single level nothing but noise is left."""
        root = self.base.build().alpha_bar.sqrt()
        first, last = root[1], root[-1]
        if len(root) == 2:
            return Schedule(torch.tensor([1.0, 0.0], dtype=torch.float64))
        return Schedule(torch.cat([root[:1], (root[1:] - last) * (first / (first - last))]) ** 2)
