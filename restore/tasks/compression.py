"""The traces of JPEG compression are to be removed."""

from __future__ import annotations

from typing import ClassVar, Literal

from restore.degradations import JPEG, Degradation
from restore.tasks.plain import PlainTask

__all__ = ["Compression"]


class Compression(PlainTask):
    """An image that was stored at an unknown quality is to be as it was before.

    Attributes:
        codec: how training images are compressed.
    """

    card: ClassVar[str] = "live1"
    aligned: ClassVar[bool] = True

    kind: Literal["jpeg"] = "jpeg"
    codec: JPEG = JPEG()

    def made_by(self) -> Degradation:
        """Return the degradation that is to be undone."""
        return self.codec
