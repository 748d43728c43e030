"""JPEG 2000, TGA, floats of all kinds, and what needs an optional package."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from restore.errors import ImageError
from restore.images import ImageWarning, Photo, formats, peek, read, write


def noise(height: int = 20, width: int = 30, channels: int = 3, dtype: type = np.uint8) -> NDArray:
    top = int(np.iinfo(dtype).max) + 1
    values = np.random.default_rng(height).integers(0, top, (height, width, channels), dtype)
    return values[..., 0] if channels == 1 else values


def unit(image: Photo) -> NDArray:
    return (image.stored().permute(1, 2, 0).numpy() + 1) / 2


@pytest.mark.parametrize("suffix", [".jp2", ".j2k"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_2000(tmp_path: Path, channels: int, suffix: str) -> None:
    array = noise(40, 50, channels)
    Image.fromarray(array).save(tmp_path / f"a{suffix}", irreversible=False)
    image = read(tmp_path / f"a{suffix}")
    assert (image.format, image.gray, peek(tmp_path / f"a{suffix}")) == ("JPEG2000", channels < 3, (40, 50))
    np.testing.assert_array_equal(image.array(np.uint8), array)


def test_sixteen_bits_of_a_jpeg_2000(tmp_path: Path) -> None:
    array = noise(40, 50, 1, np.uint16)
    Image.fromarray(array).save(tmp_path / "a.jp2", irreversible=False)
    image = read(tmp_path / "a.jp2")
    assert image.depth == 16
    np.testing.assert_array_equal(image.array(np.uint16), array)


def test_deep_colours_of_a_jpeg_2000_warn(tmp_path: Path) -> None:
    Image.fromarray(noise()).save(tmp_path / "a.j2k", irreversible=False)
    content = bytearray((tmp_path / "a.j2k").read_bytes())
    assert content[:4] == b"\xff\x4f\xff\x51" and content[42] == 7
    content[42] = content[45] = content[48] = 11
    (tmp_path / "a.j2k").write_bytes(content)
    with pytest.warns(ImageWarning, match=r"a\.j2k: its 12 bits per channel are read as 8"):
        read(tmp_path / "a.j2k")


@pytest.mark.parametrize("compression", [None, "tga_rle"])
@pytest.mark.parametrize("orientation", [-1, 1])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tga(tmp_path: Path, channels: int, orientation: int, compression: str | None) -> None:
    array = noise(channels=channels)
    Image.fromarray(array).save(tmp_path / "a.tga", compression=compression, orientation=orientation)
    image = read(tmp_path / "a.tga")
    assert (image.format, image.gray, peek(tmp_path / "a.tga")) == ("TGA", channels == 1, (20, 30))
    np.testing.assert_array_equal(image.array(np.uint8), array)


@pytest.mark.parametrize(
    "content", [bytes(18), bytes(4000), b"\0\1\2" + bytes(60), b"\0\0\2" + bytes(9) + b"\xff" * 5 + b"\0"]
)
def test_what_is_no_tga_is_not_taken_for_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tga").write_bytes(content)
    with pytest.raises(ImageError, match="none of"):
        read(tmp_path / "a.tga")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"byteorder": ">"}, {"planarconfig": "separate"}, {"tile": (16, 16)}],
    ids=str,
)
def test_floats_of_all_kinds(tmp_path: Path, dtype: str, channels: int, options: dict[str, object]) -> None:
    array = (noise(channels=channels) / 255).astype(dtype)
    extra = {"extrasamples": ["unassalpha"]} if channels % 2 == 0 else {}
    stored = np.moveaxis(array, -1, 0) if "planarconfig" in options and channels > 1 else array
    options = {name: value for name, value in options.items() if name != "planarconfig" or channels > 1}
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack" if channels < 3 else "rgb", **extra, **options
    )
    image = read(tmp_path / "a.tif")
    assert (image.depth, image.gray, image.encoding.lossless) == (32, channels < 3, True)
    assert peek(tmp_path / "a.tif") == (20, 30)
    colours = array if channels == 1 else array[..., :3] if channels > 2 else array[..., 0]
    expected = np.repeat(colours[..., None], 3, -1) if channels < 3 else colours
    np.testing.assert_allclose(unit(image), expected, atol=1e-6)
    if channels % 2 == 0:
        assert image.alpha is not None
        np.testing.assert_allclose(image.alpha, array[..., -1], atol=1e-6)
    for suffix in (".png", ".jpg", ".gif"):
        write(image, tmp_path / f"b{suffix}")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_float_colours_are_turned(tmp_path: Path, orientation: int) -> None:
    array = noise()
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extratags=tag)
    tifffile.imwrite(tmp_path / "b.tif", (array / 255).astype("f2"), photometric="rgb", extratags=tag)
    assert peek(tmp_path / "a.tif") == peek(tmp_path / "b.tif")
    np.testing.assert_allclose(unit(read(tmp_path / "b.tif")), unit(read(tmp_path / "a.tif")), atol=1e-3)


def test_float_colours_multiplied_with_their_alpha(tmp_path: Path) -> None:
    straight = noise(channels=4) / 255
    straight[..., 3] = straight[..., 3].clip(0.25)
    multiplied = np.concatenate([straight[..., :3] * straight[..., 3:], straight[..., 3:]], -1).astype("f4")
    tifffile.imwrite(tmp_path / "a.tif", multiplied, photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_allclose(unit(read(tmp_path / "a.tif")), straight[..., :3], atol=1e-5)


def test_a_float_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16, 3), "f2"), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        place, length = page.dataoffsets[0], page.databytecounts[0]
        entry = page.tags["StripByteCounts"].valueoffset
    whole, bomb = path.read_bytes(), zlib.compress(bytes(64 << 20))
    content = bytearray(whole[:place] + bomb + whole[place + length :])
    struct.pack_into("<I", content, entry, len(bomb))
    path.write_bytes(content)
    with pytest.raises(ImageError, match="more than its header tells"):
        read(path)


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    y, x = np.mgrid[0:40, 0:60]
    array = np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8)
    heif.from_pillow(Image.fromarray(array)).save(tmp_path / "a.heic", quality=95)
    image = read(tmp_path / "a.heic")
    assert peek(tmp_path / "a.heic") == (40, 60)
    np.testing.assert_allclose(image.array(np.uint8).astype(int), array, atol=16)
    content = (tmp_path / "a.heic").read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / "b.heic").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ImageError, match="damaged or cut short"):
            read(tmp_path / "b.heic")


def negative(path: Path) -> None:
    """A DNG of random sensor values, with no more tags than LibRaw needs."""
    matrix = [
        part for value in (0.9, -0.2, -0.1, -0.5, 1.3, 0.2, -0.1, 0.2, 0.6) for part in (int(value * 10000), 10000)
    ]
    tags = [
        (50706, 1, 4, (1, 4, 0, 0), True),
        (50708, 2, 0, "Test Camera", True),
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, (0, 1, 1, 2), True),
        (50721, 10, 9, tuple(matrix), True),
        (50778, 3, 1, 21, True),
        (50717, 4, 1, 4000, True),
        (271, 2, 0, "Test", True),
        (272, 2, 0, "Camera", True),
    ]
    sensor = np.random.default_rng(0).integers(0, 4000, (128, 192)).astype(np.uint16)
    tifffile.imwrite(path, sensor, photometric=32803, extratags=tags, metadata=None)


def test_raw_files_of_cameras(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rawpy")
    negative(tmp_path / "a.dng")
    image = read(tmp_path / "a.dng")
    assert (image.height, image.width, image.depth) == (128, 192, 16)
    assert peek(tmp_path / "a.dng") == (128, 192)
    (tmp_path / "b.dng").write_bytes((tmp_path / "a.dng").read_bytes()[:20_000])
    with pytest.raises(ImageError, match="damaged or cut short"):
        read(tmp_path / "b.dng")
    assert capfd.readouterr().err == ""


MISSING = {
    "HEIC": ("a.jpg", b"\0\0\0\x18ftypheic" + bytes(40), "HEIC.*pip install 'restore-diffusion.heif.'"),
    "CR2": ("a.tif", b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "camera.*pip install 'restore-diffusion.raw.'"),
    "NEF": ("a.NEF", b"MM\0*\0\0\0\x08" + bytes(40), "pip install 'restore-diffusion.raw.'"),
    "RAF": ("a.raf", b"FUJIFILMCCD-RAW 0201" + bytes(40), "pip install 'restore-diffusion.raw.'"),
    "CR3": ("a.cr3", b"\0\0\0\x18ftypcrx " + bytes(40), "pip install 'restore-diffusion.raw.'"),
}


@pytest.mark.parametrize(("name", "content", "words"), MISSING.values(), ids=MISSING)
def test_what_needs_an_optional_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, words: str
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=words):
        read(tmp_path / name)
    assert peek(tmp_path / name) is None


def test_libraries_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff, OpenCV and tifffile each have a word for damage, and none of them is ours."""
    kinds = [("u1", "zlib", 0), ("u2", "zlib", 0), ("f2", "zlib", 0), ("f4", "zlib", 0), ("f4", None, 0)]
    for dtype, compression, _ in kinds:
        top = 1.0 if dtype[0] == "f" else float(np.iinfo(dtype).max)
        array = (noise(40, 50) / 255 * top).astype(dtype)
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression=compression)
        content = (tmp_path / "a.tif").read_bytes()
        # OpenCV reads what has a predictor
        places = [content.find(struct.pack("<HHI", 259, 3, 1)) + 8]
        for change in range(25):
            broken = bytearray(content)
            if change % 5 == 4:
                broken[places[0]] = 5
            for place in np.random.default_rng(change).integers(8, len(content), 4):
                broken[place] ^= 0x55
            (tmp_path / "a.tif").write_bytes(broken[: len(broken) - change * 97])
            try:
                read(tmp_path / "a.tif")
            except (ImageError, ImageWarning) as error:
                assert "\n" not in str(error) and len(str(error)) < 2000
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("target", [".png", ".jpg", ".tif", ".bmp", ".webp", ".gif", ".ppm"])
def test_a_resolution_that_nothing_has_costs_no_image(tmp_path: Path, target: str) -> None:
    for number in (4294967295, 70000, 0):
        tifffile.imwrite(
            tmp_path / "a.tif", noise(), photometric="rgb", resolution=((number, 1), (number, 1)), resolutionunit=2
        )
        write(read(tmp_path / "a.tif"), tmp_path / f"b{target}", overwrite=True)
        assert read(tmp_path / f"b{target}").width == 30


def test_any_exception_of_an_encoder_is_an_error_of_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise()).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    for error in (
        OverflowError("int too large"),
        struct.error("'H' format"),
        KeyError("x"),
        MemoryError(),
        TypeError("t"),
    ):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises(
            ImageError, match=r"cannot write .*b\.png: (it cannot be encoded|there is not enough memory)"
        ):
            write(image, tmp_path / "b.png")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
