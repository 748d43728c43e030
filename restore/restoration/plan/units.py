"""Amounts of time and memory, as people write them."""

from __future__ import annotations

import re

from restore.errors import ConfigError
from restore.schema import shortened

__all__ = ["parse_bytes", "parse_seconds", "show_bytes", "show_seconds"]

SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


MOST = 1e18
"""Of seconds and of bytes: the age of the universe, and more memory than there is."""


def parse_seconds(text: str) -> float:
    """Return the seconds of a time such as `10s`, `500ms`, `1.5m`, `2h` or a bare number of seconds.

    >>> parse_seconds("500ms"), parse_seconds("2 min"), parse_seconds("10")
    (0.5, 120.0, 10.0)

    Raises:
        ConfigError: it is none, not above 0, or above `MOST`.
    """
    return _parse(text, SECONDS, "s", "a time such as 10s, 500ms, 2m or 1h")


def parse_bytes(text: str) -> int:
    """Return the bytes of an amount of memory such as `2GB`, `500 MB` or `1.5GiB`.

    >>> parse_bytes("2GB"), parse_bytes("1.5 KiB")
    (2000000000, 1536)

    Raises:
        ConfigError: it is none, not above 0, or above `MOST`.
    """
    return round(_parse(text, BYTES, "b", "an amount of memory such as 2GB or 500MB"))


def _parse(text: str, units: dict[str, float] | dict[str, int], default: str, wanted: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text.lower())
    unit = (found[2] or default) if found else ""
    if not found or unit not in units or not 0 < (value := float(found[1]) * units[unit]) <= MOST:
        raise ConfigError(f"{shortened(text)} is not {wanted}")
    return value


def show_seconds(seconds: float) -> str:
    """Return a time with about two digits, in the unit that suits it.

    >>> show_seconds(0.034), show_seconds(2.34), show_seconds(95), show_seconds(9000)
    ('34 ms', '2.3 s', '95 s', '2.5 h')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def show_bytes(count: int) -> str:
    """Return an amount of memory with about two digits.

    >>> show_bytes(340_000_000), show_bytes(2_340_000_000)
    ('340 MB', '2.3 GB')
    """
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
