"""Files of a data set: which are images, in which order they come, and how a list of them is read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from restore.errors import DataError
from restore.images.listing import IMAGE_SUFFIXES
from restore.schema import read_text

__all__ = ["image_files", "read_list", "walk"]

MOST_LIST_BYTES = 64 * 2**20
"""Of a list file: a million paths."""

_DRIVE = re.compile("[A-Za-z]:")
_SUFFIX = re.compile(rf"\.(?:{'|'.join(suffix[1:] for suffix in sorted(IMAGE_SUFFIXES))})(?=\s|$)", re.IGNORECASE)


def walk(folder: Path, glob: str | None = None) -> Iterator[Path]:
    """Yield the images below a folder (those that match `glob`, if given), sorted, without hidden files.

    Links to folders are followed, but not back to a folder that they lie in.
    """
    for base, folders, names in os.walk(folder, followlinks=True):
        inside = Path(base).relative_to(folder)
        above = {os.path.realpath(place) for place in (base, *(folder / part for part in (inside, *inside.parents)))}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(base, name)) not in above
        )
        for name in sorted(names):
            if name.startswith(".") or PurePosixPath(name).suffix.lower() not in IMAGE_SUFFIXES:
                continue
            relative = (inside / name).as_posix()
            if glob is None or (relative.count("/") == glob.count("/") and fnmatchcase(relative, glob)):
                yield Path(base) / name


def image_files(root: Path | str) -> list[Path]:
    """Return all image files under `root`, by suffix, sorted by their path below it.

    Raises:
        DataError: `root` is no folder or holds no images.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder of images")
    paths = sorted(walk(root), key=lambda path: path.relative_to(root).as_posix())
    if not paths:
        raise DataError(f"{root} holds no images (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def read_list(path: Path | str) -> tuple[list[tuple[str, ...]], list[str]]:
    r"""Return (lines as one or two clean relative paths each, lines that are refused).

    CRLF, blank lines, comments (`#`), a byte-order mark, a leading `/` or `./` and backslashes are accepted; a line
    that climbs out by `..`, names a drive, or holds more than two paths is refused.

    Raises:
        DataError: the file is not a regular one, cannot be read as text, or is larger than `MOST_LIST_BYTES`.
    """
    text = read_text(Path(path), "list file", most=MOST_LIST_BYTES, error=DataError)
    entries, refused = [], []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        cleaned = line.replace("\\", "/")
        columns = _columns(cleaned)
        paths = [PurePosixPath(part.lstrip("/")) for part in columns[:2]]
        if len(columns) > 2 or any(".." in part.parts or _DRIVE.match(str(part)) for part in paths):
            refused.append(line)
        else:
            entries.append(tuple(part.as_posix() for part in paths))
    return entries, refused


def _columns(line: str) -> list[str]:
    """Return the paths of a line; names may hold spaces, so only a suffix followed by white space ends a column."""
    columns, start = [], 0
    for suffix in _SUFFIX.finditer(line):
        # one expression for a whole column would look through the rest of the line from each of its letters
        column = line[start : suffix.end()].lstrip()
        if len(column) > len(suffix[0]):
            columns.append(column)
            start = suffix.end()
    return columns or [line]
