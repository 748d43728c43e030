"""Which degraded image belongs to which clean one: by name, never by the order of a listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from restore.data.card import CleanSplit, DatasetCard, FolderSplit, JoinedSplit, ListSplit, Pairing, SameNames
from restore.data.files import read_list, walk
from restore.data.joined import File, Half
from restore.errors import DataError
from restore.images.listing import IMAGE_SUFFIXES, natural_key

__all__ = [
    "Inspection",
    "Pair",
    "Pairs",
    "detect_layout",
    "drop_leaks",
    "find_pairs",
    "folder_pairs",
    "inspect_split",
    "joined_pairs",
]

Where = FolderSplit | ListSplit | CleanSplit | JoinedSplit

# Every paired card also accepts plain folders under these names, below the split's name or at the root.
_GENERIC = (("input", "target"), ("input", "gt"))

# Clean images may also lie right in the root; those in folders below may be of another split, or made smaller.
_PLAIN = CleanSplit(target="*")


@dataclass(frozen=True)
class Pair:
    """A degraded image and its clean one; `input` is None in sets that hold clean images only."""

    name: str
    input: File | None
    target: File


class Pairs(list[Pair]):
    """A list of pairs that knows where it comes from: `layout` and `split` as detected, `root` as given."""

    def __init__(self, pairs: Iterable[Pair], *, layout: str, split: str, root: Path):
        super().__init__(pairs)
        self.layout, self.split, self.root = layout, split, root


@dataclass
class Inspection:
    """All that pairing by name found, good and bad; `find_pairs` raises for the bad, `doctor.verify` reports it."""

    pairs: list[Pair] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    unused: list[Path] = field(default_factory=list)
    ambiguous: list[tuple[Path, Path]] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def find_pairs(card: DatasetCard, root: Path | str, split: str | None = None) -> Pairs:
    """Return the pairs of a split, in natural order of their names; the layout is detected and reported in the result.

    Args:
        card: which benchmark.
        root: the folder that holds it, in any of the card's layouts, as plain `input` and `target` folders, or of clean
            images those themselves.
        split: which split; None takes the one that the literature scores, or the only one that is there.

    Raises:
        DataError: no layout fits, names are ambiguous, ground truth is missing (five are named), or a list file is bad.
    """
    root = Path(root)
    layout, split, where = detect_layout(card, root, split)
    found = inspect_split(root, where)
    _refuse(found, f"{card.name} ({split}, layout {layout})", root)
    return Pairs(found.pairs, layout=layout, split=split, root=root)


def folder_pairs(input_dir: Path | str, target_dir: Path | str) -> Pairs:
    """Return the pairs of two folders whose images have equal names (suffixes may differ), in natural order.

    Raises:
        DataError: a folder is missing or empty, names are ambiguous, or ground truth is missing (five are named).
    """
    found, sides = Inspection(), []
    for folder in (Path(input_dir), Path(target_dir)):
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder")
        sides.append(_images(folder, found))
    _match(sides[0], sides[1], SameNames(), found)
    _refuse(found, "the two folders", Path(input_dir))
    return Pairs(found.pairs, layout="two-folders", split="all", root=Path(input_dir))


def drop_leaks(card: DatasetCard, pairs: Pairs) -> tuple[Pairs, list[str]]:
    """Return the pairs without those that the card knows to leak into a test set, and the names of those left out."""
    leaked = [pair.name for pair in pairs if card.leaked(pair.name, pairs.split)]
    kept = [pair for pair in pairs if not card.leaked(pair.name, pairs.split)]
    return Pairs(kept, layout=pairs.layout, split=pairs.split, root=pairs.root), leaked


def detect_layout(card: DatasetCard, root: Path, split: str | None) -> tuple[str, str, Where]:
    """Return (layout name, split, where the split lies): the first of the card's layouts that `root` fits.

    Raises:
        DataError: `root` is no folder, the card has no such split, or nothing fits; the message says what was sought.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    if split is not None and split not in card.splits:
        raise DataError(f"{card.name} has no split {split!r}; its splits are {', '.join(card.splits)}")
    wanted = [split] if split else [card.default_split, *(name for name in card.splits if name != card.default_split)]
    for name in wanted:
        for layout, where in _candidates(card, name):
            if _present(root, where) and not (where is _PLAIN and _holds_another(card, root, name)):
                return layout, name, where
    sought = "; ".join(dict.fromkeys(_describe(where) for name in wanted for _, where in _candidates(card, name)))
    which = f"the {split} split" if split else "any split"
    raise DataError(f"{root} does not hold {which} of {card.title} in a known layout; looked for {_short(sought, 400)}")


