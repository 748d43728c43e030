"""Many pictures, one after the other: what goes where, and what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch

from restore import images
from restore.degradations.masks import read_mask
from restore.errors import ConfigError, ImageError, RestoreError
from restore.images import Picture
from restore.restorer import Posterior, Restorer
from restore.tasks import Request

__all__ = ["Job", "OnExists", "Options", "Outcome", "plan_jobs", "restore_files"]

OnExists = Literal["skip", "overwrite", "error"]
T = TypeVar("T")

UNCERTAINTY_FULL_SCALE = 0.25  # a standard deviation of a quarter of the range is shown as white


@dataclass(frozen=True)
class Job:
    """One picture to restore, and where the result goes."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Options:
    """How each picture is restored; see `restore.restorer.Restorer.posterior`.

    Attributes:
        on_exists: what happens where there is an output already.
        compare: also write the picture before and after, side by side.
        uncertainty: also write the map of the samples' standard deviation.
        mask: a mask for every picture, or a folder of masks with the pictures' names; bright pixels are restored.
        invert_mask: dark pixels are restored instead.
        scale: how many times larger the results shall be.
        pad: pixels to add left, above, right and below.
    """

    task: str | None = None
    steps: int | None = None
    samples: int = 1
    seed: int = 0
    on_exists: OnExists = "error"
    compare: bool = False
    uncertainty: bool = False
    mask: Path | None = None
    invert_mask: bool = False
    scale: int | None = None
    pad: tuple[int, int, int, int] | None = None

    def request(self, source: Path | None = None) -> Request:
        """Return what is asked for besides the picture in a file; without one, an empty mask stands for its own.

        Raises:
            ConfigError: there is no mask of its name.
            ImageError: the mask is no picture.
        """
        mask = None
        if self.mask is not None:
            white = "keep" if self.invert_mask else "restore"
            mask = torch.zeros(1, 1, 1) if source is None else read_mask(find_mask(self.mask, source), white)
        return Request(mask, self.scale, self.pad)


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        status: `restored`, `skipped` (the output was there) or `failed`.
        written: every file that was written.
        reason: why it failed or was skipped.
        seconds: that reading, restoring and writing took, waiting left aside.
        width: of the result, 0 where there is none.
        height: of the result.
    """

    job: Job
    status: Literal["restored", "skipped", "failed"]
    written: tuple[Path, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    width: int = 0
    height: int = 0


def plan_jobs(inputs: Sequence[str | Path], output: Path, recursive: bool = False) -> list[Job]:
    """Return the jobs for some inputs (files, folders, globs), in natural order.

    One file may be given one output file. Otherwise `output` is a folder; each result keeps its name, and its place
    below the folder that it came from. A format that can be read but not written becomes PNG.

    Raises:
        ImageError: an input is not there.
        ConfigError: several inputs for one output file, or two inputs that would write the same file.
    """
    sources = images.list_images(inputs, recursive=recursive)
    if output.suffix.lower() in images.WRITABLE and not output.is_dir():
        if len(sources) == 1:
            return [Job(sources[0], output)]
        raise ConfigError(f"{len(sources)} pictures cannot all go to {output}: give a folder as the output")
    roots = [Path(item) for item in inputs if Path(item).is_dir()]
    jobs: dict[Path, Job] = {}
    for source in sources:
        root = next((root for root in roots if root in source.parents), source.parent)
        target = output / source.relative_to(root)
        if target.suffix.lower() not in images.WRITABLE:
            target = target.with_suffix(".png")
        if target in jobs:
            raise ConfigError(
                f"{jobs[target].source} and {source} would both be written to {target}; restore them apart"
            )
        jobs[target] = Job(source, target)
    return list(jobs.values())


def find_mask(masks: Path, source: Path) -> Path:
    """Return the mask of a picture: the one file, or that of its name in a folder.

    Raises:
        ConfigError: there is none.
    """
    if not masks.exists():
        raise ConfigError(f"no such mask: {masks}")
    if not masks.is_dir():
        return masks
    found = sorted(path for path in masks.iterdir() if path.stem == source.stem and path.is_file())
    if not found:
        raise ConfigError(f"{masks} holds no mask named {source.stem}")
    return found[0]


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    options: Options,
    on_start: Callable[[Job, int], None] | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each job; one that fails does not stop the others.

    While the network works on a picture, the next one is read and the one before is written.

    Raises:
        ConfigError: the options do not fit the only picture that there is.

    Args:
        restorer: the model.
        jobs: what to do.
        options: how.
        on_start: called with each job and the number of tiles that its picture takes.
        on_batch: called with the number of tiles done after each evaluation of the network.
    """
    alone = len(jobs) == 1
    with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:

        def read(index: int) -> Future[_Opened | Outcome] | None:
            work = partial(_open, restorer, jobs[index], options) if index < len(jobs) else None
            return None if work is None else reader.submit(_attempt, jobs[index], alone, work)

        ahead, behind = read(0), None
        for index, job in enumerate(jobs):
            assert ahead is not None
            opened, ahead = ahead.result(), read(index + 1)
            done: _Restored | Outcome
            if isinstance(opened, Outcome):
                done = opened
            else:
                done = _attempt(job, alone, partial(_restore, restorer, opened, options, on_start, on_batch))
            if behind is not None:
                yield behind.result()
            behind = writer.submit(_attempt, job, alone, partial(_finish, done, options))
        if behind is not None:
            yield behind.result()


