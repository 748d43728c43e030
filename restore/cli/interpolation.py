"""`restore interpolate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli.console import MOST_SEED, bar, open_model
from restore.errors import ConfigError

if TYPE_CHECKING:
    from restore.images import Photo

__all__ = ["interpolate"]


def interpolate(
    a: Annotated[Path, typer.Argument(help="The first image.")],
    b: Annotated[Path, typer.Argument(help="The last image, of the same size.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A strip of all frames, or a folder for them.")],
    frames: Annotated[int, typer.Option(min=2, help="How many, both ends included.")] = 7,
    method: Annotated[
        str, typer.Option(help="inversion (a great circle between the noises) or diffusion (mixed under one noise).")
    ] = "inversion",
    steps: Annotated[int, typer.Option(min=1, help="Steps of DDIM, up and down.")] = 20,
    start: Annotated[float, typer.Option(help="For diffusion: how far up the noise goes, above 0 to 1.")] = 0.5,
    model: Annotated[str, typer.Option("--model", "-m", help="A name or a checkpoint file.")] = "weather",
    task: Annotated[str | None, typer.Option("--task", "-t", help="One of the model's tasks. [its first]")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The same seed gives the same frames.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
) -> None:
    """Make the images between two images.

    They are found by way of the noise that each would come from. Frames of a folder are written as they are made.

    Examples:

      restore interpolate a.png b.png -o strip.png --frames 7

      restore interpolate a.png b.png -o frames/ --frames 30 --method diffusion --start 0.6
    """
    from typing import cast, get_args

    import torch

    from restore import images
    from restore.restoration.interpolate import InterpolationMethod
    from restore.restoration.interpolate import interpolate as between

    if method not in get_args(InterpolationMethod):
        raise ConfigError(f"unknown --method {method!r}; choose {', '.join(get_args(InterpolationMethod))}")
    strip = output.suffix.lower() in images.WRITABLE
    targets = [output] if strip else [output / f"{i:04d}.png" for i in range(frames)]
    images.refuse_inputs(targets, [a, b])
    first, last = images.read(a), images.read(b)
    restorer, _ = open_model(model, device, dtype)
    kind = _kind_of(first, last)
    made = []
    with bar(frames, "interpolating", "frame") as progress:
        photos = between(
            restorer,
            first.pixels,
            last.pixels,
            frames,
            method=cast(InterpolationMethod, method),
            steps=steps,
            start=start,
            task=task,
            seed=seed,
        )
        for index, pixels in enumerate(photos):
            if strip:
                made.append(pixels.cpu())
            else:
                images.write(kind.with_pixels(pixels), targets[index], overwrite=True)
            progress.update(1)
    if strip:
        images.write(kind.with_pixels(torch.cat(made, dim=-1)), output, overwrite=True)
    typer.echo(f"wrote {frames} frames to {output}")


def _kind_of(first: Photo, last: Photo) -> Photo:
    """Return the first image as the frames are to be: opaque, gray if the last one is so too, of a shared profile."""
    icc = first.metadata.icc if first.metadata.icc == last.metadata.icc else None
    return replace(first, gray=first.gray and last.gray, alpha=None, metadata=replace(first.metadata, icc=icc))
