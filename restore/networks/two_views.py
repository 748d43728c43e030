"""A small residual network over two views of an image: pieces of it as they are, and the whole of it made small."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from restore.networks.base import BaseNetworkSpec, Capabilities
from restore.networks.bounds import Channels
from restore.networks.resnet import ResNet, ResNetDepth

__all__ = ["TwoViews", "TwoViewsSpec", "pieces", "reduced"]

SMALLEST_VIEW = 32
"""Sides below this are continued by their edge pixels: the trunk halves its input five times."""

VIEW_CHANNELS = 6
"""Of what a trunk sees: the image, its details at two scales, its darkest channel."""


class TwoViewsSpec(BaseNetworkSpec):
    """The hyper-parameters of `TwoViews`.

    Attributes:
        trunk: which residual network (`restore.networks.resnet`).
        stem: width of the first convolutions, for pieces and for the whole.
        channels: width of the four levels behind them, for pieces.
        coarse: the same for the whole.
        labels: number of classes.
        piece: side of the square pieces, in pixels.
        across: at most so many pieces side by side, and so many below each other.
        whole: the small whole has as many pixels as a square of this side.
        most: an image of more pixels than a square of this side is reduced to that before pieces are cut.
    """

    kind: Literal["two_views"] = "two_views"
    trunk: ResNetDepth = "resnet10t"
    stem: tuple[Channels, Channels] = (16, 12)
    channels: tuple[Channels, Channels, Channels, Channels] = (24, 48, 96, 128)
    coarse: tuple[Channels, Channels, Channels, Channels] = (16, 24, 48, 64)
    labels: int = Field(7, ge=2, le=65536)
    piece: int = Field(128, ge=SMALLEST_VIEW, le=4096)
    across: int = Field(4, ge=1, le=64)
    whole: int = Field(80, ge=SMALLEST_VIEW, le=4096)
    most: int = Field(384, ge=SMALLEST_VIEW, le=16384)

    @property
    def capabilities(self) -> Capabilities:
        """It sees images of any size, and nothing else."""
        return Capabilities(condition_channels=0)

    def build(self) -> TwoViews:
        """Return the network with fresh weights; nothing is downloaded."""
        return TwoViews(self)


class TwoViews(nn.Module):
    """Logits of an image, from its fine detail and from its coarse one.

    Streaks and flakes are fine: they are seen where no pixel is averaged with its neighbours. Haze is the work of
    distance, and shows in the tones of the whole image. Each view has a trunk of its own, for the statistics that
    batch normalisation keeps are not the same. Features are averaged over a view, which measures how much there
    is of something, and their maximum is taken, which detects whether there is any: a few drops on a lens.
    """

    def __init__(self, spec: TwoViewsSpec) -> None:
        super().__init__()
        self.spec = spec
        self.fine, self.coarse = (
            ResNet(spec.trunk, VIEW_CHANNELS, stem, channels)
            for stem, channels in zip(spec.stem, (spec.channels, spec.coarse), strict=True)
        )
        width = 2 * (self.fine.features + self.coarse.features)
        # the features are all positive, and so a step of the head would move all logits of a kind at once
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, spec.labels))

    def forward(self, image: Tensor) -> Tensor:
        """Return the (B, labels) logits of (B, 3, H, W) images in [-1, 1], of any size from 1 x 1.

        In training one piece of each image is seen, the middle of what the training run cut at random; otherwise
        the logits of all pieces are averaged.
        """
        spec = self.spec
        coarse = _features(self.coarse, reduced(image, spec.whole))
        cut = pieces(reduced(image, spec.most), spec.piece, 1 if self.training else spec.across)
        fine = _features(self.fine, torch.cat(cut)).unflatten(0, (len(cut), len(image)))
        return self.head(torch.cat([fine, coarse.expand(len(cut), -1, -1)], dim=2)).mean(0)


def _features(trunk: nn.Module, view: Tensor) -> Tensor:
    """Return the (B, 2 C) mean and highest features of a (B, 3, h, w) view."""
    height, width = view.shape[-2:]
    border = (0, max(SMALLEST_VIEW - width, 0), 0, max(SMALLEST_VIEW - height, 0))
    view = F.pad(view, border, mode="replicate") if any(border) else view
    x = trunk(_with_details(view).contiguous(memory_format=torch.channels_last))
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


def _with_details(view: Tensor) -> Tensor:
    """Return (B, 6, h, w): the (B, 3, h, w) view, its details at two scales, and its darkest channel.

    A network finds all of this by itself, given time. Streaks are a few grey levels on images that span all of them,
    and the darkest channel is what haze lifts first (He et al. 2009).
    """
    luma = view.mean(1, keepdim=True)
    fine, wide = (luma - F.avg_pool2d(luma, k, 1, k // 2, count_include_pad=False) for k in (3, 9))
    return torch.cat([view, 4 * fine, 2 * wide, view.amin(1, keepdim=True)], dim=1)


def reduced(image: Tensor, side: int) -> Tensor:
    """Return (B, C, H, W) images with about side x side pixels at most, each the mean of those that it stands for."""
    height, width = image.shape[-2:]
    scale = side / math.sqrt(height * width)
    if scale >= 1:
        return image
    return F.interpolate(image, size=(max(1, round(height * scale)), max(1, round(width * scale))), mode="area")


def pieces(image: Tensor, side: int, across: int) -> list[Tensor]:
    """Return squares of (B, C, H, W) images, evenly spread from border to border; one alone lies in the middle.

    >>> [piece.mean().item() for piece in pieces(torch.arange(8.0).reshape(1, 1, 1, 8), 2, 2)]
    [0.5, 6.5]
    """

    def starts(length: int) -> list[int]:
        number = min(across, math.ceil(length / side))
        room = max(length - side, 0)
        return [room * i // (number - 1) for i in range(number)] if number > 1 else [room // 2]

    height, width = image.shape[-2:]
    return [image[..., y : y + side, x : x + side] for y in starts(height) for x in starts(width)]
