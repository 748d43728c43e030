"""Pairs on disk from clean photographs: reproducible, with a manifest that says how each was made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor

from restore import images
from restore.data.files import image_files
from restore.degradations import BlindResolution, Degradation, Haze, Hole, Random, Resolution
from restore.degradations.masks import MaskFiles
from restore.degradations.names import MASK_FILE, named
from restore.degradations.resolution import shrink_by
from restore.errors import ConfigError, ImageError, RestoreError
from restore.system.atomic import write_atomically
from restore.system.seeds import seed_of

__all__ = [
    "Synthesized",
    "degradation_named",
    "degradations_named",
    "degrade_image",
    "image_seed",
    "severities",
    "synthesize",
]

INVERTED_NOTHING = "--invert-mask says what is lost in a mask: pass --mask, too"


@dataclass(frozen=True)
class Synthesized:
    """One pair that was written, or the reason why it was not."""

    name: str
    seed: int
    error: str = ""


def degradation_named(
    name: str, depth: Path | None = None, mask: Path | None = None, invert_mask: bool = False
) -> Degradation:
    """Return the degradation of a name (`restore.degradations.names.KNOWN`), with its usual ranges.

    Args:
        name: `snow`, `bicubic-x4`, `mask-box`, ...
        depth: for haze: an image of the depth, bright for far away, or a folder of them.
        mask: for mask-file: an image of what is lost, bright there, or a folder of them.
        invert_mask: what is lost is dark in the mask.

    Raises:
        ConfigError: there is none of that name, it has no use for a depth or a mask, or it lacks its masks.
    """
    if mask is not None and name != MASK_FILE:
        raise ConfigError(f"only {MASK_FILE} has a use for a mask, not {name}")
    if invert_mask and mask is None:
        raise ConfigError(INVERTED_NOTHING)
    if mask is not None:
        # one mask stands for itself; of many, turning them makes more
        files = MaskFiles(folder=mask, white="keep" if invert_mask else "restore", flip=mask.is_dir())
        spec: Degradation = Hole(mask=files)
    else:
        spec = named(name)
    if depth is None:
        return spec
    if not isinstance(spec, Haze):
        raise ConfigError(f"only haze has a use for a depth map, not {name}")
    return spec.model_copy(update={"depth": depth})


def degradations_named(
    names: Sequence[str], mask: Path | None = None, invert_mask: bool = False
) -> dict[str, Degradation]:
    """Return several degradations by name; only `mask-file` among them is given the masks.

    Args:
        names: as in `restore.degradations.names.KNOWN`.
        mask: for mask-file: an image of what is lost, or a folder of them.
        invert_mask: what is lost is dark in the masks.

    Raises:
        ConfigError: a name is unknown, mask-file lacks its masks, or there are masks but no mask-file.
        ImageError: there are no masks where they are said to be.
    """
    if invert_mask and mask is None:
        raise ConfigError(INVERTED_NOTHING)
    if mask is not None and MASK_FILE not in names:
        raise ConfigError(f"--mask is for degradation {MASK_FILE}, which is not the chosen one")
    if mask is not None:
        images.list_images([mask])
    own = {MASK_FILE: (None, mask, invert_mask)}
    return {name: degradation_named(name, *own.get(name, ())) for name in names}


def image_seed(seed: int, name: str) -> int:
    """Return the seed of an image's degradation: it depends on the name, not on the order or the neighbours."""
    return seed_of(seed, crc32(name.encode("utf-8", "surrogateescape")))


def degrade_image(pixels: Tensor, degradation: Degradation, seed: int, severity: float | None = None) -> Tensor:
    """Return a degraded image, (3, H, W) in [-1, 1] of the same, rounded to the 8-bit values of a file."""
    degraded = degradation(pixels[None].add(1).div_(2), Random([seed]), severity)[0]
    return degraded.mul_(255).round_().div_(127.5).sub_(1)


