"""Which of a schedule's levels a sampler visits.

Levels count from 1 (the least noisy) to T; published code counts the same levels from 0 to T - 1.

==================  =====================================================================================
spacing             levels for n steps
==================  =====================================================================================
`trailing`          evenly down from T (Lin et al. 2024, table 2)
`leading`           every (T // n)-th from 1 up, so that the first visited is below T
`linspace`          evenly, both T and 1 included
`quadratic`         T (i / n)^2, rounded: dense near the clean end (DDIM, appendix D.2)
`weatherdiffusion`  every (T // n)-th of all levels from 1 up: more than n steps where n does not divide T
`10,15,20`          T is cut into as many sections of equal length; each is given so many evenly spaced levels, its
                    ends included (improved DDPM, section 4)
`ddim10`            every k-th from 1 up, with the smallest k that gives exactly 10 levels
==================  =====================================================================================
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from restore.errors import ConfigError

__all__ = ["SPACINGS", "Spacing", "section_count", "visited"]

SPACINGS = ("leading", "trailing", "linspace", "quadratic", "weatherdiffusion")
CHOICES = f"{', '.join(SPACINGS)}, or sections such as 10, ddim10 or 10,15,20"


def section_count(spacing: str) -> int | None:
    """Return how many levels a string of sections names in all, or None for a spacing by name.

    >>> section_count("10,15,20"), section_count("ddim25"), section_count("leading")
    (45, 25, None)
    """
    if not re.fullmatch(r"ddim[0-9]{1,6}|[0-9]{1,6}(,[0-9]{1,6})*", spacing):
        return None
    return sum(int(n) for n in spacing.removeprefix("ddim").split(","))


def _known(spacing: str) -> str:
    if spacing not in SPACINGS and not section_count(spacing):
        raise ValueError(f"unknown spacing {spacing!r}; choose {CHOICES}")
    return spacing


Spacing = Annotated[str, AfterValidator(_known)]


def visited(T: int, n: int | None, spacing: str = "trailing") -> list[int]:
    """Return the levels that a sampler visits of 1..T, strictly decreasing, followed by 0.

    Args:
        T: the number of levels, or the level to start from.
        n: the number of steps; None for all levels, or for as many as the sections say.
        spacing: one of the table above.

    >>> visited(1000, 4, "trailing"), visited(1000, 4, "leading")
    ([1000, 750, 500, 250, 0], [751, 501, 251, 1, 0])
    >>> visited(1000, None, "5")
    [1000, 750, 501, 251, 1, 0]

    Raises:
        ConfigError: n is not in 1..T, the spacing is unknown, or its sections do not fit into T levels or into n.
    """
    sections = section_count(spacing)
    if sections:
        if n is not None and n != sections:
            raise ConfigError(f"spacing {spacing!r} visits {sections} levels, not {n}: leave steps out, or change one")
        return [*(level + 1 for level in reversed(_sectioned(T, spacing))), 0]
    n = T if n is None else n
    if not 1 <= n <= T:
        raise ConfigError(f"steps must be between 1 and {T} (the levels of this schedule), not {n}")
    if spacing == "trailing":
        levels = [T - (i * T) // n for i in range(n)]
    elif spacing == "leading":
        levels = [1 + i * (T // n) for i in reversed(range(n))]
    elif spacing == "weatherdiffusion":
        levels = [1 + i for i in reversed(range(0, T, T // n))]
    elif spacing == "linspace":
        levels = [1 + round((T - 1) * i / (n - 1)) for i in reversed(range(n))] if n > 1 else [T]
    elif spacing == "quadratic":
        levels = [0]
        for i in range(1, n + 1):
            levels.append(max(levels[-1] + 1, round(T * (i / n) ** 2)))
        levels = levels[:0:-1]
    else:
        raise ConfigError(f"unknown spacing {spacing!r}; choose {CHOICES}")
    return [*levels, 0]


def _sectioned(T: int, spacing: str) -> list[int]:
    """Return the levels of a string of sections, rising, counted from 0."""
    if spacing.startswith("ddim"):
        n = int(spacing[4:])
        for stride in range(1, T):
            if len(range(0, T, stride)) == n:
                return list(range(0, T, stride))
        raise ConfigError(f"spacing {spacing!r}: no whole stride through {T} levels visits exactly {n}")
    counts = [int(n) for n in spacing.split(",")]
    short, longer = divmod(T, len(counts))
    levels, start = [], 0
    for i, count in enumerate(counts):
        size = short + (i < longer)
        if not 1 <= count <= size:
            raise ConfigError(f"spacing {spacing!r}: a section of {size} levels cannot be given {count}")
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        # accumulated, not multiplied: halves must round as they did where published models were sampled
        position = 0.0
        for _ in range(count):
            levels.append(start + round(position))
            position += stride
        start += size
    return levels
