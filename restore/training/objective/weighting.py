"""How much the error at each noise level counts."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from restore.contracts import Level
from restore.denoisers.parameterization import Parameterization
from restore.schema import Spec

__all__ = ["P2", "MinSNR", "Unweighted", "Weighting"]


class Unweighted(Spec):
    """Every level counts the same, in terms of what the network predicts (DDPM, eq. 14)."""

    kind: Literal["constant"] = "constant"

    def __call__(self, parameterization: Parameterization, level: Level) -> Tensor | None:
        """Return None: no weights."""
        return None


class MinSNR(Spec):
    """The squared error of x0 counts by min(SNR, gamma), whatever is predicted (Hang et al. 2023, eq. 7).

    Attributes:
        gamma: largest weight of the squared error of x0.
    """

    kind: Literal["min_snr"] = "min_snr"
    gamma: float = Field(5.0, gt=0)

    def __call__(self, parameterization: Parameterization, level: Level) -> Tensor:
        """Return the (B,) float32 weights of the prediction's squared error."""
        alpha_bar = level.alpha_bar.to(torch.float64)
        snr = alpha_bar / (1 - alpha_bar)
        if parameterization.prediction == "eps":  # the ratio's limit, 1, where nothing of the image is left
            return (self.gamma / snr).clamp(max=1).float()
        return (snr.clamp(max=self.gamma) / parameterization.error_ratio(level)).float()


class P2(Spec):
    """The squared error of the noise counts by (k + SNR)^-gamma, whatever is predicted (Choi et al. 2022, eq. 8).

    Attributes:
        k: keeps the weights finite where nothing is left of the image.
        gamma: exponent; 0 weighs all levels alike.
    """

    kind: Literal["p2"] = "p2"
    k: float = Field(1.0, gt=0)
    gamma: float = Field(1.0, ge=0)

    def __call__(self, parameterization: Parameterization, level: Level) -> Tensor:
        """Return the (B,) float32 weights of the prediction's squared error."""
        alpha_bar = level.alpha_bar.to(torch.float64)
        snr = alpha_bar / (1 - alpha_bar)
        weight = (self.k + snr) ** -self.gamma
        return (
            weight if parameterization.prediction == "eps" else weight * snr / parameterization.error_ratio(level)
        ).float()


Weighting = Annotated[Unweighted | MinSNR | P2, Field(discriminator="kind")]
