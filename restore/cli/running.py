"""`restore run`."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from restore.cli.console import MOST_SEED, bar, model_for, open_model, print_json
from restore.cli.options import (
    FILES_PANEL,
    QUALITY_PANEL,
    TILES_PANEL,
    DeviceOption,
    DtypeOption,
    GridOption,
    GuardOption,
    GuidanceOption,
    ModelConfigOption,
    OverlapOption,
    OverridesOption,
    PresetOption,
    SamplerOption,
    SelfEnsembleOption,
    StepsOption,
    TaskOption,
    TileOption,
    parse_pad,
)
from restore.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

    from restore.restoration.bulk import Outcome
    from restore.restoration.jobs import Job, Options
    from restore.restoration.restorer import Restorer

__all__ = ["run"]


def run(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Images, folders or globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="An image for one input, else a folder.")],
    task: TaskOption = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A name from `restore models list`, or a checkpoint file. [by the task]"),
    ] = None,
    steps: StepsOption = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="For inpaint: bright where to fill. An image, or a folder of masks named as the images."),
    ] = None,
    scale: Annotated[int | None, typer.Option(min=1, help="For upscale: how many times larger. [the model's]")] = None,
    pad: Annotated[str | None, typer.Option(metavar="L,T,R,B", help="For uncrop: pixels to add on each side.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same image.")] = 0,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include sub-folders.")] = False,
    on_exists: Annotated[str, typer.Option(help="Where there is an output already: skip, overwrite or error.")] = (
        "error"
    ),
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write NAME.compare.png, before and after side by side.")
    ] = False,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            help="Restore this many times, in 2 steps at least, and take the mean.",
            rich_help_panel=QUALITY_PANEL,
        ),
    ] = 1,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also write NAME.uncertainty.png, bright where samples differ (needs --samples 2).",
            rich_help_panel=QUALITY_PANEL,
        ),
    ] = False,
    self_ensemble: SelfEnsembleOption = 1,
    budget: Annotated[
        str | None,
        typer.Option(
            help="The time that an image may take: 10s, 2m; takes fewer steps and less overlap.",
            rich_help_panel=QUALITY_PANEL,
        ),
    ] = None,
    invert_mask: Annotated[
        bool, typer.Option("--invert-mask", help="What to fill is dark in the mask.", rich_help_panel=QUALITY_PANEL)
    ] = False,
    encoder_quality: Annotated[
        int | None,
        typer.Option(
            "--quality",
            min=1,
            max=100,
            help="Of JPEG, WebP and AVIF files. [that of the input, at least 95]",
            rich_help_panel=FILES_PANEL,
        ),
    ] = None,
    lossless: Annotated[
        bool | None,
        typer.Option(
            "--lossless/--lossy",
            help="Whether WebP files keep every pixel as it was restored. [as the input]",
            rich_help_panel=FILES_PANEL,
        ),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="The memory that it may need: 2GB; picks the tiles.", rich_help_panel=TILES_PANEL)
    ] = None,
    patch: TileOption = None,
    overlap: OverlapOption = None,
    grid: GridOption = None,
    guard: GuardOption = None,
    dtype: DtypeOption = "auto",
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the network first: takes a minute or more, pays for many images.",
            rich_help_panel=TILES_PANEL,
        ),
    ] = False,
    sampler: SamplerOption = None,
    guidance: GuidanceOption = 1.0,
    preset: PresetOption = None,
    model_config: ModelConfigOption = None,
    settings: OverridesOption = None,
) -> None:
    """Restore images of any size.

    Each comes back in its own size, depth and colours where the task keeps them. Exit codes: 0 all good, 1 failed, 2
    wrong usage, 3 some images failed.

    Examples:

      restore run rainy.jpg -o clear.png --task derain --compare

      restore run holiday/ -o holiday-restored/ --on-exists skip

      restore run '*.png' -o out --steps 4 --samples 4 --uncertainty

      restore run photo.jpg -o out.png --task inpaint --mask mask.png

      restore run small.jpg -o large.png --task upscale --scale 4

      restore run photo.jpg -o wider.png --task uncrop --pad 64,0,64,0
    """
    from typing import cast, get_args

    from restore import images
    from restore.restoration.bulk import restore_files
    from restore.restoration.detector import AUTO
    from restore.restoration.jobs import OnExists, Options, plan_jobs, refuse_collisions
    from restore.restoration.pipeline import Pipeline
    from restore.tasks import Request

    if on_exists not in get_args(OnExists):
        raise ConfigError(f"unknown --on-exists {on_exists!r}; choose {', '.join(get_args(OnExists))}")
    if uncertainty and samples < 2:
        raise ConfigError("--uncertainty needs several samples to compare: pass --samples 2 or more")
    if invert_mask and mask is None:
        raise ConfigError("--invert-mask says how to read a mask: pass --mask, too")
    if task is None and model is None:
        task = AUTO
    jobs = plan_jobs(inputs, output, recursive)
    if left := images.passed_over(inputs, recursive=recursive):
        typer.echo(left, err=True)
    options = Options(
        on_exists=cast(OnExists, on_exists),
        compare=compare,
        uncertainty=uncertainty,
        mask=mask,
        invert_mask=invert_mask,
        quality=encoder_quality,
        lossless=lossless,
    )
    request = Request(scale=scale, pad=parse_pad(pad))
    refuse_collisions(jobs, options)
    restorer, own = open_model(
        model or model_for(task, scale),
        device,
        dtype,
        tiles={"size": patch, "overlap": overlap, "grid": grid, "guard": guard},
        sampler=sampler,
        guidance=guidance,
        self_ensemble=self_ensemble,
        preset=preset,
        config=model_config,
        overrides=settings or (),
    )
    if task is None:
        _refuse_unconditional(restorer)
    chosen = own.changed(
        task=None if task == AUTO else task,
        request=request,
        steps=own.steps if steps is None else steps,
        samples=samples,
        seed=seed,
    )
    options = replace(options, settings=chosen)
    # an unknown task, impossible steps, guidance without its kind of model: said before any work, not once an image
    pipeline = Pipeline.of(restorer, task)
    restorer.check(options.of())
    if budget is not None or memory is not None:
        options = _kept_within(restorer, jobs, options, budget, memory)
    if compiled:
        pipeline = pipeline.compiled(options.settings)
    with (
        RunLog(len(jobs), as_json) as log,
        closing(restore_files(pipeline, jobs, options, log.begin, log.step, log.done)) as work,
    ):
        for _ in work:
            pass
    log.leave()


def _refuse_unconditional(restorer: Restorer) -> None:
    """Raise ConfigError where a model has no input for an image, unless it was said what it should do with one."""
    recipe = restorer.recipe
    if recipe.network.capabilities.condition_channels:
        return
    can = {
        "inpaint": "--task inpaint --mask MASK fills holes",
        "uncrop": "--task uncrop --pad L,T,R,B extends borders",
        "generate": "--task generate makes a new image out of the given one under noise",
    }
    known = "; ".join(can.get(task, f"--task {task}") for task in sorted(recipe.tasks, reverse=True))
    raise ConfigError(f"model {recipe.name!r} has no input for an image, so that it restores none; {known}")


def _kept_within(
    restorer: Restorer, jobs: list[Job], options: Options, budget: str | None, memory: str | None
) -> Options:
    """Return the options with the steps and the tiles with which the largest image keeps within time and memory."""
    from restore import images
    from restore.restoration.bulk import LARGE
    from restore.restoration.plan import calibrated, choose, parse_bytes, parse_seconds, show_bytes, show_seconds

    most_time = None if budget is None else parse_seconds(budget)
    most_memory = None if memory is None else parse_bytes(memory)
    given = [size for job in jobs if (size := images.peek(job.source)) is not None]
    if not given:
        return options
    settings = options.of()
    task, request = restorer.task(settings.task), settings.request
    height, width = max((task.size(*size, request) for size in given), key=lambda size: size[0] * size[1])
    plan = choose(
        restorer,
        height,
        width,
        most_time,
        most_memory,
        settings=options.settings,
        # beside the image that is restored, the next one and the result before are held
        beside=2 if len(jobs) > 1 and height * width <= LARGE else 0,
        speed=calibrated(restorer, height, width, most_memory, options.settings.tiles),
    )
    short = "" if plan.fits else "; nothing faster is at hand, it will take longer"
    typer.echo(
        f"plan for {width}x{height}: {plan.sampler.kind}, {plan.sampler.steps} steps, tiles of {plan.tiles.size}, "
        f"about {show_seconds(plan.seconds)} and {show_bytes(plan.memory)}{short}",
        err=True,
    )
    return replace(options, settings=plan.apply(options.settings))


class RunLog:
    """A bar over the tiles of all images, a line for each image, and in the end what was done as JSON.

    Args:
        count: of the images.
        as_json: print JSON in place of the lines.
    """

    def __init__(self, count: int, as_json: bool) -> None:
        self.count, self.as_json = count, as_json
        self.outcomes: list[Outcome] = []
        self.bar = bar(0, "restoring", "tile")
        self._begun = self._due = 0

    def __enter__(self) -> RunLog:
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, at)
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        if stopped:
            typer.echo(f"stopped: {len(self.outcomes)} of {self.count} images were done", err=True)
        if self.as_json and (stopped or error is None):
            print_json([document_of(outcome) for outcome in self.outcomes])

    def begin(self, job: Job, tiles: int) -> None:
        """Note that an image is begun that takes so many tiles."""
        self._begun += 1
        # a clean image takes no tiles, and one whose blocks are aligned may take more than it seems
        self.bar.total += tiles - self._due
        self._due = tiles
        self.bar.set_postfix_str(f"{self._begun}/{self.count} {job.source.name}"[:40])

    def step(self, tiles: int) -> None:
        """Note that so many tiles are done."""
        self._due -= tiles
        self.bar.update(tiles)

    def done(self, outcome: Outcome) -> None:
        """Note what became of an image."""
        self.outcomes.append(outcome)
        line, stream = line_of(outcome)
        if stream is sys.stderr or not self.as_json:
            self.bar.write(line, file=stream)
            stream.flush()

    def leave(self) -> None:
        """Leave with an honest exit code."""
        failed = sum(outcome.status == "failed" for outcome in self.outcomes)
        if failed:
            typer.echo(f"{failed} of {len(self.outcomes)} images failed", err=True)
            raise typer.Exit(1 if failed == len(self.outcomes) else 3)


def line_of(outcome: Outcome) -> tuple[str, TextIO]:
    """Return what is said of an image, and where."""
    if outcome.status != "restored":
        return f"{outcome.status}: {outcome.reason}", sys.stderr
    size = f"{outcome.width}x{outcome.height}"
    written = ", ".join(map(str, outcome.written))
    found = outcome.decision
    decided = (
        ""
        if found is None
        else f"  (auto: {found}{'; left as it is, --task restores it anyway' if found.clean else ''})"
    )
    return f"{outcome.job.source} -> {written}  {size}, {outcome.seconds:.1f} s{decided}", sys.stdout


def document_of(outcome: Outcome) -> dict[str, object]:
    return {
        "input": str(outcome.job.source),
        "output": str(outcome.job.output),
        "status": outcome.status,
        "written": [str(path) for path in outcome.written],
        "reason": outcome.reason,
        "seconds": round(outcome.seconds, 3),
        "width": outcome.width,
        "height": outcome.height,
        "decision": None if outcome.decision is None else outcome.decision.document(),
    }
