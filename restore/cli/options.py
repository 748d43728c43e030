"""Options that several commands share, and how the options of a command are grouped in its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from restore.errors import ConfigError

__all__ = ["Panels", "parse_pad"]

QUALITY_PANEL = "Quality and time"
TILES_PANEL = "Tiles and memory"
DIFFUSION_PANEL = "Diffusion"
PUBLISHED_PANEL = "Published checkpoints"
FILES_PANEL = "Files written"


class Panels(TyperCommand):
    """A command whose help has the common options first, and the rare ones below, by subject."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, those of each panel under its name."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.param_type_name == "option":
                panels.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(record)
        for name, records in panels.items():
            with formatter.section(name):
                formatter.write_dl(records)


ModelOption = Annotated[
    str, typer.Option("--model", "-m", help="A name from `restore models list`, or a checkpoint file.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda; auto takes CUDA where there is one.")]
DtypeOption = Annotated[
    str,
    typer.Option(help="auto, fp32 or bf16; auto takes the fastest of the hardware.", rich_help_panel=TILES_PANEL),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        "-t",
        help="auto (a detector finds the weather), derain, desnow, dehaze, raindrop, weather (blind); inpaint, "
        "upscale, colorize, uncrop, jpeg. [auto; with --model its first]",
    ),
]
SamplerOption = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        metavar="KIND[,KEY=VALUE...]",
        help="ddim, dpm_solver, ancestral, langevin or consistency, and settings: ddim,eta=0.5,start=600. "
        "[the model's]",
        rich_help_panel=DIFFUSION_PANEL,
    ),
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        help="Settings stored with a model: `published` makes a converted checkpoint work as its authors do.",
        rich_help_panel=DIFFUSION_PANEL,
    ),
]
GuidanceOption = Annotated[
    float,
    typer.Option(
        help="Scale of classifier-free guidance, for models trained with dropped conditions.",
        rich_help_panel=DIFFUSION_PANEL,
    ),
]
StepsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Sampling steps: 1 is fastest and closest on average, more add texture. [the model's: 1]"),
]
TileOption = Annotated[
    int | None,
    typer.Option(
        "--tile",
        "--patch",
        min=16,
        help="Side of a tile in pixels; smaller needs less memory. [the model's: 1024 for weather]",
        rich_help_panel=TILES_PANEL,
    ),
]
OverlapOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Pixels that neighbouring tiles share, rounded up as the network needs it. [the model's: 128 for weather]",
        rich_help_panel=TILES_PANEL,
    ),
]
GridOption = Annotated[
    str | None,
    typer.Option(
        "--grid",
        help="How tiles lie: anchored (fixed), shifted (moved at each step), whole (as if untiled) or "
        "weatherdiffusion (as published). [the model's]",
        rich_help_panel=TILES_PANEL,
    ),
]
GuardOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="How far large areas keep the colours of one coarse estimate of the whole image. [the model's: 0, off]",
        rich_help_panel=TILES_PANEL,
    ),
]
SelfEnsembleOption = Annotated[
    int,
    typer.Option(
        metavar="1|2|4|8",
        help="Restore in so many orientations and take the mean: mirrored (2), upside down, too (4), transposed, too "
        "(8, not for rain); it takes as many times longer.",
        rich_help_panel=QUALITY_PANEL,
    ),
]
ModelConfigOption = Annotated[
    Path | None,
    typer.Option(help="Its authors' config, YAML or JSON.", rich_help_panel=PUBLISHED_PANEL),
]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of its config.", rich_help_panel=PUBLISHED_PANEL),
]


MOST_PAD = 2**20
"""Of pixels on a side, for `--pad`; how many make an image too large is for the memory to say."""


def parse_pad(text: str | None) -> tuple[int, int, int, int] | None:
    """Return the four numbers of `--pad`.

    Raises:
        ConfigError: they are not four whole numbers.
    """
    if text is None:
        return None
    from restore.schema import shortened, whole_number

    parts = [whole_number(part, MOST_PAD) for part in text.split(",")]
    sides = [part for part in parts if part is not None]
    if len(parts) != 4 or len(sides) != 4:
        wanted = f"four numbers of pixels up to {MOST_PAD}, left,top,right,bottom"
        raise ConfigError(f"--pad takes {wanted}, not {shortened(text)}")
    left, top, right, bottom = sides
    return left, top, right, bottom
