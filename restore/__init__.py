"""Conditional diffusion for image restoration: snow, rain, haze, raindrops, any size, CPU or GPU.

>>> from restore import Pipeline, Restorer                                               # doctest: +SKIP
>>> Restorer.from_pretrained("weather")("photo.jpg", task="derain").save("out.png")      # doctest: +SKIP
>>> Pipeline.auto("weather")("photo.jpg").save("out.png")                                # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restore.errors import RestoreError

if TYPE_CHECKING:
    from restore.images import Photo, read, write
    from restore.restoration.detector import Detector
    from restore.restoration.pipeline import Pipeline
    from restore.restoration.restorer import Restorer
    from restore.restoration.settings import Settings
    from restore.samplers import Posterior
    from restore.tasks import Request

__all__ = [
    "Detector",
    "Photo",
    "Pipeline",
    "Posterior",
    "Request",
    "RestoreError",
    "Restorer",
    "Settings",
    "read",
    "write",
]

_HOMES = {
    "Detector": "restore.restoration.detector",
    "Photo": "restore.images",
    "Pipeline": "restore.restoration.pipeline",
    "Posterior": "restore.samplers",
    "Request": "restore.tasks",
    "Restorer": "restore.restoration.restorer",
    "Settings": "restore.restoration.settings",
    "read": "restore.images",
    "write": "restore.images",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are used, so that a help text does not wait for torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'restore' has no attribute {name!r}")
