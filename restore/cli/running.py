"""`restore run` and `restore demo`."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from restore.cli.console import MOST_SEED, bar, model_for, open_model, print_json, table
from restore.errors import ConfigError

if TYPE_CHECKING:
    from restore.restoration.bulk import Outcome
    from restore.restoration.jobs import Job, Options
    from restore.restoration.pipeline import Pipeline
    from restore.restoration.restorer import Restorer

__all__ = ["demo", "parse_pad", "run"]

Model = Annotated[str, typer.Option("--model", "-m", help="A name from `restore models list`, or a checkpoint file.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes CUDA where there is one.")]
Dtype = Annotated[str, typer.Option(help="auto, fp32 or bf16; auto takes what the hardware runs fastest.")]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        "-t",
        help="What to do: auto (a detector finds out which weather, or that there is none), derain, desnow, dehaze, "
        "raindrop or weather (told nothing); inpaint, upscale, colorize, uncrop or jpeg, with a model for it. "
        "[auto; with --model its first]",
    ),
]
SamplerOption = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="KIND[,KEY=VALUE...]",
        help="ddim, dpm_solver, ancestral, langevin or consistency, and settings: ddim,eta=0.5,start=600. "
        "[the model's]",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(help="Settings stored with a model: `published` makes a converted checkpoint work as its authors do."),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Sampling steps: 1 is fastest and closest on average, more add texture. [the model's: 1]"),
]
Patch = Annotated[
    int | None,
    typer.Option(min=16, help="Side of a tile in pixels; smaller needs less memory. [the model's: 1024 for weather]"),
]
SelfEnsemble = Annotated[
    int,
    typer.Option(
        metavar="1|2|4|8",
        help="Look in so many orientations and take the mean: mirrored (2), upside down, too (4), lying, too (8, not "
        "for rain); it takes as many times longer.",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Pixels that neighbouring tiles share, rounded up as the network needs it. [the model's: 128 for weather]",
    ),
]


def run(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders or globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A picture for one input, else a folder.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A name from `restore models list`, or a checkpoint file. [by the task]"),
    ] = None,
    task: Task = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="For inpaint: what to fill is bright. A picture, or a folder of masks named as the pictures (in "
            "folders as theirs, if it has any)."
        ),
    ] = None,
    invert_mask: Annotated[bool, typer.Option("--invert-mask", help="What to fill is dark in the mask.")] = False,
    scale: Annotated[int | None, typer.Option(min=1, help="For upscale: how many times larger. [the model's]")] = None,
    pad: Annotated[str | None, typer.Option(metavar="L,T,R,B", help="For uncrop: pixels to add on each side.")] = None,
    steps: Steps = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Restore this many times, in 2 steps at least, and take the mean.")
    ] = 1,
    self_ensemble: SelfEnsemble = 1,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty", help="Also write NAME.uncertainty.png, bright where samples differ (needs --samples 2)."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same picture.")] = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    patch: Patch = None,
    overlap: Overlap = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="How tiles lie: anchored (fixed), shifted (moved at each step), whole (as if untiled) or "
            "weatherdiffusion (as published). [the model's]"
        ),
    ] = None,
    guard: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How far large areas keep the colours of one coarse look at the picture. [the model's: 0, off]",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="The time that a picture may take: 10s, 2m; takes fewer steps and less overlap.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="The memory that it may need: 2GB; picks the tiles.")] = None,
    sampler: SamplerOption = None,
    guidance: Annotated[
        float, typer.Option(help="Scale of classifier-free guidance, for models trained with dropped conditions.")
    ] = 1.0,
    preset: Preset = None,
    model_config: Annotated[
        Path | None, typer.Option(help="For a published checkpoint: its authors' config, YAML or JSON.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="For a published checkpoint: a setting of its config."),
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile the network first: takes a minute or more, pays for many pictures."),
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write NAME.compare.png, before and after side by side.")
    ] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders, too.")] = False,
    on_exists: Annotated[str, typer.Option(help="Where there is an output already: skip, overwrite or error.")] = (
        "error"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Restore pictures of any size.

    Each comes back in its own size, depth and colours where the task keeps them. Exit codes: 0 all good, 1 failed, 2
    wrong usage, 3 some pictures failed.

    Examples:

      restore run rainy.jpg -o clear.png --task derain --compare

      restore run holiday/ -o holiday-restored/ --on-exists skip

      restore run '*.png' -o out --steps 4 --samples 4 --uncertainty

      restore run photo.jpg -o out.png --task inpaint --mask mask.png

      restore run small.jpg -o large.png --task upscale --scale 4

      restore run photo.jpg -o wider.png --task uncrop --pad 64,0,64,0
    """
    from typing import cast, get_args

    from restore.restoration.detector import AUTO
    from restore.restoration.jobs import OnExists, Options, plan_jobs, refuse_collisions
    from restore.restoration.pipeline import Pipeline
    from restore.restoration.settings import Settings
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
    options = Options(Settings(), cast(OnExists, on_exists), compare, uncertainty, mask, invert_mask)
    request = Request(scale=scale, pad=parse_pad(pad))
    refuse_collisions(jobs, options)
    restorer, own = open_model(
        model or model_for(task, scale),
        device,
        dtype,
        patches={"size": patch, "overlap": overlap, "grid": grid, "guard": guard},
        sampler=sampler,
        guidance=guidance,
        self_ensemble=self_ensemble,
        preset=preset,
        config=model_config,
        overrides=settings or (),
    )
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
    outcomes: list[Outcome] = []
    try:
        _restore(pipeline, jobs, options, outcomes, quiet=as_json)
    except (KeyboardInterrupt, SystemExit):
        typer.echo(f"stopped: {len(outcomes)} of {len(jobs)} pictures were done", err=True)
        if as_json:
            print_json([_document(outcome) for outcome in outcomes])
        raise
    if as_json:
        print_json([_document(outcome) for outcome in outcomes])
    _leave(outcomes)


