"""Orientation goes into the pixels; everything else that a file says about itself is still said by the next file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps, features
from PIL.PngImagePlugin import PngInfo

from restore.images import ImageWarning, Photo, peek, read, write

KINDS = ["JPEG", "PNG", "WEBP", "TIFF"] + (["AVIF"] if features.check("avif") else [])
SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "AVIF": ".avif"}


def scene() -> Image.Image:
    """An image whose eight orientations all differ."""
    y, x = np.mgrid[0:24, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 10, np.where(x + 2 * y < 40, 250, 20)], -1).astype(np.uint8))


def loaded(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        image.getexif()
    return image


def eight_bit(image: Photo) -> np.ndarray:
    return np.rint((image.pixels.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)


def exif(orientation: int | None = None, description: str = "a wet street") -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Maker"
    block[ExifTags.Base.ImageDescription] = description
    block[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)}
    block[ExifTags.IFD.Exif] = {
        int(ExifTags.Base.DateTimeOriginal): "2021:02:03 04:05:06",
        int(ExifTags.Base.ExifImageWidth): 40,
        int(ExifTags.Base.ExifImageHeight): 24,
    }
    if orientation is not None:
        block[ExifTags.Base.Orientation] = orientation
    return block.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_orientation_is_applied_as_pillow_applies_it(tmp_path: Path, kind: str, orientation: int) -> None:
    source, target = tmp_path / f"a{SUFFIX[kind]}", tmp_path / "b.jpg"
    scene().save(source, kind, exif=exif(orientation), **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(loaded(source)).convert("RGB"))
    assert peek(source) == expected.shape[:2]
    image = read(source)
    np.testing.assert_array_equal(eight_bit(image), expected)
    write(image, target)
    again = loaded(target)
    assert again.getexif().get(ExifTags.Base.Orientation) is None
    assert again.size == expected.shape[1::-1]
    assert again.getexif()[ExifTags.Base.Make] == "Maker"


@pytest.mark.parametrize("value", [0, 9, 700])
def test_an_orientation_that_does_not_exist_counts_as_upright(tmp_path: Path, value: int) -> None:
    scene().save(tmp_path / "a.png", exif=exif(value))
    np.testing.assert_array_equal(eight_bit(read(tmp_path / "a.png")), np.asarray(scene()))


def test_the_alpha_is_turned_along(tmp_path: Path) -> None:
    image = scene()
    image.putalpha(image.getchannel(0))
    image.save(tmp_path / "a.png", exif=exif(6))
    photo = read(tmp_path / "a.png")
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha, eight_bit(replace(photo, pixels=photo.stored()))[..., 0])


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_exif_with_gps_survives(tmp_path: Path, kind: str, to: str) -> None:
    source, target = tmp_path / f"a{SUFFIX[kind]}", tmp_path / f"b{SUFFIX[to]}"
    scene().save(source, kind, exif=exif(6))
    write(read(source), target)
    found = loaded(target).getexif()
    assert found[ExifTags.Base.Make] == "Maker"
    assert found[ExifTags.Base.ImageDescription] == "a wet street"
    gps = found.get_ifd(ExifTags.IFD.GPSInfo)
    assert gps[1] == "N"
    assert [float(value) for value in gps[2]] == [48, 51, 30]
    inner = found.get_ifd(ExifTags.IFD.Exif)
    assert inner[ExifTags.Base.DateTimeOriginal] == "2021:02:03 04:05:06"
    if to != "TIFF":
        # Turned by 90 degrees, and so are the sides that EXIF tells.
        assert (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]) == (24, 40)


@pytest.mark.parametrize("deep", [False, True])
def test_png_keeps_profile_texts_resolution_and_xmp_at_any_depth(tmp_path: Path, deep: bool) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    texts = PngInfo()
    texts.add_text("Author", "A. N. Other")
    texts.add_itxt("Title", "Regen über Zürich ☔")
    texts.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6" dc:title="t"/>')
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    scene().save(source, pnginfo=texts, icc_profile=profile, dpi=(300, 300), exif=exif())
    image = read(source)
    assert image.pixels.shape == (3, 40, 24)
    if deep:
        image = replace(image, depth=16)
    write(image, target)
    found = loaded(target)
    assert found.info["icc_profile"] == profile
    assert found.text["Author"] == "A. N. Other"  # type: ignore[attr-defined]
    assert found.text["Title"] == "Regen über Zürich ☔"  # type: ignore[attr-defined]
    assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert b'dc:title="t"' in found.info["xmp"]
    assert read(target).depth == (16 if deep else 8)
    np.testing.assert_array_equal(eight_bit(read(target)), eight_bit(image))


@pytest.mark.parametrize("kind", KINDS)
def test_the_profile_is_kept_and_the_pixels_are_not_touched(tmp_path: Path, kind: str) -> None:
    profile = display_p3()
    source, target = tmp_path / f"a{SUFFIX[kind]}", tmp_path / f"b{SUFFIX[kind]}"
    scene().save(source, kind, icc_profile=profile)
    image = read(source)
    np.testing.assert_array_equal(eight_bit(image), np.asarray(loaded(source).convert("RGB")))
    assert image.metadata.icc == profile
    write(image, target)
    assert loaded(target).info["icc_profile"] == profile


def display_p3() -> bytes:
    """A matrix profile with the primaries of Display P3 (D50 adapted), assembled by hand."""
    import struct

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    def described(text: str) -> bytes:
        body = text.encode("ascii") + b"\0"
        return b"desc" + bytes(4) + struct.pack(">I", len(body)) + body + bytes(78)

    tags = {
        b"desc": described("Display P3"),
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ " + bytes(4) + fixed(0.5151, 0.2412, -0.0011),
        b"gXYZ": b"XYZ " + bytes(4) + fixed(0.2920, 0.6922, 0.0419),
        b"bXYZ": b"XYZ " + bytes(4) + fixed(0.1571, 0.0666, 0.7841),
        b"rTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, 0x0233) + bytes(2),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    tags[b"gTRC"] = tags[b"bTRC"] = tags[b"rTRC"]
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = start + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"\0" * 4, 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s", 2021, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "garbage",
    [
        b"Exif\0\0garbage that is no table at all",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01",
    ],
)
def test_garbage_exif_is_left_out_with_a_warning(tmp_path: Path, kind: str, garbage: bytes) -> None:
    source, target = tmp_path / f"a{SUFFIX[kind]}", tmp_path / f"b{SUFFIX[kind]}"
    scene().save(source, kind, exif=garbage, **({"lossless": True} if kind == "WEBP" else {}))
    with pytest.warns(ImageWarning, match=rf"a\{SUFFIX[kind]}: "):
        image = read(source)
    assert image.metadata.exif is None
    write(image, target)
    assert not loaded(target).getexif()


def test_a_jpeg_comment_and_resolution_survive(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg", comment="seen from the bridge", dpi=(72, 96))
    write(read(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    found = loaded(tmp_path / "b.jpg")
    assert found.info["comment"] == b"seen from the bridge"
    assert found.info["dpi"] == (72, 96)
    write(read(tmp_path / "a.jpg"), tmp_path / "b.tif")
    assert loaded(tmp_path / "b.tif").info["dpi"] == (72, 96)
    write(read(tmp_path / "a.jpg"), tmp_path / "b.png")
    assert loaded(tmp_path / "b.png").text["Comment"] == "seen from the bridge"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_an_xmp_packet_survives_upright(tmp_path: Path, kind: str) -> None:
    packet = b'<x:xmpmeta><rdf tiff:Orientation="8" dc:creator="me"/></x:xmpmeta>'
    source, target = tmp_path / f"a{SUFFIX[kind]}", tmp_path / f"b{SUFFIX[kind]}"
    options = {"tiffinfo": {700: packet}} if kind == "TIFF" else {"xmp": packet}
    scene().save(source, kind, **options)
    write(read(source), target)
    assert b'dc:creator="me"' in loaded(target).info["xmp"]
    assert b'Orientation="8"' not in loaded(target).info["xmp"]
    assert read(target).pixels.shape == read(source).pixels.shape


def test_exif_too_long_for_a_jpeg_is_left_out_with_a_warning(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png", exif=exif(description="long " * 20000))
    with pytest.warns(ImageWarning, match="too long"):
        write(read(tmp_path / "a.png"), tmp_path / "b.jpg")
    assert not loaded(tmp_path / "b.jpg").getexif()


def test_technical_tags_of_a_tiff_do_not_travel(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.tif", exif=exif())
    write(read(tmp_path / "a.tif"), tmp_path / "b.jpg")
    found = set(loaded(tmp_path / "b.jpg").getexif())
    assert ExifTags.Base.Make in found
    assert not found & {ExifTags.Base.StripOffsets, ExifTags.Base.Compression, ExifTags.Base.ImageWidth}
