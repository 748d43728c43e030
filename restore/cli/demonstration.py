"""`restore demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli.console import MOST_SEED, bar, open_model, table
from restore.cli.options import DeviceOption, DtypeOption, ModelOption, StepsOption

__all__ = ["demo"]


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the images.")] = Path("demo"),
    model: ModelOption = "weather",
    steps: StepsOption = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Another seed, other weather.")] = 0,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Put weather on sample photographs and remove it again.

    The photographs come with scikit-image; a table shows what the restoration gained.

    Example:

      restore demo -o demo/
    """
    from restore.evaluation.demo import run_demo

    restorer, _ = open_model(model, device, dtype)
    with bar(None, "demo", "image") as progress:
        result = run_demo(restorer, output, steps=steps, seed=seed, on_image=progress.update)
    header = ["image", "weather", "PSNR before", "after", "SSIM before", "after"]
    rows = [[r.image, r.weather, *(round(x, 2) for x in r.psnr), *(round(x, 4) for x in r.ssim)] for r in result.rows]
    typer.echo(table(header, rows))
    typer.echo(f"wrote {result.sheet} (clean, degraded, restored) and {len(result.rows)} restored images beside it")
