"""What is evaluated: pairs of files, or clean files whose degraded image is made when it is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import torch.nn.functional as F
from torch import Tensor

from restore import images
from restore.data.joined import File, Half, path_of, read_file, size_of
from restore.data.pairs import Pair
from restore.data.synthesize import cut_for, degradation_named, degradations_named, degrade_image, image_seed
from restore.degradations import Degradation, Random
from restore.degradations.masks import MaskFiles, read_mask
from restore.degradations.names import MASK_FILE
from restore.degradations.resolution import enlarge_by
from restore.errors import ConfigError, ImageError
from restore.system.seeds import seed_of
from restore.tasks import Request, Task

__all__ = ["Case", "Loaded", "SeveritySetting", "enlarged_to", "made_cases", "paired_cases"]

SeveritySetting = float | Mapping[str, float | None] | None
"""How strong degradations are, 0 to 1, or None to draw it for each image: of all, or of each by its name."""

SAMPLING = 1
"""Sets the seeds of samplers apart from those of degradations."""


@dataclass(frozen=True)
class Loaded:
    """The images of a case, (3, H, W) in [-1, 1]; `degraded` is None where only outputs are scored.

    Attributes:
        target: the ground truth.
        degraded: what is to be restored.
        gray: whether the file of the ground truth has one channel.
    """

    target: Tensor
    degraded: Tensor | None
    gray: bool = False


@dataclass(frozen=True)
class Case:
    """One image to evaluate.

    Attributes:
        data: what the table calls the set that it belongs to.
        name: of the image, its path below the set without suffix.
        target: file of the ground truth, or the half of one that holds it.
        input: file of the degraded image; None where it is made or absent.
        degradation: what makes the degraded image.
        severity: of the degradation; None draws one for each image.
        mask: file whose bright pixels are lost in `input`; None where nothing is.
    """

    data: str
    name: str
    target: File
    input: File | None = None
    degradation: Degradation | None = None
    severity: float | None = None
    mask: Path | None = None

    @property
    def label(self) -> str | None:
        """The label of the degradation, where it is known because it is made."""
        return self.degradation.kind if self.degradation is not None else None

    @property
    def files(self) -> dict[str, Path]:
        """The files that the case reads, by what a manifest calls them."""
        files: dict[str, File | None] = {"target": self.target, "input": self.input, "mask": self.mask}
        known = {what: file for what, file in files.items() if file is not None}
        named = {f"{what} {f.side}" if isinstance(f, Half) else what: f for what, f in known.items()}
        found = {f"{what}/{self.name}": path_of(file) for what, file in named.items()}
        drawn = getattr(self.degradation, "mask", None)
        if isinstance(drawn, MaskFiles):
            found |= {f"mask/{path.name}": path for path in drawn.paths}
        if (depth := getattr(self.degradation, "depth", None)) is not None:
            found[f"depth/{self.name}"] = depth
        return found

    def load(self, seed: int) -> Loaded:
        """Return the images; `seed` matters only where the degraded one is made.

        Raises:
            ImageError: a file cannot be read.
        """
        truth = read_file(self.target)
        if self.degradation is not None:
            own = image_seed(seed, self.name.replace("/", "_") + ".png")
            target = cut_for(truth.pixels, self.degradation, self.name)
            return Loaded(target, degrade_image(target, self.degradation, own, self.severity), truth.gray)
        return Loaded(truth.pixels, None if self.input is None else read_file(self.input).pixels, truth.gray)

    def request(self, task: Task, seed: int, height: int, width: int) -> Request:
        """Return the model's inputs besides the degraded image, which `load` returned for the same seed.

        Args:
            task: the task that the model is run with.
            seed: of the degradation.
            height: of the image that the model is given; a protocol may have resized it, and then the mask is, too.
            width: of that image.

        Raises:
            ImageError: the mask cannot be read.
        """
        own_size = self._own_size(height, width)
        if self.degradation is None:
            masked = self.mask is not None and "mask" in task.uses
            request = Request(mask=read_mask(self.mask) if masked else None)
        else:
            own = image_seed(seed, self.name.replace("/", "_") + ".png")
            request = task.request_for(self.degradation, Random([own]), *own_size, self.severity)
        if request.mask is None or request.mask.shape[-2:] != own_size or own_size == (height, width):
            return request
        return replace(request, mask=F.interpolate(request.mask[None], (height, width), mode="nearest-exact")[0])

    def _own_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the degraded image before a protocol made it (height, width)."""
        file = self.input or self.target
        stored = size_of(file)
        return (height, width) if stored is None else stored

    def sampler_seed(self, seed: int) -> int:
        """Return the seed of the sampler's noise for this image, from that of the evaluation and the image's name.

        Each image has noise of its own, as intervals over images assume, and the same one for every method, data set
        and batch, so that methods are compared on the same draws. It is not the noise of a made degradation.
        """
        return seed_of(seed, crc32(self.name.encode("utf-8", "surrogateescape")), SAMPLING)

    def identity(self) -> dict[str, Any]:
        """Return, as plain JSON values, what the images depend on beside the contents of their files."""
        made = None if self.degradation is None else self.degradation.model_dump(mode="json")
        return {"data": self.data, "name": self.name, "degradation": made, "severity": self.severity}


