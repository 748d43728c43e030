"""The traces of JPEG compression are to be removed."""

from __future__ import annotations

from typing import ClassVar, Literal

from restore.contracts import Denoiser
from restore.degradations import JPEG, Degradation
from restore.denoisers.aligned import Aligned
from restore.tasks.plain import PlainTask

__all__ = ["Compression"]


class Compression(PlainTask):
    """A picture that was stored at an unknown quality is to be as it was before.

    Attributes:
        codec: how training pictures are compressed.
    """

    card: ClassVar[str] = "live1"

    kind: Literal["jpeg"] = "jpeg"
    codec: JPEG = JPEG()

    def around(self, denoiser: Denoiser) -> Denoiser:
        """Return the denoiser, shown pictures that were cropped since with their blocks where a file has them."""
        return Aligned(denoiser)

    def made_by(self) -> Degradation:
        """Return the degradation that is to be undone."""
        return self.codec
