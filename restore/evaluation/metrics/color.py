"""Colour: luma of ITU-R BT.601, CIE L*a*b*, the CIEDE2000 difference and the shift of the mean colour.

Pictures are RGB batches (B, 3, H, W) in [0, 255]; everything is computed in float64 on the device of the input.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from restore.errors import ArrayError, ConfigError
from restore.evaluation.metrics.fidelity import check_pair
from restore.evaluation.metrics.registry import Metric, register

__all__ = ["LUMA_STANDARDS", "LumaStandard", "bt601_luma", "ciede2000", "color_shift", "delta_e", "rgb_to_lab"]

LumaStandard = Literal["bt601-limited", "bt601-full"]

# BT.601 section 3.5.1: weights of R, G, B on full-range pictures and the offset; limited range maps [0, 255] to
# [16, 235], so its weights are those of the full range times 219 / 255.
LUMA_STANDARDS: dict[str, tuple[tuple[float, float, float], float]] = {
    "bt601-limited": ((65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0), 16.0),
    "bt601-full": ((0.299, 0.587, 0.114), 0.0),
}


def bt601_luma(rgb: Tensor, standard: LumaStandard = "bt601-limited") -> Tensor:
    """Return the luma of a batch, (B, 1, H, W) float64: [16, 235] when limited, [0, 255] when full. Never rounded.

    `rgb`: (B, 3, H, W) in [0, 255]. Differences in full range are 255 / 219 times those in limited range, so a PSNR
    on full-range luma is 20 log10(255 / 219) = 1.3219 dB lower for the same pictures.

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
    """Return the mean CIEDE2000 difference of each picture, (B,) float64; about 1 is just noticeable, 0 is equal.

    `a`, `b`: RGB (B, 3, H, W) in [0, 255].

    Raises:
        ArrayError: the batches differ in shape or have not three channels.
    """
    check_pair(a, b)
    return ciede2000(rgb_to_lab(a), rgb_to_lab(b)).flatten(1).mean(1)


@torch.no_grad()
def color_shift(a: Tensor, b: Tensor) -> Tensor:
    """Return how far the mean colour of each picture has moved, (B,) float64: the Euclidean distance in L*a*b*.

    The mean is taken over all pixels before the difference, so noise and misplaced edges cancel and a cast or a
    change of exposure of the whole picture remains (the difference of two colours is the CIE 1976 one).

    `a`, `b`: RGB (B, 3, H, W) in [0, 255].

    Raises:
        ArrayError: the batches differ in shape or have not three channels.
    """
    check_pair(a, b)
    means = [rgb_to_lab(x).flatten(2).mean(2) for x in (a, b)]
    return torch.linalg.vector_norm(means[0] - means[1], dim=1)


def ciede2000(lab_a: Tensor, lab_b: Tensor) -> Tensor:
    """Return the CIEDE2000 difference of every pixel, (B, H, W) float64, of two L*a*b* batches (B, 3, H, W).

    Equation numbers are those of Sharma, Wu and Dalal 2005; the weighting factors k_L, k_C, k_H are 1.
    """
    lightness_a, a_a, b_a = lab_a.double().unbind(1)
    lightness_b, a_b, b_b = lab_b.double().unbind(1)

    # eq. 2 to 6: greys are spread along a* before chroma is taken
    chroma = (torch.hypot(a_a, b_a) + torch.hypot(a_b, b_b)) / 2
    stretch = 1 + 0.5 * (1 - _seventh(chroma))
    chroma_a, hue_a = _polar(a_a * stretch, b_a)
    chroma_b, hue_b = _polar(a_b * stretch, b_b)

    # eq. 8 to 11: differences, the hue's taken the short way round the circle and absent where a colour is grey
    product = chroma_a * chroma_b
    turn = hue_b - hue_a
    around = turn - 2 * math.pi * torch.round(turn / (2 * math.pi))
    around = torch.where(product == 0, 0.0, around)
    d_lightness, d_chroma = lightness_b - lightness_a, chroma_b - chroma_a
    d_hue = 2 * torch.sqrt(product) * torch.sin(around / 2)

    # eq. 12 to 14: means; two hues more than half a turn apart have their mean on the other side of the circle
    total = hue_a + hue_b
    far = (turn.abs() > math.pi) & (product != 0)
    opposite = torch.where(total < 2 * math.pi, total + 2 * math.pi, total - 2 * math.pi)
    hue = torch.where(far, opposite, total) / 2
    hue = torch.where(product == 0, total, hue)
    lightness, chroma = (lightness_a + lightness_b) / 2, (chroma_a + chroma_b) / 2

    # eq. 15 to 21: weights and the rotation in the blue region
    spread = (lightness - 50) ** 2
    term_lightness = d_lightness / (1 + 0.015 * spread / torch.sqrt(20 + spread))
    term_chroma = d_chroma / (1 + 0.045 * chroma)
    term_hue = d_hue / (1 + 0.015 * chroma * _hue_weight(hue))
    rotation = torch.sin(math.radians(60) * torch.exp(-(((torch.rad2deg(hue) - 275) / 25) ** 2)))
    cross = -2 * _seventh(chroma) * rotation * term_chroma * term_hue

    # eq. 22; rounding may leave a tiny negative number under the root
    return torch.sqrt((term_lightness**2 + term_chroma**2 + term_hue**2 + cross).clamp(min=0))


def _seventh(chroma: Tensor) -> Tensor:
    """Return sqrt(C^7 / (C^7 + 25^7)), which eq. 4 and eq. 17 share."""
    power = chroma**7
    return torch.sqrt(power / (power + 25.0**7))


def _polar(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return chroma and hue, the hue in [0, 2 pi) (eq. 6 and 7)."""
    angle = torch.atan2(b, a)
    return torch.hypot(a, b), torch.where(angle < 0, angle + 2 * math.pi, angle)


def _hue_weight(hue: Tensor) -> Tensor:
    """Return T of eq. 15 for a mean hue in radians."""
    return (
        1
        - 0.17 * torch.cos(hue - math.radians(30))
        + 0.24 * torch.cos(2 * hue)
        + 0.32 * torch.cos(3 * hue + math.radians(6))
        - 0.20 * torch.cos(4 * hue - math.radians(63))
    )


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
