"""Dataset cards: what a benchmark is, in which folders it is handed around, and what is known to be wrong with it.

A card is a YAML file in `datasets/`; it holds facts, not code. What could not be established is `unknown`.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from restore.data.patterns import Pattern
from restore.schema import Spec, parse, read_yaml
from restore.system.resources import card_path, list_cards

__all__ = [
    "CardProtocol",
    "CleanSplit",
    "DatasetCard",
    "FolderSplit",
    "JoinedSplit",
    "Layout",
    "Leak",
    "ListSplit",
    "Pairing",
    "Paper",
    "RegexNames",
    "ReportedScore",
    "SameNames",
    "SplitCount",
    "SplitFacts",
    "SplitLayout",
    "SuffixNames",
    "load_card",
    "load_cards",
]

SplitCount = Annotated[int, Field(ge=1, le=10**9)] | Literal["unknown"]
RelativePath = Annotated[str, Field(min_length=1)]
CardTask = Literal[
    "weather", "super-resolution", "inpainting", "colorization", "compression", "any"
]  # the task that the literature uses the set for; any other may be made from its clean images
CardDegradation = Literal[
    "snow", "rain", "haze", "raindrop", "low-light", "downsampling", "jpeg", "gray", "mask", "none"
]


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise ValueError(f"{path!r} must be a relative path with forward slashes that stays inside the root")
    return path


class Paper(Spec):
    """Where a set was published.

    Attributes:
        citation: authors, title and venue.
        year: of publication.
        url: of the paper, or `unknown`.
    """

    citation: str
    year: int = Field(ge=1990, le=2100)
    url: str = Field(pattern=r"^(https?://.+|unknown)$")


class SameNames(Spec):
    """Input and target have the same name; their suffixes may differ."""

    rule: Literal["same-name"] = "same-name"

    def target_of(self, name: str) -> str | None:
        """Return the name of the target that belongs to the input `name` (both without suffix)."""
        return name


class SuffixNames(Spec):
    """The end of the input's stem is replaced: `0_rain` to `0_clean`.

    >>> SuffixNames(input="_rain", target="_clean").target_of("a/0_rain")
    'a/0_clean'

    Attributes:
        input: end of an input's stem.
        target: what replaces it in the target's stem.
    """

    rule: Literal["suffix"] = "suffix"
    input: str = ""
    target: str = ""

    def target_of(self, name: str) -> str | None:
        """Return the name of the target, or None if `name` does not end as the rule says."""
        if not name.endswith(self.input):
            return None
        return name[: len(name) - len(self.input)] + self.target


class RegexNames(Spec):
    r"""The whole name of the input is matched and the target's name made from its groups.

    >>> RegexNames(pattern=r"(im_\d+)_s\d+_a\d+", target=r"\1").target_of("im_0001_s80_a04")
    'im_0001'

    Attributes:
        pattern: regular expression that must match the whole name of an input, without its suffix.
        target: the target's name, with `\1` and so on for the groups of `pattern`.
    """

    rule: Literal["regex"] = "regex"
    pattern: str
    target: str

    @model_validator(mode="after")
    def _compiles(self) -> RegexNames:
        used = [int(group) for group in re.findall(r"\\(\d{1,3})", self.target)]
        if max(used, default=0) > self._matcher.groups:
            raise ValueError(f"target {self.target!r} names a group that pattern {self.pattern!r} does not have")
        return self

    def target_of(self, name: str) -> str | None:
        """Return the name of the target, or None if `name` does not match."""
        match = self._matcher.fullmatch(name)
        return match.expand(self.target) if match else None

    @cached_property
    def _matcher(self) -> Pattern:
        return Pattern(self.pattern)


Pairing = Annotated[SameNames | SuffixNames | RegexNames, Field(discriminator="rule")]


class FolderSplit(Spec):
    """Inputs and targets in two folders, or in one folder distinguished by a glob (`*_hazy.*`).

    Attributes:
        input: folder or glob of the degraded images, relative to the root.
        target: folder or glob of the clean images, relative to the root.
        pairing: how the name of the target follows from that of the input.
    """

    kind: Literal["folders"] = "folders"
    input: RelativePath
    target: RelativePath
    pairing: Pairing = SameNames()

    @model_validator(mode="after")
    def _stays_inside(self) -> FolderSplit:
        for path in (self.input, self.target):
            _inside(path)
        return self


class ListSplit(Spec):
    """A text file that names the inputs, one a line; the target's path follows from the input's.

    A line with two paths names input and target. Otherwise each folder called `replace[0]` becomes `replace[1]`, and
    `pairing` maps the stem. Paths are relative to the folder of the list file; a leading slash is ignored.

    Attributes:
        list: path of the text file, relative to the root.
        replace: folder name in the input's path, and what it becomes in the target's.
        pairing: how the stem of the target follows from that of the input.
    """

    kind: Literal["list"] = "list"
    list: RelativePath
    replace: tuple[str, str] = ("input", "gt")
    pairing: Pairing = SameNames()

    @model_validator(mode="after")
    def _stays_inside(self) -> ListSplit:
        _inside(self.list)
        return self


class CleanSplit(Spec):
    """Clean images only: a folder, a glob, or a list file of names below a folder. A degradation makes the inputs.

    Attributes:
        target: folder or glob of the clean images; where `list` is given, the folder that its names are in.
        list: text file of names, one a line.
    """

    kind: Literal["clean"] = "clean"
    target: RelativePath
    list: RelativePath | None = None

    @model_validator(mode="after")
    def _stays_inside(self) -> CleanSplit:
        for path in (self.target, self.list or "."):
            _inside(path)
        return self


class JoinedSplit(Spec):
    """Both images side by side in one file, of which each is a half; `first` is on the left.

    Attributes:
        files: folder or glob of the files that hold both images.
        first: which of the two is on the left.
    """

    kind: Literal["joined"] = "joined"
    files: RelativePath
    first: Literal["input", "target"]

    @model_validator(mode="after")
    def _stays_inside(self) -> JoinedSplit:
        _inside(self.files)
        return self


SplitLayout = Annotated[FolderSplit | ListSplit | CleanSplit | JoinedSplit, Field(discriminator="kind")]


class Layout(Spec):
    """One of the folder structures in which the set is in circulation.

    Attributes:
        name: by which results say which structure was found.
        source: who distributes the set in this structure.
        splits: where the files of each split are.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    source: str = ""
    splits: dict[str, SplitLayout] = Field(min_length=1)


