"""The training problem of a picture with a hole: the network is asked for the hole alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.denoisers.masked import Masked
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.parameterization import Answer, Problem

__all__ = ["Holed"]


@dataclass(frozen=True)
class Holed(Problem):
    """A problem whose noise, and whose loss, are inside a hole; elsewhere the network sees x0 (Palette, section 3).

    Attributes:
        known: (B, 3, H, W), the pictures, x0.
        hole: (B, 1, H, W) bool.
    """

    known: Tensor | None = None
    hole: Tensor | None = None

    @classmethod
    def of(cls, problem: Problem, known: Tensor, hole: Tensor) -> Holed:
        """Return the problem of one batch; the history of losses is shared."""
        given = {field.name: getattr(problem, field.name) for field in fields(Problem)}
        return cls(**given, known=known, hole=hole)

    def ask(self, network: Network, x0: Tensor, condition: Condition, level: Level, eps: Tensor) -> Answer:
        """Return the answer of the network inside the hole, and outside of it what it should have been."""

        def inside(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
            return network(self._shown(x_t), value, condition)

        answer = super().ask(inside, x0, condition, level, eps)
        assert self.hole is not None
        output = torch.where(self.hole, answer.output, answer.target.to(answer.output))
        return replace(answer, x_t=self._shown(answer.x_t), output=output)

    def x0(self, answer: Answer, condition: Condition) -> Tensor:
        """Return the estimate of x0 inside the hole; outside of it the picture is known, whatever x_t is there."""
        assert self.known is not None and self.hole is not None
        return torch.where(self.hole, super().x0(answer, condition), self.known)

    def denoiser(self, network: Network, dtype: torch.dtype = torch.float32) -> NetworkDenoiser:
        """Return the network as a denoiser that is told the known pixels."""
        assert self.known is not None and self.hole is not None
        return Masked(super().denoiser(network, dtype), self.known, self.hole)  # type: ignore[return-value]

    def _shown(self, x_t: Tensor) -> Tensor:
        assert self.known is not None and self.hole is not None
        return torch.where(self.hole, x_t, self.known.to(x_t))
