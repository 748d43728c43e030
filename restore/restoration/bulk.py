"""Many pictures, one after the other, and what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import Tensor

from restore import images
from restore.errors import ConfigError, ImageError, RestoreError
from restore.images import Picture
from restore.images.probe import reason as told
from restore.restoration.detector import Decision
from restore.restoration.jobs import Job, Options, refuse_collisions
from restore.restoration.restorer import Restorer
from restore.system.devices import is_out_of_memory
from restore.tasks import Request

__all__ = ["LARGE", "Outcome", "restore_files"]

T = TypeVar("T")

LARGE = 16_000_000
"""Pixels above which a picture is alone in memory: none is read or written beside it."""

UNCERTAINTY_FULL_SCALE = 0.25  # a standard deviation of a quarter of the range is shown as white


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
    request = options.request(job)
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
