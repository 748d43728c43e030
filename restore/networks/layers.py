"""The blocks of the classic diffusion U-Net, in which four published codebases differ by a word each.

============================  ===================  ============  ==============  ================
what                          WeatherDiffusion     Palette       SR3 (and DDPM)  guided-diffusion
============================  ===================  ============  ==============  ================
features of the level         sine first           cosine first  sine first      cosine first
smallest frequency            1e-4                 above 1e-4    above 1e-4      above 1e-4
the level's vector            added                scale, shift  added           either
SiLU before a block reads it  yes                  yes           no (DDPM: yes)  yes
shrinking                     padded (0, 1, 0, 1)  residual      padding 1       residual or conv
eps of the normalisation      1e-6                 1e-5          1e-5            1e-5
============================  ===================  ============  ==============  ================
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restore.networks.base import BaseNetworkSpec
from restore.networks.bounds import Blocks, Channels, check_weights
from restore.schema import Spec

__all__ = [
    "Attention",
    "Grow",
    "LevelEmbedding",
    "LevelSpec",
    "ResBlock",
    "Shrink",
    "UNetStage",
    "UNetTrunk",
    "UNetTrunkSpec",
    "level_features",
    "normal",
]

MAX_PERIOD = 10_000.0


class LevelSpec(Spec):
    """How a network is conditioned on the noise level: sinusoidal features, then two linear layers.

    Attributes:
        width: number of features.
        hidden: width between the two layers.
        out: width of the vector that modulates the blocks.
        first: which half of the features comes first.
        endpoint: the smallest frequency is 1e-4 itself, 10000^(-i / (n - 1)); else 10000^(-i / n).
    """

    width: int = Field(64, ge=2, le=16384)
    hidden: int = Field(256, ge=1, le=16384)
    out: int = Field(256, ge=1, le=16384)
    first: Literal["sin", "cos"] = "cos"
    endpoint: bool = False


class UNetTrunkSpec(BaseNetworkSpec):
    """What a U-Net and a classifier (its first half) have in common.

    Attributes:
        state_channels: channels of x_t; 3 for colour images.
        stem: width of the first convolution.
        channels: width of each level; each level halves the resolution.
        blocks: residual blocks of a level on the way down.
        attention: the levels with attention after each block, 0 = full resolution; the middle always has it.
        level: how the noise level enters.
        modulation: the level's vector is added between the convolutions, or scales and shifts the second normalisation.
        activate: SiLU on the level's vector before a block's linear layer.
        shrink: `conv` (stride 2, padding 1), `conv_asymmetric` (stride 2, padded right and below only), `residual`
            (a residual block that averages 2x2) or `pool` (average, no weights); growing is its counterpart.
        groups: of every normalisation.
        eps: of every normalisation.
        heads: of every attention, unless `head_channels` is given.
        head_channels: channels of a head, instead of a number of heads.
        heads_up: heads on the way up, where they differ.
        qkv_bias: whether queries, keys and values have a bias.
        dropout: before the second convolution of a block, in training.
    """

    state_channels: int = Field(3, ge=1, le=64)
    stem: Channels = 64
    channels: tuple[Channels, ...] = Field((64, 128, 256, 512), min_length=1, max_length=12)
    blocks: Blocks = 2
    attention: tuple[Annotated[int, Field(ge=0, le=11)], ...] = Field((), max_length=12)
    level: LevelSpec = LevelSpec()
    modulation: Literal["add", "scale_shift"] = "scale_shift"
    activate: bool = True
    shrink: Literal["conv", "conv_asymmetric", "residual", "pool"] = "residual"
    groups: int = Field(32, ge=1, le=4096)
    eps: float = Field(1e-5, gt=0)
    heads: int = Field(1, ge=1, le=4096)
    head_channels: int | None = Field(None, ge=1, le=4096)
    heads_up: int | None = Field(None, ge=1, le=4096)
    qkv_bias: bool = True
    dropout: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> UNetTrunkSpec:
        levels = len(self.channels)
        # a block on the way up sees what comes up beside what was kept on the way down
        check_weights(sum((45 * self.blocks + 27) * c**2 + 4 * self.blocks * c * self.level.out for c in self.channels))
        if any(not 0 <= i < levels for i in self.attention):
            raise ValueError(f"attention names levels 0 to {levels - 1}, not {self.attention}")
        for width in sorted(self.norm_widths()):
            if width % self.groups:
                raise ValueError(f"groups = {self.groups} does not divide the {width} channels of a normalisation")
        for up in (False, True):
            for width in sorted({self.channels[i] for i in self.attention} | {self.channels[-1]}):
                if width % self.heads_of(width, up) or (self.head_channels and width % self.head_channels):
                    wanted = f"head_channels = {self.head_channels}" if self.head_channels else "the number of heads"
                    raise ValueError(f"{wanted} does not divide the {width} channels of an attention")
        return self

    @property
    def multiple(self) -> int:
        """Both sides of an input must be multiples of this."""
        return 2 ** (len(self.channels) - 1)

    def heads_of(self, channels: int, up: bool = False) -> int:
        """Return the number of heads of an attention over so many channels."""
        if self.head_channels:
            return max(1, channels // self.head_channels)
        return self.heads_up or self.heads if up else self.heads

    def norm_widths(self) -> set[int]:
        """Return the numbers of channels that are normalised."""
        return {self.stem, *self.channels}

    def skips(self) -> Iterator[int]:
        """Yield the widths that the way down leaves for the way up, in the order in which they arise."""
        yield self.stem
        for i, width in enumerate(self.channels):
            yield from [width] * (self.blocks + (i + 1 < len(self.channels)))

    def norm(self, channels: int) -> nn.GroupNorm:
        """Return a normalisation."""
        return nn.GroupNorm(self.groups, channels, eps=self.eps)


def normal(rows: int, columns: int) -> Tensor:
    """Return standard normal numbers, drawn in place so that `build_empty` can leave them out."""
    return torch.empty(rows, columns).normal_()


def level_features(value: Tensor, width: int, first: Literal["sin", "cos"], endpoint: bool) -> Tensor:
    """Return the (B, width) sinusoidal features of (B,) levels, in their type; an odd width ends with a zero."""
    half = width // 2
    steps = max(half - 1, 1) if endpoint else half
    index = torch.arange(half, device=value.device, dtype=value.dtype)
    angle = value[:, None] * torch.exp(index * (-math.log(MAX_PERIOD) / steps))
    sine, cosine = angle.sin(), angle.cos()
    features = torch.cat([sine, cosine] if first == "sin" else [cosine, sine], dim=1)
    return F.pad(features, (0, width - 2 * half))


class LevelEmbedding(nn.Module):
    """Noise levels to vectors: features, linear, SiLU, linear."""

    def __init__(self, spec: LevelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.layer1 = nn.Linear(spec.width, spec.hidden)
        self.layer2 = nn.Linear(spec.hidden, spec.out)

    def forward(self, value: Tensor) -> Tensor:
        """Return (B, out) of (B,) levels; their sines are taken in float32 at least."""
        dtype = self.layer1.weight.dtype
        value = value.to(torch.promote_types(dtype, torch.float32))
        features = level_features(value, self.spec.width, self.spec.first, self.spec.endpoint)
        return self.layer2(F.silu(self.layer1(features.to(dtype))))


class ResBlock(nn.Module):
    """Two convolutions beside a shortcut, modulated by the level; may halve or double the resolution."""

    def __init__(
        self, spec: UNetTrunkSpec, inputs: int, outputs: int, resample: Literal["keep", "down", "up"] = "keep"
    ) -> None:
        super().__init__()
        self.resample, self.activate, self.scale_shift = resample, spec.activate, spec.modulation == "scale_shift"
        self.norm1 = spec.norm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(spec.level.out, 2 * outputs if self.scale_shift else outputs)
        self.norm2 = spec.norm(outputs)
        self.dropout = nn.Dropout(spec.dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return (B, outputs, H', W') of x (B, inputs, H, W) and the level's (B, E) vector."""
        h = F.silu(self.norm1(x))
        if self.resample != "keep":
            h, x = resampled(h, self.resample), resampled(x, self.resample)
        h = self.conv1(h)
        m = self.modulation(F.silu(embedding) if self.activate else embedding)[..., None, None]
        if self.scale_shift:
            scale, shift = m.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(h + m)
        return self.shortcut(x) + self.conv2(self.dropout(F.silu(h)))


