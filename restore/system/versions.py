"""Which versions are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["DISTRIBUTION", "version_of"]

DISTRIBUTION = "restore-diffusion"
"""What this package is called on PyPI, where `restore` is the name of another one."""


def version_of(name: str) -> str:
    """Return the version of an installed distribution, or `not installed`; `restore` stands for this package.

    >>> version_of("no such distribution")
    'not installed'
    """
    try:
        return version(DISTRIBUTION if name == "restore" else name)
    except PackageNotFoundError:
        return "not installed"
