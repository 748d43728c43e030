"""Training images by index: the same regions for a seed, whatever the number of processes or threads.

A sample is a pure function of (seed, step, index in the global batch). Nothing is shuffled, no state advances, so a run
that resumes at step 1000 loads step 1000, and eight processes of batch 4 see what one process of batch 32 sees.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from restore.data.joined import File, Half, decode, path_of, size_of
from restore.errors import ConfigError, DataError, ImageError, RestoreError

__all__ = ["Ahead", "Draws", "ImageStore", "PairStore", "cut_region"]

T = TypeVar("T")

log = logging.getLogger("restore.data")

_MASK = (1 << 64) - 1


class Draws:
    """Random integers that depend on the key only (SplitMix64, Steele et al. 2014): no state shared with anything.

    >>> Draws(7, 3, 0).below(1000) == Draws(7, 3, 0).below(1000)
    True
    """

    def __init__(self, *key: int):
        self._state = 0
        for part in key:
            self._state = self._mix((self._state + 0x9E3779B97F4A7C15) ^ (part & _MASK))

    @staticmethod
    def _mix(word: int) -> int:
        word &= _MASK
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        return word ^ (word >> 31)

    def below(self, bound: int) -> int:
        """Return the next integer, uniform in 0 .. bound - 1 (bias under 2**-32 for the bounds of images)."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        return (self._mix(self._state) * bound) >> 64


class _Store:
    """Groups of aligned images, decoded to one uint8 tensor (3k, H, W) each, kept within a memory budget."""

    zoom: tuple[float, float] = (1.0, 1.0)

    def __init__(
        self,
        groups: Sequence[tuple[File, ...]],
        *,
        memory_mb: float = 2048,
        corrupt_limit: float = 0.1,
        device: torch.device | str = "cpu",
    ):
        if not groups:
            raise DataError("no training images were given")
        if not 0 <= corrupt_limit <= 1:
            raise ConfigError(f"corrupt_limit must lie in [0, 1], got {corrupt_limit}")
        self.groups = list(groups)
        self.corrupt: dict[Path, str] = {}
        self._bad: set[int] = set()
        # A single bad file never stops a run that tolerates any, however small the set.
        self._allowed = max(1, int(corrupt_limit * len(self.groups))) if corrupt_limit > 0 else 0
        self._budget = int(memory_mb * 2**20)
        self.held_bytes = 0
        self._cache: OrderedDict[int, Tensor] = OrderedDict()
        self._lock = threading.RLock()
        total = self._bytes(self._budget)
        self.in_memory = total <= self._budget
        # what is streamed is cut on the CPU: only the regions travel
        roomy = self.in_memory and total <= _room(torch.device(device))
        self.device = torch.device(device) if roomy else torch.device("cpu")
        if self.in_memory:
            for index in range(len(self.groups)):
                self._load(index)

    def __len__(self) -> int:
        return len(self.groups)

    def report(self) -> str:
        """Return one line: how many images, how they are kept, and which files were skipped and why."""
        place = "memory" if self.device.type == "cpu" else "the memory of the device"
        kept = f"{len(self)} images, " + (f"decoded once into {place}" if self.in_memory else "streamed from disk")
        if not self.corrupt:
            return kept
        named = "; ".join(f"{path}: {reason}" for path, reason in self.corrupt.items())
        return f"{kept}; {len(self.corrupt)} skipped: {named}"

    def _bytes(self, limit: int) -> int:
        """Return how many bytes all images take, or any number above `limit` where they take more than that."""
        total = 0
        for group in self.groups:
            height, width = size_of(group[0]) or (0, 0)
            total += height * width * 3 * len(group)
            if total > limit:
                break
        return total

    def _load(self, index: int) -> Tensor | None:
        """Return the group's tensor, or None if it is damaged; remembers both."""
        with self._lock:
            if index in self._bad:
                return None
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
        try:
            value = self._decode_group(self.groups[index]).to(self.device)
        except RestoreError as error:
            self._reject(index, error)
            return None
        with self._lock:
            if index not in self._cache:
                self._cache[index] = value
                self.held_bytes += value.nbytes
            while self.held_bytes > self._budget and len(self._cache) > 1:
                _, oldest = self._cache.popitem(last=False)
                self.held_bytes -= oldest.nbytes
        return value

    def _decode_group(self, group: tuple[File, ...]) -> Tensor:
        images: list[Tensor] = []
        files: dict[Path, Tensor] = {}  # both halves of a file come from one decoding
        for file in group:
            path = path_of(file)
            try:
                if path not in files:
                    files[path] = decode(path)
                images.append(file.of(files[path]) if isinstance(file, Half) else files[path])
            except RestoreError as error:
                raise _Damaged(path, str(error)) from None
        sizes = [tuple(image.shape[-2:]) for image in images]
        if len(set(sizes)) > 1:
            shown = " and ".join(f"{width}x{height}" for height, width in sizes)
            raise _Damaged(path_of(group[0]), f"the sizes of input and target differ: {shown}")
        return torch.cat(images)

    def _reject(self, index: int, error: RestoreError) -> None:
        path, reason = (
            (error.path, error.reason) if isinstance(error, _Damaged) else (path_of(self.groups[index][0]), str(error))
        )
        with self._lock:
            if index in self._bad:
                return
            self._bad.add(index)
            self.corrupt[path] = reason
            count = len(self._bad)
        log.warning("skipped %s: %s", path, reason)
        if count > self._allowed or count == len(self.groups):
            named = ", ".join(str(name) for name in list(self.corrupt)[:5])
            raise DataError(
                f"{count} of {len(self.groups)} training images are damaged, more than the {self._allowed} that are "
                f"allowed: {named}{', ...' if count > 5 else ''}; repair or remove them, or raise data.corrupt_limit"
            )

    def _pick(self, draws: Draws) -> tuple[int, Tensor]:
        """Return the index of a group that is sound, and its images."""
        first = draws.below(len(self.groups))
        for offset in range(len(self.groups)):
            index = (first + offset) % len(self.groups)
            value = self._load(index)
            if value is not None:
                return index, value
        raise DataError("every training image is damaged")

    def _regions(self, step: int, batch: int, size: int, seed: int, rank: int, world: int) -> tuple[list[int], Tensor]:
        """Return which groups the regions are of, and the regions, (batch / world, 3k, size, size)."""
        if batch % world or not 0 <= rank < world:
            raise ConfigError(f"a global batch of {batch} cannot be divided among {world} processes (this is {rank})")
        local = batch // world
        picked, samples = [], []
        for place in range(rank * local, (rank + 1) * local):
            draws = Draws(seed, step, place)
            index, image = self._pick(draws)
            picked.append(index)
            samples.append(_zoomed(image, size, draws, self.zoom))
        return picked, torch.stack(samples)

    def _each(self, size: int) -> tuple[list[int], Tensor]:
        """Return which groups are sound, and one region of each, (N, 3k, size, size), the same at every call."""
        picked, samples = [], []
        for index in range(len(self.groups)):
            if (image := self._load(index)) is not None:
                picked.append(index)
                samples.append(cut_region(image, size, Draws(0, index), flips=False))
        return picked, torch.stack(samples)


