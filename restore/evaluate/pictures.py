"""Where pictures come from: two folders, a dataset card, clean photographs, or somebody's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from restore.data.card import CleanSplit, DatasetCard, load_card
from restore.data.pairs import Pair, find_pairs, folder_pairs, inspect_split
from restore.errors import ConfigError, DataError
from restore.evaluate.cases import Case, made_cases, paired_cases

__all__ = ["Pictures", "from_card", "from_clean", "from_folders", "from_outputs"]


@dataclass(frozen=True)
class Pictures:
    """The pictures of an evaluation.

    Attributes:
        title: what a report calls them.
        cases: in the order in which they are restored.
        facts: what a report says of them, as plain JSON values.
        protocols: that they are usually scored under.
        card: of the data set, if there is one.
        split: of the data set.
        notes: what a reader must know.
    """

    title: str
    cases: Sequence[Case]
    facts: dict[str, Any]
    protocols: tuple[str, ...] = ("native", "rgb")
    card: DatasetCard | None = None
    split: str = ""
    notes: tuple[str, ...] = ()

    def first(self, count: int | None) -> Pictures:
        """Return the first `count` pictures (with all degradations of each), or all for None."""
        if count is None:
            return self
        names = list(dict.fromkeys(case.name for case in self.cases))
        kept = set(names[:count])
        if len(kept) == len(names):
            return self
        note = f"only the first {count} of {len(names)} pictures were evaluated"
        cases = [case for case in self.cases if case.name in kept]
        return replace(self, cases=cases, notes=(*self.notes, note))


def from_folders(inputs: Path, targets: Path) -> Pictures:
    """Return the pairs of two folders, by name.

    Raises:
        DataError: a folder is missing or empty, names are ambiguous, or ground truth is missing.
    """
    pairs = folder_pairs(inputs, targets)
    title = _title(inputs, {"input", "inputs", "degraded", "lq", "rain", "test"})
    facts = {"name": title, "input": str(inputs), "target": str(targets)}
    return Pictures(title, paired_cases(pairs, title), facts)


def from_card(
    name: str, root: Path, split: str | None = None, degradations: Sequence[str] = (), severity: float | None = None
) -> Pictures:
    """Return the pictures of a dataset card; clean sets need degradations.

    Raises:
        ConfigError: no such card, clean pictures without a degradation, or pairs with one.
        DataError: the folder does not hold what the card says.
    """
    card = load_card(name)
    pairs = find_pairs(card, root, split)
    facts = {"name": card.name, "card": name, "root": str(root), "split": pairs.split, "layout": pairs.layout}
    protocols = ("native", "rgb") if card.protocol.id == "unknown" else (card.protocol.id,)
    clean = all(pair.input is None for pair in pairs)
    if clean and not degradations:
        raise ConfigError(f"{card.name} holds clean pictures only: pass --degradation, for example rain,snow,haze")
    if degradations and not clean:
        raise ConfigError(f"{card.name} holds degraded pictures of its own: leave --degradation out")
    if not clean:
        return Pictures(card.name, paired_cases(pairs, card.name), facts, protocols, card, pairs.split)
    facts |= {"degradations": list(degradations), "severity": severity}
    # what papers report for a clean set was measured on another degradation than ours
    return Pictures(card.name, made_cases(pairs, degradations, severity), facts, split=pairs.split)


def from_clean(folder: Path, degradations: Sequence[str], severity: float | None = None) -> Pictures:
    """Return clean photographs with made degradations.

    Raises:
        ConfigError: no degradation was named, or an unknown one.
        DataError: the folder is missing or empty, or two files have one name.
    """
    if not degradations:
        raise ConfigError("clean photographs need --degradation, for example rain,snow,haze")
    pairs = _clean(folder)
    title = folder.resolve().name
    facts = {"name": title, "clean": str(folder), "degradations": list(degradations), "severity": severity}
    return Pictures(title, made_cases(pairs, degradations, severity), facts)


def from_outputs(restored: Path, targets: Path) -> Pictures:
    """Return the ground truths that belong to a folder of outputs, by name.

    Raises:
        DataError: a folder is missing or empty, names are ambiguous, or ground truth is missing.
    """
    pairs = folder_pairs(restored, targets)
    title = _title(targets, {"target", "targets", "gt", "clean", "hq"})
    cases = [Case(title, pair.name, pair.target) for pair in pairs]
    unused = sorted({pair.name for pair in _clean(targets)} - {pair.name for pair in pairs})
    notes = ()
    if unused:
        named = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
        notes = (f"{len(unused)} ground truths have no restored picture and were left out: {named}",)
    return Pictures(title, cases, {"name": title, "target": str(targets)}, notes=notes)


def _clean(folder: Path) -> list[Pair]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    found = inspect_split(folder, CleanSplit(target="."))
    if found.ambiguous:
        one, other = found.ambiguous[0]
        raise DataError(f"ambiguous names in {folder}: {one.name} beside {other.name}; keep one of each")
    if not found.pairs:
        raise DataError(f"{folder} holds no pictures")
    return found.pairs


def _title(folder: Path, plain: set[str]) -> str:
    """Return the name of a folder, or of the one above it where its own says nothing."""
    folder = folder.resolve()
    return folder.parent.name if folder.name.lower() in plain and folder.parent.name else folder.name
