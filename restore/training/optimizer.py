"""Which optimizer trains a network, as a document."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import nn

from restore.errors import ConfigError
from restore.schema import Spec
from restore.training.muon import Muon

__all__ = ["Optimizer"]


class Optimizer(Spec):
    """An optimizer with a warm-up and a cosine decay of its rate.

    Attributes:
        name: `muon` (`restore.training.muon`), or any of timm's by its name.
        rate: the highest learning rate.
        final_rate: the last.
        warmup: steps until the highest.
        weight_decay: decoupled where the optimizer has it so.
        clip: the largest norm of the gradient.
    """

    name: str = "adamw"
    rate: float = Field(5e-4, gt=0)
    final_rate: float = Field(1e-6, ge=0)
    warmup: int = Field(300, ge=0, le=10**9)
    weight_decay: float = Field(1e-4, ge=0)
    clip: float = Field(1.0, gt=0)

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a network's parameters.

        Raises:
            ConfigError: timm knows no optimizer of that name.
        """
        from timm.optim import create_optimizer_v2, list_optimizers

        if self.name == "muon":
            return Muon(network, self.rate, self.weight_decay)
        if self.name not in list_optimizers():
            raise ConfigError(f"optimizer.name: {self.name!r} is neither muon nor an optimizer of timm")
        # one pass over the weights in place of fifteen: a fifth of a step of a small batch on a CPU
        options = {"fused": True} if self.name in {"adam", "adamw"} else {}
        return create_optimizer_v2(network, opt=self.name, lr=self.rate, weight_decay=self.weight_decay, **options)