def _kept_within(
    restorer: Restorer, jobs: list[Job], options: Options, budget: str | None, memory: str | None
) -> Options:
    """Return the options with the steps and the tiles with which the largest picture keeps within time and memory."""
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
        # beside the picture that is restored, the next one and the result before are held
        beside=2 if len(jobs) > 1 and height * width <= LARGE else 0,
        speed=calibrated(restorer, height, width, most_memory, options.settings.tiles),
    )
    short = "" if plan.fits else "; nothing faster is at hand, it will take longer than asked"
    typer.echo(
        f"plan for {width}x{height}: {plan.sampler.kind}, {plan.sampler.steps} steps, tiles of {plan.patches.size}, "
        f"about {show_seconds(plan.seconds)} and {show_bytes(plan.memory)}{short}",
        err=True,
    )
    return replace(options, settings=plan.apply(options.settings))


def parse_pad(text: str | None) -> tuple[int, int, int, int] | None:
    """Return the four numbers of `--pad`.

    Raises:
        ConfigError: they are not four whole numbers.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--pad takes four numbers of pixels, left,top,right,bottom, not {text!r}")
    left, top, right, bottom = map(int, parts)
    return left, top, right, bottom


def _restore(pipeline: Pipeline, jobs: list[Job], options: Options, outcomes: list[Outcome], quiet: bool) -> None:
    """Append the outcomes as they come, with a bar over the tiles of all pictures, and a line for each picture."""
    from restore.restoration.bulk import restore_files

    begun = due = 0
    with bar(0, "restoring", "tile") as progress:

        def begin(job: Job, tiles: int) -> None:
            nonlocal begun, due
            begun += 1
            # a clean picture takes no tiles, and one whose blocks are aligned may take more than it looks
            progress.total += tiles - due
            due = tiles
            progress.set_postfix_str(f"{begun}/{len(jobs)} {job.source.name}"[:40])

        def step(tiles: int) -> None:
            nonlocal due
            due -= tiles
            progress.update(tiles)

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            line, stream = _line(outcome)
            if stream is sys.stderr or not quiet:
                progress.write(line, file=stream)
                stream.flush()

        with closing(restore_files(pipeline, jobs, options, begin, step, done)) as work:
            for _ in work:
                pass


def _line(outcome: Outcome) -> tuple[str, TextIO]:
    """Return what is said of a picture, and where."""
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


def _document(outcome: Outcome) -> dict[str, object]:
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


def _leave(outcomes: list[Outcome]) -> None:
    """Leave with an honest exit code."""
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    if failed:
        typer.echo(f"{failed} of {len(outcomes)} pictures failed", err=True)
        raise typer.Exit(1 if failed == len(outcomes) else 3)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pictures.")] = Path("demo"),
    model: Model = "weather",
    steps: Steps = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Another seed, other weather.")] = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Put weather on sample photographs and remove it again.

    The photographs come with scikit-image; a table shows what the restoration gained.

    Example:

      restore demo -o demo/
    """
    from restore.evaluation.demo import run_demo

    restorer, _ = open_model(model, device, dtype)
    with bar(None, "demo", "picture") as progress:
        result = run_demo(restorer, output, steps=steps, seed=seed, on_picture=progress.update)
    header = ["picture", "weather", "PSNR before", "after", "SSIM before", "after"]
    rows = [[r.picture, r.weather, *(round(x, 2) for x in r.psnr), *(round(x, 4) for x in r.ssim)] for r in result.rows]
    typer.echo(table(header, rows))
    typer.echo(f"wrote {result.sheet} (clean, degraded, restored) and {len(result.rows)} restored pictures beside it")
