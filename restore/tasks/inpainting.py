"""Lost parts of an image are to be made up: holes, and what lies beyond its borders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from restore.contracts import Condition
from restore.degradations import Crop, Degradation, Hole, Mixture, Random
from restore.degradations.masks import Box, BoxAndStrokes, FreeForm, Irregular
from restore.denoisers.parameterization import Parameterization
from restore.errors import ConfigError
from restore.images import Photo
from restore.images.fill import flow_in
from restore.tasks.holed import Holed
from restore.tasks.task import Example, Examples, Prepared, Request, Task, unlabelled

__all__ = ["Filling", "Inpainting", "Uncropping"]

Lost = Annotated[Hole | Crop, Field(discriminator="kind")]
EMPTY = "the mask is empty: nothing is marked as to be restored (bright pixels mark it)"


class Filling(Task):
    """The common base of inpainting and uncropping: known pixels, and a mask of those that are to be filled.

    Attributes:
        mask_channel: the mask is the condition's fourth channel, 1 in the hole and -1 elsewhere.
        fill: what the condition has in the hole: a guess from the known pixels around it, or mid-grey; Palette's has
            noise there and no fourth channel.
    """

    whole: ClassVar[bool] = False
    clean_known: ClassVar[bool] = True

    mask_channel: bool = True
    fill: Literal["smooth", "gray", "noise"] = "smooth"

    @property
    def channels(self) -> int:
        """Channels of the condition."""
        return 4 if self.mask_channel else 3

    def losses(self) -> Sequence[Hole]:
        """Return the ways in which training images lose pixels; each has the same chance."""
        raise NotImplementedError

    def request_for(
        self, degradation: Degradation, random: Random, height: int, width: int, severity: float | None
    ) -> Request:
        """Return the request for a degraded image: where its hole is.

        Raises:
            ConfigError: the degradation makes no hole.
        """
        if not isinstance(degradation, Hole):
            raise ConfigError(f"task {self.kind} fills holes, and degradation {degradation.kind} makes none")
        return Request(mask=degradation.masks(random, height, width, severity)[0])

    def marked(self, images: Tensor, mask: Tensor) -> Prepared:
        """Return the images with a (1, H, W) mask marked in each.

        Raises:
            ConfigError: the mask is empty, or of another size or shape.
        """
        if mask.ndim != 3 or len(mask) != 1:
            raise ConfigError(f"the mask of a request has the shape (1, H, W), not {tuple(mask.shape)}")
        hole = (mask > 0.5).float().expand(len(images), -1, -1, -1).to(images.device)
        if hole.shape[-2:] != images.shape[-2:]:
            (h, w), (height, width) = hole.shape[-2:], images.shape[-2:]
            raise ConfigError(f"the mask has {w}x{h} pixels, the image {width}x{height}: they must be of one size")
        if not hole.any():
            raise ConfigError(EMPTY)
        return Prepared(self.condition(images, hole), hole)

    def condition(self, images: Tensor, hole: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the network's condition, (B, C, H, W), for images in [-1, 1] with a hole, (B, 1, H, W)."""
        lost = hole > 0.5
        if self.fill == "noise":
            generator = torch.Generator().manual_seed(0)
            other = torch.randn(images.shape, generator=generator).to(images) if noise is None else noise
        else:
            other = flow_in(images, hole) if self.fill == "smooth" else torch.zeros_like(images)
        filled = torch.where(lost, other, images)
        return torch.cat([filled, lost.to(filled) * 2 - 1], dim=1) if self.mask_channel else filled

    def examples(self, weather: Mixture) -> Examples:
        """Return what makes training images, with holes of all kinds."""

        def make(clean: Tensor, random: Random, severity: float | None) -> Example:
            ways, shape = self.losses(), clean.shape[-2:]
            which = random.host.choice([1.0] * len(ways))
            hole = torch.zeros(len(clean), 1, *shape, device=clean.device)
            for number in which.unique().tolist():
                index = (which == number).nonzero()[:, 0]
                (place,) = random.send(index)
                hole[place] = ways[number].masks(random.subset(index.tolist()), *shape, severity)
            return self._example(clean, hole, random)

        return make

    def views(self, weather: Mixture) -> Mapping[str, Examples]:
        """Return what makes validation images, one for each kind of hole."""

        def view(way: Hole) -> Examples:
            def make(clean: Tensor, random: Random, severity: float | None) -> Example:
                return self._example(clean, way.masks(random, *clean.shape[-2:], severity), random)

            return make

        return {f"{self.kind} {way.mask.kind}": view(way) for way in self.losses()}

    def _example(self, clean: Tensor, hole: Tensor, random: Random) -> Example:
        noise = random.normal(tuple(clean.shape[1:])) if self.fill == "noise" else None
        return Example(self.condition(clean * 2 - 1, hole, noise), unlabelled(clean), hole)

    def from_pairs(self, degraded: Tensor) -> Tensor:
        """Raise an error: pairs do not say which pixels are lost."""
        raise ConfigError(f"task {self.kind} is trained from clean photographs (data kind clean), not from pairs")

    def parameterization(self, own: Parameterization, x0: Tensor, condition: Condition) -> Parameterization:
        """Return the parameterization of the hole alone: elsewhere the network sees the image, and predicts nothing."""
        if not self.mask_channel:
            raise ConfigError(f"task {self.kind} is trained with mask_channel: true only")
        return Holed.of(own, x0, condition.image[:, x0.shape[1] :] > 0)


