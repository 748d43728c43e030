"""The default network: a compact conditional U-Net that runs well on a CPU and takes images of any size.

Palette-style channel concatenation of the condition and x_t, a pixel-unshuffle stem and dense 3x3 convolutions only, so
that an image's size changes nothing. The noise level and a degradation label modulate every block. A thumbnail of the
whole image conditions a small patch on its surroundings (the colour of the haze, say); its last layer starts at zero,
so that a network without it is the same network.

Nothing is normalised, as in EDSR (Lim et al. 2017): the pixels of a flat area are, but for their brightness, all alike,
and a normalisation of each pixel's channels makes a white streak on a grey wall look like the wall. The output is a
gain and an offset for every pixel of the condition, because that is how weather acts: haze is `J t + A (1 - t)`, a
streak of rain `J (1 - a) + c a`, and both are undone by one multiplication and one addition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from restore.contracts import Condition
from restore.networks.base import BaseNetworkSpec, Capabilities
from restore.networks.bounds import Blocks, Channels, check_weights

__all__ = ["EfficientUNet", "EfficientUNetSpec"]

COLOURS = 3

MAX_FREQUENCY = 1000.0
"""Of the noise level's features, in radians over the range of the level."""


class EfficientUNetSpec(BaseNetworkSpec):
    """The hyper-parameters of `EfficientUNet`.

    Attributes:
        state_channels: channels of x_t and of the prediction; 3 for colour images.
        condition_channels: channels of the degraded image.
        channels: width of each level; each level halves the resolution.
        blocks: residual blocks of each level on the way down (and again on the way up, except for the last level).
        stem: the factor of the pixel-unshuffle in front.
        labels: number of degradation labels, 0 = unknown included.
        embedding: width of the modulation vector.
        context: width of the thumbnail's features, 2 or more; 0 leaves the global context out.
        learned_variance: as many outputs again say where the reverse step's variance lies.
        gated: x_t is multiplied by the level's value, which must be sqrt(alpha_bar) or alpha_bar: the share of the
            image in x_t. Where nothing of the image is left, nothing of the noise is seen, and the network need
            not learn to ignore it.
        gain: the prediction is `gain * (condition + 1) + offset` with black at -1, not an offset alone; the state is
            then an image like the first three channels of the condition.
        normalised: every block normalises the channels of each pixel first.
    """

    kind: Literal["efficient_unet"] = "efficient_unet"
    state_channels: int = Field(3, ge=1, le=64)
    condition_channels: int = Field(3, ge=1, le=64)
    channels: tuple[Channels, ...] = Field((32, 64, 128, 192), min_length=1, max_length=8)
    blocks: tuple[Blocks, ...] = Field((2, 2, 3, 4), min_length=1, max_length=8)
    stem: int = Field(2, ge=1, le=8)
    labels: int = Field(7, ge=1, le=65536)
    embedding: int = Field(192, ge=8, le=8192, multiple_of=2)
    context: int = Field(96, ge=0, le=4096)
    learned_variance: bool = False
    gated: bool = True
    gain: bool = True
    normalised: bool = False

    @model_validator(mode="after")
    def _check(self) -> EfficientUNetSpec:
        per_level(self.channels, self.blocks)
        each = [n * (18 * c + 2 * self.embedding) * c for c, n in zip(self.channels, self.blocks, strict=True)]
        check_weights(2 * sum(each) - each[-1] + self.labels * self.embedding)
        if self.context == 1:
            raise ValueError("context must be 0 or at least 2, for its first layer has half as many features, not 1")
        if self.gain and self.state_channels != COLOURS:
            raise ValueError(
                f"gain multiplies the {COLOURS} colours of the condition, so that state_channels must be {COLOURS}, "
                f"not {self.state_channels}; or set gain=false"
            )
        return self

    @property
    def multiple(self) -> int:
        """Both sides of an input must be multiples of this."""
        return self.stem * 2 ** (len(self.channels) - 1)

    @property
    def halo(self) -> int:
        """How many pixels around a square of `multiple` pixels its prediction depends on, at most.

        >>> EfficientUNetSpec().halo
        288
        """
        # each block reaches two pixels of its level further, and a coarser level sees whole pixels of its own
        reach = 1
        for blocks in self.blocks[:-1]:
            reach = math.ceil((reach + 2 * blocks) / 2)
        for blocks in (self.blocks[-1], *reversed(self.blocks[:-1])):
            reach = (reach + 2 * blocks) * 2
        return math.ceil((reach // 2 + 1) * self.stem / self.multiple) * self.multiple

    @property
    def capabilities(self) -> Capabilities:
        """What the network takes and gives."""
        return Capabilities(
            state_channels=self.state_channels,
            condition_channels=self.condition_channels,
            labels=self.labels,
            learned_variance=self.learned_variance,
            gated=self.gated,
            halo=self.halo,
            encodes=self.context > 0,
            grows=True,
        )

    def build(self) -> EfficientUNet:
        """Return the network with fresh weights."""
        return EfficientUNet(self)


def per_level(channels: Sequence[int], blocks: Sequence[int]) -> None:
    """Raise ValueError unless both have one number for each level.

    Raises:
        ValueError: their lengths differ.
    """
    if len(channels) != len(blocks):
        raise ValueError(f"channels and blocks need one number for each level, not {len(channels)} and {len(blocks)}")


def unit_level_features(value: Tensor, width: int) -> Tensor:
    """Return the (B, width) float32 sines and cosines of (B,) levels in about [0, 1], whatever a network runs in.

    Frequencies are made anew each time: a buffer of them would be rounded with the network's weights, and the highest
    is a thousand times as far off as its last digit.
    """
    frequencies = torch.linspace(0, math.log(MAX_FREQUENCY), width // 2, dtype=torch.float32, device=value.device).exp()
    angle = value.float()[:, None] * frequencies
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def pixel_norm(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """Return x, (B, C, H, W), normalised over the channels of each pixel; a free view where x is channels-last.

    Args:
        x: what to normalise.
        scale: (C,), multiplied in the same pass over the memory.
        shift: (C,), added in the same pass.
    """
    return F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), scale, shift).permute(0, 3, 1, 2)


class Block(nn.Module):
    """A residual block: normalise if it shall, modulate, convolve, SiLU, convolve."""

    def __init__(self, channels: int, embedding: int, normalised: bool = False) -> None:
        super().__init__()
        self.normalised = normalised
        self.modulation = nn.Linear(embedding, 2 * channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Return the block's output, same shape as x, (B, C, H, W); without gradients, x is overwritten."""
        scale, shift = self.modulation(embedding).chunk(2, dim=1)
        if torch.is_grad_enabled():
            return x + self.conv2(F.silu(self.conv1(self._modulated(x, scale, shift))))
        return x.add_(self.conv2(F.silu(self.conv1(self._modulated(x, scale, shift)), inplace=True)))

    def _modulated(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """Return x, (B, C, H, W), scaled and shifted by (B, C) each; not normalised, it is at most doubled."""
        if self.normalised:
            if len(scale) == 1 and not torch.is_grad_enabled():
                return pixel_norm(x, 1 + scale[0], shift[0])
            x = pixel_norm(x)
        else:
            # nothing tames what a scale far from 1 does in one block after the other
            scale = torch.tanh(scale)
        return torch.addcmul(shift[..., None, None], x, 1 + scale[..., None, None])


class Context(nn.Module):
    """Features of a thumbnail: its mean, its maximum, and what it shows where the patch is."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width // 2, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.SiLU(),
        )
        self.out = nn.Linear(3 * width, embedding)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, f: Tensor, box: Tensor | None) -> Tensor:
        """Return (B, E) from the features of the thumbnail, (B, C, s, s), and the (B, 4) place of the patch in it."""
        if box is None:
            here = f.mean((2, 3))
        else:
            centre = (box[:, :2] + box[:, 2:]).flip(1) - 1  # rows, columns in [0, 1] -> x, y in [-1, 1]
            here = F.grid_sample(f, centre[:, None, None].to(f), align_corners=False, padding_mode="border")[..., 0, 0]
        return self.out(torch.cat([f.mean((2, 3)), f.amax((2, 3)), here], dim=1))


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered parts the tensors have under a prefix, up to the last.

    >>> _numbered({"down.0.conv": 0, "down.2.conv": 0, "up.7.conv": 0}, "down")
    3
    """
    numbers = [key.removeprefix(f"{prefix}.").split(".")[0] for key in tensors if key.startswith(f"{prefix}.")]
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


class EfficientUNet(nn.Module):
    """The network of this module; `forward` obeys `restore.contracts.Network`."""

    def __init__(self, spec: EfficientUNetSpec) -> None:
        super().__init__()
        self.spec = spec
        width, e = spec.channels[0], spec.embedding
        self.stem = nn.Conv2d((spec.state_channels + spec.condition_channels) * spec.stem**2, width, 3, padding=1)
        self.label = nn.Embedding(spec.labels, e)
        self.level = nn.Sequential(nn.Linear(e, e), nn.SiLU(), nn.Linear(e, e))
        self.context = Context(spec.context, e) if spec.context else None
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.shrink = nn.ModuleList()
        self.grow = nn.ModuleList()
        for i, (c, n) in enumerate(zip(spec.channels, spec.blocks, strict=True)):
            self.down.append(nn.ModuleList(Block(c, e, spec.normalised) for _ in range(n)))
            if i + 1 < len(spec.channels):
                self.shrink.append(nn.Conv2d(c, spec.channels[i + 1], 2, stride=2))
                self.grow.append(nn.Conv2d(spec.channels[i + 1], 4 * c, 1))
                self.up.append(nn.ModuleList(Block(c, e, spec.normalised) for _ in range(n)))
        outputs = spec.state_channels * (1 + spec.learned_variance + spec.gain)
        self.head = nn.Conv2d(width, outputs * spec.stem**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.label.weight, std=0.02)

    def extended(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of a network with fewer blocks or levels, with this one's for those that it lacks.

        Untrained, what is added does not change the output: a fresh block adds nothing, and what comes up from a
        fresh level is multiplied by zero. Whatever else is missing stays so.
        """
        levels = _numbered(tensors, "down")
        fresh: dict[str, nn.Module] = {}
        for name, known in (("down", levels), ("up", levels - 1)):
            for i, blocks in enumerate(getattr(self, name)):
                there = _numbered(tensors, f"{name}.{i}")
                fresh |= {f"{name}.{i}.{j}": x for j, x in enumerate(blocks) if i >= known or 0 < there <= j}
        for name in ("shrink", "grow"):
            fresh |= {f"{name}.{i}": x for i, x in enumerate(getattr(self, name)) if i >= levels - 1}
        found = dict(tensors)
        for prefix, part in fresh.items():
            for key, value in part.state_dict().items():
                found.setdefault(f"{prefix}.{key}", torch.zeros_like(value) if prefix.startswith("grow") else value)
        return found

    def encode(self, thumbnail: Tensor) -> Tensor:
        """Return what a thumbnail, (B, 3, S, S), can be replaced by in a condition: it is the same for every patch."""
        if self.context is None:
            return thumbnail
        return self.context.features(thumbnail.to(self.label.weight.dtype))

    def embed(self, value: Tensor, condition: Condition) -> Tensor:
        """Return the (B, E) modulation vector of noise level (about [0, 1]), label and context."""
        dtype = self.label.weight.dtype
        features = unit_level_features(value, self.spec.embedding).to(dtype)
        label = torch.zeros_like(value, dtype=torch.int64) if condition.label is None else condition.label
        embedding = self.level(features) + self.label(label)
        if self.context is not None and (condition.features is not None or condition.thumbnail is not None):
            seen = condition.features
            if seen is None:
                assert condition.thumbnail is not None
                seen = self.context.features(condition.thumbnail)
            embedding = embedding + self.context(seen, condition.box)
        return F.silu(embedding)

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        """Return the prediction, (B, C, H, W), or (B, 2 C, H, W) with a learned variance; C is `state_channels`.

        H and W are multiples of `spec.multiple`.
        """
        embedding = self.embed(value, condition)
        if self.spec.gated:
            x_t = x_t * value.to(x_t.dtype)[:, None, None, None]
        x = torch.cat([condition.image, x_t], dim=1)
        if self.spec.stem > 1:
            x = F.pixel_unshuffle(x, self.spec.stem)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        skips = []
        for i, blocks in enumerate(self.down):
            for block in blocks:
                x = block(x, embedding)
            if i < len(self.shrink):
                skips.append(x)
                x = self.shrink[i](x)
        for grow, blocks in zip(reversed(self.grow), reversed(self.up), strict=True):
            x = F.pixel_shuffle(grow(x), 2)
            x = x + skips.pop() if torch.is_grad_enabled() else x.add_(skips.pop())
            for block in blocks:
                x = block(x, embedding)
        # not normalised here: the way around the blocks is what carries brightness to the output
        x = self.head(x)
        if self.spec.stem > 1:
            x = F.pixel_shuffle(x, self.spec.stem)
        if not self.spec.gain:
            return x
        offset, gain = x[:, :-COLOURS], x[:, -COLOURS:]
        shone = gain * (condition.image[:, :COLOURS] + 1)
        if not self.spec.learned_variance:
            return shone + offset
        return torch.cat([shone + offset[:, :COLOURS], offset[:, COLOURS:]], dim=1)
