"""Where the images of a training run come from: folders, or data sets by their cards.

A source is a document; `find` lists the files on disk, so that a run depends on nothing but
its config and its files. Pairs are taken as they are; clean images are degraded while the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from restore.data.card import DatasetCard, load_card
from restore.data.files import image_files
from restore.data.joined import File
from restore.data.pairs import Pairs, drop_leaks, find_pairs, folder_pairs
from restore.degradations import Mixture
from restore.degradations.color_augmentation import ColorAugmentation, translate
from restore.degradations.random import Range
from restore.errors import ConfigError, DataError
from restore.schema import Spec

__all__ = ["CardFolder", "CardSource", "CardsSource", "CleanFolders", "PairedFolders", "Source", "TrainingFiles"]

LabelName = Literal["unknown", "rain", "snow", "haze", "rain+haze", "raindrop", "clean"]


def _zoom(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] < 0.25 or bounds[1] > 4:
        raise ValueError(f"the bounds {bounds[0]} and {bounds[1]} must lie between 0.25 and 4")
    return bounds


Zoom = Annotated[Range, AfterValidator(_zoom)]
"""Lowest and highest factor by which regions of clean photographs are enlarged."""

LABELLED: dict[frozenset[str], LabelName] = {
    frozenset({"rain"}): "rain",
    frozenset({"snow"}): "snow",
    frozenset({"haze"}): "haze",
    frozenset({"rain", "haze"}): "rain+haze",
    frozenset({"raindrop"}): "raindrop",
}
"""The label of the pairs of a card, by the card's degradations; pairs of any others have none."""


