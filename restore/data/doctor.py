"""Is this folder what its card says: names, counts, sizes, modes, damage, duplicates, and leaks into a test set."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from restore.data.card import DatasetCard
from restore.data.joined import File
from restore.data.look import Look, look_all, near_matches
from restore.data.pairs import Inspection, Pair, Pairs, detect_layout, inspect_split

__all__ = ["KINDS", "Finding", "Report", "find_leaks", "verify"]

Severity = Literal["error", "warning"]

# What each finding means for someone who wants to train or to print a score.
KINDS: dict[str, Severity] = {
    "missing-target": "error",
    "unmatched-name": "error",
    "ambiguous-name": "error",
    "unused-target": "warning",
    "foreign-file": "warning",
    "list-entry-escapes": "error",
    "list-entry-absent": "error",
    "list-entry-repeated": "warning",
    "count-mismatch": "error",
    "unreadable-file": "error",
    "empty-file": "error",
    "lfs-pointer": "error",
    "not-an-image": "error",
    "undecodable": "error",
    "wrong-suffix": "warning",
    "unusual-mode": "warning",
    "rotated-by-exif": "warning",
    "too-small": "warning",
    "one-colour": "warning",
    "size-mismatch": "error",
    "mode-mismatch": "warning",
    "identical-pair": "error",
    "swapped-target": "error",
    "duplicate-input": "warning",
    "duplicate-target": "warning",
    "near-duplicate": "warning",
    "known-leak": "warning",
    "leak-exact": "error",
    "leak-near": "error",
}

SMALLEST = 11  # the window of SSIM


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: its kind (see `KINDS`), the files it concerns, and what to know about it."""

    kind: str
    files: tuple[str, ...]
    text: str
    severity: Severity

    @classmethod
    def of(cls, kind: str, files: Iterable[File | str], text: str, severity: Severity | None = None) -> Finding:
        """Return a finding with the severity of its kind, unless another is given."""
        return cls(kind, tuple(str(file) for file in files), text, severity or KINDS[kind])