def _candidates(card: DatasetCard, split: str) -> list[tuple[str, Where]]:
    """Return the card's own layouts of a split, then the plain ones that every card accepts."""
    found = [(layout.name, layout.splits[split]) for layout in card.layouts if split in layout.splits]
    if not card.paired:
        return [*found, ("plain-folder", _PLAIN)]
    for prefix in (f"{split}/", ""):
        for source, target in _GENERIC:
            name = f"plain-{source}-{target}" if prefix == "" else f"plain-split-{source}-{target}"
            found.append((name, FolderSplit(input=prefix + source, target=prefix + target)))
    return found


def _holds_another(card: DatasetCard, root: Path, split: str) -> bool:
    """Return whether another split than this one is there in one of the card's own layouts."""
    return any(
        _present(root, where) for layout in card.layouts for name, where in layout.splits.items() if name != split
    )


def _describe(where: Where) -> str:
    if where is _PLAIN:
        return "images right in it and no other split beside them"
    if isinstance(where, FolderSplit):
        return f"{where.input} + {where.target}"
    if isinstance(where, ListSplit):
        return where.list
    return where.list or where.target if isinstance(where, CleanSplit) else where.files


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _present(root: Path, where: Where) -> bool:
    if isinstance(where, ListSplit):
        return (root / where.list).is_file()
    if isinstance(where, CleanSplit) and where.list:
        return (root / where.list).is_file() and (root / where.target).is_dir()
    if isinstance(where, FolderSplit):
        return _any_image(root, where.input) and _any_image(root, where.target)
    return _any_image(root, where.target if isinstance(where, CleanSplit) else where.files)


def _split_glob(text: str) -> tuple[str, str | None]:
    """Return (folder, glob below it or None)."""
    parts = PurePosixPath(text).parts
    for index, part in enumerate(parts):
        if any(mark in part for mark in "*?["):
            return "/".join(parts[:index]) or ".", "/".join(parts[index:])
    return text, None


def _any_image(root: Path, text: str) -> bool:
    folder, glob = _locate_folder(root, text)
    return folder.is_dir() and next(walk(folder, glob), None) is not None


def _locate_folder(root: Path, text: str) -> tuple[Path, str | None]:
    """Return (folder, glob below it or None); a folder whose name differs in case only is accepted (Train, train)."""
    inside, glob = _split_glob(text)
    folder = root
    for part in PurePosixPath(inside).parts:
        if not (folder / part).exists() and folder.is_dir():
            alike = sorted(path.name for path in folder.iterdir() if path.name.lower() == part.lower())
            part = alike[0] if alike else part
        folder = folder / part
    return folder, glob


def _images(folder: Path, found: Inspection, glob: str | None = None) -> dict[str, Path]:
    """Return name (path below `folder` without suffix) to file; two files of one name are noted as ambiguous."""
    names: dict[str, Path] = {}
    for path in walk(folder, glob):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in names:
            found.ambiguous.append((names[name], path))
        names.setdefault(name, path)
    return names


