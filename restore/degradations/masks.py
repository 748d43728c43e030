"""Masks for inpainting: which part of an image is to be made anew. 1 = to restore, 0 = known.

Every kind is a document and a function `(random, height, width, area) -> (B, 1, H, W)`; `area` is the share of the
image that is missing, (B,) in [0, 1]. For one seed, a larger area contains every smaller one.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore import images
from restore.degradations.fields import enlarge, smooth_field
from restore.degradations.random import CountRange, Random
from restore.errors import ConfigError, DataError
from restore.schema import Spec

__all__ = [
    "Border",
    "Box",
    "BoxAndStrokes",
    "Center",
    "FreeForm",
    "Irregular",
    "MaskFiles",
    "MaskSpec",
    "find_mask",
    "read_mask",
]


ONE_COLOUR = 2 * 8 / 255  # how far colours in [-1, 1] may differ in a drawing of one colour
FIELD = 96  # cells of the grid on which the distance from strokes is computed, along the longer side


def _coordinates(length: int, random: Random) -> Tensor:
    return torch.arange(length, device=random.device, dtype=torch.float32)


def _rectangle(random: Random, height: int, width: int, area: Tensor, aspect: Tensor, place: Tensor) -> Tensor:
    """Return (B, 1, H, W) rectangles of a share of the image; `place` (B, 2) in [0, 1] is where there is room.

    The numbers are on the CPU.
    """
    down = (area * aspect).sqrt().clamp(max=1)
    down = torch.maximum(down, area)  # the other side cannot be longer than the image
    across = torch.where(area > 0, area / down.clamp(min=1e-6), 0)
    ends = []
    for share, length, where in ((down, height, place[:, 0]), (across, width, place[:, 1])):
        ends += [where * (1 - share) * length, (where + (1 - where) * share) * length]
    top, bottom, left, right = (end[:, None] for end in random.send(*ends))
    y, x = (_coordinates(length, random) + 0.5 for length in (height, width))
    rows, columns = (y > top) & (y < bottom), (x > left) & (x < right)
    return (rows[:, :, None] & columns[:, None, :])[:, None].float()


def _lowest(field: Tensor, area: Tensor) -> Tensor:
    """Return (B, 1, H, W): 1 where `field` (B, H, W) is among the lowest share `area` of its values."""
    flat = field.flatten(1)
    counts = (area * flat.shape[1]).round().long().tolist()
    edges = [row.kthvalue(k).values if k else row.new_tensor(-torch.inf) for row, k in zip(flat, counts, strict=True)]
    edge = torch.stack(edges) if edges else field.new_empty(0)
    return (field <= edge[:, None, None])[:, None].float()


class Box(Spec):
    """A rectangle anywhere.

    Attributes:
        aspect: its height in widths, relative to the image's, between one over this and this.
    """

    kind: Literal["box"] = "box"
    aspect: float = Field(2.0, ge=1)

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width); see the module."""
        aspect = self.aspect ** random.host.uniform(-1.0, 1.0)
        return _rectangle(random, height, width, area, aspect, random.host.uniform(shape=(2,)))


class Center(Spec):
    """The middle of the image, in its shape."""

    kind: Literal["center"] = "center"

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width); see the module."""
        half = torch.full((len(area), 2), 0.5)
        return _rectangle(random, height, width, area, torch.ones_like(area), half)


class Border(Spec):
    """Masks of outpainting: a rectangle is known, the rest is not.

    Attributes:
        sides: share of the images that miss one side only; the others miss all four.
    """

    kind: Literal["border"] = "border"
    sides: float = Field(0.5, ge=0, le=1)

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width); see the module."""
        host = random.host
        single, side = host.chance(self.sides), host.choice((1, 1, 1, 1))
        place = host.uniform(0.2, 0.8, (2,))
        kept = 1 - area
        zero = torch.zeros_like(kept)
        end = side % 2 + zero
        # an extreme aspect is a band from border to border
        rows = _rectangle(random, height, width, kept, zero, torch.stack([end, zero], 1))
        columns = _rectangle(random, height, width, kept, zero + 1e6, torch.stack([zero, end], 1))
        every = _rectangle(random, height, width, kept, torch.ones_like(kept), place)
        upright, single = (x[:, None, None, None] for x in random.send(side < 2, single))
        return 1 - torch.where(single, torch.where(upright, rows, columns), every)