def paired_cases(pairs: Iterable[Pair], data: str, masks: Mapping[str, Path] | None = None) -> list[Case]:
    """Return a case for each pair; `masks` are files by the pairs' names."""
    known = masks or {}
    return [Case(data, pair.name, pair.target, pair.input, mask=known.get(pair.name)) for pair in pairs]


def enlarged_to(degraded: Tensor, height: int, width: int) -> Tensor:
    """Return an image, (3, h, w) in [-1, 1], enlarged bicubically where the size is a whole multiple of its own."""
    h, w = degraded.shape[-2:]
    scale = height // h
    if scale < 2 or (h * scale, w * scale) != (height, width):
        return degraded
    return enlarge_by(degraded.add(1).div_(2), scale).mul_(2).sub_(1)


def made_cases(
    pairs: Iterable[Pair],
    degradations: Sequence[str],
    severity: SeveritySetting = None,
    mask: Path | None = None,
    invert_mask: bool = False,
) -> list[Case]:
    """Return a case for each clean image and degradation, all degradations of an image before the next image.

    An image's weather follows from the seed and its name alone, so that neither the order nor a subset changes it;
    `restore data synthesize` writes the same images (those of a low resolution in their own size).

    Args:
        pairs: of which only the ground truths matter.
        degradations: by their names.
        severity: 0 to 1; None draws one for each image; or one or the other for each degradation, by its name.
        mask: of `mask-file`, one for all or a folder: the mask of the image's name, or else any, by the seed.
        invert_mask: what is lost is dark in the masks.

    Raises:
        ConfigError: an unknown degradation, masks without use or missing, or a severity outside [0, 1].
        ImageError: there are no masks where they are said to be.
    """
    strengths = severity if isinstance(severity, Mapping) else dict.fromkeys(degradations, severity)
    for strength in strengths.values():
        if strength is not None and not 0 <= strength <= 1:
            raise ConfigError(f"severity must be between 0 and 1, not {strength}")
    common = degradations_named(degradations, mask, invert_mask)
    own = images.namesakes(mask) if mask is not None and mask.is_dir() else {}
    cases = []
    for pair in pairs:
        kinds = dict(common)
        if drawn := own.get(path_of(pair.target).stem):
            kinds[MASK_FILE] = degradation_named(MASK_FILE, mask=drawn, invert_mask=invert_mask)
        cases += [Case(name, pair.name, pair.target, None, kind, strengths[name]) for name, kind in kinds.items()]
    return cases


class Digests:
    """SHA-256 of files, each computed once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        """Return the digest of a file.

        Raises:
            ImageError: the file cannot be read.
        """
        if path not in self._known:
            try:
                with images.open_file(str(path), str(path)) as file:
                    self._known[path] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise ImageError(f"{path} cannot be read: {error.strerror or error}") from None
        return self._known[path]
