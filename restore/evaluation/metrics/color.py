"""Colour: luma of ITU-R BT.601, CIE L*a*b*, the CIEDE2000 difference and the shift of the mean colour.

Images are RGB batches (B, 3, H, W) in [0, 255]; everything is computed in float64 on the device of the input.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from restore.errors import ArrayError, ConfigError
from restore.evaluation.metrics.fidelity import check_pair
from restore.evaluation.metrics.registry import Metric, register

__all__ = ["LUMA_STANDARDS", "LumaStandard", "bt601_luma", "ciede2000", "color_shift", "delta_e", "rgb_to_lab"]

LumaStandard = Literal["bt601-limited", "bt601-full"]

# BT.601 section 3.5.1: weights of R, G, B on full-range images and the offset; limited range maps [0, 255] to
# [16, 235], so its weights are those of the full range times 219 / 255.
LUMA_STANDARDS: dict[str, tuple[tuple[float, float, float], float]] = {
    "bt601-limited": ((65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0), 16.0),
    "bt601-full": ((0.299, 0.587, 0.114), 0.0),
}


def bt601_luma(rgb: Tensor, standard: LumaStandard = "bt601-limited") -> Tensor:
    """Return the luma of a batch, (B, 1, H, W) float64: [16, 235] when limited, [0, 255] when full. Never rounded.

    `rgb`: (B, 3, H, W) in [0, 255]. Differences in full range are 255 / 219 times those in limited range, so a PSNR
    on full-range luma is 20 log10(255 / 219) = 1.3219 dB lower for the same images.

    Raises:
        ArrayError: not three channels.
        ConfigError: an unknown standard.
    """
    _check_rgb(rgb)
    if standard not in LUMA_STANDARDS:
        raise ConfigError(f"unknown luma standard {standard!r}; accepted: {', '.join(LUMA_STANDARDS)}")
    weights, offset = LUMA_STANDARDS[standard]
    red, green, blue = rgb.split(1, dim=1)
    plane = (red.double() * weights[0]).add_(green.double(), alpha=weights[1])
    return plane.add_(blue.double(), alpha=weights[2]).add_(offset)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Return CIE L*a*b* (D65, 2 degree observer), (B, 3, H, W) float64, of sRGB (B, 3, H, W) in [0, 255].

    L* lies in [0, 100]; the conversion is kornia's, in float64.

    Raises:
        ArrayError: not three channels.
    """
    import kornia.color

    _check_rgb(rgb)
    return kornia.color.rgb_to_lab(rgb.double() / 255.0)


@torch.no_grad()
def delta_e(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean CIEDE2000 difference of each image, (B,) float64; about 1 is just noticeable, 0 is equal.

    `a`, `b`: RGB (B, 3, H, W) in [0, 255].

    Raises:
        ArrayError: the batches differ in shape or have not three channels.
    """
    check_pair(a, b)
    return ciede2000(rgb_to_lab(a), rgb_to_lab(b)).flatten(1).mean(1)


@torch.no_grad()
def color_shift(a: Tensor, b: Tensor) -> Tensor:
    """Return how far the mean colour of each image has moved, (B,) float64: the Euclidean distance in L*a*b*.

    The mean is taken over all pixels before the difference, so noise and misplaced edges cancel and a cast or a
    change of exposure of the whole image remains (the difference of two colours is the CIE 1976 one).

    `a`, `b`: RGB (B, 3, H, W) in [0, 255].

    Raises:
        ArrayError: the batches differ in shape or have not three channels.
    """
    check_pair(a, b)
    means = [rgb_to_lab(x).flatten(2).mean(2) for x in (a, b)]
    return torch.linalg.vector_norm(means[0] - means[1], dim=1)


def ciede2000(lab_a: Tensor, lab_b: Tensor) -> Tensor:
    """Return the CIEDE2000 difference of every pixel, (B, H, W) float64, of two L*a*b* batches (B, 3, H, W).

    Sharma, Wu and Dalal 2005; the weighting factors k_L, k_C, k_H are 1. The formula is scikit-image's, on the CPU.
    """
    from skimage.color import deltaE_ciede2000

    a, b = (x.double().cpu().numpy() for x in (lab_a, lab_b))
    return torch.from_numpy(deltaE_ciede2000(a, b, channel_axis=1)).to(lab_a.device)


def _check_rgb(rgb: Tensor) -> None:
    if rgb.ndim != 4 or rgb.shape[1] != 3:
        raise ArrayError(f"expected an RGB batch of shape (B, 3, H, W), got {tuple(rgb.shape)}")


register(
    Metric(
        name="delta_e",
        label="ΔE00",
        direction="lower",
        low=0,
        unit="CIEDE2000",
        description="mean visible difference in colour; about 1 is just noticeable side by side",
        reference=(
            "Sharma, Wu, Dalal. The CIEDE2000 color-difference formula: implementation notes, supplementary test "
            "data, and mathematical observations. Color Research and Application, 2005"
        ),
        of_colors=True,
        score=lambda pair: delta_e(*pair.colors),
    ),
    Metric(
        name="color_shift",
        label="colour shift",
        direction="lower",
        low=0,
        unit="CIE 1976",
        description="distance between the mean L*a*b* colours: a cast or a change of exposure of the whole image",
        reference="CIE 15:2004, Colorimetry, third edition, 2004",
        of_colors=True,
        score=lambda pair: color_shift(*pair.colors),
    ),
)
