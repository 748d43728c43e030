"""One look at one file: is it an image, of what kind, and which other images does it resemble."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from restore.data.joined import File, path_of, read_file
from restore.errors import ImageError
from restore.images import IMAGE_SUFFIXES, WRITABLE, Photo, open_file, peek
from restore.images.formats import RAW_SUFFIXES

__all__ = ["Look", "bits_apart", "look_all", "near_matches"]

ORIENTATION = 274
THUMB = 16
NEAR_BITS = 7  # eight bands of eight bits: two hashes that differ in at most seven bits agree in one whole band
NEAR_CORRELATION = 0.95
_ALSO = {
    "PNG": {".apng"},
    "PPM": {".pnm", ".pbm"},
    "MPO": {".mpo"},
    "JPEG2000": {".jp2", ".j2k", ".jpx"},
    "TGA": {".tga"},
    "HEIF": {".heic", ".heif"},
    "RAW": RAW_SUFFIXES,
}
"""Suffixes of a format that is not written under them."""


@dataclass(frozen=True)
class Look:
    """The result of inspecting a file.

    Attributes:
        path: the file.
        problem: (kind, text) if it is no usable image; the fields below are then empty.
        width: in pixels.
        height: in pixels.
        mode: Pillow's mode, with `;16` added where it hides that there are 16 bits.
        format: Pillow's name of the format.
        gray: whether the file stores grey values only.
        orientation: EXIF orientation, 1 if there is none; sizes are those of the upright image.
        digest: of the pixels, so that an image saved again without loss has the same one.
        spread: standard deviation of the grey values, 0..255; 0 is an image of one colour.
        hash: 64-bit difference hash.
        mirrored: the same of the image flipped left to right.
        thumb: 16x16 grey values with mean 0 and norm 1.
    """

    path: File
    problem: tuple[str, str] | None = None
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    gray: bool = False
    orientation: int = 1
    digest: str = ""
    spread: float = 0.0
    hash: int = 0
    mirrored: int = 0
    thumb: np.ndarray = field(default_factory=lambda: np.zeros(THUMB * THUMB, np.float32))

    @property
    def usual_suffix(self) -> bool:
        """Whether the name's suffix is one of the format's, or none that says a format."""
        suffix = self.path.suffix.lower()
        # what telephones call JPEG is a series of them
        kind = "JPEG" if self.format == "MPO" else self.format
        known = {own for own, name in WRITABLE.items() if name == kind} | _ALSO.get(self.format, set())
        return suffix in known or suffix not in IMAGE_SUFFIXES


def look_all(paths: Sequence[File], workers: int = 2) -> dict[File, Look]:
    """Return the look of each file, made by threads."""
    unique = list(dict.fromkeys(paths))
    # The filter is one for the whole process: set around the threads, not in each of them.
    with warnings.catch_warnings(), ThreadPoolExecutor(max(workers, 1), thread_name_prefix="restore-look") as pool:
        warnings.simplefilter("ignore")
        return dict(zip(unique, pool.map(_look, unique), strict=True))


def _look(path: File) -> Look:
    try:
        with open_file(str(path_of(path)), path_of(path).name) as file:
            head = file.read(256)
    except ImageError as error:
        return Look(path, ("unreadable-file", str(error)))
    except OSError as error:
        return Look(path, ("unreadable-file", error.strerror or str(error)))
    problem = _not_an_image(head)
    if problem:
        return Look(path, problem)
    try:
        with Image.open(path_of(path)) as image:
            orientation = int(image.getexif().get(ORIENTATION, 1))
    except UnidentifiedImageError:
        # Pillow alone knows neither HEIC nor raw files
        if peek(path_of(path)) is None:
            return Look(path, ("not-an-image", "no known image format"))
        orientation = 1
    except Exception:
        # A header so damaged that Pillow trips over it: `read` says what is wrong, in one line.
        orientation = 1
    try:
        return _measure(path, read_file(path), orientation)
    except ImageError as error:
        return Look(path, ("undecodable", str(error)))


def _not_an_image(head: bytes) -> tuple[str, str] | None:
    if not head:
        return "empty-file", "0 bytes"
    if head.startswith(b"version https://git-lfs"):
        return "lfs-pointer", "a git-lfs pointer: run `git lfs pull` where it came from"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html", b"<?xml", b"<svg")):
        return "not-an-image", "a web page or XML: a download link that answered with an error?"
    return None


def _measure(path: File, image: Photo, orientation: int) -> Look:
    values = image.pixels.add(1).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)
    pixels = np.ascontiguousarray(values.permute(1, 2, 0).numpy())
    digest = hashlib.blake2b(f"{image.width}x{image.height}".encode() + pixels.tobytes(), digest_size=16)
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    thumb = cv2.resize(gray, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)
    thumb -= thumb.mean()
    norm = float(np.linalg.norm(thumb))
    return Look(
        path,
        width=image.width,
        height=image.height,
        mode=image.mode + (f";{image.depth}" if image.mode in {"RGB", "L"} and image.depth != 8 else ""),
        format=image.format or "",
        gray=image.gray,
        orientation=orientation,
        digest=digest.hexdigest(),
        spread=float(gray.std()),
        hash=_difference_hash(gray),
        mirrored=_difference_hash(gray[:, ::-1]),
        thumb=(thumb / norm if norm > 0 else thumb).reshape(-1),
    )


def _difference_hash(gray: np.ndarray) -> int:
    """Return 64 bits: whether each of 8x8 cells is darker than its right neighbour."""
    small = cv2.resize(np.ascontiguousarray(gray), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, :-1] < small[:, 1:]).tobytes(), "big")


def bits_apart(one: int, other: int) -> int:
    """Return in how many of the 64 bits two hashes differ."""
    return (one ^ other).bit_count()


def near_matches(queries: Sequence[Look], pool: Sequence[Look]) -> list[tuple[Look, Look]]:
    """Return the (query, pool) pairs that show the same scene: scaled, saved again, brightened or mirrored.

    Candidates agree in a whole byte of the difference hash; they count when at most seven bits differ and the
    thumbnails correlate by 0.95. Images of one colour match nothing. Pairs of the same file are left out.
    """
    buckets: dict[tuple[int, int], list[Look]] = {}
    for entry in pool:
        if entry.problem is None and entry.spread > 2:
            for band in range(8):
                buckets.setdefault((band, entry.hash >> (8 * band) & 255), []).append(entry)
    found: dict[tuple[File, File], tuple[Look, Look]] = {}
    for query in queries:
        if query.problem is not None or query.spread <= 2:
            continue
        for code, flip in ((query.hash, False), (query.mirrored, True)):
            candidates = {
                entry.path: entry for band in range(8) for entry in buckets.get((band, code >> (8 * band) & 255), ())
            }
            for entry in candidates.values():
                if (
                    entry.path != query.path
                    and bits_apart(code, entry.hash) <= NEAR_BITS
                    and _alike(query, entry, flip)
                ):
                    found.setdefault((query.path, entry.path), (query, entry))
    return list(found.values())


def _alike(one: Look, other: Look, flip: bool) -> bool:
    first = one.thumb.reshape(THUMB, THUMB)[:, ::-1].reshape(-1) if flip else one.thumb
    return float(first @ other.thumb) >= NEAR_CORRELATION
