"""Checksums of a whole folder, so that a result can name the data it was made from."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from restore.errors import DataError

__all__ = ["Manifest", "make_manifest"]

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})


@dataclass(frozen=True)
class Manifest:
    """SHA-256 of each file below a root, by path, and one digest for all of them."""

    files: dict[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the text form: two roots have the same digest when their files have equal paths and contents."""
        return hashlib.sha256(self.text().encode("utf-8", "surrogateescape")).hexdigest()

    def text(self) -> str:
        """Return one line a file, sorted by path, in the form that `sha256sum --check` reads.

        Backslashes and line ends in a path are escaped, and such a line begins with a backslash, as coreutils do it.
        """
        return "".join(_line(self.files[path], path) for path in sorted(self.files))


def make_manifest(root: Path | str, *, workers: int | None = None) -> Manifest:
    """Return the manifest of all files below `root`, hidden ones left out.

    Raises:
        DataError: `root` is no folder, holds no files, or a file cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    paths = [path for path in root.rglob("*") if path.is_file() and not _hidden(path.relative_to(root))]
    if not paths:
        raise DataError(f"{root} holds no files")
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        digests = list(pool.map(_sha256, paths))
    return Manifest({path.relative_to(root).as_posix(): digest for path, digest in zip(paths, digests, strict=True)})


def _line(digest: str, path: str) -> str:
    escaped = path.translate(_ESCAPES)
    mark = "" if escaped == path else "\\"
    return f"{mark}{digest}  {escaped}\n"


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from None
