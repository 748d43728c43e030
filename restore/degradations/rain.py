"""Rain: layers of falling streaks between the camera and the scene."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from restore.degradations.fields import Canvas, blend, scatter, size_factor, smooth_field, smoothstep
from restore.degradations.random import CountRange, PositiveRange, Random, Share
from restore.schema import Spec

__all__ = ["Rain", "Streaks"]


class Streaks(NamedTuple):
    """Falling streaks, ready to be laid over an image.

    Attributes:
        amount: (B, H, W) in [0, 1], how much of a streak is at a pixel.
        colour: (B, 3), the light of a streak.
        keep: (B, 3), the blending law (see `blend`).
    """

    amount: Tensor
    colour: Tensor
    keep: Tensor


class Rain(Spec):
    """Rain streaks in one to four layers, sparse to accumulated, added, screened or opaque.

    A streak is the motion blur of a drop during the exposure (Garg and Nayar 2007). A layer has one direction, length
    and width; several layers give near and far rain, and crossing directions in gusts. Every range below is for
    severity 1 on an image of 256 pixels.

    Attributes:
        layers: fewest and most layers.
        length: of a streak in pixels.
        width: of a streak in pixels, at half its height.
        coverage: of the image by each layer's streaks; above 1 they overlap.
        opacity: of the layers at the heaviest.
        brightness: of the streaks' light.
        slant: usual standard deviation of the direction from the vertical, in degrees.
        veil: the most that the transmission drops for accumulated rain.
        dense: share of images in soft rain so dense that it brightens the image more than it streaks it; its
            level must be guessed from its streaks.
        sheets: share of images, besides `dense`, in rain that is dense, too, and hangs in sheets: thick in one part
            of the image and thin in another, and the thicker it is, the more it brightens than it streaks.
    """

    kind: Literal["rain"] = "rain"
    layers: CountRange = (1, 4)
    length: PositiveRange = (8.0, 150.0)
    width: PositiveRange = (0.95, 5.5)
    coverage: PositiveRange = (0.15, 3.0)
    opacity: Share = (0.5, 1.0)
    brightness: Share = (0.6, 1.0)
    slant: float = Field(default=16.0, ge=0.0, le=60.0)
    veil: float = Field(default=0.2, ge=0.0, le=1.0)
    dense: float = Field(default=0.3, ge=0.0, le=1.0)
    sheets: float = Field(default=0.0, ge=0.0, le=1.0)

    def __call__(self, clean: Tensor, random: Random, severity: float | Tensor | None = None) -> Tensor:
        """Return `clean` (B, 3, H, W) in [0, 1] in the rain; severity 0 leaves it as it is."""
        host = random.host
        strength = host.severity(severity)
        streaks = self.streaks(random, strength, *clean.shape[-2:])
        veil = strength * host.uniform(0.0, self.veil) * host.chance(0.35)
        dim = strength * host.uniform(0.0, 0.15) * host.chance(0.2)
        veil, dim, airlight = random.send(veil, dim, host.uniform(0.55, 0.95)[:, None].expand(-1, 3))
        scene = scatter(clean, (1.0 - veil)[:, None, None], airlight).mul_((1.0 - dim)[:, None, None, None])
        return blend(scene, *streaks).clamp_(0.0, 1.0)

    def streaks(self, random: Random, strength: Tensor, height: int, width: int) -> Streaks:
        """Return the streaks of a (B, height, width) batch at severities `strength` (B,)."""
        canvas, host = Canvas(height, width, random.device), random.host
        # A severity is shared between "fewer streaks" and "fainter streaks", so that both sorts of light rain occur.
        shared = host.uniform()
        share, fade = strength ** (1.0 - shared), strength**shared
        dense = host.chance(self.dense)
        # nothing more is drawn where there are no sheets: such rain stays the same from version to version
        sheets = host.chance(self.sheets) if self.sheets else torch.zeros_like(dense)
        dense = dense | sheets
        spectrum = self._layers(random, canvas, share, dense)
        texture = self._levels(random, canvas.paint(spectrum), dense).clamp_(max=1.0)
        if self.sheets:
            (hung,) = random.send(sheets)
            texture = torch.where(hung[:, None, None], self._hung(random, texture), texture)
        opacity = host.within(self.opacity) * torch.where(dense, host.uniform(0.5, 1.0), 1.0) * fade
        patchy = host.chance(0.35)
        gusts = smoothstep(smooth_field(random, 3, height, width), -1.2, 0.8)
        tint = host.normal((3,)) * (0.02 * host.chance(0.5))[:, None]
        colour = (host.within(self.brightness)[:, None] * (1.0 + tint)).clamp(0.0, 1.0)
        law = host.choice((0.45, 0.3, 0.25))
        # what is dense and soft is light that is added; laid over as an opaque layer it would be mist
        law = torch.where(dense, law.clamp(max=1), law)[:, None]
        keep = torch.where(law == 0, torch.zeros_like(colour), torch.where(law == 1, colour, torch.ones_like(colour)))
        opacity, patchy, colour, keep = random.send(opacity, patchy, colour, keep)
        amount = texture.mul_(torch.where(patchy[:, None, None], gusts, 1.0).mul_(opacity[:, None, None]))
        return Streaks(amount, colour, keep)

    @staticmethod
    def _levels(random: Random, texture: Tensor, dense: Tensor) -> Tensor:
        """Return the texture with, for some samples, its dark end cut and its contrast raised: crisp streaks."""
        host = random.host
        crisp = host.chance(0.45) & ~dense
        floor = torch.where(crisp, host.uniform(0.0, 0.3), 0.0)
        floor, gain = random.send(floor, torch.where(crisp, host.log_within((1.3, 5.0)), 1.0))
        return texture.sub_(floor[:, None, None]).clamp_(min=0.0).mul_(gain[:, None, None])

    @staticmethod
    def _hung(random: Random, texture: Tensor) -> Tensor:
        """Return textures whose mean follows a smooth field, and whose contrast, lowered, follows its root."""
        field, host = smooth_field(random, 1, *texture.shape[-2:]), random.host
        numbers = random.send(host.uniform(0.5, 1.8), host.log_within((1.0, 2.2)), host.log_within((0.12, 0.9)))
        high, more, contrast = (x[:, None, None] for x in numbers)
        field = smoothstep(field, -1.2, high)
        mean = texture.mean((1, 2), keepdim=True)
        return (more * mean * field + (texture - mean) * contrast * field.sqrt()).clamp_(0.0, 1.0)

    def _layers(self, random: Random, canvas: Canvas, share: Tensor, dense: Tensor) -> Tensor:
        """Return the summed spectrum of all layers; transforms are linear, so one inverse serves them all."""
        most, host = self.layers[1], random.host
        count = self.layers[0] + host.choice((1.0,) * (most - self.layers[0] + 1))
        scale = size_factor(random, *canvas.image)
        upright = host.normal() * math.radians(self.slant)
        steep = host.uniform(-1.0, 1.0) * math.radians(60.0)
        direction = torch.where(host.chance(0.15), steep, upright).clamp(-math.radians(60.0), math.radians(60.0))
        spread = host.log_within((0.02, 0.3))
        angle = direction[:, None] + spread[:, None] * host.normal((most,))
        length = (host.log_within(self.length) * scale)[:, None] * host.uniform(0.6, 1.4, (most,))
        # The exponent favours thin streaks, which are what most rain is.
        width = self.width[0] * (self.width[1] / self.width[0]) ** host.uniform(shape=(most,)) ** 1.5
        sigma = width / 2.355 * scale[:, None] ** 0.5
        # Near streaks are both long and wide: a wide short streak would be a flake.
        length = torch.maximum(length, sigma * host.log_within((8.0, 20.0), (most,)))
        most_covered = self.coverage[1]
        coverage = host.log_within(self.coverage, (most,))
        coverage = torch.where(dense[:, None], host.log_within((most_covered / 3.0, most_covered), (most,)), coverage)
        density = coverage / (length * sigma * 2.5 + 1.0)
        evenness = host.uniform(0.35, 0.95, (most,))
        height = host.uniform(0.4, 1.0, (most,))
        # The mean of the texture is known beforehand. Where it would be a white wall, streaks get fainter, as they do
        # when many are averaged during an exposure.
        mean = (coverage * evenness * height * (count[:, None] > torch.arange(most, device=host.device))).sum(1)
        height = height * (host.uniform(0.15, torch.where(dense, 0.7, 0.45)) / mean).clamp(max=1.0)[:, None]
        # all layers of all images at once, which is fewer and larger operations
        layer, owner = (torch.arange(most, device=host.device)[:, None] < count).nonzero().T
        part = random.subset(owner.tolist())
        points = canvas.impulses(part, density[owner, layer], share[owner], evenness[owner, layer])
        kernel = canvas.motion(angle[owner, layer], length[owner, layer], sigma[owner, layer])
        where, peak = random.send(owner, height[owner, layer])
        return canvas.blank(len(random)).index_add_(0, where, points.mul_(kernel.mul_(peak[:, None, None])))
