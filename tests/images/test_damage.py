"""Damage is refused, never filled with gray or black; what is whole is never suspected; floods are quick."""

from __future__ import annotations

import io
import math
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from restore.errors import ImageError
from restore.images import ImageWarning, peek, read
from restore.images.whole import PASSES

quick = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
MAGIC = b"\x89PNG\r\n\x1a\n"


def scene(height: int = 64, width: int = 80, seed: int = 5) -> NDArray:
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    return (np.stack([x * 3 % 200, y * 4 % 200, (x + y) % 200], -1) + noise).astype(np.uint8)


def encoded(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(scene())).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(dtype: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    array = scene().astype(np.float64) / 255
    array = array.astype(dtype) if dtype[0] == "f" else (array * np.iinfo(dtype).max).astype(dtype)
    tifffile.imwrite(buffer, array, photometric="rgb", **options)
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded("JPEG"),
    "progressive JPEG": lambda: encoded("JPEG", progressive=True),
    "PNG": lambda: encoded("PNG"),
    "palette PNG": lambda: encoded("PNG", Image.fromarray(scene()).quantize(16)),
    "WebP": lambda: encoded("WEBP"),
    "lossless WebP": lambda: encoded("WEBP", lossless=True),
    "GIF": lambda: encoded("GIF"),
    "BMP": lambda: encoded("BMP"),
    "PPM": lambda: encoded("PPM"),
    "TIFF": lambda: encoded("TIFF"),
    "LZW TIFF": lambda: encoded("TIFF", compression="tiff_lzw"),
    "JPEG TIFF": lambda: encoded("TIFF", compression="jpeg"),
    "16-bit TIFF": lambda: tiff("u2"),
    "deflated 16-bit TIFF": lambda: tiff("u2", compression="zlib"),
    "float TIFF": lambda: tiff("f4", compression="zlib"),
} | ({"AVIF": lambda: encoded("AVIF")} if features.check("avif") else {})


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_a_file_cut_anywhere_is_refused_or_has_lost_nothing(tmp_path: Path, make: Callable[[], bytes]) -> None:
    content = make()
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    whole = read(path).pixels
    shares = np.linspace(0, len(content) - 1, 40).astype(int).tolist()
    refused = 0
    for length in sorted({*shares, *range(len(content) - 12, len(content))}):
        path.write_bytes(content[:length])
        try:
            assert torch.equal(read(path).pixels, whole)
        except (ImageError, ImageWarning) as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 40


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: bytes, height: int, width: int, bits: int, colours: int, interlaced: bool, pieces: int = 1) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced)
    data = zlib.compress(rows)
    step = max(1, math.ceil(len(data) / pieces))
    parts = [chunk(b"IDAT", data[start : start + step]) for start in range(0, len(data), step)]
    return MAGIC + chunk(b"IHDR", header) + b"".join(parts) + chunk(b"IEND", b"")


@quick
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)]),
    st.booleans(),
    st.integers(1, 5),
)
def test_a_png_needs_all_its_rows(
    tmp_path: Path, height: int, width: int, kind: tuple[int, int], interlaced: bool, pieces: int
) -> None:
    """The rows are counted pixel by pixel here, pass by pass there."""
    bits, colours = kind
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colours]
    grids = [(range(y, height, dy), range(x, width, dx)) for x, y, dx, dy in PASSES]
    grids = grids if interlaced else [(range(height), range(width))]
    rng = np.random.default_rng(height * 100 + width)
    rows = b"".join(
        b"\0" + rng.bytes(math.ceil(len(columns) * channels * bits / 8))
        for lines, columns in grids
        for _ in lines
        if len(columns)
    )
    path = tmp_path / "a.png"
    path.write_bytes(png(rows, height, width, bits, colours, interlaced, pieces))
    assert (read(path).height, read(path).width) == (height, width)
    for length in {0, 1, len(rows) // 2, len(rows) - 1}:
        path.write_bytes(png(rows[:length], height, width, bits, colours, interlaced, pieces))
        with pytest.raises(ImageError, match="damaged or cut short"):
            read(path)


JPEGS = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        "progressive": st.booleans(),
        "optimize": st.booleans(),
        "restart_marker_blocks": st.sampled_from([0, 0, 1, 3, 17]),
    }
)


@quick
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    JPEGS,
    st.sampled_from(["L", "RGB", "CMYK"]),
    st.sampled_from(["noise", "gray", "black", "scene"]),
)
def test_a_whole_jpeg_is_never_suspected(
    tmp_path: Path, height: int, width: int, options: dict[str, object], mode: str, content: str
) -> None:
    arrays = {
        "noise": np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8),
        "gray": np.full((height, width, 3), 128, np.uint8),
        "black": np.zeros((height, width, 3), np.uint8),
        "scene": scene(height, width),
    }
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded("JPEG", Image.fromarray(arrays[content]).convert(mode), **options))
    assert (read(path).height, read(path).width) == (height, width)