def resampled(x: Tensor, how: Literal["down", "up"]) -> Tensor:
    """Return x, (B, C, H, W), averaged over 2x2 or with each pixel repeated 2x2."""
    return F.avg_pool2d(x, 2) if how == "down" else F.interpolate(x, scale_factor=2.0, mode="nearest")


class Attention(nn.Module):
    """Self-attention over all pixels, beside a shortcut; heads lie one after the other in q, in k and in v."""

    def __init__(self, spec: UNetTrunkSpec, channels: int, up: bool = False) -> None:
        super().__init__()
        self.heads = spec.heads_of(channels, up)
        self.norm = spec.norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=spec.qkv_bias)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape as x, (B, C, H, W)."""
        b, c, height, width = x.shape
        h = self.qkv(self.norm(x).flatten(2).transpose(1, 2))
        h = attend(h, self.heads)
        return x + self.out(h).transpose(1, 2).reshape(b, c, height, width)


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Return softmax(q k^T / sqrt(d)) v, (B, N, C), of (B, N, 3 C), with d = C / heads."""
    b, n, c = qkv.shape
    q, k, v = qkv.reshape(b, n, 3, heads, c // (3 * heads)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c // 3)


class Shrink(nn.Module):
    """Half the resolution, by a convolution or an average."""

    def __init__(self, channels: int, how: Literal["conv", "conv_asymmetric", "pool"]) -> None:
        super().__init__()
        self.asymmetric = how == "conv_asymmetric"
        padding = 0 if self.asymmetric else 1
        self.conv = None if how == "pool" else nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return (B, C, H / 2, W / 2)."""
        if self.conv is None:
            return resampled(x, "down")
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.asymmetric else x)


class Grow(nn.Module):
    """Double the resolution: each pixel repeated, then a convolution unless shrinking has none."""

    def __init__(self, channels: int, conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if conv else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return (B, C, 2 H, 2 W)."""
        return self.conv(resampled(x, "up"))


class UNetStage(nn.Module):
    """A residual block, and attention where the level has it."""

    def __init__(self, spec: UNetTrunkSpec, inputs: int, outputs: int, attention: bool, up: bool = False) -> None:
        super().__init__()
        self.block = ResBlock(spec, inputs, outputs)
        self.attention = Attention(spec, outputs, up) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return (B, outputs, H, W)."""
        return self.attention(self.block(x, embedding))


class UNetTrunk(nn.Module):
    """The way down and the middle."""

    def __init__(self, spec: UNetTrunkSpec, inputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(inputs, spec.stem, 3, padding=1)
        self.level = LevelEmbedding(spec.level)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        width = spec.stem
        for i, out in enumerate(spec.channels):
            stages = nn.ModuleList()
            for _ in range(spec.blocks):
                stages.append(UNetStage(spec, width, out, i in spec.attention))
                width = out
            self.down.append(stages)
            if i + 1 < len(spec.channels):
                residual = spec.shrink == "residual"
                self.shrink.append(ResBlock(spec, out, out, "down") if residual else Shrink(out, spec.shrink))
        self.middle = nn.ModuleList(
            [ResBlock(spec, width, width), Attention(spec, width), ResBlock(spec, width, width)]
        )

    def descend(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        """Return what each convolution, stage and shrinking of the way down made, and last what the middle made."""
        found = [self.stem(x)]
        for i, stages in enumerate(self.down):
            for stage in stages:
                found.append(stage(found[-1], embedding))
            if i < len(self.shrink):
                found.append(self.shrink[i](found[-1], embedding))
        first, attention, second = self.middle
        return [*found, second(attention(first(found[-1], embedding)), embedding)]
