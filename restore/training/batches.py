"""The batch of a training step: regions of photographs, degraded, labelled and cut into patches.

Every random number follows from the seed, the step and the place in the global batch, so that a batch does not depend
on how many processes share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from restore.contracts import Condition
from restore.degradations import LABELS, Mixture, Random
from restore.denoisers.guidance import dropped
from restore.denoisers.latent import encoded
from restore.denoisers.tiles import thumbnail
from restore.errors import ConfigError, DataError
from restore.models.recipe import Recipe
from restore.system.seeds import seed_of
from restore.system.transfer import send
from restore.tasks import Example
from restore.training.config import TrainConfig, TrainingStage
from restore.training.datasets import DatasetStore, hold_out
from restore.training.loading import Ahead, ImageStore, PairStore
from restore.training.sources import Source, TrainingFiles

__all__ = ["Batches", "Store"]

Store = ImageStore | PairStore | DatasetStore


class Batches:
    """The images of a step: degraded and clean patches, with the thumbnail and the place of each.

    Args:
        config: the run.
        device: where degradations are made.
        rank: this process.
        world: number of processes that share a batch.
        dataset: pairs to train on in place of `config.data`; see `DatasetStore`.

    Raises:
        ConfigError: a stage's regions cannot be shared by the processes, or there is nothing to train on.
        DataError: too many files are damaged, or the data set is empty.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        dataset: Dataset[Any] | None = None,
    ) -> None:
        self.config, self.device, self.rank, self.world = config, device, rank, world
        for stage in config.stages:
            if stage.regions % world:
                raise ConfigError(f"{stage.regions} regions cannot be shared by {world} processes")
        labels = config.model.labels
        (self._labels,) = send(
            device, torch.tensor([labels.index(name) if name in labels else 0 for name in LABELS])
        )  # where the model has each of our labels; 0, unknown, where it has it not
        self.codec = config.model.codec.build() if isinstance(config.model, Recipe) else None
        self.mixture, self.color_augmentation, self.notes = Mixture(), None, ()
        self.held_out: dict[str, Store]
        if dataset is not None:
            workers = self._take_dataset(dataset)
        elif config.data is not None:
            workers = self._take_files(config.data)
        else:
            raise ConfigError("there is nothing to train on: name a source by data, or give the Trainer a dataset")
        self.regions = Ahead(self._regions, config.steps, workers)

    def _take_files(self, source: Source) -> int:
        """Open the files of a source; return how many threads read ahead."""
        files = source.find()
        self.mixture, self.color_augmentation, self.notes = files.mixture, files.color_augmentation, files.notes
        kept, held_out = files.hold_out(self.config.validation.images)
        self.held_out = {} if held_out is None else self._held_out(held_out, source)
        options = {"memory_mb": source.memory_mb, "corrupt_limit": source.corrupt_limit, "device": self.device}
        self._store: Store = _store(kept, self.config.model.labels, **options)
        # cropping from memory is faster than dispatching to a thread
        return 0 if self._store.in_memory else source.workers

    def _take_dataset(self, dataset: Dataset[Any]) -> int:
        """Take the pairs of a data set; return how many threads read ahead: one, since it may not bear several."""
        labels, (kept, held_out) = self.config.model.labels, hold_out(dataset, self.config.validation.images)
        self._store = DatasetStore(dataset, kept, labels)
        by_label: dict[str, list[int]] = {}
        for index in held_out:
            by_label.setdefault(labels[self._store.item(index)[1]], []).append(index)
        self.held_out = {name: DatasetStore(dataset, index, labels) for name, index in by_label.items()}
        return 1

    def report(self) -> list[str]:
        """Return a line about each data set, one on how images are kept and which were skipped, one on processes."""
        held = sum(len(store) for store in self.held_out.values())
        shared = "1 process makes" if self.world == 1 else f"{self.world} processes share"
        return [
            *self.notes,
            f"training on {self._store.report()}; {held} more are held out",
            f"{shared} the regions of each step",
        ]

    def _held_out(self, files: TrainingFiles, source: Source) -> dict[str, Store]:
        """Return the images to validate on, pairs by their degradation; without one of which all are damaged."""
        strict = source.corrupt_limit == 0
        labels = dict.fromkeys(files.labels) if files.paired else (None,)
        stores: dict[str, Store] = {}
        for label in labels:
            part = files.part([index for index, own in enumerate(files.labels) if own == label or not files.paired])
            # they are few, and a run shall not stop for what it does not train on
            options = {"memory_mb": source.memory_mb, "corrupt_limit": 0.0 if strict else 1.0}
            try:
                stores[label or "unknown"] = _store(part, self.config.model.labels, **options)
            except DataError:
                if strict:
                    raise
        return stores

    def _regions(self, step: int) -> tuple[Tensor, ...]:
        """Return this process's clean regions of a step, or the degraded and clean ones and their labels."""
        where = (step, self.config.stage(step).regions, self.config.region, self.config.seed)
        regions = self._store.regions(*where, rank=self.rank, world=self.world)
        return regions if isinstance(regions, tuple) else (regions,)

    def __call__(self, step: int) -> tuple[Tensor, Condition]:
        """Return x0, (B, state_channels, p, p), and its condition, for a step counted from 0; images in [-1, 1]."""
        regions = send(self.device, *self.regions(step))
        stage = self.config.stage(step)
        local = range(self.rank * stage.regions // self.world, (self.rank + 1) * stage.regions // self.world)
        seeds = [seed_of(self.config.seed, step, index) for index in local]
        task = self.config.model.task
        if len(regions) == 3:
            degraded, clean = (unit(x) for x in regions[:2])
            example = Example(task.from_pairs(degraded), regions[2])
        else:
            clean = unit(regions[0])
            if self.color_augmentation is not None:
                clean = self.color_augmentation(clean, Random([seed_of(seed, 1) for seed in seeds], self.device))
            example = self.named(task.examples(self.mixture)(clean, Random(seeds, self.device), None))
        x0, condition = self.cut(clean.mul_(2).sub_(1), example, seeds, stage)
        if self.codec is None:
            return x0, condition
        return self.codec.encode(x0), condition.replaced(image=encoded(self.codec, condition.image))

    def named(self, example: Example) -> Example:
        """Return an example of made weather with its label in the model's own numbers; 0 where the model has none."""
        return example._replace(label=self._labels[example.label])

    def cut(self, clean: Tensor, example: Example, seeds: list[int], stage: TrainingStage) -> tuple[Tensor, Condition]:
        """Return patches of the regions; labels and images are dropped with the configured probabilities."""
        degraded, label = example.image, example.label
        n, p, side, align = stage.patches, stage.patch, self.config.region, self.config.align
        x0, image, boxes, keep, blind = [], [], [], [], []
        for i, seed in enumerate(seeds):
            draws = np.random.default_rng((seed, 1))
            corners = draws.integers(0, (side - p) // align + 1, size=(n, 2)) * align
            keep += list(draws.random(n) >= self.config.label_drop)
            blind += list(draws.random(n) < self.config.image_drop)
            for y, x in corners:
                x0.append(clean[i, :, y : y + p, x : x + p])
                image.append(degraded[i, :, y : y + p, x : x + p])
                boxes.append((y / side, x / side, (y + p) / side, (x + p) / side))
        size = self.config.thumbnail
        small = thumbnail(degraded, size).repeat_interleave(n, 0) if size else None
        kept, left_out, box = send(
            self.device,
            torch.tensor(np.array(keep)),
            torch.tensor(np.array(blind)),
            torch.tensor(np.array(boxes), dtype=torch.float32),
        )
        own = label.repeat_interleave(n) * kept
        condition = Condition(torch.stack(image), own, small, box=box if size else None)
        if any(blind):
            condition = dropped(condition, ("image",), left_out)
        return torch.stack(x0), condition


def unit(regions: Tensor) -> Tensor:
    """Return regions in [0, 1] of their own, to be changed in place, from bytes or from numbers in [0, 1]."""
    return regions.float().div_(255) if regions.dtype == torch.uint8 else regions.clone()


def _store(files: TrainingFiles, labels: Sequence[str], **options: Any) -> ImageStore | PairStore:
    """Return what cuts regions from the files of a source; `options` as of the stores.

    Raises:
        DataError: too many files are damaged.
    """
    if files.paired:
        pairs = [(group[0], group[1]) for group in files.groups]
        return PairStore(pairs, labels=files.numbers(labels), **options)
    return ImageStore([group[0] for group in files.groups], zoom=files.zoom, **options)
