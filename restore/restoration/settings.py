"""How one restoration is made: everything that may differ from call to call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from restore.contracts import Denoiser
from restore.denoisers.ensemble import check_orientations
from restore.denoisers.tiles import Tiles
from restore.errors import ConfigError, did_you_mean
from restore.samplers import SamplerSpec
from restore.tasks import Request

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """How an image is restored. Frozen: a `Restorer` is given it with each call and keeps nothing of it.

    Attributes:
        task: one of the recipe's; its first by default.
        label: the degradation label that the network is conditioned on; that of the task by default.
        request: the task's options: a mask, a scale, a border.
        steps: of the sampler; the sampler's own by default.
        samples: how many restorations the result is the mean of.
        seed: of the first sample; the others' follow from it. The same seed gives the same image.
        sampler: another one than the recipe's.
        tiles: other ones than the recipe's.
        guidance: scale of classifier-free guidance; 1 is none (`restore.denoisers.guidance.ClassifierFree`).
        guide: puts other guidance around the network, inside of the tiles.
        self_ensemble: in how many orientations each image is restored (`restore.denoisers.ensemble.SelfEnsemble`).
        gradients: let gradients flow from the result to the image; needs the memory of training.

    Raises:
        ConfigError: there are no samples, or the self-ensemble does not fit the rest.
    """

    task: str | None = None
    label: str | None = None
    request: Request = Request()
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    sampler: SamplerSpec | None = None
    tiles: Tiles | None = None
    guidance: float = 1.0
    guide: Callable[[Denoiser], Denoiser] | None = None
    self_ensemble: int = 1
    gradients: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples must be at least 1, not {self.samples}")
        if not isinstance(self.request, Request):
            raise ConfigError(f"a request is a restore.tasks.Request, not {type(self.request).__name__}")
        check_orientations(self.self_ensemble)
        if self.self_ensemble != 1 and self.guide is not None:
            raise ConfigError("a guide knows one orientation of the image: leave out the self-ensemble")

    def changed(self, **changes: Any) -> Settings:
        """Return the settings with some of them changed.

        Raises:
            ConfigError: there is no setting of that name.
        """
        known = list(self.__dataclass_fields__)
        for name in changes:
            if name not in known:
                raise ConfigError(
                    f"there is no setting {name!r}; {did_you_mean(name, known)}there are {', '.join(known)}"
                )
        return replace(self, **changes)
