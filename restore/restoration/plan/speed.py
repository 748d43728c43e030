"""How fast this machine restores: a calibration of about two seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level
from restore.denoisers.threshold import Clipped
from restore.denoisers.tiles import Tiles, in_tiles
from restore.restoration.plan.cost import cost
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, SeededNoise
from restore.system.memory import in_use

__all__ = ["Shape", "Speed", "calibrate"]

Shape = tuple[int, int, int]
"""Tiles, rows and columns of one evaluation of the network."""

PROBES: tuple[Shape, ...] = ((1, 64, 64), (1, 256, 256), (16, 64, 64), (1, 512, 512))


@dataclass
class Speed:
    """Times of this machine with one model.

    Attributes:
        calls: (operations, seconds) of one evaluation of the network, measured, by shape.
        pixel: seconds for each pixel and step outside of the network: cutting, merging, the sampler, noise.
    """

    calls: dict[Shape, tuple[float, float]] = field(default_factory=dict)
    pixel: float = 0.0

    def seconds(self, flop: float, shape: Shape | None = None) -> float:
        """Return the seconds of one evaluation: measured where its shape was, else from the nearest amounts of work.

        Operations a second grow with the work of a call; between two measured amounts they are interpolated, beyond
        the largest they stay, and below the smallest the time stays, which is that of starting the operations.
        """
        if shape in self.calls:
            return self.calls[shape][1]
        known = sorted(self.calls.values())
        if flop <= known[0][0]:
            return known[0][1]
        rates = np.log([work / seconds for work, seconds in known])
        return float(flop / np.exp(np.interp(np.log(flop), np.log([work for work, _ in known]), rates)))


def calibrate(
    restorer: Restorer, shapes: Iterable[Shape] = (), seconds: float = 2.0, memory: int | None = None
) -> Speed:
    """Return how fast this machine is with a model, after timing it for about `seconds`.

    Args:
        restorer: the model, on the device where it will run.
        shapes: evaluations that matter most, timed as they are if the time suffices.
        seconds: how long to time; the first evaluation alone may take longer.
        memory: the most bytes that may be needed; larger ones are extrapolated. None for no limit.
    """
    speed = Speed(pixel=_outside(restorer))
    usual = probes_for(restorer)
    probes = [*shapes, *usual]
    costs = {shape: cost(restorer.recipe, *shape, restorer.dtype) for shape in probes}
    work = {shape: found.flop for shape, found in costs.items()}
    room = None if memory is None else memory - in_use(torch.device(restorer.device))
    end = time.perf_counter() + seconds
    # the smallest comes first: it shows whether there is time for the others
    for shape in sorted(work, key=lambda shape: (shape != usual[0], probes.index(shape))):
        if speed.calls and room is not None and costs[shape].bytes > room:
            continue
        left = end - time.perf_counter()
        # an evaluation is made twice at least, the first one prepares what the others re-use; but larger ones, which
        # matter most, have more operations a second than the known smaller ones let expect
        if not speed.calls or speed.seconds(work[shape]) < left:
            share = left / (4 if speed.calls else 20)
            # the quickest is what a long run comes near to
            speed.calls[shape] = (work[shape], min(_times(_evaluation(restorer, *shape), share)))
    return speed


def probes_for(restorer: Restorer) -> list[Shape]:
    """Return evaluations to extrapolate from, the quickest first: small and large, few tiles and many."""
    tiles = restorer.recipe.tiles
    if tiles.fixed:
        return [(1, tiles.size, tiles.size), (max(2, tiles.batch), tiles.size, tiles.size)]
    multiple = restorer.recipe.network.multiple
    rounded = {side: max(multiple, side // multiple * multiple) for _, *sides in PROBES for side in sides}
    return [(n, rounded[height], rounded[width]) for n, height, width in PROBES]


def _times(call: Callable[[], object], seconds: float) -> Iterator[float]:
    """Yield the times of repeated calls, one at least, for about some seconds; the first call is not counted."""
    call()
    end = time.perf_counter() + seconds
    for _ in range(20):
        start = time.perf_counter()
        call()
        yield time.perf_counter() - start
        if time.perf_counter() > end:
            return


def _evaluation(restorer: Restorer, batch: int, height: int, width: int) -> Callable[[], object]:
    """Return a function that evaluates the network once, and waits for it."""
    device = torch.device(restorer.device)
    single = {"grid": "whole", "size": max(height, width), "overlap": 0, "batch": batch}
    plain = {"guard": 0.0, "fixed": False, "stride": None}
    alone = Settings(tiles=restorer.recipe.tiles.model_copy(update=single | plain))
    image = torch.zeros(batch, restorer.recipe.task.channels, height, width, device=device)
    condition = restorer.overview(Condition(image, torch.zeros(batch, dtype=torch.int64, device=device)), alone)
    level = restorer.schedule.level(restorer.schedule.T, batch, device)
    denoiser = restorer.denoiser(alone)
    state = image[:, : restorer.codec.state_channels]

    @torch.no_grad()
    def call() -> None:
        denoiser(state, level, condition)
        waited(device)

    return call


def waited(device: torch.device) -> None:
    """Wait until a device has finished its queued work; a GPU runs asynchronously."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _outside(restorer: Restorer, side: int = 512, steps: int = 4) -> float:
    """Return the seconds for each pixel and step that a sampler takes around a network that takes none."""
    tiles = Tiles(size=128, overlap=16, context=restorer.recipe.tiles.context)

    def nothing(x_t: Tensor, level: Level, condition: Condition) -> Estimate:
        return Estimate(condition.image)

    device, steps = torch.device(restorer.device), min(steps, restorer.schedule.T)
    condition = Condition(torch.zeros(1, 3, side, side, device=device))
    denoiser = Clipped(in_tiles(nothing, tiles))

    @torch.no_grad()
    def call() -> None:
        for _ in DDIM(steps=steps)(denoiser, condition, restorer.schedule, SeededNoise([0])):
            pass
        waited(device)

    return median(_times(call, 0.1)) / (side * side * steps)
