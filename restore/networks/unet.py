"""One U-Net that speaks four published dialects: WeatherDiffusion, Palette, SR3 (and DDPM), guided-diffusion.

All four are the network of DDPM (appendix B): residual blocks with group normalisation and the noise level in each,
attention at low resolutions, long skips. `UNetSpec` names what they changed.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restore.contracts import Condition
from restore.networks.base import Capabilities
from restore.networks.layers import Grow, ResBlock, UNetStage, UNetTrunk, UNetTrunkSpec, normal

__all__ = ["UNet", "UNetSpec"]


class UNetSpec(UNetTrunkSpec):
    """The hyper-parameters of `UNet`.

    Attributes:
        condition_channels: channels of the degraded image; 0 for an unconditional network.
        order: which comes first at the input, the condition or x_t.
        outputs: channels of the prediction: those of the state, or twice as many where a variance is learned.
        classes: number of class labels, 0 for none.
    """

    kind: Literal["unet"] = "unet"
    condition_channels: int = Field(3, ge=0, le=64)
    order: Literal["condition_first", "x_t_first"] = "condition_first"
    outputs: int = Field(3, ge=1, le=64)
    classes: int = Field(0, ge=0, le=65536)

    @model_validator(mode="after")
    def _check_outputs(self) -> UNetSpec:
        if self.outputs not in (self.state_channels, 2 * self.state_channels):
            one, two = self.state_channels, 2 * self.state_channels
            raise ValueError(f"outputs must be {one}, or {two} with a learned variance, not {self.outputs}")
        return self

    @property
    def capabilities(self) -> Capabilities:
        """What the network takes and gives; attention sees all of an image."""
        return Capabilities(
            state_channels=self.state_channels,
            condition_channels=self.condition_channels,
            labels=self.classes,
            learned_variance=self.outputs == 2 * self.state_channels,
        )

    def norm_widths(self) -> set[int]:
        """Return the numbers of channels that are normalised."""
        widths, skips, width = super().norm_widths(), list(self.skips()), self.channels[-1]
        for out in reversed(self.channels):
            for _ in range(self.blocks + 1):
                widths.add(width + skips.pop())
                width = out
        return widths

    def build(self) -> UNet:
        """Return the network with fresh weights."""
        return UNet(self)


class UNet(UNetTrunk):
    """The network of this module; `forward` obeys `restore.contracts.Network`."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__(spec, spec.state_channels + spec.condition_channels)
        self.spec = spec
        self.label: nn.Embedding | None = None
        if spec.classes:
            self.label = nn.Embedding.from_pretrained(normal(spec.classes, spec.level.out), freeze=False)
        skips, width = list(spec.skips()), spec.channels[-1]
        up, grow = [], []
        for i, out in reversed(list(enumerate(spec.channels))):
            stages = nn.ModuleList()
            for _ in range(spec.blocks + 1):
                stages.append(UNetStage(spec, width + skips.pop(), out, i in spec.attention, up=True))
                width = out
            up.append(stages)
            if i:
                residual = spec.shrink == "residual"
                grow.append(ResBlock(spec, out, out, "up") if residual else Grow(out, spec.shrink != "pool"))
        # numbered by level like the way down: `grow[i]` undoes `shrink[i]`
        self.up, self.grow = nn.ModuleList(reversed(up)), nn.ModuleList(reversed(grow))
        self.head_norm = spec.norm(width)
        self.head = nn.Conv2d(width, spec.outputs, 3, padding=1)

    def embed(self, value: Tensor, condition: Condition, batch: int) -> Tensor:
        """Return the (B, E) vector of noise level and class; one level serves the whole batch."""
        embedding = self.level(value.expand(batch))
        if self.label is not None:
            label = condition.label
            label = torch.zeros(batch, dtype=torch.int64, device=value.device) if label is None else label
            embedding = embedding + self.label(label)
        return embedding

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the prediction, (B, outputs, H, W); H and W are multiples of `spec.multiple`."""
        embedding = self.embed(value, condition, len(x_t))
        if self.spec.condition_channels:
            pair = [condition.image, x_t] if self.spec.order == "condition_first" else [x_t, condition.image]
            x_t = torch.cat(pair, dim=1)
        *skips, x = self.descend(x_t, embedding)
        for i, stages in reversed(list(enumerate(self.up))):
            for stage in stages:
                x = stage(torch.cat([x, skips.pop()], dim=1), embedding)
            if i:
                x = self.grow[i - 1](x, embedding)
        return self.head(F.silu(self.head_norm(x)))
