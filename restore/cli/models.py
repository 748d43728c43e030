"""`restore models list | info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli.console import print_json, table

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="The models that there are, and what is known of each.", rich_markup_mode=None
)


@app.command("list")
def list_models(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the models, with what each is for and whether its weights ship.

    Example:

      restore models list
    """
    from restore import resources
    from restore.restorer import model_card

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
) -> None:
    """Show the card of a model, or the recipe inside a checkpoint file.

    Example:

      restore models info weather
    """
    import yaml

    from restore import checkpoints
    from restore.restorer import is_file, model_card

    document = checkpoints.read_metadata(Path(model)) if is_file(model) else model_card(model).model_dump(mode="json")
    if as_json:
        print_json(document)
    else:
        typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110).rstrip())