def joined_pairs(folder: Path | str, first: Literal["input", "target"]) -> Pairs:
    """Return the pairs of a folder whose files hold two images side by side, `first` on the left.

    Raises:
        DataError: the folder is missing or empty, or names are ambiguous.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    found = inspect_split(folder, JoinedSplit(files=".", first=first))
    _refuse(found, "the folder", folder)
    return Pairs(found.pairs, layout="joined", split="all", root=folder)


def inspect_split(root: Path, where: Where) -> Inspection:
    """Return all pairs of a split together with everything that is wrong with their names; raises nothing."""
    found = Inspection()
    if isinstance(where, ListSplit):
        _match_list(root, where, found)
    elif isinstance(where, CleanSplit) and where.list:
        _match_clean_list(root, where, found)
    elif isinstance(where, CleanSplit):
        folder, glob = _locate_folder(root, where.target)
        found.pairs = [Pair(name, None, path) for name, path in _sorted(_images(folder, found, glob))]
        found.foreign = _foreign([folder])
    elif isinstance(where, JoinedSplit):
        folder, glob = _locate_folder(root, where.files)
        for name, path in _sorted(_images(folder, found, glob)):
            left, right = Half(path, "left"), Half(path, "right")
            found.pairs.append(Pair(name, left, right) if where.first == "input" else Pair(name, right, left))
        found.foreign = _foreign([folder])
    else:
        (inputs, input_glob), (targets, target_glob) = (
            _locate_folder(root, text) for text in (where.input, where.target)
        )
        _match(_images(inputs, found, input_glob), _images(targets, found, target_glob), where.pairing, found)
        found.foreign = _foreign([inputs, targets])
    return found


def _sorted(images: dict[str, Path]) -> list[tuple[str, Path]]:
    return sorted(images.items(), key=lambda item: natural_key(item[0]))


def _match(sources: dict[str, Path], truths: dict[str, Path], pairing: Pairing, found: Inspection) -> None:
    used = set()
    for name, path in _sorted(sources):
        target = pairing.target_of(name)
        if target is None:
            found.unmatched.append(name)
        elif target in truths:
            used.add(target)
            found.pairs.append(Pair(name, path, truths[target]))
        else:
            found.missing.append(name)
    found.unused = [path for name, path in _sorted(truths) if name not in used]


def _foreign(folders: Sequence[Path]) -> list[Path]:
    """Return files that are neither images nor the usual notes beside them."""
    notes = {".txt", ".md", ".csv", ".json", ".yaml", ".lst", ".flist"}
    paths = set()
    for folder in folders:
        for path in folder.iterdir():
            if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES | notes:
                paths.add(path)
    return sorted(paths)


def _match_list(root: Path, where: ListSplit, found: Inspection) -> None:
    base = (root / where.list).parent
    for entry in _listed(root / where.list, found):
        source = _locate(base, entry[0])
        if source is None:
            found.absent.append(entry[0])
            continue
        target = _locate(base, entry[1]) if len(entry) == 2 else _listed_target(base, source, where)
        # without a folder to replace, the name of the target is that of the input itself
        if target is None or target == source:
            found.missing.append(entry[0])
        else:
            found.pairs.append(Pair(_listed_name(source, where.replace[0]), base / source, base / target))
    found.pairs.sort(key=lambda pair: natural_key(pair.name))


def _match_clean_list(root: Path, where: CleanSplit, found: Inspection) -> None:
    base = root / where.target
    for entry in _listed(root / str(where.list), found):
        path = _locate(base, entry[0])
        if path is None:
            found.absent.append(entry[0])
        else:
            found.pairs.append(Pair(path.with_suffix("").as_posix(), None, base / path))
    found.pairs.sort(key=lambda pair: natural_key(pair.name))


def _listed(path: Path, found: Inspection) -> Iterator[tuple[str, ...]]:
    """Yield the good lines of a list file, each once; note the others."""
    entries, found.bad_lines = read_list(path)
    seen: set[str] = set()
    for entry in entries:
        if entry[0] in seen:
            found.repeated.append(entry[0])
        else:
            seen.add(entry[0])
            yield entry


def _locate(base: Path, entry: str) -> PurePosixPath | None:
    """Return the path below `base` of a listed file; folders in front that only the list's author had are dropped."""
    parts = PurePosixPath(entry).parts
    for start in range(len(parts)):
        path = PurePosixPath(*parts[start:])
        if (base / path).is_file():
            return path
    return None


def _listed_target(base: Path, source: PurePosixPath, where: ListSplit) -> PurePosixPath | None:
    """Return the target of a listed input: folder replaced, stem mapped, suffix kept or else any image suffix."""
    folder = PurePosixPath(*(where.replace[1] if part == where.replace[0] else part for part in source.parent.parts))
    stem = where.pairing.target_of(source.stem)
    for suffix in (source.suffix, *sorted(IMAGE_SUFFIXES)):
        if stem is not None and (base / folder / f"{stem}{suffix}").is_file():
            return folder / f"{stem}{suffix}"
    return None


def _listed_name(source: PurePosixPath, folder: str) -> str:
    return "/".join(part for part in source.with_suffix("").parts if part != folder)


def _refuse(found: Inspection, what: str, root: Path) -> None:
    """Raise a DataError for the first kind of problem that makes the pairs unusable."""
    if found.bad_lines:
        raise DataError(
            f"{what}: the list file leaves its folder or names more than two files: {_five(found.bad_lines)}"
        )
    if found.ambiguous:
        both = [f"{one.name} beside {other.name}" for one, other in found.ambiguous]
        raise DataError(f"{what}: ambiguous names under {root}: {_five(both)}; keep one of each")
    if found.absent:
        raise DataError(f"{what}: {len(found.absent)} listed files are absent under {root}: {_five(found.absent)}")
    if found.missing:
        raise DataError(
            f"{what}: {len(found.missing)} inputs under {root} have no ground truth: {_five(found.missing)}"
        )
    if found.unmatched:
        raise DataError(
            f"{what}: {len(found.unmatched)} names under {root} do not fit the pairing rule: {_five(found.unmatched)}"
        )
    if not found.pairs:
        raise DataError(f"{what}: no images under {root}")


def _five(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