class _Damaged(ImageError):
    """A damaged file of a group, with its path kept apart from the reason."""

    def __init__(self, path: Path, reason: str):
        super().__init__(reason)
        self.path, self.reason = path, reason


class ImageStore(_Store):
    """Clean images to cut training regions from: in memory when they fit the budget, else streamed with a cache.

    Args:
        paths: the files; a file that cannot be decoded is skipped and named in `corrupt` (path to reason).
        memory_mb: how much decoded data may be held; a set that fits is decoded at once.
        corrupt_limit: share of damaged files past which the run stops with a DataError (one file is always forgiven,
            unless the limit is 0).
        zoom: lowest and highest factor by which regions are enlarged, drawn log-uniform for each; below 1 they are
            larger parts made smaller.
        device: where the decoded images are kept if they fit both the budget and a quarter of its free memory.
    """

    def __init__(
        self,
        paths: Sequence[File],
        *,
        memory_mb: float = 2048,
        corrupt_limit: float = 0.1,
        zoom: tuple[float, float] = (1.0, 1.0),
        device: torch.device | str = "cpu",
    ):
        super().__init__([(path,) for path in paths], memory_mb=memory_mb, corrupt_limit=corrupt_limit, device=device)
        self.zoom = zoom

    def regions(
        self,
        step: int,
        batch: int,
        size: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> Tensor:
        """Return uint8 (batch / world, 3, size, size): this process's share of the global batch of `step`.

        An image smaller than the part that is cut is continued by reflection. A damaged file is replaced by the next
        good one.

        Raises:
            ConfigError: the batch cannot be divided by `world`.
            DataError: more files are damaged than allowed.
        """
        return self._regions(step, batch, size, seed, rank, world)[1]

    def each(self, size: int) -> Tensor:
        """Return uint8 (N, 3, size, size): one region of each image that is sound, as they are, for validation."""
        return self._each(size)[1]


class PairStore(_Store):
    """Pairs of equal size to cut training regions from; a pair of unequal sizes counts as damaged.

    Args:
        pairs: (input, target) files.
        labels: a number for each pair, which `regions` hands out; 0 by default.
        memory_mb: see `ImageStore`.
        corrupt_limit: see `ImageStore`.
        device: see `ImageStore`.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[File, File]],
        *,
        labels: Sequence[int] | None = None,
        memory_mb: float = 2048,
        corrupt_limit: float = 0.1,
        device: torch.device | str = "cpu",
    ):
        super().__init__(list(pairs), memory_mb=memory_mb, corrupt_limit=corrupt_limit, device=device)
        self.labels = [0] * len(self.groups) if labels is None else list(labels)
        if len(self.labels) != len(self.groups):
            raise ConfigError(f"{len(self.groups)} pairs have {len(self.labels)} labels; each needs one")

    def regions(
        self,
        step: int,
        batch: int,
        size: int,
        seed: int,
        *,
        rank: int = 0,
        world: int = 1,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (input, target, labels): uint8 (batch / world, 3, size, size) twice, cut and flipped alike, and int64.

        Raises:
            ConfigError: the batch cannot be divided by `world`.
            DataError: more pairs are damaged than allowed.
        """
        return self._parts(*self._regions(step, batch, size, seed, rank, world))

    def each(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return (input, target, labels) of one region of each pair that is sound, as they are, for validation."""
        return self._parts(*self._each(size))

    def _parts(self, picked: list[int], stacked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return stacked[:, :3], stacked[:, 3:], torch.tensor([self.labels[index] for index in picked])


def _room(device: torch.device) -> int:
    """Return how many bytes of images a device may hold: a quarter of a GPU's free memory, any number on a CPU."""
    return torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else 2**62


def cut_region(image: Tensor, size: int, draws: Draws, flips: bool = True) -> Tensor:
    """Return a (C, size, size) part of an image at a place that is drawn, mirrored in half of all cases."""
    rows = _span(image.shape[-2], size, draws)
    columns = _span(image.shape[-1], size, draws)
    region = _cut(_cut(image, -2, rows), -1, columns)
    if flips and draws.below(8) & 1:
        region = region.flip(-1)
    return region


def _zoomed(image: Tensor, size: int, draws: Draws, zoom: tuple[float, float]) -> Tensor:
    """Return a (C, size, size) region of a uint8 image: a part of it, enlarged (bicubic) by a drawn factor."""
    low, high = zoom
    if low == high == 1:
        return cut_region(image, size, draws)
    factor = low * (high / low) ** (draws.below(1 << 20) / (1 << 20))
    part = cut_region(image, max(1, round(size / factor)), draws)
    if part.shape[-1] == size:
        return part
    grown = functional.interpolate(part[None].float(), (size, size), mode="bicubic", antialias=True)[0]
    return grown.round_().clamp_(0, 255).to(torch.uint8)


def _span(length: int, size: int, draws: Draws) -> slice | Tensor:
    room = length - size
    start = draws.below(max(room, 0) + 1)
    if room >= 0:
        return slice(start, start + size)
    # A triangular wave of period 2 (length - 1) reflects a side of any length, without repeating its edge.
    period = max(2 * (length - 1), 1)
    wave = torch.arange(size) % period
    return torch.minimum(wave, period - wave).clamp(max=length - 1)


def _cut(image: Tensor, dim: int, span: slice | Tensor) -> Tensor:
    if isinstance(span, slice):
        return image.narrow(dim, span.start, span.stop - span.start)
    return image.index_select(dim, span.to(image.device))


class Ahead(Generic[T]):
    """The data of training steps, made in threads while the caller computes; it depends on nothing but the step.

    Args:
        make: returns the data of a step.
        stop: the first step that is not wanted.
        workers: threads, and how many steps they are ahead; with 0 each batch is made when it is needed.
    """

    def __init__(self, make: Callable[[int], T], stop: int, workers: int) -> None:
        self.make, self.stop, self.workers = make, stop, workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="restore-data") if workers else None
        self._pending: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """Return the data of a step; the steps behind it are begun."""
        if self._pool is None:
            return self.make(step)
        for following in range(step, min(step + 1 + self.workers, self.stop)):
            if following not in self._pending:
                self._pending[following] = self._pool.submit(self.make, following)
        for passed in [other for other in self._pending if other < step]:
            self._pending.pop(passed).cancel()
        return self._pending.pop(step).result() if step in self._pending else self.make(step)
