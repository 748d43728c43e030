"""Many pictures, one after the other: what goes where, and what became of each."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor

from restore import images
from restore.degradations.masks import find_mask, read_mask
from restore.detector import Decision
from restore.devices import is_out_of_memory
from restore.errors import ConfigError, ImageError, RestoreError
from restore.images import Picture
from restore.images.probe import reason as told
from restore.restorer import Restorer
from restore.tasks import Request

__all__ = ["LARGE", "Job", "OnExists", "Options", "Outcome", "plan_jobs", "refuse_collisions", "restore_files"]

OnExists = Literal["skip", "overwrite", "error"]

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}")
T = TypeVar("T")

LARGE = 16_000_000
"""Pixels above which a picture is alone in memory: none is read or written beside it."""

UNCERTAINTY_FULL_SCALE = 0.25  # a standard deviation of a quarter of the range is shown as white


@dataclass(frozen=True)
class Job:
    """One picture to restore, and where the result goes."""

    source: Path
    output: Path

    def targets(self, options: Options) -> tuple[Path, ...]:
        """Return every file that is to be written: the result first, then what goes beside it."""
        beside = {"compare": options.compare, "uncertainty": options.uncertainty}
        return self.output, *(self.beside(name) for name, wanted in beside.items() if wanted)

    def beside(self, name: str) -> Path:
        """Return the path of a PNG beside the result."""
        return self.output.with_name(f"{self.output.stem}.{name}.png")


@dataclass(frozen=True)
class Options:
    """How each picture is restored; see `restore.restorer.Restorer.posterior`.

    Attributes:
        on_exists: what happens where there is a file already. Where the result is there, `skip` leaves the picture
            out; where only a file beside it is, `skip` leaves that one as it is.
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
        decision: what the picture shows, for task `auto`.
    """

    job: Job
    status: Literal["restored", "skipped", "failed"]
    written: tuple[Path, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    width: int = 0
    height: int = 0
    decision: Decision | None = None


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
        raise ConfigError(f"{len(sources)} pictures cannot all go to {output}: give a folder as the output")
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
    place = output.resolve()
    if any(root.resolve() in place.parents for root in roots):
        # results that an earlier run put below the folder of their inputs are not restored once more
        sources = [path for path in sources if place not in path.resolve().parents]
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


def refuse_collisions(jobs: Sequence[Job], options: Options) -> None:
    """Return nothing if no file would be written twice, and none that is read would be replaced.

    Raises:
        ConfigError: a result, or a file beside it, would be written over another one or over an input.
    """
    masks = [] if options.mask is None else [options.mask]
    if options.mask is not None and os.path.isdir(options.mask):
        masks = list(options.mask.iterdir())
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
    """Yield what tells a file from others: its path without links and, where there is one, its place on the disk."""
    yield os.path.realpath(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    # on disks that do not tell a.png from A.png the paths differ, and the file is one
    if found.st_ino:
        yield found.st_dev, found.st_ino


def restore_files(
    restorer: Restorer,
    jobs: Sequence[Job],
    options: Options,
    on_start: Callable[[Job, int], None] | None = None,
    on_batch: Callable[[int], None] | None = None,
    on_done: Callable[[Outcome], None] | None = None,
) -> Generator[Outcome, None, None]:
    """Return an iterator over the outcome of each job; one that fails does not stop the others.

    While the network works on a picture, the next one is read and the one before is written, unless one of them is
    large (`LARGE`). What was restored is written even if the iterator is closed, or interrupted, before it got there.

    Raises:
        ConfigError: a file would be written twice, or over an input; the iterator raises it where the options do not
            fit the only picture that there is.

    Args:
        restorer: the model.
        jobs: what to do.
        options: how.
        on_start: called with each job and the number of tiles that its picture takes.
        on_batch: called with the number of tiles done after each evaluation of the network.
        on_done: called with each outcome as soon as its files are written, in the thread that wrote them.
    """
    refuse_collisions(jobs, options)
    return _restored(restorer, jobs, options, on_start, on_batch, on_done)


def _restored(
    restorer: Restorer,
    jobs: Sequence[Job],
    options: Options,
    on_start: Callable[[Job, int], None] | None,
    on_batch: Callable[[int], None] | None,
    on_done: Callable[[Outcome], None] | None,
) -> Generator[Outcome, None, None]:
    alone = len(jobs) == 1

    def opened(job: Job) -> _Opened | Outcome:
        return _attempt(job, alone, partial(_open, restorer, job, options))

    def restored(picture: _Opened) -> _Restored | Outcome:
        work = partial(_restore, restorer, picture, options, on_start, on_batch)
        return _attempt(picture.job, alone, work)

    def finished(job: Job, done: _Restored | Outcome) -> Outcome:
        outcome = _attempt(job, alone, partial(_finish, done, options))
        if on_done:
            on_done(outcome)
        return outcome

    # a picture's names are deleted once another thread has it, or it would stay for the time of the next one
    ahead: Future[_Opened | Outcome] | None = None
    behind: Future[Outcome] | None = None
    with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:
        for index, job in enumerate(jobs):
            picture = opened(job) if ahead is None else ahead.result()
            near = jobs[index : index + 2]
            beside = len(near) == 2 and not any(_is_large(restorer, other, options) for other in near)
            ahead = reader.submit(opened, near[1]) if beside else None
            done = picture if isinstance(picture, Outcome) else restored(picture)
            del picture
            written = writer.submit(finished, job, done)
            del done
            if behind is not None:
                yield behind.result()
            behind = written
            if ahead is None:
                behind = None
                yield written.result()
        if behind is not None:
            yield behind.result()


def _is_large(restorer: Restorer, job: Job, options: Options) -> bool:
    """Return whether a picture, or its result, is large by what its header tells."""
    size = images.peek(job.source)
    if size is None:
        return False
    height, width = restorer.task(options.task).size(*size, options.request())
    return max(size[0] * size[1], height * width) > LARGE


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
    """A picture that waits to be written, with what goes beside it, and the seconds that it took so far."""

    job: Job
    restored: Picture
    before: Picture | None
    deviation: Tensor | None
    seconds: float
    decision: Decision | None = None


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
    except OSError as error:
        reason = f"{job.source}: {told(error)}"
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = f"{job.source}: out of memory; try a smaller --patch"
    return Outcome(job, "failed", reason=reason, seconds=time.perf_counter() - start)


def _open(restorer: Restorer, job: Job, options: Options) -> _Opened | Outcome:
    start = time.perf_counter()
    if options.on_exists == "skip" and job.output.exists():
        return Outcome(job, "skipped", reason=f"{job.output} is there already")
    if options.on_exists == "error":
        for path in job.targets(options):
            if path.exists():
                raise ImageError(f"{path} is there already; pass --on-exists overwrite or skip")
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
    before = opened.picture if options.compare else None
    deviation = posterior.deviation if options.uncertainty else None
    seconds = opened.seconds + time.perf_counter() - start
    return _Restored(opened.job, restored, before, deviation, seconds, posterior.decision)


def _finish(done: _Restored | Outcome, options: Options) -> Outcome:
    if isinstance(done, Outcome):
        return done
    start = time.perf_counter()
    written, result = _write(done, options), done.restored
    seconds = done.seconds + time.perf_counter() - start
    return Outcome(done.job, "restored", written, "", seconds, result.width, result.height, done.decision)


def _write(done: _Restored, options: Options) -> tuple[Path, ...]:
    overwrite = options.on_exists == "overwrite"
    images.write(done.restored, done.job.output, overwrite=overwrite)
    written = [done.job.output]

    def beside(name: str, make: Callable[[], Picture]) -> None:
        path = done.job.beside(name)
        if options.on_exists != "skip" or not path.exists():
            images.write(make(), path, overwrite=overwrite)
            written.append(path)

    if done.before is not None:
        both = [done.before, done.restored]
        beside("compare", lambda: images.to_picture(images.side_by_side(both, ["before", "after"])))
    if done.deviation is not None:
        # pixels span [-1, 1], so a deviation is halved to be a share of the range
        shade = (done.deviation.mean(0, keepdim=True) / 2 / UNCERTAINTY_FULL_SCALE).clamp_(0, 1)
        beside("uncertainty", lambda: Picture(torch.cat([shade] * 3) * 2 - 1, gray=True))
    return tuple(written)
