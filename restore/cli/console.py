"""What the commands share: tables, progress bars, common options."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from restore.restorer import Restorer

__all__ = ["bar", "open_model", "print_json", "table"]


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return an aligned plain-text table; numbers are set flush right.

    >>> print(table(["name", "dB"], [["a", 1.5], ["long", 12.25]]))
    name     dB
    ----  -----
    a       1.5
    long  12.25
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    right = [all(isinstance(row[i], int | float) for row in rows) and bool(rows) for i in range(len(header))]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.rjust(width) if flush else value.ljust(width)
            for value, width, flush in zip(values, widths, right, strict=True)
        ).rstrip()

    return "\n".join([line(list(header)), "  ".join("-" * width for width in widths), *map(line, cells)])


def print_json(document: Any) -> None:
    """Print a document as JSON to stdout."""
    typer.echo(json.dumps(document, indent=2, default=str))


def bar(total: int | None, description: str, unit: str) -> Any:
    """Return a tqdm progress bar on stderr, silent where that is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=description, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty(), leave=False)


def open_model(
    model: str, device: str, dtype: str, patch: int | None = None, overlap: int | None = None, batch: int | None = None
) -> Restorer:
    """Return the model of the common options.

    Raises:
        ConfigError: a value is unknown or out of range.
    """
    import torch

    from restore.errors import ConfigError
    from restore.patches import Patches
    from restore.restorer import Restorer
    from restore.schema import parse

    types = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16}
    if dtype not in types:
        raise ConfigError(f"unknown --dtype {dtype!r}; choose {', '.join(types)}")
    restorer = Restorer.from_pretrained(model, device=device, dtype=types[dtype])
    changes = {"size": patch, "overlap": overlap, "batch": batch}
    changes = {key: value for key, value in changes.items() if value is not None}
    if changes:
        document = {**restorer.recipe.patches.model_dump(), **changes}
        if patch is not None and overlap is None:
            document["overlap"] = min(document["overlap"], patch // 2)
        restorer.patches = parse(Patches, document, "--patch/--overlap")
    return restorer
