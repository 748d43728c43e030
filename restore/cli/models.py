"""`restore models list | info | convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli.console import print_json, table
from restore.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, describe and convert models.", rich_markup_mode=None)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the models.

    What each is for, its licence, and whether its weights ship.

    Example:

      restore models list
    """
    from restore import resources
    from restore.models import model_card

    cards = [model_card(name) for name in resources.list_configs("models")]
    shipped = set(resources.list_weights())
    rows = [
        [
            c.recipe.name,
            ", ".join(c.recipe.tasks),
            "ships" if Path(c.weights).stem in shipped else "absent",
            c.licence,
            c.summary,
        ]
        for c in cards
    ]
    if as_json:
        print_json([card.model_dump(mode="json") for card in cards])
    else:
        typer.echo(table(["name", "tasks", "weights", "licence", "what it is"], rows))


@app.command("info")
def info(
    model: Annotated[str, typer.Argument(help="A name from `restore models list`, or a checkpoint file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    config: Annotated[
        Path | None, typer.Option(help="For a published checkpoint: its authors' config, YAML or JSON.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="For a published checkpoint: a setting of that config."),
    ] = None,
) -> None:
    """Show a model's card, or the recipe in a file.

    Examples:

      restore models info weather

      restore models info ema_0.9999.pt --set noise_schedule=cosine
    """
    import yaml

    from restore import checkpoints
    from restore.models import find_weights, is_file, model_card

    if is_file(model):
        opened = checkpoints.open_checkpoint(find_weights(model), config, settings or ())
        if opened.conversion is not None and not as_json:
            typer.echo(opened.conversion.summary())
            return
        document = {"recipe": opened.recipe} if opened.conversion else checkpoints.read_metadata(Path(model))
    elif config is not None or settings:
        raise ConfigError(f"--config and --set are for a checkpoint file of another codebase, not for the name {model}")
    else:
        document = model_card(model).model_dump(mode="json")
    if as_json:
        print_json(document)
    else:
        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110).rstrip())


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A checkpoint of a published codebase.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT.safetensors", help="The converted file; it must not be there yet.")
    ],
    config: Annotated[Path | None, typer.Option(help="Its authors' config, YAML or JSON.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting in the words of that config.")
    ] = None,
) -> None:
    """Convert a published checkpoint.

    Those of WeatherDiffusion, Palette, SR3 and guided-diffusion are known; what the file is gets printed.

    Nothing in the file is run: a pickle that asks for more than tensors and plain values is refused.

    Examples:

      restore models convert WeatherDiff64.pth.tar weatherdiff64.safetensors

      restore models convert ema_0.9999.pt ours.safetensors --set noise_schedule=cosine
    """
    from restore import checkpoints

    if output.exists():
        raise ConfigError(f"{output} is there already; give another name")
    if output.suffix != ".safetensors":
        raise ConfigError(f"the converted file is a .safetensors file, not {output.name}")
    typer.echo(checkpoints.convert(source, output, config, settings or ()).summary())
    typer.echo(f"wrote {output}")