class SplitFacts(Spec):
    """What a split should hold: pairs (or images, for clean sets) and distinct targets.

    Attributes:
        count: number of pairs, or of images in a clean set.
        targets: number of distinct clean images, where several inputs share one.
        note: what is special about it.
    """

    count: SplitCount
    targets: SplitCount = "unknown"
    note: str = ""


class CardProtocol(Spec):
    """How the literature scores the set; `id` is a name of `restore evaluate --protocol`.

    Attributes:
        id: the evaluation protocol of the papers.
        split: the split that papers score; `default_split` where it is left out.
        note: what else papers do.
    """

    id: Literal["weatherdiff", "native", "rgb", "histoformer", "t3", "irsde-crop4", "sr", "unknown"]
    split: str | None = None
    note: str = ""


class Leak(Spec):
    """Images that must not be trained on, or are there twice.

    Attributes:
        kind: `leak` (training against test) or `duplicate` (within or between sets of one purpose).
        text: what is known, and where from.
        split: the split to leave images out of; None if the leak is between this set and another one.
        against: the splits or cards (`card` or `card/split`) that hold the same images.
        pattern: regular expression that the names (without suffix) of the images in question match, if known.
    """

    kind: Literal["leak", "duplicate"] = "leak"
    text: str
    split: str | None = None
    against: tuple[str, ...] = ()
    pattern: str | None = None

    @model_validator(mode="after")
    def _compiles(self) -> Leak:
        assert self._matcher is not None
        return self

    def names(self, name: str) -> bool:
        """Return whether the image `name` (path without suffix) is one of those that leak."""
        return self.pattern is not None and self._matcher.search(PurePosixPath(name).name) is not None

    @cached_property
    def _matcher(self) -> Pattern:
        return Pattern(self.pattern or "")


