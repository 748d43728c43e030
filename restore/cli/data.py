"""`restore data list | verify | preview | synthesize | unjoin | manifest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restore.cli.console import MOST_SEED, bar, print_json, table
from restore.errors import ConfigError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Describe, preview, check and make data sets.", rich_markup_mode=None)

Card = Annotated[str, typer.Argument(help="A dataset card (`restore data list`).")]
Root = Annotated[Path, typer.Option(help="The folder that holds the set.")]
Split = Annotated[str | None, typer.Option(help="train, test, ...; by default the one that papers score.")]
DepthOption = Annotated[
    Path | None, typer.Option(help="For haze: an image of the depth, bright for far away, or a folder of them.")
]
Mask = Annotated[
    Path | None, typer.Option(help="For mask-file: an image of what is lost, bright there, or a folder of them.")
]
InvertMask = Annotated[bool, typer.Option("--invert-mask", help="What is lost is dark in the mask.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


@app.command("list")
def list_cards(as_json: AsJson = False) -> None:
    """List the dataset cards.

    Example:

      restore data list
    """
    from restore.data.card import load_cards

    cards = list(load_cards().values())
    if as_json:
        print_json([card.model_dump(mode="json") for card in cards])
    else:
        rows = [[card.name, ", ".join(card.splits), card.licence, card.title] for card in cards]
        typer.echo(table(["card", "splits", "licence", "what it is"], rows))


@app.command("verify")
def verify(
    card: Card,
    root: Root,
    split: Split = None,
    against: Annotated[
        list[str] | None, typer.Option(metavar="CARD=DIR", help="Also look for images shared with another set.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a folder against its card.

    Names, counts, sizes, damage, duplicates, leaks. Exit code 1 if something is wrong.

    Example:

      restore data verify rain100l --root data/Rain100L --against bsd100=data/BSD100
    """
    from restore.data.card import load_card
    from restore.data.doctor import verify as check
    from restore.data.pairs import find_pairs

    others = []
    for item in against or []:
        name, sign, folder = item.partition("=")
        if not sign:
            raise ConfigError(f"--against {item!r} is not of the form CARD=DIR")
        others.append(find_pairs(load_card(name), Path(folder)))
    report = check(load_card(card), root, split, against=others)
    if as_json:
        print_json(report.as_dict())
    else:
        typer.echo("\n".join(report.lines()))
    if not report.ok:
        raise typer.Exit(1)


@app.command("preview")
def preview(
    card: Annotated[str | None, typer.Argument(help="A dataset card, or a photograph with --degradation.")] = None,
    root: Annotated[Path | None, typer.Option(help="The folder that holds the set.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The contact sheet.")] = Path("sheet.png"),
    split: Split = None,
    count: Annotated[int, typer.Option(min=1, help="How many images.")] = 12,
    degradation: Annotated[str | None, typer.Option(help="Show this degradation of a photograph instead.")] = None,
    depth: DepthOption = None,
    mask: Mask = None,
    invert_mask: InvertMask = False,
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_SEED, help="The same seed shows the same weather. [0]")
    ] = None,
) -> None:
    """Write a contact sheet.

    Of a set, or of a degradation at rising severities.

    Examples:

      restore data preview rain100l --root data/Rain100L -o sheet.png

      restore data preview photo.jpg --degradation snow -o snow.png
    """
    from restore import images

    if card is None:
        raise ConfigError("name a dataset card, or a photograph with --degradation")
    if degradation is not None:
        from restore.data.synthesize import severities

        if root is not None or split is not None:
            raise ConfigError("--root and --split are of a data set: leave them out, or leave --degradation out")

        images.refuse_inputs([output], [file for file in (card, depth, mask) if file is not None])
        sheet = severities(images.read(card), degradation, count, seed or 0, depth, mask, invert_mask)
    else:
        from restore.data.card import load_card
        from restore.data.joined import path_of
        from restore.data.pairs import find_pairs
        from restore.data.preview import preview as contact

        if root is None:
            raise ConfigError("--root is missing: the folder that holds the set")
        if depth is not None or mask is not None or invert_mask or seed is not None:
            raise ConfigError("--depth, --mask, --invert-mask and --seed are for a --degradation, which is missing")
        pairs = find_pairs(load_card(card), root, split)
        images.refuse_inputs([output], [path_of(file) for pair in pairs for file in (pair.target, pair.input) if file])
        sheet = images.to_photo(contact(pairs, count=count))
    images.write(sheet, output, overwrite=True)
    typer.echo(f"wrote {output}")


