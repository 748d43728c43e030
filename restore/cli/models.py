"""`restore models list | info | convert`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli.console import print_json, table
from restore.errors import ConfigError

if TYPE_CHECKING:
    from restore.models.card import ModelCard

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, describe and convert models.", rich_markup_mode=None)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the models.

    What each is for, its licence, and whether its weights ship.

    Example:

      restore models list
    """
    from restore.models.find import model_card
    from restore.system import resources

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
    recipe: Annotated[bool, typer.Option("--recipe", help="The recipe alone: network, sampler, ...")] = False,
    config: Annotated[
        Path | None, typer.Option(help="For a published checkpoint: its authors' config, YAML or JSON.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="For a published checkpoint: a setting of that config."),
    ] = None,
) -> None:
    """Show a model's card, or the recipe in a file.

    What it is for, what it is bad at, its licence and data, its scores and the commands that measure them.

    Examples:

      restore models info weather

      restore models info weather --recipe

      restore models info ema_0.9999.pt --set noise_schedule=cosine
    """
    import yaml

    from restore.models import native, published
    from restore.models.find import find_weights, is_file, model_card

    if recipe and is_file(model):
        raise ConfigError("--recipe is for the card of a model; of a file the recipe is what is shown")
    if is_file(model):
        opened = published.open_checkpoint(find_weights(model), config, settings or ())
        if opened.conversion is not None and not as_json:
            typer.echo(opened.conversion.summary())
            return
        document = {"recipe": opened.recipe} if opened.conversion else native.read_metadata(Path(model))
    elif config is not None or settings:
        raise ConfigError(f"--config and --set are for a checkpoint file of another codebase, not for the name {model}")
    else:
        card = model_card(model)
        document = card.model_dump(mode="json")
        if not recipe and not as_json:
            typer.echo("\n".join(_told(card)))
            return
        document = document["recipe"] if recipe else document
    if as_json:
        print_json(document)
    else:
        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110).rstrip())


def wrapped(text: str, start: str) -> list[str]:
    """Return the lines of a text that begins after `start`, each but the first as far to the right."""
    return textwrap.wrap(text, 110, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)


def _told(card: ModelCard) -> Iterator[str]:
    """Yield the lines of a card: what a person should know first comes first."""
    from restore.models.recipe import Recipe

    recipe = card.recipe
    yield f"{recipe.name}: {card.summary}"
    yield ""
    facts = {
        "tasks": ", ".join(recipe.tasks) if isinstance(recipe, Recipe) else "",
        "weights": card.weights or f"do not ship; its authors call them {card.original.file if card.original else ''}",
        "licence": card.licence,
        "data": card.data,
        "cost": card.cost if card.cost != "unknown" else "",
        "made by": card.command,
        "published at": card.url,
        "sha256": card.sha256,
        "scored by": card.protocol,
        "images": f"{card.image} (given, restored, true)" if card.image else "",
    }
    for name, value in facts.items():
        if value:
            yield from wrapped(value, f"{name + ':':<14}")
    if card.limits:
        yield from ("", "What it is bad at, and what else to know")
        for limit in card.limits:
            yield from wrapped(limit, "  - ")
    if card.scores:
        commands = list(dict.fromkeys(score.command for score in card.scores))
        yield from ("", "Scores, higher is better")
        rows = []
        for score in card.scores:
            values = (f"{score.before:.2f}", f"{score.after:.2f}", f"{score.after - score.before:+.2f}")
            rows.append([score.data, score.task, score.metric, *values, f"[{commands.index(score.command) + 1}]"])
        yield table(["data", "task", "metric", "before", "after", "gain", "by"], rows)
        yield ""
        for number, command in enumerate(commands, 1):
            yield f"[{number}] {command}"
    yield ""
    yield f"restore models info {recipe.name} --recipe shows the network, the sampler and the rest."


@app.command("convert")
def convert_file(
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

    Nothing in the file is run: a pickle that refers to more than tensors and plain values is refused.

    Examples:

      restore models convert WeatherDiff64.pth.tar weatherdiff64.safetensors

      restore models convert ema_0.9999.pt ours.safetensors --set noise_schedule=cosine
    """
    from restore.models import published

    if output.exists():
        raise ConfigError(f"{output} is there already; give another name")
    if output.suffix != ".safetensors":
        raise ConfigError(f"the converted file is a .safetensors file, not {output.name}")
    typer.echo(published.convert(source, output, config, settings or ()).summary())
    typer.echo(f"wrote {output}")
