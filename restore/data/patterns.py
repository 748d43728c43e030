r"""Regular expressions whose time is bounded, for the file names of dataset cards.

Python's own matcher tries every way to divide a name among the repeats of a pattern: `(a+)+$` takes 2**n steps, and
a card would hang whoever opens it. Here every place of the pattern meets every place of the name once at most, so that
a match takes at most their product (the bit-state search of RE2). It finds what `re` finds, but that the rounds of a
repeated group which may match nothing can end elsewhere. Known are letters and escapes, classes, `.`, groups, `|`, `^`,
`$`, and the repeats `* + ? {m,n}`, lazy ones too; what looks around or back is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Pattern"]

MOST_LETTERS = 200
MOST_PLACES = 1000
MOST_REPEATS = 100

_ATOM = re.compile(
    r"""
    \\[dDwWsS] | \\[^\w\s]                                      # a class of letters, or one letter escaped
    | \[\^?\]?(?:\\[dDwWsS]|\\[^\w\s]|[^\]\\\[])*\]           # letters in brackets
    | [^\\\[\](){}|*+?^$]                                       # any other, and the point
    """,
    re.VERBOSE,
)
_REPEAT = re.compile(r"(?:([*+?])|\{(\d{1,3})(?:(,)(\d{1,3})?)?\})(\??)", re.ASCII)

Node = tuple  # ("atom", test) | ("begin" | "end",) | ("group", number | None, node) | ("all" | "any", nodes) | repeats


@dataclass(frozen=True)
class _Match:
    """The groups that were found: the text between two places, None where a group took no part."""

    text: str
    places: tuple[int | None, ...]

    def group(self, number: int) -> str:
        """Return what a group matched; nothing where it took no part."""
        start, end = self.places[2 * number], self.places[2 * number + 1]
        return "" if start is None or end is None else self.text[start:end]

    def expand(self, template: str) -> str:
        r"""Return a template with `\1`, `\2`, ... replaced by what the groups matched."""
        return re.sub(r"\\(\d+)", lambda found: self.group(int(found[1])), template)


class Pattern:
    r"""A regular expression that is matched in bounded time.

    >>> Pattern(r"(im_\d+)_s\d+_a\d+").fullmatch("im_0001_s80_a04").group(1)
    'im_0001'
    >>> Pattern(r"(a+)+$").fullmatch("a" * 5000 + "b")

    Args:
        text: of the expression.

    Raises:
        ValueError: it is none, uses what is not known here, or is too large.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MOST_LETTERS:
            raise ValueError(f"pattern of {len(text)} letters; the most is {MOST_LETTERS}")
        try:
            self.groups = re.compile(text).groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"pattern {text!r} is not a regular expression: {error}") from None
        self._parsed, self._numbered = 0, 0
        tree = self._either()
        if self._parsed < len(text):
            raise self._unknown()
        self._program: list[tuple] = []
        self._emit(("group", 0, tree))
        self._program.append(("found",))

    def fullmatch(self, text: str) -> _Match | None:
        """Return the match of a whole text, or None."""
        return self._run(text, 0, whole=True)

    def search(self, text: str) -> _Match | None:
        """Return the first match anywhere in a text, or None."""
        seen: set[tuple[int, int]] = set()
        # what led nowhere from one beginning leads nowhere from a later one
        return next((found for start in range(len(text) + 1) if (found := self._run(text, start, False, seen))), None)

    def _run(self, text: str, start: int, whole: bool, seen: set[tuple[int, int]] | None = None) -> _Match | None:
        seen = set() if seen is None else seen
        program, places = self._program, (None,) * (2 * self.groups + 2)
        stack: list[tuple[int, int, tuple[int | None, ...]]] = [(0, start, places)]
        while stack:
            at, place, places = stack.pop()
            while (at, place) not in seen:
                seen.add((at, place))
                step = program[at]
                name = step[0]
                if name == "atom":
                    if place == len(text) or not step[1](text[place]):
                        break
                    place += 1
                elif name == "save":
                    places = (*places[: step[1]], place, *places[step[1] + 1 :])
                elif name == "fork":
                    stack.append((at + step[2], place, places))
                    at += step[1]
                    continue
                elif name == "jump":
                    at += step[1]
                    continue
                elif name == "begin":
                    if place:
                        break
                elif name == "end":
                    if text[place:] not in ("", "\n"):
                        break
                elif not whole or place == len(text):
                    return _Match(text, places)
                else:
                    break
                at += 1
        return None

    # The tree: alternatives of sequences of repeated atoms and groups.

    def _either(self) -> Node:
        branches = [self._sequence()]
        while self.text[self._parsed : self._parsed + 1] == "|":
            self._parsed += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else ("any", branches)

    def _sequence(self) -> Node:
        return ("all", list(self._parts()))

    def _parts(self) -> Iterator[Node]:
        while self._parsed < len(self.text) and self.text[self._parsed] not in "|)":
            part = self._one()
            if repeat := _REPEAT.match(self.text, self._parsed):
                self._parsed = repeat.end()
                sign, least, comma, most, lazy = repeat.groups()
                low = {"*": 0, "+": 1, "?": 0}[sign] if sign else int(least)
                high = {"*": None, "+": None, "?": 1}[sign] if sign else (int(most) if most else None if comma else low)
                if max(low, high or 0) > MOST_REPEATS:
                    raise ValueError(f"pattern {self.text!r} repeats more than {MOST_REPEATS} times")
                part = ("repeat", low, high, bool(lazy), part)
            yield part

    def _one(self) -> Node:
        letter = self.text[self._parsed]
        if letter in "^$":
            self._parsed += 1
            return ("begin",) if letter == "^" else ("end",)
        if letter == "(":
            plain = self.text.startswith("(?:", self._parsed)
            if self.text.startswith("(?", self._parsed) and not plain:
                raise self._unknown()
            self._parsed += 3 if plain else 1
            self._numbered += not plain
            number = None if plain else self._numbered
            inner = self._either()
            self._parsed += 1  # a bracket that is not closed was refused before
            return ("group", number, inner)
        if atom := _ATOM.match(self.text, self._parsed):
            self._parsed = atom.end()
            return ("atom", _test(atom[0]))
        raise self._unknown()

    def _unknown(self) -> ValueError:
        rest = self.text[self._parsed : self._parsed + 10]
        return ValueError(
            f"pattern {self.text!r} has {rest!r}, which is not known here: known are letters, classes, groups, "
            "| and the repeats * + ? {m,n}"
        )

    # The program: forks prefer their first way, so that it finds what Python's matcher finds first.

    def _emit(self, node: Node) -> None:
        program, name = self._program, node[0]
        if len(program) > MOST_PLACES:
            raise ValueError(f"pattern {self.text!r} is too large: its repeats come to more than {MOST_PLACES} places")
        if name == "all":
            for part in node[1]:
                self._emit(part)
        elif name == "any":
            ends = []
            for branch in node[1][:-1]:
                self._choice(lambda branch=branch: (self._emit(branch), ends.append(len(program)), program.append(())))
            self._emit(node[1][-1])
            for end in ends:
                program[end] = ("jump", len(program) - end)
        elif name == "group" and node[1] is not None:
            program.append(("save", 2 * node[1]))
            self._emit(node[2])
            program.append(("save", 2 * node[1] + 1))
        elif name == "group":
            self._emit(node[2])
        elif name == "repeat":
            self._emit_repeat(*node[1:])
        else:
            program.append(node)

    def _emit_repeat(self, low: int, high: int | None, lazy: bool, node: Node) -> None:
        program = self._program
        for _ in range(low):
            self._emit(node)
        if high is None:
            start = len(program)

            def again() -> None:
                self._emit(node)
                program.append(("jump", start - len(program)))

            self._choice(again, lazy)
            return
        forks = []
        for _ in range(high - low):
            forks.append(len(program))
            program.append(())
            self._emit(node)
        for fork in forks:
            ways = (1, len(program) - fork)
            program[fork] = ("fork", *(reversed(ways) if lazy else ways))

    def _choice(self, emit: Callable[[], object], lazy: bool = False) -> None:
        """Emit a part that may be left out."""
        fork = len(self._program)
        self._program.append(())
        emit()
        ways = (1, len(self._program) - fork)
        self._program[fork] = ("fork", *(reversed(ways) if lazy else ways))


class _Letters(dict[str, bool]):
    """Which letters an atom matches, found out when one is met."""

    def __init__(self, atom: str) -> None:
        super().__init__()
        self.atom = atom

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.atom)

    def __missing__(self, letter: str) -> bool:
        self[letter] = self.compiled.fullmatch(letter) is not None
        return self[letter]


def _test(atom: str) -> Callable[[str], bool]:
    return _Letters(atom).__getitem__
