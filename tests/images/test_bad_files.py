"""Files that are no good image: one line that names the file and the reason, quickly, and nothing else."""

from __future__ import annotations

import io
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from restore.errors import ImageError, ImageTooLarge
from restore.images import ImageWarning, read

MAGIC = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(width: int, height: int, *middle: bytes, data: bytes | None = None) -> bytes:
    pixels = zlib.compress(bytes(height * (width + 1))) if data is None else data
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return MAGIC + header + b"".join(middle) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def encoded(kind: str, mode: str = "RGB", **options: object) -> bytes:
    rng = np.random.default_rng(5)
    image = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(path: Path, error: type[ImageError] = ImageError) -> str:
    """The one line with which `read` refuses the file."""
    with pytest.raises(error) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "cannot read" in message
    return message


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", b"x")
    return buffer.getvalue()


FOREIGN: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.png", b"", "empty"),
    "text": ("a.png", b"just some words\n" * 20, "text"),
    "html": ("a.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "lfs": ("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    "zip": ("a.png", zipped(), "zip"),
    "svg": ("a.png", b"<?xml version='1.0'?>\n<svg><script>alert(1)</script></svg>", "SVG"),
    "pdf": ("a.png", b"%PDF-1.7\n%\xe2\xe3", "PDF"),
    "eps": ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "psd": ("a.psd", b"8BPS\0\1" + bytes(40), "Photoshop"),
    "gzip": ("a.png", b"\x1f\x8b\x08" + bytes(30), "gzip"),
    "noise": ("a.jpg", bytes(range(128, 256)), "none of JPEG"),
    "format of Pillow that stays shut": ("a.png", b"SIMPLE  =                    T" + bytes(4000) + b"\xff", "none of"),
}


@pytest.mark.parametrize(("name", "content", "word"), FOREIGN.values(), ids=FOREIGN)
def test_a_file_that_is_no_image_is_refused_with_what_it_is(
    tmp_path: Path, name: str, content: bytes, word: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    message = refusal(path)
    assert word in message
    assert str(path) in message


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    folder, pipe, loop = tmp_path / "x.png", tmp_path / "pipe.png", tmp_path / "loop.png"
    folder.mkdir()
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    link = tmp_path / "link.png"
    link.symlink_to(pipe)
    start = time.perf_counter()
    assert "folder" in refusal(folder)
    assert "pipe" in refusal(pipe)
    assert "pipe" in refusal(link)
    assert "link" in refusal(loop)
    assert "device" in refusal(Path("/dev/zero"))
    assert "no such file" in refusal(tmp_path / "vanished.png")
    assert "too long" in refusal(tmp_path / ("n" * 300 + ".png"))
    assert time.perf_counter() - start < 1
    with pytest.raises(ImageError, match="cannot read"):
        read("a\0b.png")


def test_no_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded("PNG"))
    path.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        assert "no permission" in refusal(path)
    finally:
        os.seteuid(before)


@pytest.mark.parametrize("name", ["a\nb.png", "snow ❄ 🌨.png", "n" * 251 + ".png", "photo.jpg", "no suffix"])
def test_odd_names_and_wrong_suffixes_are_accepted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded("PNG"))
    image = read(path)
    assert image.format == "PNG"
    assert image.source == path
    path.write_bytes(b"")
    refusal(path)


HALVES = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM"] + (["AVIF"] if features.check("avif") else [])


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_part_of_a_file_is_refused(tmp_path: Path, kind: str, part: float) -> None:
    content = encoded(kind)
    path = tmp_path / "cut.bin"
    path.write_bytes(content)
    read(path)
    path.write_bytes(content[: int(len(content) * part)])
    refusal(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_without_its_last_two_bytes_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded(kind)[:-2])
    assert "damaged or cut short" in refusal(path)


def deep_png(data: bytes) -> bytes:
    """A PNG with 16 bits per colour, 8x8."""
    return MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)) + chunk(b"IDAT", data)


PIXELS = zlib.compress(bytes(4 * 5))
DAMAGED_PNG: dict[str, bytes] = {
    "bad IHDR checksum": MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0), 1) + png(4, 4)[33:],
    "bad IDAT checksum": png(4, 4).replace(chunk(b"IDAT", PIXELS), chunk(b"IDAT", PIXELS, 7)),
    "bad IDAT": png(4, 4, data=b"no deflated data at all"),
    "short IDAT": png(4, 4, data=zlib.compress(bytes(7))),
    "no IDAT": png(4, 4).replace(chunk(b"IDAT", PIXELS), b""),
    "zero width": png(0, 4),
    "zero height": png(4, 0),
    "no end": png(4, 4)[:-12],
    "chunk beyond the end": png(4, 4)[:-12] + struct.pack(">I4s", 1 << 30, b"tEXt"),
    "short 16 bit": deep_png(zlib.compress(bytes(100))) + chunk(b"IEND", b""),
}


@pytest.mark.parametrize("content", DAMAGED_PNG.values(), ids=DAMAGED_PNG)
def test_a_damaged_png_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(4, 4))
    assert read(path).pixels.shape == (3, 4, 4)
    path.write_bytes(content)
    assert "damaged or cut short" in refusal(path)


def tiff(pages: int, *, next_page: int | None = None, strip: int = 8, first: int | None = None) -> bytes:
    """A TIFF of 4x4 gray pages that share their pixels; `next_page` is where the last page points."""
    size = 2 + 12 * 8 + 4
    start = 8 + 16
    parts = [b"II*\0", struct.pack("<I", start if first is None else first), bytes(range(16))]
    for page in range(pages):
        tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, strip), (278, 4), (279, 16)]
        parts.append(struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags))
        last = page == pages - 1
        parts.append(struct.pack("<I", (next_page or 0) if last else start + (page + 1) * size))
    return b"".join(parts)