@dataclass
class Report:
    """What `verify` found; `ok` is false when there is an error among the findings."""

    card: str
    root: str
    split: str
    layout: str
    pairs: int = 0
    expected: int | str = "unknown"
    targets: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong that would spoil a training or a score."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def kinds(self) -> Counter[str]:
        """How many findings of each kind there are."""
        return Counter(finding.kind for finding in self.findings)

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def lines(self, limit: int = 5) -> list[str]:
        """Return the report as text: a head, then each kind with its first `limit` cases."""
        sizes = ", ".join(f"{size} ({count})" for size, count in self.sizes.most_common(4))
        more = f" and {len(self.sizes) - 4} other sizes" if len(self.sizes) > 4 else ""
        head = [
            f"{self.card}: split {self.split}, layout {self.layout}, root {self.root}",
            f"pairs: {self.pairs} (expected {self.expected}), distinct targets: {self.targets}",
            f"sizes: {sizes}{more}; modes: {', '.join(f'{mode} ({n})' for mode, n in self.modes.most_common())}",
        ]
        for kind, count in self.kinds.items():
            cases = self.of_kind(kind)
            head.append(f"{cases[0].severity}: {kind} ({count})")
            head += [f"  {case.text}" for case in cases[:limit]]
            head += [f"  ... and {count - limit} more"] if count > limit else []
        return [
            *head,
            "all good" if not self.findings else "usable, with warnings" if self.ok else "something is wrong",
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return {
            "card": self.card,
            "root": self.root,
            "split": self.split,
            "layout": self.layout,
            "pairs": self.pairs,
            "expected": self.expected,
            "targets": self.targets,
            "sizes": dict(self.sizes),
            "modes": dict(self.modes),
            "ok": self.ok,
            "findings": [vars(finding) for finding in self.findings],
        }


def verify(
    card: DatasetCard,
    root: Path | str,
    split: str | None = None,
    *,
    against: Sequence[Pairs] = (),
    near: bool = True,
    workers: int | None = None,
) -> Report:
    """Return a report on one split of a set: every file is decoded once.

    Args:
        card: what the folder should be.
        root: the folder.
        split: which split; None takes the one that the literature scores, or the only one that is there.
        against: pairs of other sets or splits that must not share images with this one.
        near: also look for near duplicates, by perceptual hash.
        workers: threads that decode; None takes one per core.

    Raises:
        DataError: `root` is no folder, or no layout fits, so that there is nothing to check.
    """
    root = Path(root)
    layout, split, where = detect_layout(card, root, split)
    found = inspect_split(root, where)
    report = Report(card.name, str(root), split, layout, len(found.pairs), card.splits[split].count)
    report.findings += _naming(found)
    report.targets = len({pair.target for pair in found.pairs})
    report.findings += _counting(card, report)
    looks = look_all(_files(found.pairs), workers or os.cpu_count() or 1)
    report.sizes = Counter(f"{one.width}x{one.height}" for one in looks.values() if one.problem is None)
    report.modes = Counter(one.mode for one in looks.values() if one.problem is None)
    report.findings += [finding for one in looks.values() for finding in _single(one)]
    report.findings += _pairwise(found.pairs, looks)
    report.findings += _duplicates(found.pairs, looks, near)
    report.findings += _known(card, found.pairs, split)
    for other in against:
        report.findings += find_leaks(found.pairs, other, near=near, workers=workers, looks=looks)
    return report


def find_leaks(
    train: Sequence[Pair],
    test: Sequence[Pair],
    *,
    near: bool = True,
    workers: int | None = None,
    looks: dict[File, Look] | None = None,
) -> list[Finding]:
    """Return the images that two sets share: `leak-exact` by pixels, `leak-near` by perceptual hash.

    Clean images are compared with clean ones and degraded with degraded ones.
    """
    known = dict(looks or {})
    missing = [path for path in [*_files(train), *_files(test)] if path not in known]
    known.update(look_all(missing, workers or os.cpu_count() or 1))
    findings = []
    for side in ("target", "input"):
        ours, theirs = ([known[path] for path in _side(pairs, side)] for pairs in (train, test))
        by_digest = {one.digest: one for one in theirs if one.problem is None}
        exact = {one.path for one in ours if one.digest in by_digest and one.problem is None}
        for one in ours:
            if one.path in exact:
                twin = by_digest[one.digest]
                findings.append(Finding.of("leak-exact", (one.path, twin.path), f"{one.path} is {twin.path}"))
        # A degraded image resembles every other degradation of its scene, which the clean side reports already.
        if near and side == "target":
            for one, twin in near_matches([one for one in ours if one.path not in exact], theirs):
                findings.append(Finding.of("leak-near", (one.path, twin.path), f"{one.path} resembles {twin.path}"))
    return findings


def _side(pairs: Sequence[Pair], side: str) -> list[File]:
    return list(dict.fromkeys(path for pair in pairs if (path := getattr(pair, side)) is not None))


def _files(pairs: Sequence[Pair]) -> list[File]:
    return [*_side(pairs, "input"), *_side(pairs, "target")]


def _naming(found: Inspection) -> list[Finding]:
    rows = [("missing-target", (name,), f"{name} has no ground truth") for name in found.missing]
    rows += [("unmatched-name", (name,), f"{name} does not fit the pairing rule") for name in found.unmatched]
    rows += [("ambiguous-name", pair, f"{pair[0].name} beside {pair[1].name}") for pair in found.ambiguous]
    rows += [("unused-target", (path,), f"{path} belongs to no input") for path in found.unused]
    rows += [("foreign-file", (path,), f"{path} is no image") for path in found.foreign]
    rows += [("list-entry-escapes", (line,), f"the list names {line!r}") for line in found.bad_lines]
    rows += [("list-entry-absent", (line,), f"the list names {line!r}, which is absent") for line in found.absent]
    rows += [("list-entry-repeated", (line,), f"the list names {line!r} twice") for line in found.repeated]
    return [Finding.of(kind, files, text) for kind, files, text in rows]


def _counting(card: DatasetCard, report: Report) -> list[Finding]:
    facts = card.splits[report.split]
    counted = (("", report.pairs, facts.count), (" distinct ground truths", report.targets, facts.targets))
    # Plain folders are often a part that someone picked on purpose; a published layout should be complete.
    kind = "warning" if report.layout.startswith("plain-") else "error"
    return [
        Finding.of("count-mismatch", (), f"{there}{what} where {card.title} ({report.split}) has {expected}", kind)
        for what, there, expected in counted
        if expected not in ("unknown", there)
    ]


def _single(one: Look) -> list[Finding]:
    """Return what is wrong with one file by itself."""
    if one.problem:
        kind, text = one.problem
        return [Finding.of(kind, (one.path,), f"{one.path}: {text}")]
    rows = []
    if not one.usual_suffix:
        rows.append(("wrong-suffix", f"is {one.format}"))
    if one.mode not in {"RGB", "L"}:
        rows.append(("unusual-mode", f"has mode {one.mode}"))
    if one.orientation != 1:
        rows.append(("rotated-by-exif", f"has EXIF orientation {one.orientation}: programs disagree on its size"))
    if min(one.width, one.height) < SMALLEST:
        rows.append(("too-small", f"is {one.width}x{one.height}; SSIM needs {SMALLEST}"))
    elif one.spread == 0:
        rows.append(("one-colour", "has one colour only"))
    return [Finding.of(kind, (one.path,), f"{one.path} {text}") for kind, text in rows]


def _pairwise(pairs: Sequence[Pair], looks: dict[File, Look]) -> list[Finding]:
    """Return what is wrong between the input and the target of a pair."""
    findings = []
    both = [(pair.name, pair.input, pair.target) for pair in pairs if pair.input is not None]
    sound = [row for row in both if looks[row[1]].problem is None and looks[row[2]].problem is None]
    for name, *files in sound:
        one, other = (looks[file] for file in files)
        if (one.width, one.height) != (other.width, other.height):
            text = f"{name}: input {one.width}x{one.height}, target {other.width}x{other.height}"
            findings.append(Finding.of("size-mismatch", files, text))
        if one.gray != other.gray:
            findings.append(Finding.of("mode-mismatch", files, f"{name}: {one.mode} beside {other.mode}"))
        if one.digest == other.digest:
            findings.append(Finding.of("identical-pair", files, f"{name}: input and target are the same image"))
    return findings + _swapped(sound, looks)


def _swapped(pairs: Sequence[tuple[str, File, File]], looks: dict[File, Look]) -> list[Finding]:
    """Return the pairs whose input looks unlike its own target but like another one."""
    targets = list(dict.fromkeys(target for _, _, target in pairs if looks[target].spread > 2))
    if not targets:
        return []
    thumbs = np.stack([looks[path].thumb for path in targets])
    findings = []
    for name, source, target in pairs:
        one = looks[source].thumb
        if float(one @ looks[target].thumb) > 0.5:
            continue
        likeness = thumbs @ one
        best = int(likeness.argmax())
        if likeness[best] > 0.9 and targets[best] != target:
            text = f"{name}: the input shows the scene of {targets[best].name}, not of {target.name}"
            findings.append(Finding.of("swapped-target", (source, target), text))
    return findings


def _duplicates(pairs: Sequence[Pair], looks: dict[File, Look], near: bool) -> list[Finding]:
    findings = []
    for side in ("input", "target"):
        groups: dict[str, list[File]] = defaultdict(list)
        for path in _side(pairs, side):
            if looks[path].problem is None:
                groups[looks[path].digest].append(path)
        for same in groups.values():
            if len(same) > 1:
                names = ", ".join(path.name for path in same[:5])
                findings.append(Finding.of(f"duplicate-{side}", same, f"{len(same)} files are one image: {names}"))
    if near:
        targets = [looks[path] for path in _side(pairs, "target")]
        seen = set()
        for one, other in near_matches(targets, targets):
            key = frozenset((one.path, other.path))
            if key not in seen and one.digest != other.digest:
                seen.add(key)
                text = f"{one.path.name} resembles {other.path.name}"
                findings.append(Finding.of("near-duplicate", (one.path, other.path), text))
    return findings


def _known(card: DatasetCard, pairs: Sequence[Pair], split: str) -> list[Finding]:
    findings = []
    for pair in pairs:
        leak = card.leaked(pair.name, split)
        if leak is not None:
            text = f"{pair.name} is also in {', '.join(leak.against) or 'a test set'}: leave it out of training"
            findings.append(Finding.of("known-leak", (pair.target,), text))
    return findings