class Irregular(Spec):
    """Blots with ragged outlines, from a threshold on smooth noise.

    Attributes:
        cells: blots along the longer side, from and to.
    """

    kind: Literal["irregular"] = "irregular"
    cells: CountRange = (3, 9)

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width); see the module."""
        fine = smooth_field(random, self.cells[1], height, width)
        coarse = smooth_field(random, self.cells[0], height, width)
        ragged = smooth_field(random, 8 * self.cells[1], height, width)
        mix = random.uniform()[:, None, None]
        return _lowest(coarse * mix + fine * (1 - mix) + 0.06 * ragged, area)


class FreeForm(Spec):
    """Strokes of a brush: bent lines of one width (after Yu et al. 2019, algorithm 1).

    Attributes:
        strokes: how many, from and to.
        bends: segments of each stroke.
        turn: the largest angle between two segments, in radians.
    """

    kind: Literal["free-form"] = "free-form"
    strokes: CountRange = (2, 6)
    bends: int = Field(6, ge=1, le=32)
    turn: float = Field(1.3, ge=0)

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width); see the module."""
        (low, high), host = self.strokes, random.host
        count = low + host.uniform(0, high - low + 1 - 1e-4).long()
        size = max(height, width)
        start = host.uniform(shape=(high, 2)) * torch.tensor([height, width])
        first = host.uniform(0.0, 2 * torch.pi, (high,))
        turns = host.uniform(-self.turn, self.turn, (high, self.bends)).cumsum(-1)
        length = host.uniform(0.05, 0.25, (high, self.bends)) * size
        angle = first[..., None] + turns
        step = torch.stack([angle.sin() * length, angle.cos() * length], dim=-1)
        end = start[:, :, None] + step.cumsum(2)
        begin = torch.cat([start[:, :, None], end[:, :, :-1]], dim=2)
        drawn = (torch.arange(high) < count[:, None])[:, :, None].expand(-1, -1, self.bends)
        # the distance is smooth, and a coarse grid of it serves as well
        step = max(1, round(size / FIELD))
        rows, columns = max(1, height // step), max(1, width // step)
        scale = torch.tensor([rows / height, columns / width])
        begin, end = begin.flatten(1, 2) * scale, end.flatten(1, 2) * scale
        distance = self._distance(*random.send(begin, end, drawn.flatten(1)), rows, columns)
        return _lowest(enlarge(distance.sqrt()[:, None], height, width)[:, 0], area)

    @staticmethod
    def _distance(begin: Tensor, end: Tensor, drawn: Tensor, height: int, width: int) -> Tensor:
        """Return (B, H, W) squared distances to the nearest of (B, S, 2) segments, those that are `drawn` (B, S)."""
        y = torch.arange(height, device=begin.device, dtype=torch.float32)[:, None] + 0.5
        x = torch.arange(width, device=begin.device, dtype=torch.float32) + 0.5
        nearest = torch.full((len(begin), height, width), torch.inf, device=begin.device)
        for s in range(begin.shape[1]):
            by, bx, ey, ex = (v[:, None, None] for v in (*begin[:, s].unbind(1), *end[:, s].unbind(1)))
            dy, dx = ey - by, ex - bx
            along = ((y - by) * dy + (x - bx) * dx).div_((dy * dy + dx * dx).clamp(min=1e-6)).clamp_(0, 1)
            gap = (y - by - along * dy).square_() + (x - bx - along * dx).square_()
            nearest = torch.minimum(nearest, gap.masked_fill_(~drawn[:, s, None, None], torch.inf))
        return nearest


class BoxAndStrokes(Spec):
    """A box and strokes together, each about half of the area.

    Attributes:
        box: the rectangle.
        strokes: the strokes of a brush.
    """

    kind: Literal["hybrid"] = "hybrid"
    box: Box = Box()
    strokes: FreeForm = FreeForm()

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width); what both cover counts once, so the area may be smaller."""
        share = 1 - (1 - area).sqrt()
        return torch.maximum(self.box(random, height, width, share), self.strokes(random, height, width, share))


class MaskFiles(Spec):
    """Masks that were drawn before, one of a folder for each image; the area follows from the file.

    Attributes:
        folder: of images of any size, or one image.
        white: what a bright pixel means.
        flip: half of the masks are turned left to right.
    """

    kind: Literal["files"] = "files"
    folder: Path
    white: Literal["restore", "keep"] = "restore"
    flip: bool = True

    @cached_property
    def paths(self) -> list[Path]:
        """The masks, listed once.

        Raises:
            ImageError: there is none.
        """
        return images.list_images([self.folder])

    def __call__(self, random: Random, height: int, width: int, area: Tensor) -> Tensor:
        """Return the masks, (B, 1, height, width), stretched to the size; an area of 0 leaves nothing to restore.

        Raises:
            ImageError: a file is no image, or there is none.
        """
        masks = []
        for place, flip in zip(random.host.uniform().tolist(), random.host.chance(0.5).tolist(), strict=True):
            mask = read_mask(self.paths[int(place * len(self.paths))], self.white)
            mask = F.interpolate(mask[None], (height, width), mode="nearest")[0]
            masks.append(mask.flip(-1) if flip and self.flip else mask)
        stacked = torch.stack(masks) if masks else torch.empty(0, 1, height, width)
        return random.send(stacked * (area > 0)[:, None, None, None])[0]


def read_mask(path: Path, white: Literal["restore", "keep"] = "restore") -> Tensor:
    """Return the (1, H, W) mask in a file: 1 where its pixels are brighter than mid-gray, or not so for `keep`.

    In a file with alpha the brightness is what a person sees of it on black: the brightness times the alpha. Where all
    that is seen has one colour, the strokes are in the alpha, which is then the mask.

    Raises:
        ImageError: the file is no image.
        DataError: it is a folder.

    Warns:
        ImageWarning: every pixel is marked, which leaves nothing to restore them from.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a mask")
    image = images.read(path)
    bright = image.pixels.mean(0, keepdim=True)
    if image.alpha is not None:
        seen = torch.from_numpy(image.array("float32")[..., -1])[None]
        drawn = seen.amin() < seen.amax() and _one_colour(image.pixels[:, seen[0] > 0])
        bright = 2 * seen - 1 if drawn else (bright + 1) * seen - 1
    mask = (bright > 0).float() if white == "restore" else (bright <= 0).float()
    if mask.all():
        other = "dark" if white == "restore" else "bright"
        images.warn(image.name, f"this mask marks every pixel, so nothing is kept; are its {other} pixels meant?")
    return mask