@app.command("synthesize")
def synthesize(
    clean: Annotated[Path, typer.Argument(metavar="CLEAN_DIR", help="Folder of clean photographs.")],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT_DIR",
            help="New or empty folder, not in CLEAN_DIR; gets input/, target/, manifest.json, of holes mask/ too.",
        ),
    ],
    degradation: Annotated[
        str,
        typer.Option(help="rain, snow, haze, raindrop, bicubic-x4, jpeg-q10, mask-box, ...; a wrong one lists all."),
    ],
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The same seed makes the same pairs.")] = 0,
    severity: Annotated[float | None, typer.Option(help="0 to 1; by default each image draws its own.")] = None,
    depth: DepthOption = None,
    mask: Mask = None,
    invert_mask: InvertMask = False,
) -> None:
    """Make pairs from clean photographs.

    Reproducibly, with a manifest.

    Examples:

      restore data synthesize photographs/ pairs/ --degradation snow --seed 0 --severity 0.7

      restore data synthesize photographs/ pairs/ --degradation mask-file --mask masks/
    """
    from restore.data.synthesize import synthesize as make

    made = make(
        clean, output, degradation, seed=seed, severity=severity, depth=depth, mask=mask, invert_mask=invert_mask
    )
    done, failed = 0, 0
    with bar(None, "synthesizing", "image") as progress:
        for pair in made:
            progress.update(1)
            done += not pair.error
            if pair.error:
                failed += 1
                typer.echo(f"failed: {pair.error}", err=True)
    typer.echo(f"wrote {done} pairs to {output} (input, target, manifest.json)")
    if failed:
        raise typer.Exit(3 if done else 1)


@app.command("unjoin")
def unjoin(
    source: Annotated[str, typer.Argument(metavar="CARD_OR_DIR", help="A dataset card, or a folder with --first.")],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="New folder of input/ and target/.")],
    root: Annotated[Path | None, typer.Option(help="The folder that holds the card's set.")] = None,
    split: Split = None,
    first: Annotated[str | None, typer.Option(help="Of a folder: which image is on the left, input or target.")] = None,
) -> None:
    """Split files that hold input and target side by side.

    Nothing is lost. Nothing else needs this: such sets are evaluated and trained on as they are.

    Examples:

      restore data unjoin rain800 pairs/ --root data/Rain800 --split train

      restore data unjoin joined/ pairs/ --first input
    """
    from restore.data.card import load_card
    from restore.data.pairs import find_pairs, joined_pairs
    from restore.data.unjoin import unjoin as take_apart

    if (root is None) == (first is None):
        raise ConfigError("pass --root, the folder of a dataset card, or for a folder of your own --first")
    if split is not None and first is not None:
        raise ConfigError("--split is of a dataset card: leave it out with --first")
    if root is not None:
        pairs = find_pairs(load_card(source), root, split)
    elif first == "input" or first == "target":
        pairs = joined_pairs(Path(source), first)
    else:
        raise ConfigError(f"--first takes input or target, not {first}")
    failed = 0
    with bar(len(pairs), "unjoining", "pair") as progress:
        for pair in take_apart(pairs, output):
            progress.update(1)
            if pair.error:
                failed += 1
                typer.echo(f"failed: {pair.error}", err=True)
    typer.echo(f"wrote {len(pairs) - failed} pairs to {output} (input, target)")
    if failed:
        raise typer.Exit(3 if failed < len(pairs) else 1)


@app.command("manifest")
def manifest(
    root: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to take checksums of.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it there instead of to stdout.")] = None,
) -> None:
    """Print the checksums of a folder.

    The SHA-256 of each file, as `sha256sum --check` reads them, so that a result can name its data.

    Example:

      restore data manifest data/Rain100L -o rain100l.sha256
    """
    from restore.data.manifest import make_manifest
    from restore.system.atomic import write_atomically

    made = make_manifest(root)
    if output is None:
        typer.echo(made.text(), nl=False)
    else:
        write_atomically(output, made.text())
        typer.echo(f"wrote {output}: {made.digest}")