@dataclass(frozen=True)
class _Opened:
    """A picture that was read, and the seconds that it took."""

    job: Job
    picture: Picture
    request: Request
    size: tuple[int, int]
    seconds: float


@dataclass(frozen=True)
class _Restored:
    """A picture that waits to be written, and the seconds that it took so far."""

    opened: _Opened
    restored: Picture
    posterior: Posterior
    seconds: float


def _attempt(job: Job, alone: bool, work: Callable[[], T]) -> T | Outcome:
    """Return what the work returns, or why it failed.

    Raises:
        ConfigError: the options do not fit the only picture that there is.
    """
    start = time.perf_counter()
    try:
        return work()
    except RestoreError as error:
        if alone and isinstance(error, ConfigError):
            raise
        reason = f"{job.source}: {error}" if isinstance(error, ConfigError) else str(error)
    except MemoryError:
        reason = f"{job.source}: out of memory; try a smaller --patch"
    return Outcome(job, "failed", reason=reason, seconds=time.perf_counter() - start)


def _open(restorer: Restorer, job: Job, options: Options) -> _Opened | Outcome:
    start = time.perf_counter()
    if job.output.exists() and options.on_exists != "overwrite":
        if options.on_exists == "skip":
            return Outcome(job, "skipped", reason=f"{job.output} is there already")
        raise ImageError(f"{job.output} is there already; pass --on-exists overwrite or skip")
    picture = images.read(job.source)
    request = options.request(job.source)
    size = restorer.task(options.task).size(picture.height, picture.width, request)
    return _Opened(job, picture, request, size, time.perf_counter() - start)


def _restore(
    restorer: Restorer,
    opened: _Opened,
    options: Options,
    on_start: Callable[[Job, int], None] | None,
    on_batch: Callable[[int], None] | None,
) -> _Restored:
    start = time.perf_counter()
    if on_start:
        on_start(opened.job, restorer.evaluations(*opened.size, options.steps, options.samples))
    posterior = restorer.posterior(
        opened.picture.pixels,
        task=options.task,
        request=opened.request,
        steps=options.steps,
        samples=options.samples,
        seed=options.seed,
        on_batch=on_batch,
    )
    restored = restorer.task(options.task).finish(opened.picture, posterior.mean, opened.request)
    return _Restored(opened, restored, posterior, opened.seconds + time.perf_counter() - start)


def _finish(done: _Restored | Outcome, options: Options) -> Outcome:
    if isinstance(done, Outcome):
        return done
    start = time.perf_counter()
    job, (height, width) = done.opened.job, done.opened.size
    written = _write(done.opened.picture, done.restored, done.posterior, job, options)
    seconds = done.seconds + time.perf_counter() - start
    return Outcome(job, "restored", written, seconds=seconds, width=width, height=height)


def _write(picture: Picture, restored: Picture, posterior: Posterior, job: Job, options: Options) -> tuple[Path, ...]:
    images.write(restored, job.output, overwrite=options.on_exists == "overwrite")
    written = [job.output]
    if options.compare:
        path = job.output.with_name(f"{job.output.stem}.compare.png")
        sheet = images.side_by_side([picture, restored], ["before", "after"])
        images.write(images.to_picture(sheet), path, overwrite=True)
        written.append(path)
    if options.uncertainty and posterior.deviation is not None:
        path = job.output.with_name(f"{job.output.stem}.uncertainty.png")
        # pixels span [-1, 1], so a deviation is halved to be a share of the range
        shade = (posterior.deviation.mean(0, keepdim=True) / 2 / UNCERTAINTY_FULL_SCALE).clamp_(0, 1)
        images.write(images.Picture(torch.cat([shade] * 3) * 2 - 1, gray=True), path, overwrite=True)
        written.append(path)
    return tuple(written)