def _one_colour(colours: Tensor) -> bool:
    """Return whether (3, N) colours in [-1, 1] are one but for the noise of a lossy file."""
    return bool((colours.amax(1) - colours.amin(1)).amax() <= ONE_COLOUR)


def find_mask(masks: Path, source: Path, below: Path = Path()) -> Path:
    """Return the mask of an image: the one file, or that of its name in a folder.

    Args:
        masks: the file or folder.
        source: the image.
        below: the folder that holds it, seen from the one that was given. A folder of masks that has folders itself
            must have this one: images of several folders may have one name. One without serves them all.

    Raises:
        ConfigError: there is none.
    """
    if not masks.exists():
        raise ConfigError(f"no such mask: {masks}")
    nested = bool(below.parts) and masks.is_dir() and _has_folders(masks, masks.stat().st_mtime_ns)
    folder = masks / below if nested else masks
    found = images.namesake(folder, source) if folder.is_dir() or not nested else None
    if found is None:
        raise ConfigError(f"{folder} holds no mask named {source.stem}")
    return found


@lru_cache(maxsize=4)
def _has_folders(folder: Path, changed: int) -> bool:
    """Return whether there are folders in a folder, hidden ones left out; looked up again only if it has changed."""
    return any(entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir())


MaskSpec = Annotated[
    Box | Center | Border | Irregular | FreeForm | BoxAndStrokes | MaskFiles,
    Field(discriminator="kind"),
]
