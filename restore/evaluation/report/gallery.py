"""The images of a report: the best, the median and the worst of each row with their errors, sized for a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from restore.errors import RestoreError
from restore.evaluation.report.result import Result, file_name
from restore.evaluation.scoring import EvaluationPlan, Record, Series, Shown, gain_of, show
from restore.images import Photo
from restore.system.devices import is_out_of_memory

__all__ = ["ERROR_SCALE", "Entry", "Gallery", "error_map", "make_gallery", "shown_records"]

ERROR_SCALE = 64
"""The mean absolute difference, in 8-bit levels, that an error map shows in its brightest colour."""

PAGE_BUDGET = 12 * 2**20
"""Bytes that all images on a page may take; above it they are reduced and compressed."""

LONGEST, SHORTEST = 768, 320  # of the longer side of a reduced image
QUALITY = 90  # of its compression
BYTES_A_PIXEL = 0.45  # that it takes then, in base64

# dark to bright through blue, red and yellow, of growing lightness, so that it reads in gray as well
MAP = (
    (0, 0, 0),
    (28, 20, 84),
    (92, 22, 112),
    (166, 42, 92),
    (222, 84, 48),
    (248, 156, 32),
    (252, 224, 104),
    (255, 255, 236),
)


@dataclass(frozen=True)
class Entry:
    """One restoration in the gallery.

    Attributes:
        role: `best`, `median` or `worst` of its row.
        record: its scores.
        images: name of the layer (input, output, truth, input error, output error) to key in `Gallery.files`.
        size: width and height of the ground truth as displayed: those that the first protocol scores.
    """

    role: str
    record: Record
    images: dict[str, str]
    size: tuple[int, int]


@dataclass(frozen=True)
class Gallery:
    """Entries, and the PNG files that they show by key."""

    entries: Sequence[Entry]
    files: dict[str, bytes]
    budget: int = PAGE_BUDGET

    @property
    def exact(self) -> bool:
        """Whether a page shows the very files, and not reduced ones."""
        return sum(map(len, self.files.values())) * 4 / 3 <= self.budget

    @property
    def side(self) -> int:
        """The longer side of a reduced image."""
        return int(min(LONGEST, max(SHORTEST, math.sqrt(1.5 * self.budget / BYTES_A_PIXEL / max(1, len(self.files))))))

    def data_uris(self) -> dict[str, str]:
        """Return every image as a `data:` address."""
        if self.exact:
            return {key: _data_uri("png", data) for key, data in self.files.items()}
        return {key: _data_uri("webp", self._reduced(data)) for key, data in self.files.items()}

    def _reduced(self, data: bytes) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            factor = min(1.0, self.side / max(image.size))
            size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
            reduced = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        reduced.save(buffer, "WEBP", quality=QUALITY, method=2)
        return buffer.getvalue()


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def shown_records(records: Sequence[Record], protocol: str, metric: str) -> list[tuple[str, Record]]:
    """Return the best, the median and the worst record, by the gain, or by the score where there is no input.

    Fewer than three images give fewer roles, and an image occurs once.
    """
    paired = any(math.isfinite(gain_of(record, protocol, metric)) for record in records)

    def value(record: Record) -> float:
        return gain_of(record, protocol, metric) if paired else record.after[protocol][metric]

    ranked = sorted((r for r in records if not math.isnan(value(r))), key=lambda r: (-value(r), r.name, r.seed))
    if not ranked:
        return []
    places = {"best": 0, "median": len(ranked) // 2, "worst": len(ranked) - 1}
    taken: dict[int, str] = {}
    for role in ("worst", "best", "median") if len(ranked) > 1 else ("median",):
        taken.setdefault(places[role], role)
    return [(taken[place], ranked[place]) for place in sorted(taken)]


def make_gallery(result: Result, plan: EvaluationPlan, on_image: Callable[[int], object] = lambda _: None) -> Gallery:
    """Return the images that a page shows; they are restored again, so that no run has to hold all of them."""
    entries, files = [], {}
    chosen = list(_chosen(result))
    for series, role, record in chosen:
        try:
            shown = show(plan, record)
        except (RestoreError, MemoryError, RuntimeError) as error:
            if not isinstance(error, RestoreError) and not is_out_of_memory(error):
                raise
            on_image(1)
            continue  # a file that has gone since, or for which memory is short now, leaves its scores and no image
        layers = _layers(shown)
        keys = {}
        for layer, image in layers.items():
            # input and truth are the same for all that restore them
            shared = layer in {"input", "truth", "input error"}
            maker = "" if shared else f"-{series.model}-{series.task}"
            made = f"-{record.seed}" if layer != "truth" else ""
            keys[layer] = file_name(f"{record.data}-{record.name}{maker}{made}-{layer.replace(' ', '-')}")
            if keys[layer] not in files:
                files[keys[layer]] = png(image)
        entries.append(Entry(role, record, keys, layers["truth"].size))
        on_image(1)
    return Gallery(entries, files)


def count_images(result: Result) -> int:
    """Return how many restorations a page shows."""
    return len(list(_chosen(result)))


def _chosen(result: Result) -> Iterator[tuple[Series, str, Record]]:
    for series, records in result.groups.items():
        protocol = next(iter(records[0].after))
        metric = next(iter(records[0].after[protocol]))
        for role, record in shown_records(records, protocol, metric):
            yield series, role, record


def _layers(shown: Shown) -> dict[str, Image.Image]:
    layers = {}
    if shown.degraded is not None:
        layers["input"] = _image(shown.degraded)
    layers |= {"output": _image(shown.restored), "truth": _image(shown.target)}
    for name, pixels in (("input error", shown.degraded), ("output error", shown.restored)):
        if pixels is not None and pixels.shape == shown.target.shape:
            layers[name] = error_map(pixels, shown.target)
    return layers


def _image(pixels: Tensor) -> Image.Image:
    return Photo(pixels.cpu().float().clamp(-1, 1)).to_pil().convert("RGB")


def error_map(pixels: Tensor, target: Tensor) -> Image.Image:
    """Return where two images, (3, H, W) in [-1, 1], differ: black for equal, bright for `ERROR_SCALE` levels."""
    levels = (pixels.clamp(-1, 1) - target.clamp(-1, 1)).abs().mean(0).mul(127.5)
    shade = levels.div(ERROR_SCALE).clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
    image = Image.fromarray(shade)
    image.putpalette(_palette())
    return image


def _palette() -> list[int]:
    anchors = np.linspace(0, 255, len(MAP))
    channels = [np.interp(np.arange(256), anchors, [colour[c] for colour in MAP]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(int).ravel().tolist()


def scale_css() -> str:
    """Return the colours of an error map as a CSS gradient."""
    return "linear-gradient(to right, " + ", ".join(f"rgb{colour}" for colour in MAP) + ")"


def png(image: Image.Image) -> bytes:
    """Return an image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
