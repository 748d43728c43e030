"""Tasks: what is given and what is to be restored. To add one: a file, and its name in `TaskSpec`."""

from __future__ import annotations

from typing import Annotated

from restore.schema import Kinds
from restore.tasks.colorization import Colorization
from restore.tasks.compression import Compression
from restore.tasks.detection import Detection
from restore.tasks.generation import Generation
from restore.tasks.inpainting import Filling, Inpainting, Uncropping
from restore.tasks.super_resolution import SuperResolution
from restore.tasks.task import Example, Prepared, Request, Task
from restore.tasks.weather import Weather

__all__ = [
    "Colorization",
    "Compression",
    "Detection",
    "Example",
    "Filling",
    "Generation",
    "Inpainting",
    "Prepared",
    "Request",
    "SuperResolution",
    "Task",
    "TaskSpec",
    "Uncropping",
    "Weather",
]

TaskSpec = Annotated[
    Weather | Inpainting | SuperResolution | Colorization | Uncropping | Compression | Generation,
    Kinds("restore.tasks", Task),
]
