"""How far one image is from another, pixel by pixel and window by window: PSNR, SSIM, MS-SSIM, MAE.

Every function takes two batches (B, C, H, W) of values in [0, `data_range`], of any dtype and on any device, computes
in float64 and returns one float64 value an image. Nothing is rounded, cropped or converted here: that is the business
of the protocol (`restore.evaluation.metrics.protocol`). The functions score finished images and carry no gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.errors import ArrayError
from restore.evaluation.metrics.registry import Metric, register
from restore.schema import Spec

__all__ = ["GAUSSIAN", "UNIFORM", "SsimWindow", "check_pair", "mae", "ms_ssim", "psnr", "ssim"]

K1, K2 = 0.01, 0.03  # Wang et al. 2004, below eq. 6 and 9
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2

# Rows of all planes in one strip, and columns in one block, of the filter behind SSIM. On a CPU the strip then stays in
# a core's cache and the banded matrix is hardly wider than the window; a GPU wants fewer, larger products.
TILES = {"cpu": (48, 16), "cuda": (8192, 64)}


class SsimWindow(Spec):
    """The window under which SSIM takes its local moments.

    `size` is the side in pixels, `sigma` the spread of the Gaussian (a uniform window has none). With
    `sample_covariance` the variances are divided by n - 1 instead of n, as scikit-image does by default.
    """

    kind: Literal["gaussian", "uniform"]
    size: int = 11
    sigma: float = 1.5
    sample_covariance: bool = False

    def __hash__(self) -> int:
        return hash((self.kind, self.size, self.sigma, self.sample_covariance))

    @property
    def variance_scale(self) -> float:
        """The factor on variances: n / (n - 1) for the sample covariance over n pixels, else 1."""
        pixels = self.size**2
        return pixels / (pixels - 1) if self.sample_covariance else 1.0

    def taps(self) -> Tensor:
        """Return the weights of one axis, (size,) float64 on the CPU; the window is their outer product."""
        if self.kind == "uniform":
            return torch.full((self.size,), 1.0 / self.size, dtype=torch.float64)
        offsets = torch.arange(self.size, dtype=torch.float64) - (self.size - 1) / 2
        weights = torch.exp(-(offsets**2) / (2 * self.sigma**2))
        return weights / weights.sum()


GAUSSIAN = SsimWindow(kind="gaussian")
UNIFORM = SsimWindow(kind="uniform", sample_covariance=True)


def check_pair(a: Tensor, b: Tensor) -> None:
    """Check that `a` and `b` are two batches (B, C, H, W) of one shape with at least one value.

    Raises:
        ArrayError: another number of dimensions, shapes that differ (both are named), or an empty batch.
    """
    if a.shape != b.shape:
        raise ArrayError(
            f"the two batches differ in shape: {tuple(a.shape)} and {tuple(b.shape)}; "
            "images are compared only at equal sizes"
        )
    if a.ndim != 4:
        raise ArrayError(f"expected batches of shape (B, C, H, W), got {tuple(a.shape)}")
    if a.numel() == 0:
        raise ArrayError(f"there is nothing to compare in batches of shape {tuple(a.shape)}")


@torch.no_grad()
def psnr(a: Tensor, b: Tensor, data_range: float = 255.0) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, (B,) float64: 10 log10(data_range^2 / MSE) of each image.

    `a`, `b`: (B, C, H, W) in [0, data_range]. Identical images give infinity; `summarise` leaves those out of a mean
    and says how many there were. The MSE is that of one image, never pooled over the batch.

    Raises:
        ArrayError: the batches differ in shape or are not (B, C, H, W).
    """
    check_pair(a, b)
    return 10.0 * torch.log10(data_range**2 / _mean_error(a, b, torch.square))


