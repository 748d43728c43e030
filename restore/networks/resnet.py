"""Residual networks (He et al. 2016) as trunks: a deep stem, then four levels, each with half the resolution.

Three small convolutions stand at the beginning instead of one large one, and shortcuts that halve the resolution
average first (ResNet-D; He et al. 2019, "Bag of tricks"). Names and numbers are those of timm's ResNets, weights of
which fit.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DEPTHS", "ResNet", "ResNetDepth"]

ResNetDepth = Literal["resnet10t", "resnet14t", "resnet18d", "resnet26t"]


class Depth(NamedTuple):
    """How a trunk is built, widths aside.

    Attributes:
        blocks: of each level.
        bottleneck: blocks are 1x1, 3x3 and 1x1 convolutions, the last four times as wide, instead of two of 3x3.
        tiered: the first convolution of the stem has three quarters of its width.
    """

    blocks: int
    bottleneck: bool
    tiered: bool


DEPTHS: dict[ResNetDepth, Depth] = {
    "resnet10t": Depth(1, bottleneck=False, tiered=True),
    "resnet14t": Depth(1, bottleneck=True, tiered=True),
    "resnet18d": Depth(2, bottleneck=False, tiered=False),
    "resnet26t": Depth(2, bottleneck=True, tiered=True),
}


class ResNet(nn.Module):
    """(B, inputs, H, W) to features (B, `features`, H / 32, W / 32), rounded up.

    Args:
        depth: which one.
        inputs: channels that go in.
        stem: width of the first convolutions; the last of them has twice as many.
        channels: width of the four levels; where there are bottlenecks, a level gives four times as many.
    """

    def __init__(self, depth: ResNetDepth, inputs: int, stem: int, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        blocks, bottleneck, tiered = DEPTHS[depth]
        first, width = 3 * (stem // 4) if tiered else stem, 2 * stem
        self.conv1 = nn.Sequential(
            *(_conv(inputs, first, 3, stride=2), nn.BatchNorm2d(first), nn.ReLU(inplace=True)),
            *(_conv(first, stem, 3), nn.BatchNorm2d(stem), nn.ReLU(inplace=True)),
            _conv(stem, width, 3),
        )
        self.bn1 = nn.BatchNorm2d(width)
        for level, own in enumerate(channels, start=1):
            layer = nn.Sequential()
            for i in range(blocks):
                block = ResNetBlock(width, own, bottleneck, halve=level > 1 and i == 0)
                layer.append(block)
                width = block.outputs
            self.add_module(f"layer{level}", layer)
        self.features = width
        self._fill()

    def _fill(self) -> None:
        """Draw convolutions as for ReLU (He et al. 2015), and let every block begin as its shortcut."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, ResNetBlock):
                nn.init.zeros_((module.bn2 if module.bn3 is None else module.bn3).weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, none negative."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), kernel_size=3, stride=2, padding=1)
        for level in range(1, 5):
            x = self.get_submodule(f"layer{level}")(x)
        return x


class ResNetBlock(nn.Module):
    """Two or three convolutions beside a shortcut."""

    def __init__(self, inputs: int, width: int, bottleneck: bool, halve: bool) -> None:
        super().__init__()
        stride = 2 if halve else 1
        self.outputs = 4 * width if bottleneck else width
        self.conv1 = _conv(inputs, width, 1) if bottleneck else _conv(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride if bottleneck else 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, self.outputs, 1) if bottleneck else None
        self.bn3 = nn.BatchNorm2d(self.outputs) if bottleneck else None
        self.downsample: nn.Sequential | None = None
        if halve or inputs != self.outputs:
            pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False) if halve else nn.Identity()
            self.downsample = nn.Sequential(pool, _conv(inputs, self.outputs, 1), nn.BatchNorm2d(self.outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H', W') of (B, inputs, H, W)."""
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        if self.conv3 is not None and self.bn3 is not None:
            h = self.bn3(self.conv3(F.relu(h, inplace=True)))
        h += x if self.downsample is None else self.downsample(x)
        return F.relu(h, inplace=True)


def _conv(inputs: int, outputs: int, side: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the size, but for its stride; a normalisation behind it makes up for a bias."""
    return nn.Conv2d(inputs, outputs, side, stride=stride, padding=side // 2, bias=False)
