"""Where images come from: two folders, a dataset card, clean photographs, or somebody's outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from restore.data.card import CleanSplit, DatasetCard, ReportedScore, load_card
from restore.data.files import walk
from restore.data.joined import size_of
from restore.data.pairs import Pair, Pairs, find_pairs, folder_pairs, inspect_split
from restore.errors import ConfigError, DataError
from restore.evaluation.scoring.cases import Case, SeveritySetting, made_cases, paired_cases

__all__ = ["Images", "from_card", "from_clean", "from_folders", "from_outputs"]

IN_CARDS = {
    "resolution": "downsampling",
    "jpeg": "jpeg",
    "grayscale": "gray",
    "hole": "mask",
    "crop": "mask",
}
"""The names in cards of the synthetic degradations that follow the literature."""


@dataclass(frozen=True)
class Images:
    """The images of an evaluation.

    Attributes:
        title: what a report calls them.
        cases: in the order in which they are restored.
        facts: what a report says of them, as plain JSON values.
        protocols: that they are usually scored under.
        card: of the data set, if there is one.
        split: of the data set.
        notes: what a reader must know.
        scale: the factor of super-resolution, where all images have one and the same.
    """

    title: str
    cases: Sequence[Case]
    facts: dict[str, Any]
    protocols: tuple[str, ...] = ("native", "rgb")
    card: DatasetCard | None = None
    split: str = ""
    notes: tuple[str, ...] = ()
    scale: int | None = None

    def first(self, count: int | None) -> Images:
        """Return the first `count` images (with all degradations of each), or all for None."""
        if count is None:
            return self
        names = list(dict.fromkeys(case.name for case in self.cases))
        kept = set(names[:count])
        if len(kept) == len(names):
            return self
        note = f"only the first {count} of {len(names)} images were evaluated"
        cases = [case for case in self.cases if case.name in kept]
        return replace(self, cases=cases, notes=(*self.notes, note))


def from_folders(inputs: Path, targets: Path) -> Images:
    """Return the pairs of two folders, by name, with the masks of a folder `mask` beside `input` where there is one.

    Raises:
        DataError: a folder is missing or empty, names are ambiguous, or ground truth is missing.
    """
    pairs = folder_pairs(inputs, targets)
    beside = inputs.resolve().parent / "mask"
    masks = {path.relative_to(beside).with_suffix("").as_posix(): path for path in walk(beside)}
    title = _title(inputs, {"input", "inputs", "degraded", "lq", "rain", "test"})
    cases = paired_cases(pairs, title, masks)
    facts = {"name": title, "input": str(inputs), "target": str(targets)}
    facts |= {"mask": str(beside)} if any(case.mask is not None for case in cases) else {}
    notes = _unused(pairs, targets, "input image")
    return Images(title, cases, facts, notes=notes, scale=_enlargement(pairs))


def _enlargement(pairs: Sequence[Pair]) -> int | None:
    """Return how many times larger the ground truths are, from the first pair; None where they are not."""
    sizes = [size_of(path) for path in (pairs[0].target, pairs[0].input) if path is not None]
    if len(sizes) < 2 or sizes[0] is None or sizes[1] is None:
        return None
    (height, width), (h, w) = sizes[0], sizes[1]
    scale = height // h
    return scale if scale > 1 and (h * scale, w * scale) == (height, width) else None


def from_card(
    name: str,
    root: Path,
    split: str | None = None,
    degradations: Sequence[str] = (),
    severity: SeveritySetting = None,
    mask: Path | None = None,
    invert_mask: bool = False,
) -> Images:
    """Return the images of a dataset card; clean sets need degradations (see `made_cases`).

    Raises:
        ConfigError: no such card, clean images without a degradation, or pairs with one.
        DataError: the folder does not hold what the card says.
    """
    card = load_card(name)
    pairs = find_pairs(card, root, split)
    facts = {"name": card.name, "card": name, "root": str(root), "split": pairs.split, "layout": pairs.layout}
    clean = all(pair.input is None for pair in pairs)
    if clean and not degradations:
        example = "bicubic-x4" if "downsampling" in card.degradations else "rain,snow,haze"
        raise ConfigError(f"{card.name} holds clean images only: pass --degradation, for example {example}")
    if degradations and not clean:
        raise ConfigError(f"{card.name} holds degraded images of its own: leave --degradation out")
    if not clean:
        scored = _protocols(card, _enlargement(pairs))
        cases = paired_cases(pairs, card.name)
        doubts = _doubts(card, pairs, card.reported)
        return Images(card.name, cases, facts, scored, card, pairs.split, doubts, _enlargement(pairs))
    facts |= _made_facts(degradations, severity, mask, invert_mask)
    cases = made_cases(pairs, degradations, severity, mask, invert_mask)
    scale = _scale(cases)
    kinds = {IN_CARDS.get(case.label or "", "") for case in cases}
    if not kinds <= set(card.degradations):
        return Images(card.name, cases, facts, split=pairs.split, notes=_doubts(card, pairs), scale=scale)
    # what papers report was measured on another degradation than ours, but for the one that is no matter of chance
    same = {f"x{scale}"} if kinds == {"downsampling"} and severity in (None, 1) else set()
    reported = tuple(score for score in card.reported if score.condition in same)
    shown = card.model_copy(update={"reported": reported})
    doubts = _doubts(card, pairs, reported)
    return Images(card.name, cases, facts, _protocols(card, scale), shown, pairs.split, doubts, scale)


def _doubts(card: DatasetCard, pairs: Pairs, reported: Sequence[ReportedScore] = ()) -> tuple[str, ...]:
    """Return notes on why the images may not be those of the card: their number, and plain folders beside papers."""
    count, notes = card.splits[pairs.split].count, []
    if count not in ("unknown", len(pairs)):
        notes.append(
            f"split {pairs.split} of {card.title} has {count} images, and {len(pairs)} are here: the scores are not "
            "those of the whole split"
        )
    if pairs.layout.startswith("plain-") and any(score.split == pairs.split for score in reported):
        notes.append(
            f"the folders are in no layout of {card.title} that is known (layout {pairs.layout}): nothing but their "
            "number says that these are the images that papers scored"
        )
    return tuple(notes)


def _protocols(card: DatasetCard, scale: int | None) -> tuple[str, ...]:
    """Return the protocol of a card, or the usual ones where there is none, or it needs a factor that is not known."""
    known = card.protocol.id
    return ("native", "rgb") if known == "unknown" or (known == "sr" and scale is None) else (known,)


def _scale(cases: Sequence[Case]) -> int | None:
    """Return the factor of super-resolution, where all degradations have one and the same."""
    scales = {getattr(case.degradation, "scale", None) for case in cases}
    return scales.pop() if len(scales) == 1 else None


def _made_facts(
    degradations: Sequence[str], severity: SeveritySetting, mask: Path | None, invert_mask: bool
) -> dict[str, Any]:
    """Return what a report says of degradations that are made."""
    masks = {} if mask is None else {"mask": str(mask), "invert_mask": invert_mask}
    strength = dict(severity) if isinstance(severity, Mapping) else severity
    return {"degradations": list(degradations), "severity": strength, **masks}


def from_clean(
    folder: Path,
    degradations: Sequence[str],
    severity: SeveritySetting = None,
    mask: Path | None = None,
    invert_mask: bool = False,
) -> Images:
    """Return clean photographs with made degradations (see `made_cases`).

    Raises:
        ConfigError: no degradation was named, or an unknown one.
        DataError: the folder is missing or empty, or two files have one name.
    """
    if not degradations:
        raise ConfigError("clean photographs need --degradation, for example rain,snow,haze")
    pairs = _clean(folder)
    title = folder.resolve().name
    facts = {"name": title, "clean": str(folder), **_made_facts(degradations, severity, mask, invert_mask)}
    cases = made_cases(pairs, degradations, severity, mask, invert_mask)
    return Images(title, cases, facts, scale=_scale(cases))


def from_outputs(restored: Path, targets: Path) -> Images:
    """Return the ground truths that belong to a folder of outputs, by name.

    Raises:
        DataError: a folder is missing or empty, names are ambiguous, or ground truth is missing.
    """
    pairs = folder_pairs(restored, targets)
    title = _title(targets, {"target", "targets", "gt", "clean", "hq"})
    cases = [Case(title, pair.name, pair.target) for pair in pairs]
    notes = _unused(pairs, targets, "restored image")
    return Images(title, cases, {"name": title, "target": str(targets)}, notes=notes)


def _unused(pairs: Sequence[Pair], targets: Path, lacking: str) -> tuple[str, ...]:
    """Return a note on the ground truths in a folder that belong to no pair, if there are any, and what they lack."""
    unused = sorted({pair.name for pair in _clean(targets)} - {pair.name for pair in pairs})
    if not unused:
        return ()
    named = ", ".join(unused[:5]) + (f" and {len(unused) - 5} more" if len(unused) > 5 else "")
    return (f"{len(unused)} ground truths have no {lacking} and were left out: {named}",)


def _clean(folder: Path) -> list[Pair]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    found = inspect_split(folder, CleanSplit(target="."))
    if found.ambiguous:
        one, other = found.ambiguous[0]
        raise DataError(f"ambiguous names in {folder}: {one.name} beside {other.name}; keep one of each")
    if not found.pairs:
        raise DataError(f"{folder} holds no images")
    return found.pairs


def _title(folder: Path, plain: set[str]) -> str:
    """Return the name of a folder, or of the one above it where its own says nothing."""
    folder = folder.resolve()
    return folder.parent.name if folder.name.lower() in plain and folder.parent.name else folder.name
