"""Plans: what a way to restore an image costs, and the best one that a budget allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import product

import torch

from restore.denoisers.tiles import Tiles
from restore.denoisers.tiles.grid import evaluations
from restore.errors import ConfigError
from restore.restoration.plan.cost import cost
from restore.restoration.plan.speed import Shape, Speed, calibrate
from restore.restoration.plan.units import show_bytes
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.samplers import DDIM, DPMSolver, SamplerSpec
from restore.system.devices import HELD
from restore.system.memory import in_use

__all__ = ["Plan", "calibrated", "choose", "predict", "survey"]

STEPS = (50, 25, 10, 4, 2, 1)  # to how many a budget may cut the steps, most wanted first
SIZES = (512, 256, 128, 64)  # of tiles, where memory does not suffice for the model's own
LEAST_OVERLAP = 8
PUBLISHED_TILES = Tiles(grid="weatherdiffusion", size=64, stride=16, overlap=0, batch=64, window="uniform", fixed=True)


@dataclass(frozen=True)
class Plan:
    """A way to restore images of one size, and what it costs here.

    Attributes:
        sampler: with its steps.
        tiles: how images are cut.
        evaluations: how many tiles the network sees.
        tflop: its operations, in 10^12.
        seconds: of restoring one image, with all its samples, without reading and writing it.
        memory: the most bytes that are needed at once, with what this process, or the GPU, holds already.
        fits: whether time and memory stay within what was allowed.
    """

    sampler: SamplerSpec
    tiles: Tiles
    evaluations: int
    tflop: float
    seconds: float
    memory: int
    fits: bool = True

    def apply(self, settings: Settings) -> Settings:
        """Return the settings with which it is done this way."""
        return settings.changed(sampler=self.sampler, steps=self.sampler.steps, tiles=self.tiles)


def predict(
    restorer: Restorer,
    tiles: Tiles,
    sampler: SamplerSpec,
    height: int,
    width: int,
    speed: Speed,
    *,
    settings: Settings = Settings(),
    beside: int = 0,
) -> Plan:
    """Return what it costs to restore an image in some way.

    Args:
        restorer: the model.
        tiles: how to cut.
        sampler: with its steps.
        height: of the result, in pixels.
        width: of the result, in pixels.
        speed: of this machine with this model, see `calibrate`.
        settings: of the restoration, its sampler and tiles left aside.
        beside: other images of this size that are held meanwhile.
    """
    steps = sampler.evaluations(restorer.schedule)
    looks = 1 if settings.guidance == 1 else 2  # guidance evaluates with and without the condition
    seen, flop, seconds, held = 0, 0, 0.0, 0
    for shape, count in shapes(restorer, tiles, height, width).items():
        call = cost(restorer.recipe, *shape, restorer.dtype)
        seen += count * shape[0]
        flop += count * call.flop * looks
        seconds += count * speed.seconds(call.flop, shape)
        held = max(held, call.bytes)
    earlier = min(steps - 1, sampler.order - 1) if isinstance(sampler, DPMSolver) else 0
    samples, orientations = settings.samples, settings.self_ensemble
    moments = 2 if samples > 1 else 0
    turned = 3 if orientations > 1 else 0
    times = steps * samples * orientations
    buffers = (HELD + earlier + moments + turned + beside) * 3 * height * width * 4
    return Plan(
        sampler,
        tiles,
        evaluations=seen * times,
        tflop=flop * times / 1e12,
        seconds=(seconds + speed.pixel * height * width) * times,
        memory=in_use(torch.device(restorer.device)) + buffers + held,
    )


def shapes(restorer: Restorer, tiles: Tiles, height: int, width: int) -> Counter[Shape]:
    """Return how often the network is evaluated in one step, for each number and size of tiles."""
    return Counter(evaluations(tiles, height, width, restorer.halo))


def survey(
    restorer: Restorer,
    height: int,
    width: int,
    *,
    settings: Settings = Settings(),
    memory: int | None = None,
    speed: Speed | None = None,
) -> dict[str, Plan]:
    """Return the choices at hand for an image, by name: the model's own, and others worth to compare with.

    Args:
        restorer: the model.
        height: of the result, in pixels.
        width: of the result, in pixels.
        settings: of the restoration.
        memory: the most bytes that may be needed; choices that need more are marked by `fits`.
        speed: of this machine; measured now where it is not given.
    """
    own, steps = restorer.tiles(settings), settings.steps
    sampler = restorer.sampler(settings)
    ways: dict[str, tuple[Tiles, SamplerSpec]] = {"the model's own": (own, sampler)}
    for n in sorted(STEPS) if steps is None else ():
        # a schedule has so many levels, and a spacing of sections as many steps as they say
        with suppress(ConfigError):
            if n > (sampler.steps or 1):
                ways[f"{n} steps"] = own, _sampler(restorer, settings.changed(steps=n))
    if not own.fixed:
        ways["shifted grid"] = shifted(own), sampler
        if restorer.halo is not None:
            ways["whole image"] = whole(own), sampler
        if 64 % restorer.recipe.network.multiple == 0 and restorer.schedule.T >= 25:
            published = PUBLISHED_TILES.model_copy(update={"multiple": own.multiple, "context": own.context})
            ways["published, r = 16"] = published, DDIM(steps=25)
    speed = speed or calibrated(restorer, height, width, memory, own)
    plans = {name: predict(restorer, *way, height, width, speed, settings=settings) for name, way in ways.items()}
    return {name: replace(plan, fits=memory is None or plan.memory <= memory) for name, plan in plans.items()}


def choose(
    restorer: Restorer,
    height: int,
    width: int,
    budget: float | None = None,
    memory: int | None = None,
    *,
    settings: Settings = Settings(),
    beside: int = 0,
    speed: Speed | None = None,
) -> Plan:
    """Return the plan nearest to the model's own that a budget allows.

    A budget only takes away: where the model's own steps and tiles keep within it, they are the plan, however much
    time is left, for more steps are not closer to the truth. Else the tiles overlap less, and then there are fewer
    steps; memory makes the tiles smaller.

    Args:
        restorer: the model.
        height: of the result, in pixels.
        width: of the result, in pixels.
        budget: seconds for all samples; None for however long they take.
        memory: bytes; None for no limit.
        settings: of the restoration; steps that they name are not chosen here.
        beside: other images of this size that are held meanwhile.
        speed: of this machine; measured now where it is not given.

    Raises:
        ConfigError: the memory does not suffice, however the image is cut.
    """
    ways = list(cuts(restorer.tiles(settings)))
    speed = speed or calibrated(restorer, height, width, memory, settings.tiles)
    samplers = [restorer.sampler(settings)]
    if budget is not None and settings.steps is None:
        samplers += fewer(restorer, settings)
    small: list[Plan] = []
    least: int | None = None
    refused: ConfigError | None = None
    for sampler, tiles in product(samplers, ways):
        try:
            plan = predict(restorer, tiles, sampler, height, width, speed, settings=settings, beside=beside)
        except ConfigError as error:  # parts of an image, for a network that must see the whole
            refused = refused or error
            continue
        least = plan.memory if least is None else min(least, plan.memory)
        if memory is not None and plan.memory > memory:
            continue
        if budget is None or plan.seconds <= budget:
            return plan
        small.append(plan)
    if small:
        return replace(min(small, key=lambda plan: plan.seconds), fits=False)
    if refused is not None and least is None:
        raise refused
    raise ConfigError(
        f"an image of {width}x{height} needs at least {show_bytes(least or 0)} of memory here, "
        f"not {show_bytes(memory or 0)}"
    )


def fewer(restorer: Restorer, settings: Settings = Settings()) -> list[SamplerSpec]:
    """Return the sampler with fewer and fewer steps."""
    own = restorer.sampler(settings).evaluations(restorer.schedule)
    found = []
    for n in STEPS:
        # in one step all samples may be alike, and a spacing of sections has as many steps as they say
        with suppress(ConfigError):
            sampler = restorer.sampler(settings.changed(steps=n))
            if sampler.evaluations(restorer.schedule) < own:
                found.append(sampler)
    return found


def cuts(own: Tiles) -> Iterator[Tiles]:
    """Yield the ways to cut that are worth to consider: the model's own, then with less and less of everything."""
    sizes = [own.size] if own.fixed else [own.size, *(size for size in SIZES if size < own.size)]
    for size in sizes:
        if size % own.multiple == 0:
            for change in _sparser(own, size):
                for batch in dict.fromkeys((own.batch, 1)):
                    yield own.model_copy(update={"size": size, "batch": batch, **change})


