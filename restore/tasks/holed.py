"""The parameterization of an image with a hole: the network predicts the hole alone."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from restore.contracts import Condition, Level, Network
from restore.denoisers.masked import Masked
from restore.denoisers.network import NetworkDenoiser
from restore.denoisers.parameterization import Parameterization, Prediction

__all__ = ["Holed"]


@dataclass(frozen=True)
class Holed(Parameterization):
    """One whose noise, and whose loss, are inside a hole; elsewhere the network sees x0 (Palette, section 3).

    Attributes:
        known: (B, 3, H, W), the images, x0.
        hole: (B, 1, H, W) bool.
    """

    known: Tensor | None = None
    hole: Tensor | None = None

    @classmethod
    def of(cls, parameterization: Parameterization, known: Tensor, hole: Tensor) -> Holed:
        """Return the parameterization of one batch."""
        given = {field.name: getattr(parameterization, field.name) for field in fields(Parameterization)}
        return cls(**given, known=known, hole=hole)

    def predict(self, network: Network, x0: Tensor, condition: Condition, level: Level, eps: Tensor) -> Prediction:
        """Return the prediction of the network inside the hole, and outside of it what it should have been."""

        def inside(x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
            return network(self._shown(x_t), value, condition)

        predicted = super().predict(inside, x0, condition, level, eps)
        assert self.hole is not None
        output = torch.where(self.hole, predicted.output, predicted.target.to(predicted.output))
        return replace(predicted, x_t=self._shown(predicted.x_t), output=output)

    def x0(self, predicted: Prediction, condition: Condition) -> Tensor:
        """Return the estimate of x0 inside the hole; outside of it the image is known, whatever x_t is there."""
        assert self.known is not None and self.hole is not None
        return torch.where(self.hole, super().x0(predicted, condition), self.known)

    def denoiser(self, network: Network, dtype: torch.dtype = torch.float32) -> NetworkDenoiser:
        """Return the network as a denoiser that is given the known pixels."""
        assert self.known is not None and self.hole is not None
        return Masked(super().denoiser(network, dtype), self.known, self.hole)  # type: ignore[return-value]

    def _shown(self, x_t: Tensor) -> Tensor:
        assert self.known is not None and self.hole is not None
        return torch.where(self.hole, x_t, self.known.to(x_t))
