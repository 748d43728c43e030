"""Many images, one after the other, and what became of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

import torch
from torch import Tensor

from restore import images
from restore.errors import ConfigError, ImageError, RestoreError
from restore.images import Photo
from restore.images.probe import reason
from restore.restoration.detector import Decision
from restore.restoration.jobs import Job, Options, refuse_collisions
from restore.restoration.pipeline import Pipeline, State
from restore.restoration.settings import Settings
from restore.system.devices import is_out_of_memory

__all__ = ["LARGE", "Outcome", "restore_files"]

LARGE = 16_000_000
"""Pixels above which an image is alone in memory: none is read or written beside it."""

UNCERTAINTY_FULL_SCALE = 0.25  # a standard deviation of a quarter of the range is white


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
        decision: what the image shows, for task `auto`.
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
    pipeline: Pipeline,
    jobs: Sequence[Job],
    options: Options,
    on_start: Callable[[Job, int], None] | None = None,
    on_tiles: Callable[[int], None] | None = None,
    on_done: Callable[[Outcome], None] | None = None,
) -> Generator[Outcome, None, None]:
    """Return an iterator over the outcome of each job; one that fails does not stop the others.

    While a network works on an image, the next one is read and the one before is written, unless one of them is
    large (`LARGE`). What was restored is written even if the iterator is closed, or interrupted, before it got there.

    Raises:
        ConfigError: a file would be written twice, or over an input; the iterator raises it where the options do not
            fit the only image that there is.

    Args:
        pipeline: what restores.
        jobs: what to do.
        options: how.
        on_start: called with each job and the number of tiles that its image takes.
        on_tiles: called with the number of tiles done after each evaluation of a network.
        on_done: called with each outcome as soon as its files are written, in the thread that wrote them.
    """
    refuse_collisions(jobs, options)
    return _restored(pipeline, jobs, options, on_start, on_tiles, on_done)


def _restored(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    options: Options,
    on_start: Callable[[Job, int], None] | None,
    on_tiles: Callable[[int], None] | None,
    on_done: Callable[[Outcome], None] | None,
) -> Generator[Outcome, None, None]:
    alone = len(jobs) == 1
    # an image's names are deleted once another thread has it, or it would stay for the time of the next one
    ahead: Future[_Opened | Outcome] | None = None
    behind: Future[Outcome] | None = None
    with ThreadPoolExecutor(1, "reading") as reader, ThreadPoolExecutor(1, "writing") as writer:
        for index, job in enumerate(jobs):
            opened = _opened(job, options, alone) if ahead is None else ahead.result()
            near = jobs[index : index + 2]
            beside = len(near) == 2 and not any(_is_large(pipeline, other, options) for other in near)
            ahead = reader.submit(_opened, near[1], options, alone) if beside else None
            done: _Restored | Outcome
            if isinstance(opened, Outcome):
                done = opened
            else:
                done = _Restored(opened.image if options.compare else None, opened.seconds)
                with Attempt(job, alone) as attempt:
                    settings, size = opened.settings, (opened.image.height, opened.image.width)
                    if on_start:
                        on_start(job, pipeline.evaluations(*size, settings))
                    state = pipeline.run(State(opened.image.pixels, settings, on_tiles=on_tiles))
                    done.restored, done.decision = pipeline.finish(opened.image, state), state.decision
                    done.deviation = state.result().deviation if options.uncertainty else None
                    del state
                done.seconds += attempt.seconds
                done = attempt.failed or done
            del opened
            written = writer.submit(_written, job, done, options, alone, on_done)
            del done
            if behind is not None:
                yield behind.result()
            behind = written
            if ahead is None:
                behind = None
                yield written.result()
        if behind is not None:
            yield behind.result()


class Attempt:
    """A context in which an image may fail without stopping the others.

    Args:
        job: of the image.
        alone: there is no other: then options that do not fit it are the user's mistake, and are raised.

    Attributes:
        seconds: that it took, once it is left.
        failed: what became of the job, if it failed.
    """

    def __init__(self, job: Job, alone: bool) -> None:
        self.job, self.alone, self.start = job, alone, time.perf_counter()
        self.seconds, self.failed = 0.0, None  # type: tuple[float, Outcome | None]

    def __enter__(self) -> Attempt:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.seconds = time.perf_counter() - self.start
        reason = None if error is None else self._reason(error)
        if reason is None:
            return False
        self.failed = Outcome(self.job, "failed", reason=reason, seconds=self.seconds)
        return True

    def _reason(self, error: BaseException) -> str | None:
        """Return why an image failed; None for what is no failure of one image."""
        if isinstance(error, RestoreError):
            if isinstance(error, ConfigError):
                return None if self.alone else f"{self.job.source}: {error}"
            return str(error)
        if isinstance(error, OSError):
            return f"{self.job.source}: {reason(error)}"
        if isinstance(error, MemoryError | RuntimeError) and is_out_of_memory(error):
            return f"{self.job.source}: out of memory; try a smaller --patch"
        return None


def _is_large(pipeline: Pipeline, job: Job, options: Options) -> bool:
    """Return whether an image, or its result, is large by the size in its header."""
    size = images.peek(job.source)
    if size is None:
        return False
    height, width = pipeline.size(*size, options.of())
    return max(size[0] * size[1], height * width) > LARGE


@dataclass(frozen=True)
class _Opened:
    """An image that was read, and the seconds that it took."""

    image: Photo
    settings: Settings
    seconds: float


@dataclass
class _Restored:
    """An image that waits to be written, with what goes beside it, and the seconds that it took so far."""

    before: Photo | None
    seconds: float
    restored: Photo | None = None
    deviation: Tensor | None = None
    decision: Decision | None = None


def _opened(job: Job, options: Options, alone: bool) -> _Opened | Outcome:
    """Return the image of a job, or why it is skipped or failed."""
    with Attempt(job, alone) as attempt:
        if options.on_exists == "skip" and job.output.exists():
            return Outcome(job, "skipped", reason=f"{job.output} is there already")
        if options.on_exists == "error":
            for path in job.targets(options):
                if path.exists():
                    raise ImageError(f"{path} is there already; pass --on-exists overwrite or skip")
        image = images.read(job.source)
        return _Opened(image, options.of(job), time.perf_counter() - attempt.start)
    assert attempt.failed is not None
    return attempt.failed


def _written(
    job: Job, done: _Restored | Outcome, options: Options, alone: bool, on_done: Callable[[Outcome], None] | None
) -> Outcome:
    """Return the outcome of a job whose files are written now."""
    outcome = done if isinstance(done, Outcome) else None
    if isinstance(done, _Restored):
        with Attempt(job, alone) as attempt:
            assert done.restored is not None
            written, result = _write(job, done, options), done.restored
            seconds = done.seconds + time.perf_counter() - attempt.start
            outcome = Outcome(job, "restored", written, "", seconds, result.width, result.height, done.decision)
        outcome = attempt.failed or outcome
    assert outcome is not None
    if on_done:
        on_done(outcome)
    return outcome


def _write(job: Job, done: _Restored, options: Options) -> tuple[Path, ...]:
    overwrite = options.on_exists == "overwrite"
    assert done.restored is not None
    images.write(done.restored, job.output, overwrite=overwrite, quality=options.quality, lossless=options.lossless)
    written = [job.output]

    def beside(name: str, make: Callable[[], Photo]) -> None:
        path = job.beside(name)
        if options.on_exists != "skip" or not path.exists():
            images.write(make(), path, overwrite=overwrite)
            written.append(path)

    if done.before is not None:
        both = [done.before, done.restored]
        beside("compare", lambda: images.to_photo(images.side_by_side(both, ["before", "after"])))
    if done.deviation is not None:
        # pixels span [-1, 1], so a deviation is halved to be a share of the range
        shade = (done.deviation.mean(0, keepdim=True) / 2 / UNCERTAINTY_FULL_SCALE).clamp_(0, 1)
        beside("uncertainty", lambda: Photo(torch.cat([shade] * 3) * 2 - 1, gray=True))
    return tuple(written)