def cut_for(pixels: Tensor, degradation: Degradation, source: object) -> Tensor:
    """Return a ground truth, (3, H, W), as it can be compared: for a lost resolution, cut to multiples of the factor.

    `source` is what the error names.

    Raises:
        ImageError: nothing is left of it.
    """
    if not isinstance(degradation, Resolution | BlindResolution):
        return pixels
    height, width = (side // degradation.scale * degradation.scale for side in pixels.shape[-2:])
    if not height or not width:
        size = f"{pixels.shape[-1]}x{pixels.shape[-2]} pixels"
        raise ImageError(f"{source}: {size} are too few to be made {degradation.scale} times smaller")
    return pixels[:, :height, :width]


def synthesize(
    clean: Path,
    output: Path,
    degradation: str,
    *,
    seed: int = 0,
    severity: float | None = None,
    depth: Path | None = None,
    mask: Path | None = None,
    invert_mask: bool = False,
) -> Iterator[Synthesized]:
    """Yield each pair of `output/input` and `output/target` (PNG, equal names) after it was written.

    Of `bicubic-xN` and `blind-xN` the inputs are N times smaller, and the targets cut to multiples of N; `mask-*` and
    `crop` also write `output/mask`, white where pixels are lost. `output/manifest.json` is written at the end:
    degradation, seed, severity and each image's own seed.

    Args:
        clean: folder of clean photographs.
        output: a new or empty folder, not inside `clean`.
        degradation: its name, as in `restore.degradations.names.KNOWN`.
        seed: the same seed makes the same pairs, whatever else is in the folder.
        severity: 0 to 1; None draws one for each image, or is the full one where nothing is random.
        depth: for haze, a folder of depth maps with the images' names, or one for all.
        mask: for `mask-file`, one mask for all, or a folder: the mask of the image's name, or else any, by the seed.
        invert_mask: what is lost is dark in the masks, and not bright.

    Raises:
        ConfigError: an unknown degradation, a severity out of range, or an output folder that holds something or lies
            in `clean`.
    """
    spec = degradation_named(degradation, depth, mask, invert_mask)
    if mask is not None:
        images.list_images([mask])  # no masks at all are an error before the first image
    if severity is not None and not 0 <= severity <= 1:
        raise ConfigError(f"severity must be between 0 and 1, not {severity}")
    if isinstance(spec, Resolution) and severity not in (None, 1):
        raise ConfigError(f"{degradation} makes files that are {spec.scale} times smaller, whatever the severity")
    if output.resolve().is_relative_to(clean.resolve()):
        raise ConfigError(f"{output} lies in {clean}, where the next run would degrade it again: choose another folder")
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output} is not empty: synthesized pairs go to a new folder")
    photos = []
    for path in image_files(clean):
        name = path.relative_to(clean).with_suffix(".png").as_posix().replace("/", "_")
        own = image_seed(seed, name)
        try:
            files = _depth_of(depth, path), _mask_of(mask, path), invert_mask
            _write(_pair(path, degradation_named(degradation, *files), own, severity), output, name)
        except RestoreError as error:
            yield Synthesized(name, own, str(error))
            continue
        photos.append({"name": name, "source": str(path.relative_to(clean)), "seed": own})
        yield Synthesized(name, own)
    document = {
        "name": degradation,
        "degradation": spec.model_dump(mode="json"),
        "seed": seed,
        "severity": severity,
        "images": photos,
    }
    write_atomically(output / "manifest.json", json.dumps(document, indent=2) + "\n")


def _pair(path: Path, spec: Degradation, seed: int, severity: float | None) -> dict[str, images.Photo]:
    """Return input and target of a clean file, and the mask of a hole, by the names of their folders.

    Raises:
        ImageError: the file cannot be read, or is too small to be made smaller.
    """
    clean = images.read(path)
    pixels, gray = clean.pixels, clean.gray
    if not isinstance(spec, Resolution | BlindResolution):
        degraded = degrade_image(pixels, spec, seed, severity)
        found = {"input": images.Photo(degraded), "target": images.Photo(pixels, gray=gray)}
        if isinstance(spec, Hole):
            mask = spec.masks(Random([seed]), *pixels.shape[-2:], severity)[0]
            found["mask"] = images.Photo(mask.mul(2).sub(1).expand(3, -1, -1), gray=True)
        return found
    pixels = cut_for(pixels, spec, path)
    bright, plain = pixels.add(1).div(2), isinstance(spec, Resolution)
    if isinstance(spec, Resolution):
        small = shrink_by(bright, spec.scale, spec.kernel)
    else:
        small = spec.small(bright[None], Random([seed]), severity)[0]
    low = images.Photo(small.mul(2).sub(1), gray=gray and plain)
    return {"input": low, "target": images.Photo(pixels, gray=gray)}


def _write(made: dict[str, images.Photo], output: Path, name: str) -> None:
    """Write the images of a pair to their folders; where one of them cannot be written, none is left there.

    Raises:
        ImageError: an image cannot be written, or one of that name is there.
    """
    written: list[Path] = []
    try:
        for folder, image in made.items():
            images.write(image, output / folder / name)
            written.append(output / folder / name)
    except RestoreError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _depth_of(depth: Path | None, path: Path) -> Path | None:
    """Return the depth map of an image: the one file, or that of its name in a folder.

    Raises:
        ConfigError: the folder has none.
    """
    found = None if depth is None else images.namesake(depth, path)
    if depth is not None and found is None:
        raise ConfigError(f"{depth} holds no depth map named {path.stem}")
    return found


def _mask_of(mask: Path | None, path: Path) -> Path | None:
    """Return the mask of an image's name in a folder, or where there is none, what was given."""
    return None if mask is None else images.namesake(mask, path) or mask


def severities(
    image: images.Photo,
    degradation: str,
    count: int = 6,
    seed: int = 0,
    depth: Path | None = None,
    mask: Path | None = None,
    invert_mask: bool = False,
) -> images.Photo:
    """Return a strip of a photograph under one draw of a degradation, at `count` severities from 0 to 1.

    Raises:
        ConfigError: an unknown degradation.
    """
    spec = degradation_named(degradation, depth, mask, invert_mask)
    levels = torch.linspace(0, 1, max(count, 2)).tolist()
    shown = [degrade_image(image.pixels, spec, seed, severity) for severity in levels]
    return images.Photo(torch.cat(shown, dim=-1))