DAMAGED_TIFF: dict[str, bytes] = {
    "page that follows itself": tiff(1, next_page=24),
    "circle of three": tiff(3, next_page=24),
    "negative page": tiff(1, first=0xFFFFFFF0),
    "negative next page": tiff(1, next_page=0xFFFFFF00),
    "negative strip": tiff(1, strip=0xFFFFFFF0),
    "no page": tiff(1, first=0),
    "cut in the table": tiff(1)[:60],
}


@pytest.mark.parametrize("content", DAMAGED_TIFF.values(), ids=DAMAGED_TIFF)
@pytest.mark.filterwarnings("ignore::restore.images.ImageWarning")
def test_a_damaged_tiff_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(1))
    assert read(path).gray
    path.write_bytes(content)
    assert "damaged or cut short" in refusal(path)


def gif(frames: int, side: int = 16) -> bytes:
    """A GIF whose frames are all the same 16x16 block, hand made because ten thousand frames take Pillow long."""
    buffer = io.BytesIO()
    Image.new("P", (side, side)).save(buffer, "GIF")
    content = buffer.getvalue()
    start = content.index(b",", 13 + 3 * (2 << (content[10] & 7)))
    return content[:start] + b"!\xf9\x04\0\x05\0\0\0" + content[start:-1] * frames + b";"


def vp8l(width: int, height: int) -> bytes:
    bits = 0x2F | (width - 1) << 8 | (height - 1) << 22
    body = bits.to_bytes(5, "little") + bytes(59)
    data = b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(data)) + data


def jpeg_header(width: int, height: int) -> bytes:
    content = encoded("JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def white_png(side: int) -> bytes:
    """A whole and sound black PNG, a thousand times smaller than its pixels."""
    compressor = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    return png(side, side, data=data)


TEXT_BOMB = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(40 << 20)))
ICC_BOMB = chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(40 << 20)))
MANY_TEXTS = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20))) * 60
BOMBS: dict[str, tuple[Callable[[], bytes], type[ImageError]]] = {
    "13000 x 13000": (lambda: white_png(13000), ImageTooLarge),
    "20000 x 20000 in the header": (lambda: png(20000, 20000, data=bytes(379_000)), ImageTooLarge),
    "100000 x 100000 in the header": (lambda: png(100_000, 100_000, data=PIXELS), ImageTooLarge),
    "JPEG header": (lambda: jpeg_header(65500, 65500), ImageTooLarge),
    "WebP header": (lambda: vp8l(16383, 16383), ImageTooLarge),
    "TIFF header": (
        lambda: tiff(1).replace(struct.pack("<HHII", 256, 4, 1, 4), struct.pack("<HHII", 256, 4, 1, 1 << 30)),
        ImageTooLarge,
    ),
    "PPM header": (lambda: b"P6 90000 90000 255\n" + bytes(99), ImageTooLarge),
    "BMP header": (
        lambda: b"BM" + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 90000, 90000, 1, 24, 0, 0, 0, 0, 0, 0),
        ImageTooLarge,
    ),
    "10000 frames": (lambda: gif(10_000), ImageTooLarge),
    "500 pages": (lambda: tiff(500), ImageTooLarge),
    "zTXt": (lambda: png(4, 4, TEXT_BOMB), ImageError),
    "ICC": (lambda: png(4, 4, ICC_BOMB), ImageError),
    "60 texts": (lambda: png(4, 4, MANY_TEXTS), ImageError),
}


@pytest.mark.parametrize(("make", "error"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_from_its_header(
    tmp_path: Path, make: Callable[[], bytes], error: type[ImageError], peak_memory: Callable[[], int]
) -> None:
    path = tmp_path / "bomb.bin"
    path.write_bytes(make())
    # The first call imports decoders.
    refusal(path, error)
    peak_memory()
    before = peak_memory()
    times = []
    for _ in range(3):
        start = time.process_time()
        refusal(path, error)
        times.append(time.process_time() - start)
    assert min(times) < 0.05
    assert peak_memory() - before < 50e6


def test_the_cap_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(40, 25))
    assert read(path, max_pixels=1000).width == 40
    with pytest.raises(ImageTooLarge, match="40x25"):
        read(path, max_pixels=999)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_read_with_a_warning(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    frames = [Image.new("RGB", (12, 9), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(
        path, kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    with pytest.warns(ImageWarning, match=r"a\.bin: only the first of its 3 (frames|pages)"):
        image = read(path)
    assert image.pixels[:, 4, 4].tolist() == [1, -1, -1]


def test_a_jpeg_with_several_images_gives_the_first_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    frames = [Image.new("L", (16, 16), value) for value in (10, 200)]
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    image = read(path)
    assert image.format == "MPO"
    assert float(image.pixels.max()) < -0.9


def test_flipped_bytes_give_an_image_or_a_refusal(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    path = tmp_path / "a.bin"
    for kind in HALVES:
        content = encoded(kind)
        for _ in range(25):
            broken = bytearray(content)
            for place in rng.integers(0, min(len(broken), 400), 3):
                broken[place] = rng.integers(0, 256)
            path.write_bytes(broken)
            try:
                assert read(path).pixels.isfinite().all()
            except (ImageError, ImageWarning) as error:
                assert "\n" not in str(error)