@quick
@given(JPEGS, st.sampled_from(["L", "RGB"]), st.floats(0, 0.97), st.integers(0, 99))
def test_a_jpeg_that_was_closed_early_is_refused(
    tmp_path: Path, options: dict[str, object], mode: str, share: float, seed: int
) -> None:
    content = encoded("JPEG", Image.fromarray(scene(seed=seed)).convert(mode), **options)
    start = content.index(b"\xff\xda") + 16
    end = start + int(share * (len(content) - 2 - start))
    end -= content[end - 1] == 0xFF
    path = tmp_path / "a.jpg"
    path.write_bytes(content[:end] + b"\xff\xd9")
    with pytest.raises(ImageError, match="damaged or cut short"):
        read(path)


@pytest.mark.parametrize("height", [8, 32, 50, 73, 100, 640])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("interval", [0, 5])
def test_a_jpeg_with_a_false_height_is_refused_or_warned_of(
    tmp_path: Path, height: int, progressive: bool, interval: int
) -> None:
    options = {"progressive": progressive, "subsampling": "4:4:4", "restart_marker_blocks": interval}
    content = bytearray(encoded("JPEG", **options))
    place = content.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    content[place : place + 2] = struct.pack(">H", height)
    (tmp_path / "a.jpg").write_bytes(content)
    if height > 64:
        with pytest.raises(ImageError, match="damaged or cut short"):
            read(tmp_path / "a.jpg")
    else:
        with pytest.raises((ImageError, ImageWarning), match=r"a\.jpg"):
            read(tmp_path / "a.jpg")


def test_scans_that_are_missing_are_refused(tmp_path: Path) -> None:
    content = encoded("JPEG", progressive=True)
    starts = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xda"]
    assert len(starts) > 3
    for start in starts[1:]:
        (tmp_path / "a.jpg").write_bytes(content[:start] + b"\xff\xd9")
        with pytest.raises(ImageError, match="scans of its image are missing"):
            read(tmp_path / "a.jpg")


def test_a_gif_that_was_closed_early_is_refused(tmp_path: Path) -> None:
    content = encoded("GIF", Image.fromarray(scene()).quantize(64))
    place = content.rindex(b",\0\0\0\0")
    place += 11 + (3 << ((content[place + 9] & 7) + 1) if content[place + 9] & 0x80 else 0)
    start, blocks = place, []
    while content[place]:
        blocks.append(content[place : place + 1 + content[place]])
        place += 1 + content[place]
    for count in range(len(blocks)):
        (tmp_path / "a.gif").write_bytes(content[:start] + b"".join(blocks[:count]) + b"\0;")
        with pytest.raises(ImageError, match="damaged or cut short"):
            read(tmp_path / "a.gif")


def gif_flood() -> bytes:
    """A GIF with a comment of 20 MB before its only frame."""
    content = encoded("GIF")
    end = 13 + (3 << ((content[10] & 7) + 1) if content[10] & 0x80 else 0)
    return content[:end] + b"!\xfe" + (b"\xff" + b"x" * 255) * 80_000 + b"\0" + content[end:]


def tiff_flood() -> bytes:
    """A table whose 60,000 entries all point to the same 4 MB."""
    entries = b"".join(struct.pack("<HHII", 40000 + tag % 20000, 7, 4 << 20, 8) for tag in range(60_000))
    return b"II*\0" + struct.pack("<I", 8 + (4 << 20)) + bytes(4 << 20) + struct.pack("<H", 60_000) + entries + bytes(4)


FLOODS: dict[str, Callable[[], bytes]] = {
    "empty PNG chunks": lambda: encoded("PNG")[:33] + chunk(b"abCd", b"") * 1_500_000 + encoded("PNG")[33:],
    "empty PNG data": lambda: encoded("PNG")[:33] + chunk(b"IDAT", b"") * 1_500_000 + encoded("PNG")[33:],
    "PPM comment": lambda: b"P6\n#" + b"x" * 20_000_000 + b"\n4 4\n255\n" + bytes(48),
    "PPM comments": lambda: b"P6\n" + b"#\n" * 10_000_000 + b"4 4\n255\n" + bytes(48),
    "JPEG comments": lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000 + encoded("JPEG")[2:],
    "GIF comment": gif_flood,
    "TIFF tags": tiff_flood,
}


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS)
def test_a_flood_is_refused_at_once(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(make())
    start = time.process_time()
    with pytest.raises(ImageError, match="damaged or cut short"):
        read(path)
    assert peek(path) is None
    assert time.process_time() - start < 2
