"""A gray image is to get colours."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from restore.degradations import Degradation, Grayscale
from restore.degradations.grayscale import luma
from restore.images import Photo
from restore.tasks.plain import PlainTask
from restore.tasks.task import Prepared, Request

__all__ = ["Colorization"]


class Colorization(PlainTask):
    """Colours for a gray image; those that an image has already are not used.

    Attributes:
        keep_luma: give the result the very luma of the image, so that only its colours are made up.
    """

    card: ClassVar[str] = "imagenet-ctest10k"

    kind: Literal["colorize"] = "colorize"
    keep_luma: bool = True

    def made_by(self) -> Degradation:
        """Return the degradation that is to be undone."""
        return Grayscale()

    def prepare(self, images: Tensor, request: Request) -> Prepared:
        """Return the luma of the images; see `Task`."""
        self.check(request)
        return Prepared(luma(images))

    def polish(self, image: Tensor, restored: Tensor) -> Tensor:
        """Return the images with the luma that was given; colours that it has no room for are paler."""
        if not self.keep_luma:
            return restored
        given, colour = image[:, :3], restored - luma(restored)
        room = torch.where(colour > 0, 1 - given, 1 + given) / colour.abs().clamp(min=1e-6)
        return (given + colour * room.amin(1, keepdim=True).clamp(0, 1)).clamp(-1, 1)

    def finish(self, image: Photo, pixels: Tensor, request: Request) -> Photo:
        """Return the result as a colour image, whatever was given; no colours follow the profile of a gray one."""
        metadata = replace(image.metadata, icc=None) if image.gray else image.metadata
        return replace(image.with_pixels(pixels), gray=False, mode="RGB", metadata=metadata)
