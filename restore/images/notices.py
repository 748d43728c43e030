"""What is said about an image: its name on one line, our own warnings, and a codec's exceptions as one error."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from restore.errors import ImageError, ImageTooLarge, RestoreError
from restore.images.probe import reason

__all__ = ["ImageWarning", "codec_errors", "printable", "translated_warnings", "warn"]

LONGEST = 300  # characters of a codec's own words that a message quotes
_filters = threading.Lock()


class ImageWarning(UserWarning):
    """Something in an image was left aside (later frames, a broken profile); the image itself is good."""


def printable(path: object) -> str:
    r"""Return the name of `path` on one line, with control characters escaped.

    >>> printable("a" + chr(10) + "b.png")
    'a\\nb.png'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(path))


def warn(name: str, message: str) -> None:
    """Warn about the image `name` in the package's own category."""
    warnings.warn(f"{name}: {message}", ImageWarning, stacklevel=3)


@contextmanager
def translated_warnings(name: str) -> Iterator[None]:
    """Give Pillow's warnings inside the block as `ImageWarning` that names the image."""
    # The list of filters belongs to the whole process; two threads that swap it would lose it.
    with _filters, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message in dict.fromkeys(str(each.message) for each in caught if each.category is UserWarning):
        warn(name, " ".join(message.split())[:LONGEST])


@contextmanager
def codec_errors(action: str, otherwise: str) -> Iterator[None]:
    """Give whatever the codecs inside the block raise as `ImageError`; this package's own errors pass.

    Codecs stumble over damaged bytes and odd values in every way there is, and one image must never stop the others.

    Args:
        action: begins the message, such as `cannot read a.png`.
        otherwise: what it means where the exception does not say it, such as `it is damaged or cut short`.

    Raises:
        ImageTooLarge: a codec found more pixels or frames than it allows.
        ImageError: any other exception of a codec or of the disk, or memory that is not there.
    """
    try:
        yield
    except (RestoreError, ImageWarning):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(f"{action}: {error}") from None
    except MemoryError:
        raise ImageError(f"{action}: there is not enough memory for it") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(f"{action}: {reason(error)}") from None
        detail = printable(" ".join(str(error).split()))[:LONGEST] or type(error).__name__
        if "unknown pixel mode" in detail:
            raise ImageError(f"{action}: its kind of pixels is not supported") from None
        raise ImageError(f"{action}: {otherwise} ({detail})") from None
