"""Conditional diffusion for image restoration: snow, rain, haze, raindrops, any size, CPU or GPU.

>>> from restore import Restorer                                         # doctest: +SKIP
>>> Restorer.from_pretrained("weather")("photo.jpg").save("out.png")     # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    from restore.images import Picture, read, write
    from restore.restoration.restorer import Posterior, Restorer

__all__ = ["Picture", "Posterior", "RestoreError", "Restorer", "read", "write"]

_HOMES = {
    "Picture": "restore.images",
    "Posterior": "restore.restoration.restorer",
    "Restorer": "restore.restoration.restorer",
    "read": "restore.images",
    "write": "restore.images",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are used, so that a help text does not wait for torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'restore' has no attribute {name!r}")
