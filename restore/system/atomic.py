"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replacing", "write_atomically"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give an empty file that becomes `path` when the block ends well, and vanishes when it does not.

    Missing folders are made, and unmade again. Whoever looks finds the old content or the new one, never a part.

    Raises:
        OSError: there is no place, or no permission, for it.
    """
    made = [folder for folder in (path.parent, *path.parent.parents) if not os.path.lexists(folder)]
    # A short name of its own: the longest name that the disk allows leaves no room for an addition.
    temporary = path.parent / f".restore-{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        empty = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        mode = os.fstat(empty).st_mode & 0o777
        os.close(empty)
        yield temporary
        # a library may have put a file there that its owner alone can read
        if temporary.stat().st_mode & 0o777 != mode:
            with suppress(OSError):  # a mounted disk may show files as somebody else's
                temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file; text is encoded as UTF-8, names of files in it as they are on the disk. See `replacing`."""
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)