@dataclass(frozen=True)
class TrainingFiles:
    """The files of a source.

    Attributes:
        groups: (clean,) each, or (input, target) each.
        labels: the degradation that each group shows, by name; None where it is made, or not known.
        asked: labels that the config named, and did not leave to a card.
        mixture: what degrades clean images.
        notes: a line about each set.
        color_augmentation: of clean images before they are degraded, or None for as they are.
        zoom: by what regions of clean images are enlarged before that.
    """

    groups: Sequence[tuple[File, ...]]
    labels: Sequence[str | None]
    asked: tuple[str, ...] = ()
    mixture: Mixture = field(default_factory=Mixture)
    notes: tuple[str, ...] = ()
    color_augmentation: ColorAugmentation | None = None
    zoom: tuple[float, float] = (1.0, 1.0)

    @property
    def paired(self) -> bool:
        """Whether the degraded images are there, too."""
        return len(self.groups[0]) == 2

    def numbers(self, names: Sequence[str]) -> list[int]:
        """Return the label of each group as its place in `names`, those of the model; 0, unknown, where it has none.

        Raises:
            ConfigError: the model does not know a label that the config names.
        """
        for label in self.asked:
            if label not in names:
                raise ConfigError(f"label {label!r} is not one of the model's: {', '.join(names)}")
        return [names.index(label) if label in names else 0 for label in self.labels]

    def part(self, index: Sequence[int]) -> TrainingFiles:
        """Return some of the groups."""
        return replace(self, groups=[self.groups[i] for i in index], labels=[self.labels[i] for i in index])

    def hold_out(self, count: int) -> tuple[TrainingFiles, TrainingFiles | None]:
        """Return what to train on, and `count` groups with ground truths of their own, spread over the whole.

        Of several degraded images of one scene the first is held out and the others are left aside, so that nothing
        is validated that was trained on. Nothing is held out where there are no more scenes than that.
        """
        truths = list(dict.fromkeys(group[-1] for group in self.groups))
        held = set(truths[:: max(1, len(truths) // max(count, 1))][:count]) if len(truths) > count else set()
        first = {group[-1]: index for index, group in reversed(list(enumerate(self.groups)))}
        kept = [index for index, group in enumerate(self.groups) if group[-1] not in held]
        out = [first[truth] for truth in truths if truth in held]
        return self.part(kept), self.part(out) if out else None


class Kept(Spec):
    """The keys that all sources of training images share.

    Attributes:
        workers: threads that read ahead where the images do not fit into memory.
        memory_mb: how much decoded data may be held; a set that fits is decoded once.
        corrupt_limit: share of damaged files past which the run stops.
    """

    memory_mb: float = Field(2048, gt=0, le=2**30)
    workers: int = Field(2, ge=0, le=256)
    corrupt_limit: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _translate(cls, document: Any) -> Any:
        return translate(document)


class CleanFolders(Kept):
    """Clean photographs, degraded on the fly.

    Attributes:
        folders: where they are.
        degradation: the degradations that are applied to them.
        color_augmentation: other tones, colours and sharpness each time, before that. Of few photographs a network
            learns by heart how bright each one is, and so what hides behind haze in these alone.
        zoom: lowest and highest factor by which their regions are enlarged before that, drawn for each; below 1 a
            region is a larger part made smaller, and continued by reflection where the photograph ends. It makes more
            of few photographs, but what is enlarged has no fine detail: nothing for super-resolution. Held-out images
            are validated as they are.
    """

    kind: Literal["clean"] = "clean"
    folders: tuple[Path, ...] = Field(min_length=1)
    degradation: Mixture = Mixture()
    color_augmentation: ColorAugmentation | None = None
    zoom: Zoom = (1.0, 1.0)

    def find(self) -> TrainingFiles:
        """Return the files.

        Raises:
            DataError: a folder is missing or holds no images.
        """
        paths = [path for folder in self.folders for path in image_files(folder)]
        made = {"mixture": self.degradation, "color_augmentation": self.color_augmentation, "zoom": self.zoom}
        return TrainingFiles([(path,) for path in paths], [None] * len(paths), **made)


class PairedFolders(Kept):
    """Pairs with equal names in two folders; `label` says which degradation they show.

    Attributes:
        input: folder of the degraded images.
        target: folder of the clean images, by the same names.
        label: the degradation that all pairs show; `unknown` trains blind.
    """

    kind: Literal["pairs"] = "pairs"
    input: Path
    target: Path
    label: LabelName = "unknown"

    def find(self) -> TrainingFiles:
        """Return the files.

        Raises:
            DataError: a folder is missing or empty, names are ambiguous, or ground truth is missing.
        """
        pairs = folder_pairs(self.input, self.target)
        return TrainingFiles(_groups(pairs), [_known(self.label)] * len(pairs), (self.label,))


class CardFolder(Spec):
    """A data set by its card, in any of the card's layouts.

    Attributes:
        card: its name, or the path of a card of your own.
        root: the folder that holds it.
        split: which part; `train` by default.
        label: the degradation label that the network is conditioned on; the card's by default.
        leaks: images that the card knows to be in a test set, too, are left out, or kept.
    """

    card: str
    root: Path
    split: str | None = None
    label: LabelName | None = None
    leaks: Literal["drop", "keep"] = "drop"

    def pairs(self) -> tuple[Pairs, str | None, str]:
        """Return the pairs, the label of all of them, and a line about them.

        Raises:
            ConfigError: there is no such card, or it has no part for training and none was named.
            DataError: the folder does not hold what the card says.
        """
        card = load_card(self.card)
        pairs = find_pairs(card, self.root, self._split(card))
        pairs, leaked = drop_leaks(card, pairs) if self.leaks == "drop" else (pairs, [])
        if not pairs:
            raise DataError(
                f"{card.name} ({pairs.split}): all {len(leaked)} pairs are in a test set, too; none is left"
            )
        what = "images" if pairs[0].input is None else "pairs"
        note = f"{len(pairs)} {what} of {card.name} (split {pairs.split}, layout {pairs.layout})"
        if leaked:
            note += f"; {len(leaked)} that are in a test set, too, were left out"
        return pairs, _known(self.label) if self.label else LABELLED.get(frozenset(card.degradations)), note

    def _split(self, card: DatasetCard) -> str:
        """Return the split to train on; a test set is taken only by name."""
        if self.split is not None:
            return self.split
        if "train" in card.splits:
            return "train"
        if set(card.splits) == {"all"}:
            return "all"
        raise ConfigError(f"{card.name} has no train split: name one of {', '.join(card.splits)} by data.split")


def _join(
    sets: Sequence[CardFolder],
    degradation: Mixture | None,
    color_augmentation: ColorAugmentation | None,
    zoom: tuple[float, float] | None,
) -> TrainingFiles:
    """Return the files of several data sets, one after the other.

    Raises:
        ConfigError: pairs and clean images are mixed, or or what is for clean images is given for pairs.
        DataError: a folder does not hold what its card says.
    """
    groups: list[tuple[File, ...]] = []
    labels: list[str | None] = []
    notes = []
    for one in sets:
        pairs, label, note = one.pairs()
        own = _groups(pairs)
        if groups and len(groups[0]) != len(own[0]):
            raise ConfigError(f"data sets of pairs and of clean images cannot be joined: {notes[0]}; {note}")
        groups += own
        labels += [label if len(own[0]) == 2 else None] * len(own)
        notes.append(note)
    for name, given in (("degradation", degradation), ("color_augmentation", color_augmentation), ("zoom", zoom)):
        if given is not None and len(groups[0]) == 2:
            raise ConfigError(f"data.{name} is for clean images, but these are degraded already: {notes[0]}")
    asked = tuple(one.label for one in sets if one.label is not None)
    return TrainingFiles(
        groups, labels, asked, degradation or Mixture(), tuple(notes), color_augmentation, zoom or (1.0, 1.0)
    )


def _known(label: str) -> str | None:
    return None if label == "unknown" else label


def _groups(pairs: Pairs) -> list[tuple[File, ...]]:
    return [(pair.target,) if pair.input is None else (pair.input, pair.target) for pair in pairs]


class CardSource(CardFolder, Kept):
    """One data set by its card: its pairs, or its clean images, degraded on the fly as those of `CleanFolders`.

    Attributes:
        degradation: how clean images are degraded; the default mixture where it is left out.
        color_augmentation: of clean images before they are degraded; none where it is left out.
        zoom: lowest and highest factor by which regions of clean images are resized, drawn for each; 1 where it is left
            out.
    """

    kind: Literal["card"] = "card"
    degradation: Mixture | None = None
    color_augmentation: ColorAugmentation | None = None
    zoom: Zoom | None = None

    def find(self) -> TrainingFiles:
        """Return the files; see `CardFolder`."""
        return _join([self], self.degradation, self.color_augmentation, self.zoom)


class CardsSource(Kept):
    """Several data sets by their cards; every image is as likely as any other.

    Attributes:
        cards: the data sets.
        degradation: how clean images are degraded; the default mixture where it is left out.
        color_augmentation: of clean images before they are degraded; none where it is left out.
        zoom: lowest and highest factor by which regions of clean images are resized, drawn for each; 1 where it is left
            out.
    """

    kind: Literal["cards"] = "cards"
    cards: tuple[CardFolder, ...] = Field(min_length=1)
    degradation: Mixture | None = None
    color_augmentation: ColorAugmentation | None = None
    zoom: Zoom | None = None

    def find(self) -> TrainingFiles:
        """Return the files; all sets hold pairs, or all hold clean images. See `CardFolder`."""
        return _join(self.cards, self.degradation, self.color_augmentation, self.zoom)


Source = Annotated[CleanFolders | PairedFolders | CardSource | CardsSource, Field(discriminator="kind")]
