"""What was typed (files, folders, patterns) to a list of files in the order a person expects."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from restore.errors import ImageError
from restore.images.formats import RAW_SUFFIXES, has_extra, missing_extra
from restore.images.notices import printable
from restore.images.probe import explain, open_file
from restore.images.write import WRITABLE

__all__ = ["IMAGE_SUFFIXES", "list_images", "namesake", "namesakes", "natural_key", "passed_over"]

IMAGE_SUFFIXES = (
    frozenset(WRITABLE)
    | {".pnm", ".pbm", ".apng", ".mpo", ".jp2", ".j2k", ".jpx", ".tga"}
    # Photos of telephones are listed even where they are refused: one line about each is better than silence.
    | {".heic", ".heif"}
    # A camera writes a JPEG beside each raw file, so these are passed over where they cannot be read.
    | (RAW_SUFFIXES if has_extra("RAW") else frozenset())
)
"""Suffixes of the files that are taken from a folder."""

# fmt: off
TEXT_SUFFIXES = frozenset((
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".xmp", ".html", ".htm", ".log",
    ".ini", ".toml", ".cfg", ".py", ".sh", ".bib", ".tex", ".css", ".js", ".srt", ".url",
))
# fmt: on
SUFFIXES_SHOWN = 8


def list_images(inputs: Sequence[str | os.PathLike[str]], *, recursive: bool = False) -> list[Path]:
    """Return the image files that the inputs name, each once, in the order of the inputs.

    A file is taken as it is, whatever its suffix. A folder gives the files in it with the suffix of an image, in
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
            raise ImageError(f"no image found: {why_empty(text)}")
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def passed_over(inputs: Sequence[str | os.PathLike[str]], *, recursive: bool = False) -> str | None:
    """Return a sentence about the files in folders that `list_images` does not take, or None where there are none.

    Files of text, those that belong to images among them, and hidden files are not worth a word.

    Args:
        inputs: files, folders and patterns.
        recursive: as it was for `list_images`.
    """
    folders = {os.path.abspath(text): Path(text) for text in map(os.fspath, inputs) if os.path.isdir(text)}
    left = Counter(suffix for folder in folders.values() for suffix in unread(folder, recursive))
    if not left:
        return None
    kinds = sorted(left, key=str.lower)
    shown = ", ".join(kinds[:SUFFIXES_SHOWN]) + (", ..." if len(kinds) > SUFFIXES_SHOWN else "")
    number = left.total()
    files = "1 file of a kind that is" if number == 1 else f"{number} files of kinds that are"
    raw = any(suffix.lower() in RAW_SUFFIXES for suffix in left)
    more = f" ({missing_extra('RAW')})" if raw else ""
    return f"{files} not read: {shown}{more}"


def unread(folder: Path, recursive: bool) -> Iterator[str]:
    """Yield the suffix of each file of a folder that is neither an image nor text; of one without, `no suffix`."""
    for entry in entries(folder):
        if os.path.isdir(entry):
            if recursive and not entry.is_symlink():
                yield from unread(entry, recursive)
        elif entry.suffix.lower() not in IMAGE_SUFFIXES | TEXT_SUFFIXES and (entry.suffix or not is_text(entry)):
            yield printable(entry.suffix) or "no suffix"


def is_text(path: Path) -> bool:
    """Return whether a file holds text or nothing, by its beginning; True for what cannot be read."""
    try:
        with open_file(os.fspath(path), printable(path)) as stream:
            return not (head := stream.read(512)) or explain(head) == "a text file"
    except (ImageError, OSError):
        return True


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
    """Yield the image files of a folder in natural order."""
    for entry in sorted(entries(folder), key=natural_key):
        # Links to folders may lead in circles.
        if os.path.isdir(entry):
            if recursive and not entry.is_symlink():
                yield from inside(entry, recursive)
        elif entry.suffix.lower() in IMAGE_SUFFIXES:
            yield entry


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, hidden files and folders left out.

    Raises:
        ImageError: it cannot be listed.
    """
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise ImageError(f"cannot list {printable(folder)}: {error.strerror}") from None


def why_empty(text: str) -> str:
    """Return in words why an input gave no file."""
    shown = printable(text)
    if os.path.isdir(text):
        left = passed_over([text], recursive=True)
        return f"the folder {shown} holds no file with the suffix of an image" + (f", but {left}" if left else "")
    return f"nothing matches {shown}" if glob.has_magic(text) else f"there is no file {shown}"


def natural_key(path: str | os.PathLike[str]) -> list[tuple[int, int, str]]:
    """Return a sort key under which numbers in a name count as numbers.

    >>> sorted(["img10.png", "img2.png", "img1.png"], key=natural_key)
    ['img1.png', 'img2.png', 'img10.png']
    """
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def namesake(given: Path, source: Path) -> Path | None:
    """Return the file that belongs to an image: `given` itself, or if it is a folder that of the image's name in it.

    None where the folder holds no image of that name, whatever its suffix.
    """
    if not given.is_dir():
        return given
    return namesakes(given).get(source.stem)


def namesakes(folder: Path) -> dict[str, Path]:
    """Return what `namesake` finds in a folder, for all names at once; it is listed again only if it has changed."""
    return _namesakes(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _namesakes(folder: Path, changed: int) -> dict[str, Path]:
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    return {path.stem: path for path in sorted(files, reverse=True)}
