"""`restore plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.cli.console import model_for, open_model, print_json, table
from restore.cli.options import SelfEnsembleOption, parse_pad

if TYPE_CHECKING:
    from restore.restoration.plan import Plan

__all__ = ["plan"]


def plan(
    image: Annotated[Path, typer.Argument(help="The image that is to be restored.")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="A name from `restore models list`, or a checkpoint file. [by the task]"),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="What to do, as in `restore run`. [the model's first]")
    ] = None,
    scale: Annotated[int | None, typer.Option(min=1, help="For upscale: how many times larger. [the model's]")] = None,
    pad: Annotated[str | None, typer.Option(metavar="L,T,R,B", help="For uncrop: pixels to add on each side.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps, if they are not to be chosen.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Restorations of which the mean is taken.")] = 1,
    self_ensemble: SelfEnsembleOption = 1,
    budget: Annotated[str | None, typer.Option(help="The time that it may take: 10s, 2m, 500ms.")] = None,
    memory: Annotated[str | None, typer.Option(help="The memory that it may need: 2GB, 800MB.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes CUDA where there is one.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32 or bf16; auto takes what the hardware runs fastest.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Tell what restoring an image will cost here.

    Takes about two seconds. The first row is what `restore run` does; the others are there to compare. More steps add
    texture and cost PSNR; the shifted grid moves its tiles at every step, so that they need hardly overlap; the whole
    image has no tiles to meet; r = 16 with 25 steps is what WeatherDiffusion published.

    With a budget of time or memory, the way within it that is nearest to the model's own is shown, too: a budget takes
    overlap and steps away, and never adds any. `restore run --budget` and `--memory` do it that way.

    Examples:

      restore plan photo.jpg

      restore plan photo.jpg --budget 10s --memory 2GB
    """
    from dataclasses import replace

    import torch

    from restore import images
    from restore.restoration.detector import AUTO
    from restore.restoration.plan import calibrated, choose, parse_bytes, parse_seconds, survey
    from restore.tasks import Request

    seconds = None if budget is None else parse_seconds(budget)
    most = None if memory is None else parse_bytes(memory)
    given = images.read(image)
    restorer, own = open_model(model or model_for(task, scale), device, dtype, self_ensemble=self_ensemble)
    settings = own.changed(steps=steps, samples=samples)
    asked, request = restorer.task(None if task == AUTO else task), Request(scale=scale, pad=parse_pad(pad))
    # where pixels are lost changes nothing in what it costs
    asked.check(replace(request, mask=torch.ones(1, 1, 1)) if "mask" in asked.needs else request)
    height, width = asked.size(given.height, given.width, request)
    speed = calibrated(restorer, height, width, most)
    plans = survey(restorer, height, width, settings=settings, memory=most, speed=speed)
    chosen = choose(restorer, height, width, seconds, most, settings=settings, speed=speed)
    if as_json:
        choices = [{"name": name, **_document(choice)} for name, choice in plans.items()]
        print_json({"width": width, "height": height, "chosen": _document(chosen), "choices": choices})
        return
    if budget is not None or memory is not None:
        plans = {**plans, "within the budget": chosen}
    header = ["choice", "sampler", "steps", "tile", "overlap", "tiles seen", "TFLOP", "time", "memory", ""]
    rows = [[name, *_row(choice)] for name, choice in plans.items()]
    typer.echo(f"{image}: {width}x{height}, {_machine(restorer)}")
    typer.echo(table(header, rows))
    if not chosen.fits:
        typer.echo(f"warning: nothing is done within {budget}; this is the fastest way there is", err=True)


def _machine(restorer: Any) -> str:
    import torch

    place = torch.cuda.get_device_name(restorer.device) if restorer.device.type == "cuda" else "CPU"
    threads = f", {torch.get_num_threads()} threads" if restorer.device.type == "cpu" else ""
    return f"{place}{threads}, {str(restorer.dtype).removeprefix('torch.')}"


def _row(plan: Plan) -> list[Any]:
    from restore.restoration.plan import show_bytes, show_seconds

    return [
        plan.sampler.kind,
        plan.sampler.steps,
        plan.tiles.size,
        plan.tiles.size - plan.tiles.step,
        plan.evaluations,
        round(plan.tflop, 3 if plan.tflop < 1 else 1),
        show_seconds(plan.seconds),
        show_bytes(plan.memory),
        "" if plan.fits else "too much",
    ]


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "sampler": plan.sampler.model_dump(mode="json"),
        "tiles": plan.tiles.model_dump(mode="json"),
        "evaluations": plan.evaluations,
        "tflop": round(plan.tflop, 6),
        "seconds": round(plan.seconds, 4),
        "memory_bytes": plan.memory,
        "fits": plan.fits,
    }
