"""A classifier of noised images: the first half of a U-Net and a pooling (guided-diffusion, section 4)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from restore.contracts import Condition
from restore.networks.base import Capabilities
from restore.networks.layers import UNetTrunk, UNetTrunkSpec, attend, normal

__all__ = ["Encoder", "EncoderSpec"]

Pool = Literal["attention", "adaptive", "spatial", "spatial_v2"]
HIDDEN = 2048  # width of the two layers behind the pooling over all resolutions


class EncoderSpec(UNetTrunkSpec):
    """The hyper-parameters of `Encoder`.

    Attributes:
        outputs: number of classes.
        pool: `attention` (a token that attends to all pixels), `adaptive` (the mean over pixels), or `spatial` and
            `spatial_v2` (the means after every block, then two layers).
        size: side of the images; the positions of `attention` belong to it.
        pool_head_channels: channels of a head of the attention pooling.
    """

    kind: Literal["encoder"] = "encoder"
    outputs: int = Field(1000, ge=1, le=65536)
    pool: Pool = "attention"
    size: int = Field(64, ge=1, le=4096)
    pool_head_channels: int = Field(64, ge=1, le=4096)

    @property
    def capabilities(self) -> Capabilities:
        """It sees x_t and its level, and nothing else."""
        return Capabilities(state_channels=self.state_channels, condition_channels=0)

    def build(self) -> Encoder:
        """Return the network with fresh weights."""
        return Encoder(self)


class AttentionPool(nn.Module):
    """The mean of all pixels attends to them (CLIP, section 2.4)."""

    def __init__(self, channels: int, pixels: int, outputs: int, head_channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.position = nn.Parameter(normal(channels, pixels + 1) / channels**0.5)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs) of x, (B, C, H, W)."""
        x = x.flatten(2)
        x = torch.cat([x.mean(dim=2, keepdim=True), x], dim=2) + self.position
        return self.out(attend(self.qkv(x.transpose(1, 2)), self.heads)[:, 0])


class Encoder(UNetTrunk):
    """The network of this module: noised images and their levels to logits."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec, spec.state_channels)
        self.spec = spec
        width = spec.channels[-1]
        self.head_norm: nn.Module = nn.Identity()
        if spec.pool in ("attention", "adaptive"):
            self.head_norm = spec.norm(width)
        if spec.pool == "attention":
            pixels = (spec.size // spec.multiple) ** 2
            self.head: nn.Module = AttentionPool(width, pixels, spec.outputs, spec.pool_head_channels)
        elif spec.pool == "adaptive":
            self.head = nn.Linear(width, spec.outputs)
        else:
            middle: list[nn.Module] = [spec.norm(HIDDEN), nn.SiLU()] if spec.pool == "spatial_v2" else [nn.ReLU()]
            features = sum(spec.skips()) + width
            self.head = nn.Sequential(nn.Linear(features, HIDDEN), *middle, nn.Linear(HIDDEN, spec.outputs))

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the logits, (B, outputs), of images (B, C, H, W) at noise levels (B,); it sees no condition."""
        found = self.descend(x_t, self.level(value.expand(len(x_t))))
        if self.spec.pool.startswith("spatial"):
            return self.head(torch.cat([x.mean(dim=(2, 3)) for x in found], dim=1))
        x = F.silu(self.head_norm(found[-1]))
        return self.head(x.mean(dim=(2, 3)) if self.spec.pool == "adaptive" else x)
