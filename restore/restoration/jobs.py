"""What is to be restored: which image goes where, with which mask, and what must not be written over."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from restore import images
from restore.degradations.masks import find_mask, read_mask
from restore.errors import ConfigError
from restore.restoration.settings import Settings

__all__ = ["Job", "OnExists", "Options", "plan_jobs", "refuse_collisions"]

OnExists = Literal["skip", "overwrite", "error"]

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")


@dataclass(frozen=True)
class Job:
    """One image to restore.

    Attributes:
        source: the image.
        output: where the result goes.
        below: the folder that holds the image, seen from the one that was given.
    """

    source: Path
    output: Path
    below: Path = Path()

    def targets(self, options: Options) -> tuple[Path, ...]:
        """Return every file that is to be written: the result first, then what goes beside it."""
        beside = {"compare": options.compare, "uncertainty": options.uncertainty}
        return self.output, *(self.beside(name) for name, wanted in beside.items() if wanted)

    def beside(self, name: str) -> Path:
        """Return the path of a PNG beside the result."""
        return self.output.with_name(f"{self.output.stem}.{name}.png")


@dataclass(frozen=True)
class Options:
    """How the images of a run are restored, and what is written of each.

    Attributes:
        settings: of each restoration; a mask comes to its request from below.
        on_exists: what happens where there is a file already. Where the result is there, `skip` leaves the image
            out; where only a file beside it is, `skip` leaves that one as it is.
        compare: also write the image before and after, side by side.
        uncertainty: also write the map of the samples' standard deviation.
        mask: a mask for every image, or a folder of masks named as the images, and in folders named as theirs, if
            it has any; bright pixels are restored.
        invert_mask: dark pixels are restored instead.
        quality: 1 to 100, of lossy files; by default at least that of the source.
        lossless: WebP files hold the very pixels; by default as the source's.
    """

    settings: Settings = Settings()
    on_exists: OnExists = "error"
    compare: bool = False
    uncertainty: bool = False
    mask: Path | None = None
    invert_mask: bool = False
    quality: int | None = None
    lossless: bool | None = None

    def of(self, job: Job | None = None) -> Settings:
        """Return the settings of a job, with its mask; without a job, an empty mask stands for any.

        Raises:
            ConfigError: there is no mask of its name.
            ImageError: the mask is no image.
        """
        if self.mask is None:
            return self.settings
        mask = torch.zeros(1, 1, 1)
        if job is not None:
            path = find_mask(self.mask, job.source, job.below)
            mask = read_mask(path, "keep" if self.invert_mask else "restore")
        return self.settings.changed(request=replace(self.settings.request, mask=mask))


def plan_jobs(inputs: Sequence[str | Path], output: Path, recursive: bool = False) -> list[Job]:
    """Return the jobs for some inputs (files, folders, globs), in natural order.

    One file may be given one output file. Otherwise `output` is a folder; each result keeps its name, and its place
    below the folder that it came from, and what lies in `output` already is no input. A format that can be read but
    not written becomes PNG.

    Raises:
        ImageError: an input is not there.
        ConfigError: several inputs for one output file, one of a format that cannot be written, or two inputs that
            would write the same file.
    """
    sources = images.list_images(inputs, recursive=recursive)
    if output.suffix.lower() in images.WRITABLE and not os.path.isdir(output):
        if len(sources) == 1:
            return [Job(sources[0], output)]
        raise ConfigError(f"{len(sources)} images cannot all go to {output}: give a folder as the output")
    if (
        len(sources) == len(inputs) == 1
        and sources[0] == Path(inputs[0])
        and _SUFFIX.fullmatch(output.suffix)
        and not output.exists()
    ):
        raise ConfigError(
            f"cannot write {output.suffix} files: choose one of {' '.join(images.WRITABLE)}, "
            f"or make the folder {output} first if it shall be one"
        )
    roots = [Path(item) for item in inputs if os.path.isdir(item)]
    results = output.resolve()
    if any(root.resolve() in results.parents for root in roots):
        # results that an earlier run put below the folder of their inputs are not restored once more
        sources = [path for path in sources if results not in path.resolve().parents]
    jobs: dict[Path, Job] = {}
    for source in sources:
        root = next((root for root in roots if root in source.parents), source.parent)
        place = source.relative_to(root)
        target = output / place
        if target.suffix.lower() not in images.WRITABLE:
            target = target.with_suffix(".png")
        if target in jobs:
            raise ConfigError(
                f"{jobs[target].source} and {source} would both be written to {target}; restore them apart"
            )
        jobs[target] = Job(source, target, place.parent)
    return list(jobs.values())


def refuse_collisions(jobs: Sequence[Job], options: Options) -> None:
    """Raise ConfigError if a file would be written twice, or one that is read would be replaced.

    Raises:
        ConfigError: a result, or a file beside it, would be written over another one or over an input, folders of
            results would be made among the masks, or a result cannot be encoded with these options.
    """
    images.check_encoding([job.output for job in jobs], options.quality, options.lossless)
    masks = [] if options.mask is None else [options.mask]
    if options.mask is not None and os.path.isdir(options.mask):
        below = {options.mask / job.below for job in jobs}
        masks = [path for folder in below if os.path.isdir(folder) for path in folder.iterdir()]
        if any(job.below.parts and options.mask.resolve() in job.output.resolve().parents for job in jobs):
            raise ConfigError(f"the results would be written among the masks in {options.mask}: choose another output")
    read = {name: path for path in (*masks, *(job.source for job in jobs)) for name in _names(path)}
    written: dict[str | tuple[int, int], Job] = {}
    for job in jobs:
        for path in job.targets(options):
            for name in _names(path):
                if name in read:
                    raise ConfigError(f"{path} would be written, but is an input: choose another output")
                other = written.setdefault(name, job)
                if other is not job:
                    raise ConfigError(
                        f"{other.source} and {job.source} would both be written to {path}; restore them apart"
                    )


def _names(path: Path) -> Iterator[str | tuple[int, int]]:
    """Yield what identifies a file: its path without links and, where there is one, its device and inode."""
    yield os.path.realpath(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    # on case-insensitive file systems a.png and A.png are different paths of one file
    if found.st_ino:
        yield found.st_dev, found.st_ino
