"""Validation: how well the averaged weights restore images that are not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from restore.degradations import Random
from restore.evaluation.metrics import psnr
from restore.restoration.restorer import Restorer
from restore.tasks import Example, Prepared
from restore.training.batches import Batches, unit

__all__ = ["HeldOut"]

IDENTICAL = 138.13
"""In dB, in place of the infinite PSNR of two equal images, which a log in JSON cannot hold."""


class ValidationScore(NamedTuple):
    """Of one image: its label, its number among those of the label, and PSNR in dB before and after restoration."""

    label: str
    number: int
    before: float
    after: float


class HeldOut:
    """The held-out images of a run; its processes share them, each restores as many as the others.

    Args:
        batches: of the run.
    """

    def __init__(self, batches: Batches) -> None:
        self.batches, self.config = batches, batches.config

    @torch.no_grad()
    def scores(self, restorer: Restorer, sheet: Path) -> dict[str, tuple[float, float]]:
        """Return the mean PSNR in dB (before, after) by label.

        Args:
            restorer: of the averaged weights.
            sheet: where the main process writes one image a label: degraded, restored, true.
        """
        rank, processes = self.batches.rank, self.batches.world
        scores, rows = [], []
        for name, example, clean in self.examples():
            numbers = range(rank, len(clean), processes)
            if not numbers:
                continue
            own = slice(rank, None, processes)
            image, label, hole = (None if x is None else x[own] for x in example)
            clean = clean[own]
            # what does not fit beside a run on a GPU is restored from the CPU, and stays there
            found = restorer.batch(Prepared(image, hole), labels=label, seeds=numbers)
            restored = found.mean.to(clean.device).add(1).div(2)
            degraded = image[:, :3].add(1).div(2).clamp(0, 1)
            before, after = (_psnr(x, clean).tolist() for x in (degraded, restored))
            scores += [ValidationScore(name, *row) for row in zip(numbers, before, after, strict=True)]
            # the first image of each label is the main process's
            rows.append(torch.cat([degraded[0], restored[0].clamp(0, 1), clean[0]], dim=2))
        if rank == 0:
            _write(sheet, torch.cat(rows, dim=1))
        return _means(_gathered(scores, processes))

    def examples(self) -> Iterator[tuple[str, Example, Tensor]]:
        """Yield the images by label: its name, what the network sees, and the ground truth (N, 3, H, W) in [0, 1]."""
        task, validation, device = self.config.model.task, self.config.validation, self.batches.device
        for label_name, store in self.batches.held_out.items():
            regions = store.each(validation.size)
            if isinstance(regions, tuple):
                degraded, clean = (unit(x.to(device)) for x in regions[:2])
                yield label_name, Example(task.from_pairs(degraded), regions[2].to(device)), clean
                continue
            clean = unit(regions.to(device))
            for name, view in task.views(self.batches.mixture).items():
                example = view(clean, Random(range(len(clean)), device), validation.severity)
                yield name, self.batches.named(example), clean


def _psnr(a: Tensor, b: Tensor) -> Tensor:
    """Return the (B,) PSNR in dB of two batches in [0, 1] after 8-bit rounding."""
    return psnr(a.clamp(0, 1).mul(255).round(), b.mul(255).round()).clamp(max=IDENTICAL)


def _write(path: Path, sheet: Tensor) -> None:
    """Write a (3, H, W) image in [0, 1] as PNG."""
    pixels = (sheet.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _gathered(scores: list[ValidationScore], processes: int) -> list[ValidationScore]:
    """Return the scores of all processes."""
    if processes == 1:
        return scores
    from accelerate.utils import gather_object

    return gather_object(scores)


def _means(scores: Sequence[ValidationScore]) -> dict[str, tuple[float, float]]:
    """Return the mean (before, after) by label, in the order of the images whoever restored them."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for score in sorted(scores, key=lambda score: score.number):
        rows.setdefault(score.label, []).append((score.before, score.after))
    means = {label: torch.tensor(found).mean(0).tolist() for label, found in rows.items()}
    return {label: (before, after) for label, (before, after) in means.items()}
