"""A small classifier of noisy images, for classifier guidance."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restore.contracts import Condition
from restore.networks.base import BaseNetworkSpec, Capabilities
from restore.networks.bounds import Blocks, Channels, check_weights
from restore.networks.efficient_unet import Block, per_level, pixel_norm, unit_level_features

__all__ = ["Classifier", "ClassifierSpec"]


class ClassifierSpec(BaseNetworkSpec):
    """The hyper-parameters of `Classifier`.

    Attributes:
        state_channels: channels of x_t; 3 for colour images.
        channels: width of each level; each level halves the resolution.
        blocks: residual blocks of each level.
        stem: the factor of the pixel-unshuffle in front.
        labels: number of degradation labels, 0 = unknown included.
        embedding: width of the modulation vector.
    """

    kind: Literal["classifier"] = "classifier"
    state_channels: int = Field(3, ge=1, le=64)
    channels: tuple[Channels, ...] = Field((32, 64, 96), min_length=1, max_length=8)
    blocks: tuple[Blocks, ...] = Field((1, 1, 2), min_length=1, max_length=8)
    stem: int = Field(2, ge=1, le=8)
    labels: int = Field(7, ge=2, le=65536)
    embedding: int = Field(96, ge=8, le=8192, multiple_of=2)

    @model_validator(mode="after")
    def _check(self) -> ClassifierSpec:
        per_level(self.channels, self.blocks)
        each = [n * (18 * c + 2 * self.embedding) * c for c, n in zip(self.channels, self.blocks, strict=True)]
        check_weights(sum(each) + 2 * self.labels * self.channels[-1])
        return self

    @property
    def multiple(self) -> int:
        """Both sides of an input must be multiples of this."""
        return self.stem * 2 ** (len(self.channels) - 1)

    @property
    def capabilities(self) -> Capabilities:
        """It sees x_t and its level, and nothing else."""
        return Capabilities(state_channels=self.state_channels, condition_channels=0)

    def build(self) -> Classifier:
        """Return the network with fresh weights."""
        return Classifier(self)


class Classifier(nn.Module):
    """The encoder half of the default network, conditioned on the noise level; features are averaged over the image."""

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        e = spec.embedding
        self.stem = nn.Conv2d(spec.state_channels * spec.stem**2, spec.channels[0], 3, padding=1)
        self.level = nn.Sequential(nn.Linear(e, e), nn.SiLU(), nn.Linear(e, e))
        self.down = nn.ModuleList(
            nn.ModuleList(Block(c, e, normalised=True) for _ in range(n))
            for c, n in zip(spec.channels, spec.blocks, strict=True)
        )
        self.shrink = nn.ModuleList(
            nn.Conv2d(c, wider, 2, stride=2) for c, wider in zip(spec.channels, spec.channels[1:], strict=False)
        )
        self.head = nn.Linear(2 * spec.channels[-1], spec.labels)

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the (B, labels) logits of (B, C, H, W) noisy images at (B,) levels; the condition is not seen."""
        features = unit_level_features(value, self.spec.embedding)
        embedding = F.silu(self.level(features.to(self.stem.weight.dtype)))
        x = F.pixel_unshuffle(x_t, self.spec.stem) if self.spec.stem > 1 else x_t
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        for i, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, embedding)
            if i < len(self.shrink):
                x = self.shrink[i](x)
        x = F.silu(pixel_norm(x))
        # the mean measures how much of a degradation there is, the maximum whether there is any
        return self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
