"""Random textures that the weather is made of: particles blurred by motion, smooth fields, and how they blend.

Particles are impulses convolved in the Fourier domain with a kernel whose spectrum is known in closed form, so that a
streak of 80 pixels costs as little as one of 5. Tensors are (B, H, W) unless said otherwise.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from restore.degradations.random import Points, Random
from restore.system.transfer import send

__all__ = ["Canvas", "blend", "enlarge", "per_pixel", "scatter", "size_factor", "smooth_field", "smoothstep"]


def per_pixel(values: Tensor) -> Tensor:
    """Return (B,) or (B, C) values as (B, 1, 1) or (B, C, 1, 1), ready to meet images."""
    return values[..., None, None]


def size_factor(random: Random, height: int, width: int) -> Tensor:
    """Return (B,) factors by which lengths in pixels grow on large images, between 1 and the full ratio to 256.

    Photographs of any size carry streaks of a few pixels; that is why the exponent is drawn and not one.
    """
    ratio = min(max(min(height, width) / 256.0, 0.5), 8.0)
    return ratio ** random.host.uniform(0.0, 0.8)


def smoothstep(values: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Return 0 below `low`, 1 above `high`, and the cubic ramp between them."""
    ramp = (values - low).div_(high - low).clamp_(0.0, 1.0)
    return ramp.square().mul_(ramp.mul_(-2.0).add_(3.0))


def blend(clean: Tensor, amount: Tensor, colour: Tensor, keep: Tensor) -> Tensor:
    """Return `clean + amount * (colour - keep * clean)`, unclamped.

    `keep` chooses the law: 0 adds light, `colour` is the screen law, 1 is an opaque layer (alpha blending).

    Args:
        clean: (B, 3, H, W).
        amount: (B, H, W) in [0, 1].
        colour: (B, 3).
        keep: (B, 3).
    """
    # plain products and sums: the fused ones are slower where an operand is one number a channel
    return (clean * -per_pixel(keep)).add_(per_pixel(colour)).mul_(amount[:, None]).add_(clean)


def scatter(clean: Tensor, transmission: Tensor, airlight: Tensor) -> Tensor:
    """Return the image seen through a scattering medium, `J t + A (1 - t)` (Koschmieder; He et al. 2009, eq. 1).

    Args:
        clean: (B, 3, H, W), the radiance J.
        transmission: (B, H, W) or (B, 3, H, W), t in (0, 1].
        airlight: (B, 3), A.
    """
    t = transmission[:, None] if transmission.ndim == 3 else transmission
    return (clean * t).add_(per_pixel(airlight) * (1.0 - t))


@lru_cache(maxsize=64)
def _spline_basis(cells: int, length: int, device: torch.device) -> Tensor:
    """Return (length, cells + 3): the cubic B-spline weights of each knot at each pixel centre."""
    place = (torch.arange(length, dtype=torch.float64) + 0.5) / length * cells
    knots = torch.arange(-1, cells + 2, dtype=torch.float64)
    r = (place[:, None] - knots).abs()
    inner = 2 / 3 - r**2 + r**3 / 2
    outer = (2 - r).clamp(min=0) ** 3 / 6
    return torch.where(r < 1, inner, outer).to(torch.float32).to(device)


def smooth_field(random: Random, cells: int, height: int, width: int) -> Tensor:
    """Return (B, H, W) smooth noise of about unit variance with `cells` bumps along the longer side.

    Normal knots under a cubic B-spline, applied as two small matrix products.
    """
    longer = max(height, width)
    rows = max(1, round(cells * height / longer))
    columns = max(1, round(cells * width / longer))
    knots = random.normal((rows + 3, columns + 3)) * 2.0
    return _spline_basis(rows, height, random.device) @ knots @ _spline_basis(columns, width, random.device).T


def _fast_length(length: int) -> int:
    """Return the least even 2-3-5-smooth number that is at least `length`, which Fourier transforms do quickly."""
    candidate = max(length + length % 2, 16)
    while True:
        rest = candidate
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return candidate
        candidate += 2


@lru_cache(maxsize=4)
def _golden(device: torch.device) -> Tensor:
    """Return 1/g and 1/g^2 with g^3 = g + 1, float64."""
    return torch.tensor([0.7548776662466927, 0.5698402909980532], dtype=torch.float64).to(device)


@lru_cache(maxsize=16)
def _frequencies(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    fy = torch.fft.fftfreq(height, device=device)[:, None]
    fx = torch.fft.rfftfreq(width, device=device)[None, :]
    return fy, fx


def enlarge(small: Tensor, height: int, width: int) -> Tensor:
    """Return (B, C, h, w) enlarged to (B, C, height, width), linearly."""
    return functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)