class ReportedScore(Spec):
    """A score as its paper printed it; never to be listed beside re-run scores without that mark.

    Attributes:
        method: name of the method.
        split: on which it was scored.
        metrics: value of each metric, as printed.
        condition: what the paper says about how it was measured.
        source: paper and table.
    """

    method: str
    split: str
    metrics: dict[Literal["psnr", "ssim", "lpips"], float] = Field(min_length=1)
    condition: str = ""
    source: str


class DatasetCard(Spec):
    """Everything that is known of one benchmark; see `datasets/README.md` for how to write one.

    Attributes:
        name: by which commands and configs know the set; equal to the file's name.
        title: name of the set as its authors write it.
        summary: what it shows and how it was made.
        task: that the literature uses it for.
        degradations: which ones its inputs show.
        paper: where it was published.
        homepages: where its authors publish it.
        licence: what the authors say; `unknown` if they say nothing.
        licence_note: conditions that the licence's name does not state.
        layouts: folder structures in which it is distributed; the first that is found is used.
        splits: its splits, and how many images each should hold.
        default_split: the split that papers score.
        protocol: how papers score it.
        leaks: images that are in training and test sets, or there twice.
        reported: scores copied from papers.
        notes: what else is known to be wrong or special.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    summary: str
    task: CardTask
    degradations: tuple[CardDegradation, ...] = ("none",)
    paper: Paper | Literal["unknown", "none"]
    homepages: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = ()
    licence: str
    licence_note: str = ""
    layouts: tuple[Layout, ...] = ()
    splits: dict[str, SplitFacts] = Field(min_length=1)
    default_split: str
    protocol: CardProtocol
    leaks: tuple[Leak, ...] = ()
    reported: tuple[ReportedScore, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> DatasetCard:
        named = [("default_split", self.default_split), ("protocol.split", self.protocol.split)]
        named += [(f"layouts.{layout.name}", split) for layout in self.layouts for split in layout.splits]
        named += [("leaks", leak.split) for leak in self.leaks]
        named += [("reported", score.split) for score in self.reported]
        for where, split in named:
            if split is not None and split not in self.splits:
                raise ValueError(f"{where} names the split {split!r}; the splits are {', '.join(self.splits)}")
        names = [layout.name for layout in self.layouts]
        if len(set(names)) < len(names):
            raise ValueError(f"two layouts have the same name: {', '.join(names)}")
        return self

    @property
    def paired(self) -> bool:
        """Whether the set holds degraded images too, and not clean ones only."""
        kinds = {split.kind for layout in self.layouts for split in layout.splits.values()}
        return not kinds or kinds != {"clean"}

    def leaked(self, name: str, split: str) -> Leak | None:
        """Return the leak because of which the image `name` should be left out of `split`, if there is one."""
        for leak in self.leaks:
            if leak.kind == "leak" and leak.split == split and leak.names(name):
                return leak
        return None


def load_card(name: str | Path) -> DatasetCard:
    """Return the card of that name, or the one in that YAML file.

    Raises:
        ConfigError: there is no such card, or the file is not a valid one.
    """
    text = str(name)
    path = Path(text) if text.endswith((".yaml", ".yml")) else card_path(text)
    return parse(DatasetCard, read_yaml(path), str(path))


def load_cards() -> dict[str, DatasetCard]:
    """Return all cards that ship with the package, by name.

    Raises:
        ConfigError: one of them is not valid.
    """
    return {name: load_card(name) for name in list_cards()}