def _sparser(own: Tiles, size: int) -> Iterator[dict[str, int | None]]:
    """Yield how far apart tiles of a size may lie, closest first."""
    overlap = own.overlap_of(size)
    if own.stride is None:
        for least in dict.fromkeys((overlap, min(LEAST_OVERLAP, overlap))):
            yield {"overlap": least}
        return
    stride = own.stride
    while stride < size:
        yield {"overlap": overlap, "stride": stride}
        stride *= 2
    yield {"overlap": overlap, "stride": size}


def shifted(own: Tiles) -> Tiles:
    """Return the model's tiles on a grid that moves with each step and hardly overlaps."""
    return own.model_copy(update={"grid": "shifted", "overlap": min(own.overlap, LEAST_OVERLAP)})


def whole(own: Tiles) -> Tiles:
    """Return what restores the whole image at once, in parts where it is large."""
    return own.model_copy(update={"grid": "whole", "size": 1024, "overlap": 0, "batch": 1, "stride": None})


def _sampler(restorer: Restorer, settings: Settings) -> SamplerSpec:
    """Return the sampler for more steps: the second-order one where it may replace the model's own.

    Raises:
        ConfigError: the schedule, or the spacing, has no so many steps.
    """
    own = restorer.sampler(settings)
    if isinstance(own, DDIM) and own.eta == 0 and (own.steps or 1) > 1 and own.start is None:
        return DPMSolver(steps=own.steps, spacing=own.spacing)
    return own


def calibrated(
    restorer: Restorer, height: int, width: int, memory: int | None = None, tiles: Tiles | None = None
) -> Speed:
    """Return how fast this machine is, with the evaluations timed that an image of this size is likely to take.

    Args:
        restorer: the model.
        height: of the result, in pixels.
        width: of the result, in pixels.
        memory: the most bytes that may be needed, while it is timed, too; None for no limit.
        tiles: how images will be cut; the recipe's by default.
    """
    own = tiles or restorer.recipe.tiles
    return calibrate(restorer, list(shapes(restorer, own, height, width))[:2], memory=memory)
