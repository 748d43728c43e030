"""What a step of training sees: regions of photographs, degraded, labelled and cut into patches.

Every random number follows from the seed, the step and the place in the global batch, so that a batch does not depend
on how many processes share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from restore.contracts import Condition
from restore.degradations import LABELS, Random
from restore.denoisers.guidance import dropped
from restore.denoisers.tiles import thumbnail
from restore.errors import ConfigError, DataError
from restore.system.seeds import seed_of
from restore.tasks import Example
from restore.training.config import Stage, TrainConfig
from restore.training.loading import Ahead, PairStore, PictureStore
from restore.training.sources import Found

__all__ = ["Sampler"]


class Sampler:
    """The pictures of a step: degraded and clean patches, with the thumbnail and the place of each.

    Args:
        config: the run.
        device: where degradations are made.
        rank: this process.
        world: number of processes that share a batch.
    """

    def __init__(self, config: TrainConfig, device: torch.device, rank: int = 0, world: int = 1) -> None:
        self.config, self.device, self.rank, self.world = config, device, rank, world
        for stage in config.stages:
            if stage.regions % world:
                raise ConfigError(f"{stage.regions} regions cannot be shared by {world} processes")
        found = config.data.find()
        self.mixture, self.retouch, self.notes, self.paired = found.mixture, found.retouch, found.notes, found.paired
        kept, held_out = found.hold_out(config.validation.pictures)
        self.held_out = {} if held_out is None else self._held_out(held_out)
        options = {"memory_mb": config.data.memory_mb, "corrupt_limit": config.data.corrupt_limit, "device": device}
        self._store = _store(kept, config.model.labels, **options)
        # what lies in memory is cut faster than a thread is told to
        workers = 0 if self._store.in_memory else config.data.workers
        self.regions = Ahead(self._regions, config.steps, workers)

    def report(self) -> list[str]:
        """Return a line about each data set, and one on how the pictures are kept and which were skipped."""
        held = sum(len(store) for store in self.held_out.values())
        return [*self.notes, f"training on {self._store.report()}; {held} more are held out"]

    def _held_out(self, found: Found) -> dict[str, PictureStore | PairStore]:
        """Return the pictures to validate on, pairs by their degradation; without one of which all are damaged."""
        strict = self.config.data.corrupt_limit == 0
        labels = dict.fromkeys(found.labels) if found.paired else (None,)
        stores = {}
        for label in labels:
            part = found.part([index for index, own in enumerate(found.labels) if own == label or not found.paired])
            # they are few, and a run shall not stop for what it does not train on
            options = {"memory_mb": self.config.data.memory_mb, "corrupt_limit": 0.0 if strict else 1.0}
            try:
                stores[label or "unknown"] = _store(part, self.config.model.labels, **options)
            except DataError:
                if strict:
                    raise
        return stores

    def _regions(self, step: int) -> tuple[Tensor, ...]:
        """Return this process's clean regions of a step as bytes, or the degraded and clean ones and their labels."""
        where = (step, self.config.stage(step).regions, self.config.region, self.config.seed)
        found = self._store.regions(*where, rank=self.rank, world=self.world)
        return found if isinstance(found, tuple) else (found,)

    def __call__(self, step: int) -> tuple[Tensor, Condition]:
        """Return x0, (B, 3, p, p) in [-1, 1], and its condition, for a step counted from 0."""
        found = [x.to(self.device) for x in self.regions(step)]
        stage = self.config.stage(step)
        local = range(self.rank * stage.regions // self.world, (self.rank + 1) * stage.regions // self.world)
        seeds = [seed_of(self.config.seed, step, index) for index in local]
        task = self.config.model.task
        if self.paired:
            degraded, clean, label = found[0].float().div_(255), found[1].float().div_(255), found[2]
            example = Example(task.from_pairs(degraded), label)
        else:
            clean = found[0].float().div_(255)
            if self.retouch is not None:
                clean = self.retouch(clean, Random([seed_of(seed, 1) for seed in seeds], self.device))
            example = self.named(task.examples(self.mixture)(clean, Random(seeds, self.device), None))
        return self.cut(clean.mul_(2).sub_(1), example, seeds, stage)

    def named(self, example: Example) -> Example:
        """Return an example of made weather with its label in the model's own numbers; 0 where the model has none."""
        labels = self.config.model.labels
        own = torch.tensor([labels.index(name) if name in labels else 0 for name in LABELS], device=self.device)
        return example._replace(label=own[example.label])

    def cut(self, clean: Tensor, example: Example, seeds: list[int], stage: Stage) -> tuple[Tensor, Condition]:
        """Return patches of the regions; labels and pictures are dropped with the configured probabilities."""
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
        size = self.config.model.patches.context
        small = thumbnail(degraded, size).repeat_interleave(n, 0) if size else None
        told = label.repeat_interleave(n) * torch.tensor(np.array(keep), device=self.device)
        box = torch.tensor(np.array(boxes), dtype=torch.float32, device=self.device)
        condition = Condition(torch.stack(image), told, small, box=box if size else None)
        if any(blind):
            condition = dropped(condition, ("image",), torch.tensor(np.array(blind)))
        return torch.stack(x0), condition


def _store(found: Found, labels: Sequence[str], **options: Any) -> PictureStore | PairStore:
    """Return what cuts regions from the files of a source; `options` as of the stores.

    Raises:
        DataError: too many files are damaged.
    """
    if found.paired:
        pairs = [(group[0], group[1]) for group in found.groups]
        return PairStore(pairs, labels=found.numbers(labels), **options)
    return PictureStore([group[0] for group in found.groups], zoom=found.zoom, **options)