def to_spectrum(textures: Tensor) -> Tensor:
    """Return the spectra (..., H, W // 2 + 1) of textures (..., H, W); of none there are none.

    Some of PyTorch's Fourier transforms refuse an empty batch, which a mixture's rarer kinds often are.
    """
    if textures.numel() == 0:
        height, width = textures.shape[-2:]
        return textures.new_zeros(*textures.shape[:-2], height, width // 2 + 1, dtype=torch.complex64)
    return torch.fft.rfft2(textures)


def to_texture(spectra: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the textures (..., H, W) of a `shape` that spectra (..., H, W // 2 + 1) stand for; of none, none."""
    if spectra.numel() == 0:
        return torch.zeros(*spectra.shape[:-2], *shape, device=spectra.device)
    return torch.fft.irfft2(spectra, s=shape)


class Canvas:
    """A periodic grid a little larger than the image, on which particles are drawn and blurred.

    Args:
        height: rows of the image.
        width: columns of the image.
        device: where to compute.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self.image = (height, width)
        self.shape = (_fast_length(height), _fast_length(width))
        self.area = self.shape[0] * self.shape[1]
        self.device = device

    def blank(self, batch: int) -> Tensor:
        """Return the spectrum (batch, h, w // 2 + 1) of nothing."""
        return torch.zeros(batch, self.shape[0], self.shape[1] // 2 + 1, dtype=torch.complex64, device=self.device)

    def impulses(self, random: Random, density: Tensor, share: Tensor, evenness: Tensor, apart: bool = False) -> Tensor:
        """Return the spectrum (B, h, w // 2 + 1) of randomly placed points of random height in (0, 1].

        Args:
            random: the per-sample streams.
            density: (B,) points per pixel, as drawn; as all numbers here, on the CPU.
            share: (B,) in [0, 1], how many of them are visible; a larger share has the same points and more.
            evenness: (B,) in (0, 1]: heights are `u ** (1 / evenness - 1)`, all equal for 1.
            apart: keep the points at a distance from each other, in a jittered low-discrepancy sequence.
        """
        counts = (density.clamp(0.0, 0.25) * self.area).ceil().long()
        points = random.points(counts.tolist(), 3)
        h, w = self.shape
        place = points.values[:, :2]
        if apart:
            place = self._apart(random, points, counts)
        total, exponent = random.send(share * density * self.area, 1.0 / evenness - 1.0)
        y = (place[:, 0] * h).long().clamp(max=h - 1)
        x = (place[:, 1] * w).long().clamp(max=w - 1)
        shown = total[points.owner] - points.rank
        height = points.values[:, 2] ** exponent[points.owner] * shown.clamp(0.0, 1.0)
        grid = torch.zeros(len(random) * self.area, device=self.device)
        grid.index_add_(0, points.owner * self.area + y * w + x, height)
        return to_spectrum(grid.view(len(random), h, w))

    @staticmethod
    def _apart(random: Random, points: Points, counts: Tensor) -> Tensor:
        """Return (N, 2) places in [0, 1): a shifted golden-ratio sequence in two dimensions, with some jitter.

        The sequence (multiples of 1/g and 1/g^2 with g^3 = g + 1; Roberts 2018) is even for every prefix, so showing a
        smaller share of it leaves no holes.
        """
        counts, shift = random.send(counts, random.host.uniform(shape=(2,)))
        even = (points.rank[:, None] * _golden(random.device)).frac().float()
        jitter = (points.values[:, :2] - 0.5) / counts[points.owner, None].float().sqrt()
        return (even + shift[points.owner] + jitter).remainder(1.0)

    def motion(self, angle: Tensor, length: Tensor, sigma: Tensor) -> Tensor:
        """Return the spectrum (B, h, w // 2 + 1) of a line blurred by a Gaussian, scaled to a peak of one.

        The transform of a line of length L is sinc(L f), that of the Gaussian `exp(-2 pi^2 sigma^2 |f|^2)`.

        Args:
            angle: (B,) radians from the vertical.
            length: (B,) pixels.
            sigma: (B,) pixels, the Gaussian's standard deviation.
        """
        fy, fx = _frequencies(*self.shape, self.device)
        angle, length, sigma = send(self.device, angle, length, sigma)
        decay = -2.0 * math.pi**2 * sigma[:, None, None] ** 2
        reach = math.pi * length
        along = (angle.cos() * reach)[:, None, None] * fy + (angle.sin() * reach)[:, None, None] * fx
        # 0 / 0 is kept out of the sinc: the two terms cancel at the origin, and now and then elsewhere.
        along.masked_fill_(along == 0, 1e-6)
        peak = torch.erf(length / (math.sqrt(8.0) * sigma)) / (length * sigma * math.sqrt(2.0 * math.pi))
        spectrum = along.sin().div_(along)
        spectrum *= (decay * fy**2).exp() / peak[:, None, None]
        spectrum *= (decay * fx**2).exp()
        return spectrum

    def paint(self, spectrum: Tensor) -> Tensor:
        """Return the (B, H, W) texture of a spectrum, without the canvas's margin and without negative ripples."""
        texture = to_texture(spectrum, self.shape)
        return texture[:, : self.image[0], : self.image[1]].clamp_(min=0.0)

    def gradient(self, spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Return the derivatives (along y, along x), each (B, H, W) per pixel, of a spectrum's texture."""
        fy, fx = _frequencies(*self.shape, self.device)
        height, width = self.image
        slopes = to_texture(torch.stack([spectrum * (2j * math.pi * f) for f in (fy, fx)]), self.shape)
        return slopes[0, :, :height, :width], slopes[1, :, :height, :width]