@torch.no_grad()
def mae(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference of each image, (B,) float64, in the units of the input.

    `a`, `b`: (B, C, H, W).

    Raises:
        ArrayError: the batches differ in shape or are not (B, C, H, W).
    """
    check_pair(a, b)
    return _mean_error(a, b, torch.abs)


@torch.no_grad()
def ssim(a: Tensor, b: Tensor, data_range: float = 255.0, window: SsimWindow = GAUSSIAN) -> Tensor:
    """Return the structural similarity of each image, (B,) float64, at most 1.

    Windows that lie wholly inside the image only, each channel on its own, then the mean over channels; no
    down-sampling (Wang et al. 2004, eq. 13 and section III.C).

    `a`, `b`: (B, C, H, W) in [0, data_range].

    Raises:
        ArrayError: the batches differ in shape, are not (B, C, H, W), or a side is shorter than the window.
    """
    check_pair(a, b)
    similarity, _ = _similarity(a, b, data_range, window)
    return similarity.mean(1)


@torch.no_grad()
def ms_ssim(a: Tensor, b: Tensor, data_range: float = 255.0) -> Tensor:
    """Return the five-scale structural similarity of each image, (B,) float64, in [0, 1].

    Contrast-structure means of the first four scales and the full SSIM of the coarsest, weighted as exponents
    (Wang et al. 2003, eq. 7), each channel on its own, then the mean over channels. Between scales the image is
    averaged over 2x2 blocks; an odd side repeats its last row or column first, as the authors' MATLAB code does. A
    negative mean, which has no real power, counts as 0.

    `a`, `b`: (B, C, H, W) in [0, data_range].

    Raises:
        ArrayError: the batches differ in shape, are not (B, C, H, W), or a side is too short for five scales (161).
    """
    check_pair(a, b)
    scales = len(MS_SSIM_WEIGHTS)
    shortest = (GAUSSIAN.size - 1) * 2 ** (scales - 1) + 1
    if min(a.shape[-2:]) < shortest:
        raise ArrayError(
            f"MS-SSIM needs at least {shortest} pixels a side for its {scales} scales, "
            f"got {a.shape[-2]}x{a.shape[-1]}; use SSIM for small images"
        )
    result = torch.ones(a.shape[:2], dtype=torch.float64, device=a.device)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS, start=1):
        similarity, contrast = _similarity(a, b, data_range, GAUSSIAN)
        term = similarity if scale == scales else contrast
        result *= term.clamp(min=0.0) ** weight
        if scale < scales:
            a, b = _halve(a), _halve(b)
    return result.mean(1)


def _mean_error(a: Tensor, b: Tensor, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean of `measure` of the difference, (B,); plane by plane on a CPU, whose cache a plane fits."""
    step = 1 if a.device.type == "cpu" else len(a) * a.shape[1]
    planes = zip(a.flatten(0, 1).split(step), b.flatten(0, 1).split(step), strict=True)
    means = [measure(x.double() - y.double()).flatten(1).mean(1) for x, y in planes]
    return torch.cat(means).unflatten(0, a.shape[:2]).mean(1)


def _halve(x: Tensor) -> Tensor:
    """Return (B, C, H, W) averaged over 2x2 blocks, sides rounded up."""
    height, width = x.shape[-2:]
    return F.avg_pool2d(F.pad(x.double(), (0, width % 2, 0, height % 2), mode="replicate"), 2)


def _similarity(a: Tensor, b: Tensor, data_range: float, window: SsimWindow) -> tuple[Tensor, Tensor]:
    """Return SSIM and its contrast-structure part, both (B, C), as means over all whole windows.

    On a CPU each image is computed on its own, so that a batch gives bit for bit what its members give alone.
    """
    batch, channels, height, width = a.shape
    if min(height, width) < window.size:
        raise ArrayError(
            f"SSIM needs at least {window.size} pixels a side (its window), got images of {height}x{width}"
        )
    planes_a, planes_b = a.flatten(0, 1), b.flatten(0, 1)
    group = channels if a.device.type == "cpu" else batch * channels
    parts = [
        _plane_similarity(planes_a[i : i + group], planes_b[i : i + group], data_range, window)
        for i in range(0, batch * channels, group)
    ]
    similarity, contrast = torch.cat(parts, dim=1).unflatten(1, (batch, channels))
    return similarity, contrast


def _plane_similarity(a: Tensor, b: Tensor, data_range: float, window: SsimWindow) -> Tensor:
    """Return mean SSIM and mean contrast-structure of each plane, (2, P), from planes (P, H, W)."""
    height, width = a.shape[-2:]
    rows, columns = height - window.size + 1, width - window.size + 1
    step = min(max(_tile(a.device)[0] // len(a), 16), rows)
    whole = rows - rows % step
    strip = _Strip(step, a, data_range, window)
    rest = _Strip(rows - whole, a, data_range, window) if whole < rows else strip
    a, b = a.transpose(0, 1), b.transpose(0, 1)
    total = torch.zeros(2, a.shape[1], dtype=torch.float64, device=a.device)
    for top in range(0, rows, step):
        here = slice(top, min(top + step, rows) + window.size - 1)
        total += (strip if top < whole else rest).sums(a[here], b[here])
    return total / (rows * columns)


class _Strip:
    """Sums of SSIM over strips of `rows` rows of one image, with the buffers and views that all of them share.

    With s = a + b and d = a - b, eq. 13 of Wang et al. 2004 needs four windowed means instead of five (of s, d, s^2
    and d^2): 4 mu_a mu_b = mu_s^2 - mu_d^2 and 2 (mu_a^2 + mu_b^2) = mu_s^2 + mu_d^2, likewise for the variances, and
    the common factor cancels. Columns are cut into blocks that overlap by the window, as a view, so that the filter
    along either axis is a batched product with a banded matrix.
    """

    def __init__(self, rows: int, like: Tensor, data_range: float, window: SsimWindow) -> None:
        planes, _, width = like.shape
        reach, block = window.size - 1, _tile(like.device)[1]
        blocks = math.ceil((width - reach) / block)
        padded = blocks * block + reach
        make = functools.partial(torch.empty, dtype=torch.float64, device=like.device)
        self.scale = window.variance_scale
        # C1 rides on mu_s^2 and C2 on the mean of s^2, which saves a pass over the image for each.
        c1, c2 = 2 * (K1 * data_range) ** 2, 2 * (K2 * data_range) ** 2 / self.scale
        self.c1, self.c12 = make(()).fill_(c1), make(()).fill_(c1 + c2)

        moments = make(4, rows + reach, planes, padded)
        moments[..., width:] = 0.0  # columns past the image only complete the last block
        self.s, self.d, self.s2, self.d2 = moments[..., :width]
        down = make(4, rows, planes * padded)
        means = make(blocks, 4, rows, planes, block)
        overlapping = down.as_strided((blocks, 4 * rows * planes, block + reach), (block, padded, 1))
        self.down = (_band(window, rows, like.device).T.expand(4, -1, -1), moments.flatten(2), down)
        self.across = (overlapping, _band(window, block, like.device).expand(blocks, -1, -1), means.flatten(1, 3))

        self.mean_s, self.mean_d, self.var_s, self.var_d = means.unbind(1)
        self.squared, self.variances = means[:, :2], means[:, 2:]
        self.of_s, self.of_d = means[:, 0::2], means[:, 1::2]
        self.past = self.of_s[-1, ..., width - reach - (blocks - 1) * block :]

    def sums(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sums of SSIM and of its contrast-structure part, (2, P), of rows (rows + size - 1, P, W)."""
        a, b = (x if x.dtype == torch.float64 else y.copy_(x) for x, y in ((a, self.s2), (b, self.d2)))
        torch.add(a, b, out=self.s)
        torch.sub(a, b, out=self.d)
        torch.addcmul(self.c12, self.s, self.s, out=self.s2)
        torch.mul(self.d, self.d, out=self.d2)
        for left, right, result in (self.down, self.across):
            torch.bmm(left, right, out=result)

        torch.addcmul(self.c1, self.mean_s, self.mean_s, out=self.mean_s)
        self.mean_d.square_()
        self.variances -= self.squared
        if self.scale != 1.0:
            self.variances *= self.scale
        # In place, the numerators x - y where x was, then the denominators x + y = (x - y) + 2 y where y was.
        self.of_s -= self.of_d
        torch.add(self.of_s, self.of_d, alpha=2, out=self.of_d)
        self.of_s /= self.of_d
        self.past.zero_()
        luminance, contrast = self.mean_s, self.var_s
        contrast_sum = contrast.sum((0, 1, 3))
        return torch.stack([luminance.mul_(contrast).sum((0, 1, 3)), contrast_sum])


def _tile(device: torch.device) -> tuple[int, int]:
    rows, columns = TILES.get(device.type, TILES["cuda"])
    return rows * (torch.get_num_threads() if device.type == "cpu" else 1), columns


@functools.lru_cache(maxsize=64)
def _band(window: SsimWindow, count: int, device: torch.device) -> Tensor:
    """Return the matrix (count + size - 1, count) whose column j holds the window's taps from row j on."""
    matrix = torch.zeros(count + window.size - 1, count, dtype=torch.float64)
    for offset, tap in enumerate(window.taps()):
        matrix.diagonal(-offset).fill_(tap)
    return matrix.to(device)


SSIM_2004 = (
    "Wang, Bovik, Sheikh, Simoncelli. Image quality assessment: from error visibility to structural similarity. "
    "IEEE Transactions on Image Processing, 2004"
)
PSNR_2008 = (
    "Huynh-Thu, Ghanbari. Scope of validity of PSNR in image/video quality assessment. Electronics Letters, 2008"
)

register(
    Metric(
        name="psnr",
        label="PSNR",
        direction="higher",
        low=0,
        unit="dB",
        description="peak signal-to-noise ratio on the channels that the protocol names",
        reference=PSNR_2008,
        reported_as="psnr",
        score=lambda pair: psnr(*pair.channels),
    ),
    Metric(
        name="ssim",
        label="SSIM",
        direction="higher",
        low=-1,
        high=1,
        description="structural similarity under a sliding 11x11 window, on the channels that the protocol names",
        reference=SSIM_2004,
        reported_as="ssim",
        score=lambda pair: ssim(*pair.channels, window=pair.protocol.window),
    ),
    Metric(
        name="psnr_y",
        label="PSNR-Y",
        direction="higher",
        low=0,
        unit="dB",
        description="PSNR on BT.601 limited luma, beside the one of the protocol",
        reference=PSNR_2008,
        score=lambda pair: psnr(*pair.limited),
    ),
    Metric(
        name="ssim_y",
        label="SSIM-Y",
        direction="higher",
        low=-1,
        high=1,
        description="SSIM on BT.601 limited luma, beside the one of the protocol",
        reference=SSIM_2004,
        score=lambda pair: ssim(*pair.limited, window=pair.protocol.window),
    ),
    Metric(
        name="ms_ssim",
        label="MS-SSIM",
        direction="higher",
        low=0,
        high=1,
        description="structural similarity over five scales, for images of at least 161 pixels a side",
        reference=(
            "Wang, Simoncelli, Bovik. Multiscale structural similarity for image quality assessment. "
            "Asilomar Conference on Signals, Systems and Computers, 2003"
        ),
        score=lambda pair: ms_ssim(*pair.channels),
    ),
    Metric(
        name="mae",
        label="MAE",
        direction="lower",
        low=0,
        high=255,
        unit="levels",
        description="mean absolute difference in 8-bit levels, on the channels that the protocol names",
        reference=(
            "Willmott, Matsuura. Advantages of the mean absolute error over the root mean square error. "
            "Climate Research, 2005"
        ),
        score=lambda pair: mae(*pair.channels),
    ),
)