class Inpainting(Filling):
    """A hole is to be filled; the mask marks it.

    Attributes:
        masks: how holes of training images look.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"mask"})
    needs: ClassVar[frozenset[str]] = frozenset({"mask"})
    card: ClassVar[str] = "places2"

    kind: Literal["inpaint"] = "inpaint"
    masks: tuple[Lost, ...] = Field(
        (Hole(mask=Box()), Hole(mask=Irregular()), Hole(mask=FreeForm()), Hole(mask=BoxAndStrokes())), min_length=1
    )

    def losses(self) -> Sequence[Hole]:
        """Return the ways in which training images lose pixels."""
        return self.masks

    def variant(self, name: str) -> Task:
        """Return this task, or uncropping, which differs in where the hole is."""
        if name != "uncrop":
            return self
        return Uncropping(mask_channel=self.mask_channel, fill=self.fill)

    def prepare(self, images: Tensor, request: Request) -> Prepared:
        """Return the images with the hole marked; see `Task`."""
        self.check(request)
        assert request.mask is not None
        return self.marked(images, request.mask)


class Uncropping(Filling):
    """The image is to go on beyond its borders.

    Attributes:
        crops: how much of training images is lost, and where.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"pad", "mask"})
    card: ClassVar[str] = "places2"

    kind: Literal["uncrop"] = "uncrop"
    crops: Crop = Crop()

    def losses(self) -> Sequence[Hole]:
        """Return the ways in which training images lose pixels."""
        return (self.crops,)

    def variant(self, name: str) -> Task:
        """Return this task, or inpainting; see `Inpainting.variant`."""
        if name != "inpaint":
            return self
        return Inpainting(mask_channel=self.mask_channel, fill=self.fill)

    def check(self, request: Request) -> None:
        """Raise ConfigError unless there is a border to add, or one is marked to be replaced; see `Task`."""
        super().check(request)
        if request.pad is None and request.mask is None:
            raise ConfigError("task uncrop needs the number of pixels to add: pass --pad left,top,right,bottom")
        if request.pad is not None and request.mask is not None:
            raise ConfigError("task uncrop takes either --pad or, for a border that is there already, --mask")
        if request.pad is not None and (min(request.pad) < 0 or not any(request.pad)):
            given = ",".join(map(str, request.pad))
            raise ConfigError(f"pad takes numbers of pixels to add left, top, right and bottom, not {given}")

    def prepare(self, images: Tensor, request: Request) -> Prepared:
        """Return the images with the new border marked as a hole; see `Task`."""
        self.check(request)
        if request.mask is not None:
            return self.marked(images, request.mask)
        assert request.pad is not None
        left, top, right, bottom = request.pad
        around = (left, right, top, bottom)
        hole = F.pad(torch.zeros_like(images[:, :1]), around, value=1.0)
        return Prepared(self.condition(F.pad(images, around), hole), hole)

    def size(self, height: int, width: int, request: Request) -> tuple[int, int]:
        """Return the height and width of the result."""
        left, top, right, bottom = request.pad or (0, 0, 0, 0)
        return height + top + bottom, width + left + right

    def finish(self, image: Photo, pixels: Tensor, request: Request) -> Photo:
        """Return the larger image; what is added is opaque."""
        return (image if request.pad is None else image.padded(*request.pad)).with_pixels(pixels)
