"""Evaluation protocols as data, and the one function that scores images under them.

A published PSNR depends on the channel, the rounding, the size and the border it was taken on. A `Protocol` says all
of that; `PROTOCOLS` holds the ones found in published evaluation code. Numbers of different protocols do not compare.

Images come in as the package holds them: RGB float batches (B, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from restore.errors import ArrayError, ConfigError
from restore.evaluation.metrics import color
from restore.evaluation.metrics.fidelity import GAUSSIAN, UNIFORM, SsimWindow
from restore.evaluation.metrics.registry import METRICS, get_metric
from restore.schema import Spec

__all__ = ["PROTOCOLS", "Protocol", "get_protocol", "prepare_input", "protocol_size", "score"]

LONGEST_SIDE, MULTIPLE = 1024, 16  # of the geometry that WeatherDiffusion evaluates at


class Protocol(Spec):
    """A protocol: how scores are computed from outputs and ground truths.

    Attributes:
        luma: the channel that is scored, or `none` for red, green and blue.
        quantise: where values become whole 8-bit levels: on the colours, as saving a PNG does; on the luma only; never.
        crop: pixels taken off each border before anything is compared; `scale` is the factor of super-resolution.
        geometry: `original` refuses a difference in size. `multiple-of-16` resizes input, output and ground truth
            until the longer side is at most 1024 and both are multiples of 16. `target-size` resizes the output
            bilinearly to the ground truth.
        channels: `bgr` takes the luma weights in the wrong order, as one published script does.
        gray: what the luma of a one-channel ground truth is: that of three equal colours, or `as-is` its levels, as
            scripts have it that convert only files of three channels (0.09 dB on Set14, one of whose files is grey).
        window: the window of SSIM.
        metrics: what is scored unless the caller names other metrics.
    """

    name: str
    description: str
    luma: Literal["none", "bt601-limited", "bt601-full"] = "bt601-limited"
    quantise: Literal["colors", "luma", "never"] = "colors"
    crop: int | Literal["scale"] = Field(default=0, union_mode="left_to_right")
    geometry: Literal["original", "multiple-of-16", "target-size"] = "original"
    channels: Literal["rgb", "bgr"] = "rgb"
    gray: Literal["like-colors", "as-is"] = "like-colors"
    window: SsimWindow = GAUSSIAN
    metrics: tuple[str, ...] = ("psnr", "ssim")

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ValueError(f"unknown metrics {unknown}; accepted: {', '.join(METRICS)}")
        if isinstance(self.crop, int) and self.crop < 0:
            raise ValueError(f"crop must not be negative, got {self.crop}")
        if self.geometry == "multiple-of-16" and self.quantise != "colors":
            raise ValueError("geometry multiple-of-16 resizes 8-bit images, so quantise must be colors")
        return self


PROTOCOLS: dict[str, Protocol] = {}

for _protocol in (
    Protocol(name="native", description="luma at the original size: what somebody who restores photographs sees"),
    Protocol(name="rgb", description="red, green and blue at the original size", luma="none"),
    Protocol(
        name="weatherdiff",
        description="WeatherDiffusion (2023): input and ground truth resized to multiples of 16, at most 1024 long",
        geometry="multiple-of-16",
    ),
    Protocol(
        name="histoformer",
        description="Histoformer (2024): luma weights applied in BGR order, uniform SSIM window, output resized",
        geometry="target-size",
        channels="bgr",
        window=UNIFORM,
    ),
    Protocol(
        name="t3",
        description="T3-DiffWeather (2024): luma of the unrounded output, then rounded to 8 bit",
        quantise="luma",
    ),
    Protocol(
        name="irsde-crop4",
        description="IR-SDE (2023): colours and luma, 4 pixels of border cut off for every task",
        luma="none",
        crop=4,
        metrics=("psnr", "ssim", "psnr_y", "ssim_y"),
    ),
    Protocol(
        name="sr",
        description="super-resolution (Set5, Set14, B100, Urban100): luma, a border as wide as the scale cut off",
        crop="scale",
        gray="as-is",
    ),
):
    PROTOCOLS[_protocol.name] = _protocol


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Return the protocol of that name; one that is given is handed back.

    Raises:
        ConfigError: no such protocol; the message lists all.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}; accepted: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]


def protocol_size(height: int, width: int, protocol: str | Protocol) -> tuple[int, int]:
    """Return the height and width at which the protocol restores and scores an image of the given size.

    >>> protocol_size(481, 321, "native")
    (481, 321)
    >>> protocol_size(481, 321, "weatherdiff"), protocol_size(800, 1500, "weatherdiff")
    ((496, 336), (560, 1024))
    """
    if get_protocol(protocol).geometry != "multiple-of-16":
        return height, width
    longest = max(height, width)
    if longest > LONGEST_SIDE:
        height, width = math.ceil(height * LONGEST_SIDE / longest), math.ceil(width * LONGEST_SIDE / longest)
    return math.ceil(height / MULTIPLE) * MULTIPLE, math.ceil(width / MULTIPLE) * MULTIPLE


def prepare_input(image: Tensor, protocol: str | Protocol) -> Tensor:
    """Return the degraded image as the protocol hands it to the model, (B, C, H', W') in [-1, 1].

    `image`: (B, C, H, W) in [-1, 1]. Only a protocol that resizes the input changes anything (to 8-bit levels too).
    """
    size = protocol_size(image.shape[-2], image.shape[-1], protocol)
    if size == tuple(image.shape[-2:]):
        return image
    return (_lanczos(_rounded(image), size) / 127.5 - 1).to(image.dtype)


@torch.no_grad()
def score(
    restored: Tensor,
    target: Tensor,
    protocol: str | Protocol,
    *,
    scale: int | None = None,
    metrics: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Return the scores of each image under the protocol: name of the metric to (B,) float64.

    `restored`, `target`: RGB (B, 3, H, W) or grey (B, 1, H, W) floats in [-1, 1] on one device, of one size unless the
    protocol resizes. A file of one channel should come as one channel: `sr` scores it on its grey levels.
    `scale`: the factor of super-resolution, for a protocol that cuts off a border as wide. `metrics`: other metrics
    than the protocol's own. Under `weatherdiff` the model should have seen `prepare_input(degraded)`; an output of the
    original size is resized like the ground truth.

    Raises:
        ArrayError: not such batches, sizes that the protocol does not allow, images too small, values not finite.
        ConfigError: unknown protocol or metric, a metric of whole sets, or `scale` needed and absent.
        MissingResource: a metric's weights are not downloaded.
    """
    chosen = get_protocol(protocol)
    names = tuple(metrics) if metrics is not None else chosen.metrics
    scorers = {}
    for name in names:
        if (scorer := get_metric(name).score) is None:
            known = ", ".join(metric.name for metric in METRICS.values() if metric.score is not None)
            raise ConfigError(f"{name} compares two sets of images and has no score for one; accepted here: {known}")
        scorers[name] = scorer
    _check(restored, target)
    # One image at a time on a CPU: everything then stays in its cache, and no score depends on the batch.
    step = 1 if restored.device.type == "cpu" else len(restored)
    parts = []
    for start in range(0, len(restored), step):
        pair = _Pair(restored[start : start + step], target[start : start + step], chosen, scale)
        parts.append({name: scorer(pair) for name, scorer in scorers.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in names}


class _Pair:
    """Restored image and ground truth as a protocol compares them: RGB and scored channels in [0, 255]."""

    def __init__(self, restored: Tensor, target: Tensor, protocol: Protocol, scale: int | None) -> None:
        self.protocol = protocol
        self.gray = target.shape[1] == 1 and protocol.gray == "as-is"
        a, b = _aligned(restored, target, protocol)
        a, b = (_crop(x, protocol, scale).expand(-1, 3, -1, -1) for x in (a, b))
        self.colors = a, b

    @functools.cached_property
    def channels(self) -> tuple[Tensor, Tensor]:
        """The channels that the protocol scores."""
        standard = self.protocol.luma
        return self.colors if standard == "none" else self._luma(standard)

    @functools.cached_property
    def limited(self) -> tuple[Tensor, Tensor]:
        """Limited luma, whatever the protocol's own channels are."""
        return self.channels if self.protocol.luma == "bt601-limited" else self._luma("bt601-limited")

    @property
    def network(self) -> tuple[Tensor, Tensor]:
        """RGB in [-1, 1], as feature networks take it."""
        a, b = ((x / 127.5 - 1).clamp(-1, 1) for x in self.colors)
        return a, b

    def _luma(self, standard: color.LumaStandard) -> tuple[Tensor, Tensor]:
        a, b = self.colors
        if self.protocol.channels == "bgr":
            a, b = a.flip(1), b.flip(1)
        # The weights of full range sum to one, so that equal colours keep their level.
        kind = "bt601-full" if self.gray else standard
        a, b = color.bt601_luma(a, kind), color.bt601_luma(b, kind)
        if self.protocol.quantise == "luma":
            return a.clamp_(0, 255).round_(), b.clamp_(0, 255).round_()
        return a, b


def _check(restored: Tensor, target: Tensor) -> None:
    """Raise ArrayError unless both are float batches, RGB or grey, of equally many images with finite values."""
    for name, batch in (("restored", restored), ("target", target)):
        if batch.ndim != 4 or batch.shape[1] not in (1, 3) or batch.numel() == 0 or not batch.is_floating_point():
            raise ArrayError(
                f"{name}: expected a float batch of shape (B, 3, H, W) or (B, 1, H, W) in [-1, 1], "
                f"got {tuple(batch.shape)} of {batch.dtype}"
            )
        if not torch.isfinite(batch.sum(dtype=torch.promote_types(batch.dtype, torch.float32))):
            raise ArrayError(f"{name}: the batch holds values that are not finite, they cannot be scored")
    if len(restored) != len(target):
        raise ArrayError(f"{len(restored)} restored images for {len(target)} ground truths")


def _aligned(restored: Tensor, target: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """Return both batches at one size, floats in [0, 255], rounded where the protocol says so."""
    prepare = _rounded if protocol.quantise == "colors" else _levels
    a, b = prepare(restored), prepare(target)
    if protocol.geometry == "multiple-of-16":
        size = protocol_size(b.shape[-2], b.shape[-1], protocol)
        a = a if tuple(a.shape[-2:]) == size else _lanczos(_same_size(a, b, protocol), size)
        return a, _lanczos(b, size)
    if protocol.geometry == "target-size" and a.shape[-2:] != b.shape[-2:]:
        return F.interpolate(a.double(), size=b.shape[-2:], mode="bilinear", align_corners=False), b
    return _same_size(a, b, protocol), b


def _same_size(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
    if a.shape[-2:] != b.shape[-2:]:
        raise ArrayError(
            f"the restored image is {a.shape[-2]}x{a.shape[-1]} and the ground truth {b.shape[-2]}x{b.shape[-1]} "
            f"(height x width); protocol {protocol.name} does not resize one to the other"
        )
    return a


def _levels(image: Tensor) -> Tensor:
    """Return [-1, 1] as float64 levels in [0, 255], unrounded."""
    return image.double().add(1).mul_(127.5)


def _rounded(image: Tensor) -> Tensor:
    """Return [-1, 1] as whole levels in [0, 255], as an 8-bit file holds them; float32 holds them exactly."""
    exact = image if image.dtype == torch.float64 else image.float()
    return exact.add(1).mul_(127.5).round_().clamp_(0, 255)


def _lanczos(levels: Tensor, size: tuple[int, int]) -> Tensor:
    """Return whole 8-bit levels (B, C, H, W) resized by Pillow's Lanczos filter, channel by channel."""
    if tuple(levels.shape[-2:]) == size:
        return levels
    planes = levels.to(torch.uint8).flatten(0, 1).cpu().numpy()
    resized = [Image.fromarray(p).resize((size[1], size[0]), Image.Resampling.LANCZOS) for p in planes]
    return torch.from_numpy(np.stack([np.asarray(p) for p in resized])).unflatten(0, levels.shape[:2]).to(levels)


def _crop(levels: Tensor, protocol: Protocol, scale: int | None) -> Tensor:
    if protocol.crop == "scale" and (scale is None or scale < 1):
        raise ConfigError(
            f"protocol {protocol.name} cuts off a border as wide as the scale: scale must be a whole number from 1 on, "
            f"got {scale}"
        )
    border = scale if protocol.crop == "scale" and scale is not None else int(protocol.crop)
    height, width = levels.shape[-2:]
    if min(height, width) <= 2 * border:
        raise ArrayError(f"a border of {border} pixels leaves nothing of an image of {height}x{width}")
    return levels[..., border : height - border, border : width - border]
