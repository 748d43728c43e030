"""What was typed (files, folders, patterns) to a list of files in the order a person expects."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from restore.errors import ImageError
from restore.images.picture import printable
from restore.images.write import WRITABLE

__all__ = ["PICTURE_SUFFIXES", "list_images", "namesake", "namesakes", "natural_key"]

# Photographs of telephones are listed although they are refused: one line about each is better than silence.
PICTURE_SUFFIXES = frozenset(WRITABLE) | {".pnm", ".pbm", ".apng", ".mpo", ".heic", ".heif"}


def list_images(inputs: Sequence[str | os.PathLike[str]], *, recursive: bool = False) -> list[Path]:
    """Return the picture files that the inputs name, each once, in the order of the inputs.

    A file is taken as it is, whatever its suffix. A folder gives the files in it with the suffix of a picture, in
    natural order (1, 2, 10), hidden ones left out. A pattern (`*`, `?`, `[]`, `**`) gives the files that match. Nothing
    is opened: whether a file is good is for `read` to say.

    Args:
        inputs: files, folders and patterns.
        recursive: go into the folders inside a folder, too.

    Raises:
        ImageError: an input gives no file at all; names it.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        text = os.fspath(given)
        paths = list(expand(text, recursive))
        if not paths:
            raise ImageError(f"no picture found: {why_empty(text)}")
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def expand(text: str, recursive: bool) -> Iterator[Path]:
    """Yield the files that one input names."""
    path = Path(text)
    if os.path.isdir(text):
        yield from inside(path, recursive)
    elif os.path.lexists(text):
        yield path
    elif glob.has_magic(text):
        matches = (Path(match) for match in glob.glob(text, recursive=True))
        yield from sorted((match for match in matches if not os.path.isdir(match)), key=natural_key)


def inside(folder: Path, recursive: bool) -> Iterator[Path]:
    """Yield the picture files of a folder in natural order."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise ImageError(f"cannot list {printable(folder)}: {error.strerror}") from None
    for entry in sorted(entries, key=natural_key):
        # Links to folders may lead in circles.
        if os.path.isdir(entry):
            if recursive and not entry.is_symlink():
                yield from inside(entry, recursive)
        elif entry.suffix.lower() in PICTURE_SUFFIXES:
            yield entry


def why_empty(text: str) -> str:
    """Return in words why an input gave no file."""
    shown = printable(text)
    if os.path.isdir(text):
        return f"the folder {shown} holds no file with the suffix of a picture"
    return f"nothing matches {shown}" if glob.has_magic(text) else f"there is no file {shown}"


def natural_key(path: str | os.PathLike[str]) -> list[tuple[int, int, str]]:
    """Return a sort key under which numbers in a name count as numbers.

    >>> sorted(["img10.png", "img2.png", "img1.png"], key=natural_key)
    ['img1.png', 'img2.png', 'img10.png']
    """
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def namesake(given: Path, source: Path) -> Path | None:
    """Return the file that belongs to a picture: `given` itself, or if it is a folder that of the picture's name in it.

    None where the folder holds no picture of that name, whatever its suffix.
    """
    if not given.is_dir():
        return given
    return namesakes(given).get(source.stem)


def namesakes(folder: Path) -> dict[str, Path]:
    """Return what `namesake` finds in a folder, for all names at once; it is listed again only if it has changed."""
    return _namesakes(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _namesakes(folder: Path, changed: int) -> dict[str, Path]:
    files = (path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    return {path.stem: path for path in sorted(files, reverse=True)}
