"""A low-resolution image is to be enlarged by a whole factor."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from restore.degradations import BlindResolution, Degradation, Random, Resolution
from restore.degradations.resampling import Kernel
from restore.degradations.resolution import enlarge_by
from restore.errors import ConfigError
from restore.tasks.plain import PlainTask
from restore.tasks.task import Prepared, Request

__all__ = ["SuperResolution"]


class SuperResolution(PlainTask):
    """An image `scale` times larger; the network sees it enlarged by plain interpolation, as SR3 does.

    Attributes:
        scale: that the network was trained for.
        filter: what enlarges its condition.
        blind: trained on images that were also blurred, noised and compressed, not only made small.
    """

    uses: ClassVar[frozenset[str]] = frozenset({"scale", "enlarged"})
    card: ClassVar[str] = "set5"

    kind: Literal["upscale"] = "upscale"
    scale: int = Field(4, ge=2, le=32)
    filter: Kernel = "bicubic"
    blind: bool = False

    def made_by(self) -> Degradation:
        """Return the degradation that is to be undone."""
        return BlindResolution(scale=self.scale) if self.blind else Resolution(scale=self.scale)

    def check(self, request: Request) -> None:
        """Raise ConfigError unless the scale is the one of training; see `Task`."""
        super().check(request)
        if request.scale not in (None, self.scale):
            raise ConfigError(f"this model was trained to enlarge by {self.scale}, not by {request.scale}")

    def prepare(self, images: Tensor, request: Request) -> Prepared:
        """Return the images enlarged to the size of the result; see `Task`."""
        self.check(request)
        if request.enlarged:
            return Prepared(images)
        return Prepared(enlarge_by(images.add(1).div_(2), self.scale, kernel=self.filter).mul_(2).sub_(1))

    def request_for(
        self, degradation: Degradation, random: Random, height: int, width: int, severity: float | None
    ) -> Request:
        """Return the request for a degraded image; degradations keep its size, so it is enlarged already.

        Raises:
            ConfigError: the degradation makes images smaller by another factor than that of training.
        """
        factor = getattr(degradation, "scale", 1)
        if factor != self.scale:
            made = f"makes them {factor} times smaller" if factor > 1 else "leaves them as large as they are"
            raise ConfigError(f"task {self.kind} enlarges images by {self.scale}, and {degradation.kind} {made}")
        return Request(enlarged=True)

    def size(self, height: int, width: int, request: Request) -> tuple[int, int]:
        """Return the height and width of the result."""
        factor = 1 if request.enlarged else self.scale
        return height * factor, width * factor
