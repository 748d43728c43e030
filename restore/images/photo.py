"""The `Photo` that users hold: a `Raster` that can save itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Self

from restore.images.raster import Raster
from restore.images.write import write

__all__ = ["Photo"]


@dataclass(frozen=True, eq=False, repr=False)
class Photo(Raster):
    """One image, upright, which can save itself; its attributes are those of `restore.images.raster.Raster`."""

    @classmethod
    def of(cls, raster: Raster, source: Path | None = None) -> Self:
        """Return a raster as an image, with the path of the file that it was read from, if any.

        Colours that nobody sees are put aside here, once for everything that comes later.
        """
        facts = {field.name: getattr(raster, field.name) for field in fields(raster)}
        return cls(**facts | {"source": source or raster.source}).filled()

    def save(
        self,
        path: str | PathLike[str],
        *,
        overwrite: bool = False,
        quality: int | None = None,
        lossless: bool | None = None,
    ) -> None:
        """Write the image to a file; see `restore.images.write`."""
        write(self, path, overwrite=overwrite, quality=quality, lossless=lossless)
