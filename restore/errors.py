"""Every error that the package raises on purpose.

The tree::

    RestoreError
    ├── ConfigError          a value in a config, an override or an option is wrong       (exit code 2)
    ├── ImageError           an image cannot be read, is damaged, or cannot be written
    │   └── ImageTooLarge    the header promises more pixels than are allowed
    ├── ArrayError           an array or tensor has the wrong shape, type or value range
    ├── DataError            a dataset, a folder of pairs or a dataset card is not as it should be
    ├── CheckpointError      a file of weights is damaged, foreign or does not fit its network
    │   ├── UnsafeCheckpoint the file wants to run code
    │   └── TensorMismatch   names the tensors that are missing, left over or of another shape
    └── MissingResource      something optional is not installed or not downloaded; says which command gets it

Messages name the value that was given, the values that are accepted, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArrayError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ImageError",
    "ImageTooLarge",
    "MissingResource",
    "RestoreError",
    "TensorMismatch",
    "UnsafeCheckpoint",
    "did_you_mean",
    "one_line",
]


LONGEST = 2000  # characters of a message


def one_line(text: str, longest: int = LONGEST) -> str:
    r"""Return a text on one line of bounded length: control characters escaped, the middle of a long one left out.

    Names that come from files are part of messages, and a file may call a tensor anything.

    >>> one_line("a\nb\x1b[0m")
    'a\\nb\\x1b[0m'
    >>> one_line("x" * 50, 20)
    'xxxxxxxx ... xxxxxxx'
    """
    cut = text if len(text) <= 2 * longest else text[:longest] + text[-longest:]
    line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)
    if len(line) <= longest:
        return line
    head = (longest - 4) // 2
    return f"{line[:head]} ... {line[head + 5 - longest :]}"


class RestoreError(Exception):
    """Base of all errors raised on purpose; its message is one line that a user can act on."""

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class ConfigError(RestoreError):
    """A value in a config, an override or an option is wrong."""

    exit_code = 2


class ImageError(RestoreError):
    """An image cannot be read, is damaged, or cannot be written."""


class ImageTooLarge(ImageError):
    """The header of an image promises more pixels than are allowed."""


class ArrayError(RestoreError):
    """An array or tensor has the wrong shape, type or value range."""


class DataError(RestoreError):
    """A dataset, a folder of pairs or a dataset card is not as it should be."""


class CheckpointError(RestoreError):
    """A file of weights is damaged, foreign, or does not fit its network."""


class UnsafeCheckpoint(CheckpointError):
    """A file of weights wants to run code; it was not loaded."""


class TensorMismatch(CheckpointError):
    """Tensors of a checkpoint are missing, left over, or of another shape than the network's."""


class MissingResource(RestoreError):
    """Something optional is not installed or not downloaded; the message names the command that gets it."""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question with the names that look like the one given and a space behind it, or nothing.

    >>> did_you_mean("derane", ["derain", "desnow"])
    'did you mean derain? '
    """
    near = difflib.get_close_matches(name.lower(), list(names), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}? " if near else ""
