"""Pixels of more than 8 bits: no bit is lost on the way in, nor on the way out where the format has room for it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageOps

from restore.errors import ImageError
from restore.images import Photo, peek, read, write

tifffile = pytest.importorskip("tifffile")
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def noise(height: int, width: int, channels: int = 3, dtype: type = np.uint8) -> NDArray:
    values = np.random.default_rng(height * 7919 + width).integers(
        0, int(np.iinfo(dtype).max) + 1, (height, width, channels), dtype
    )
    return values[..., 0] if channels == 1 else values


def values(image: Photo, top: float = 255.0) -> NDArray:
    """The stored pixels as (H, W, 3) in 0..top, computed another way than the package does."""
    return (image.stored().permute(1, 2, 0).double().numpy() + 1) / 2 * top


def exact(image: Photo, expected: NDArray, top: float = 255.0) -> None:
    colours = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, -1)
    np.testing.assert_allclose(values(image, top), colours, atol=0.01 * top / 255)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(array: NDArray, colour_type: int, middle: bytes = b"") -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@quick
@given(
    arrays.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 3, 4]))),
    st.sampled_from([".png", ".tif"]),
)
def test_sixteen_bits_survive_exactly(tmp_path: Path, array: NDArray, suffix: str) -> None:
    channels = array.shape[2]
    source, first, second = tmp_path / "a.png", tmp_path / f"b{suffix}", tmp_path / "c.png"
    source.write_bytes(png16(array, {1: 0, 2: 4, 3: 2, 4: 6}[channels]))
    image = read(source)
    assert (image.depth, image.gray) == (16, channels < 3)
    exact(image, array[..., 0] if channels < 3 else array[..., :3], 65535)
    write(image, first, overwrite=True)
    again = read(first)
    assert again.depth == 16
    exact(again, array[..., 0] if channels < 3 else array[..., :3], 65535)
    assert (again.alpha is None) == (channels % 2 == 1)
    if channels % 2 == 0:
        np.testing.assert_array_equal(again.alpha, array[..., -1])
    write(image, second, overwrite=True)
    # OpenCV, which knows nothing of this package, must see the same numbers.
    other = cv2.imread(str(second), cv2.IMREAD_UNCHANGED)
    assert other.dtype == np.uint16
    if channels == 1:
        np.testing.assert_array_equal(other, array[..., 0])
    else:
        colours = np.repeat(array[..., :1], 3, -1) if channels == 2 else array[..., :3]
        np.testing.assert_array_equal(other[..., 2::-1], colours)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
        {"bigtiff": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_tiff_of_other_makers(tmp_path: Path, options: dict[str, object], channels: int) -> None:
    array = noise(40, 50, channels, np.uint16)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="minisblack" if channels == 1 else "rgb", **extra, **options
    )
    image = read(tmp_path / "a.tif")
    assert image.depth == 16
    exact(image, array[..., :3] if channels > 1 else array, 65535)
    if channels == 4:
        np.testing.assert_array_equal(image.alpha, array[..., 3])


def test_sixteen_bit_tiff_with_a_fourth_channel_of_another_meaning(tmp_path: Path) -> None:
    array = noise(20, 30, 4, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unspecified"])
    exact(read(tmp_path / "a.tif"), array[..., :3], 65535)


def test_sixteen_bit_tiff_with_colours_multiplied_by_alpha(tmp_path: Path) -> None:
    straight = noise(20, 30, 4, np.uint16)
    straight[..., 3] |= 0x8000
    multiplied = straight.copy()
    multiplied[..., :3] = np.rint(straight[..., :3] * (straight[..., 3:] / 65535.0))
    tifffile.imwrite(tmp_path / "a.tif", multiplied, photometric="rgb", extrasamples=["assocalpha"])
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.alpha, straight[..., 3])
    np.testing.assert_allclose(values(image, 65535), straight[..., :3], atol=2)


def test_sixteen_bit_tiff_in_planes_is_refused(tmp_path: Path) -> None:
    array = np.moveaxis(noise(20, 30, 3, np.uint16), -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", planarconfig="separate")
    with pytest.raises(ImageError, match="planes"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sixteen_bit_tiff_is_turned_as_pillow_turns_eight_bits(
    tmp_path: Path, orientation: int, compression: str | None
) -> None:
    array = noise(20, 30, 3, np.uint16)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extratags=tag, compression=compression)
    high = Image.fromarray((array >> 8).astype(np.uint8))
    high.getexif()[274] = orientation
    expected = np.asarray(ImageOps.exif_transpose(high))
    result = np.rint(values(read(tmp_path / "a.tif"), 65535)).astype(np.uint16)
    np.testing.assert_array_equal(result >> 8, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", [">u2", "<u2", "i4", "f4"])
def test_deep_gray_tiff_is_turned(tmp_path: Path, orientation: int, dtype: str) -> None:
    shallow = noise(20, 30, 1)
    deep = (shallow / 255).astype(dtype) if dtype == "f4" else (shallow.astype(np.int64) * 257).astype(dtype)
    tifffile.imwrite(
        tmp_path / "a.tif",
        deep,
        byteorder=">" if dtype[0] == ">" else "<",
        extratags=[(274, "H", 1, orientation, True)],
    )
    same = Image.fromarray(shallow)
    same.getexif()[274] = orientation
    exact(read(tmp_path / "a.tif"), np.asarray(ImageOps.exif_transpose(same)))


@pytest.mark.parametrize(
    ("array", "depth", "top"),
    [
        (np.array([[0, 200], [255, 7]], np.int32), 8, 255),
        (np.array([[0, 256], [65535, 7]], np.int32), 16, 65535),
        (np.array([[0, 70000], [2**31 - 1, 2**30]], np.int32), 16, 2**31 - 1),
        (np.array([[0, 70000], [2**32 - 1, 2**31]], np.uint32), 16, 2**32 - 1),
        (np.array([[0, 70], [2**15 - 1, 300]], np.int16), 16, 65535),
    ],
)
def test_wide_integers(tmp_path: Path, array: NDArray, depth: int, top: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array)
    image = read(path)
    assert (image.depth, image.gray) == (depth, True)
    np.testing.assert_allclose(image.pixels[0].numpy(), array / top * 2 - 1, atol=1e-6)


@pytest.mark.parametrize(("bits", "photometric"), [(12, 1), (16, 1), (16, 0)])
def test_gray_tiff_of_twelve_bits_and_negatives(tmp_path: Path, bits: int, photometric: int) -> None:
    """Twelve bits are packed by hand: two values in three bytes."""
    levels = np.array([[0, 1000, 2**bits - 1, 7]], np.uint16)
    data = levels.astype("<u2").tobytes()
    if bits == 12:
        (a, b, c, d) = levels[0].tolist()
        data = b"".join(((x << 12) | y).to_bytes(3, "big") for x, y in ((a, b), (c, d)))
    entries = [(256, 4), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (279, len(data))]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    header = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    (tmp_path / "a.tif").write_bytes(header + data + struct.pack("<H", len(entries)) + table + bytes(4))
    image = read(tmp_path / "a.tif")
    expected = levels / (2**bits - 1)
    exact(image, expected if photometric == 1 else 1 - expected, 1.0)
    assert image.depth == 16


def test_negative_integers_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[-4, 5]], np.int32))
    with pytest.raises(ImageError, match="-4 to 5"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_float_tiff_goes_back_in_its_own_units(tmp_path: Path, channels: int, white: float) -> None:
    array = (noise(9, 8, channels).astype(np.float32) / 255 * white).astype(np.float32)
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(source, array, photometric="minisblack" if channels == 1 else "rgb")
    image = read(source)
    assert peek(source) == (9, 8)
    assert (image.depth, image.white, image.gray) == (32, white, channels == 1)
    exact(image, array / white, 1.0)
    write(image, target)
    np.testing.assert_allclose(tifffile.imread(target), array, atol=1e-6 * white)
    write(image, tmp_path / "b.png")
    again = read(tmp_path / "b.png")
    assert again.depth == 16
    exact(again, array / white, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -3.0, 4.0, 1e9])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_that_are_no_image_are_refused(tmp_path: Path, bad: float, channels: int) -> None:
    array = np.full((4, 5, channels), 0.5, np.float32)
    array[2, 2, 0] = bad
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, array[..., 0] if channels == 1 else array, photometric="minisblack" if channels == 1 else "rgb"
    )
    with pytest.raises(ImageError, match=r"NaN or infinity|rescale"):
        read(path)


@pytest.mark.parametrize("channels", [2, 3])
def test_kinds_of_tiff_that_nobody_reads_are_refused(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.tif"
    if channels == 2:
        tifffile.imwrite(path, noise(9, 8, 2, np.uint16), photometric="minisblack", planarconfig="contig")
    else:
        tifffile.imwrite(path, noise(9, 8, 3, np.uint32), photometric="rgb")
    with pytest.raises(ImageError, match="not supported"):
        read(path)


@pytest.mark.parametrize("largest", [100, 255, 1023, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_portable_maps_of_any_depth(tmp_path: Path, largest: int, channels: int) -> None:
    array = np.random.default_rng(1).integers(0, largest + 1, (6, 5, channels))
    dtype = ">u2" if largest > 255 else "u1"
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P%d 5 6 %d\n" % (5 if channels == 1 else 6, largest) + array.astype(dtype).tobytes())
    image = read(path)
    assert (image.depth, image.gray) == (16 if largest > 255 else 8, channels == 1)
    exact(image, array[..., 0] if channels == 1 else array, largest)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ImageError, match="damaged or cut short"):
        read(path)


def test_values_that_mean_transparent(tmp_path: Path) -> None:
    gray, colour = noise(6, 7, 1, np.uint16), noise(6, 7, 3, np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(png16(gray[..., None], 0, chunk(b"tRNS", struct.pack(">H", int(gray[2, 3])))))
    np.testing.assert_array_equal(read(path).alpha == 0, gray == gray[2, 3])
    path.write_bytes(png16(colour, 2, chunk(b"tRNS", struct.pack(">HHH", *map(int, colour[2, 3])))))
    image = read(path)
    np.testing.assert_array_equal(image.alpha == 0, (colour == colour[2, 3]).all(-1))
    exact(image, colour, 65535)
    for array in (noise(6, 7, 1), noise(6, 7)):
        key = int(array[2, 3]) if array.ndim == 2 else tuple(map(int, array[2, 3]))
        Image.fromarray(array).save(path, transparency=key)
        image = read(path)
        assert image.alpha[2, 3] == 0
        assert image.gray == (array.ndim == 2)
