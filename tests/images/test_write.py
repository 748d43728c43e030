"""Writing: the whole file or nothing, never over the source, and only where it is allowed."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restore.errors import ArrayError, ImageError
from restore.images import WRITABLE, Photo, read, write


@pytest.fixture
def image(tmp_path: Path) -> Photo:
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(tmp_path / "source.png")
    return read(tmp_path / "source.png")


@pytest.fixture
def umask() -> Iterator[int]:
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_an_unknown_suffix_lists_those_accepted(image: Photo, tmp_path: Path) -> None:
    for name in ("a.jpgg", "a", "a.mp4"):
        with pytest.raises(ImageError, match=r"\.png .*\.tif"):
            write(image, tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("suffix", WRITABLE)
def test_the_suffix_says_the_format(image: Photo, tmp_path: Path, suffix: str) -> None:
    write(image, tmp_path / f"a{suffix.upper()}")
    assert read(tmp_path / f"a{suffix.upper()}").format == WRITABLE[suffix]


def test_an_existing_file_stays_unless_overwriting_is_allowed(image: Photo, tmp_path: Path) -> None:
    target = tmp_path / "old.png"
    target.write_bytes(b"old")
    with pytest.raises(ImageError, match="exists"):
        write(image, target)
    assert target.read_bytes() == b"old"
    write(image, target, overwrite=True)
    assert read(target).width == 4


def test_the_source_is_never_overwritten_under_any_name(image: Photo, tmp_path: Path) -> None:
    assert image.source is not None
    before = image.source.read_bytes()
    link, hard, folder = tmp_path / "link.png", tmp_path / "hard.png", tmp_path / "folder"
    link.symlink_to(image.source)
    os.link(image.source, hard)
    folder.symlink_to(tmp_path)
    for name in (image.source, link, hard, folder / "source.png", tmp_path / "." / "x" / ".." / "source.png"):
        with pytest.raises(ImageError, match="was read"):
            write(image, name, overwrite=True)
        with pytest.raises(ImageError, match="was read"):
            write(image.with_pixels(image.pixels * 0), name, overwrite=True)
    assert image.source.read_bytes() == before


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow beyond 1000 bytes: a disk that fills up in the middle of an image.

    A fixture would hold the limit while the test runner writes its own output, which may be a file too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["old.png", "old.tif", "new.jpg", "new.webp", "deep/er/new.png"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(
    image: Photo, tmp_path: Path, name: str, depth: int
) -> None:
    for old in ("old.png", "old.tif"):
        (tmp_path / old).write_bytes(b"old")
    names = sorted(path.name for path in tmp_path.iterdir())
    noisy = replace(image.with_pixels(torch.rand(3, 64, 64, generator=torch.manual_seed(0)) * 2 - 1), depth=depth)
    with full_disk(), pytest.raises(ImageError, match=r"cannot write .*(too large|encod)"):
        write(noisy, tmp_path / name, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert (tmp_path / "old.png").read_bytes() == (tmp_path / "old.tif").read_bytes() == b"old"


def test_not_a_number_is_not_written(image: Photo, tmp_path: Path) -> None:
    with pytest.raises(ArrayError, match=r"cannot write .*NaN"):
        write(image.with_pixels(image.pixels * torch.nan), tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["source.png"]


def test_missing_folders_are_made_and_permissions_follow_the_umask(image: Photo, tmp_path: Path, umask: int) -> None:
    target = tmp_path / "a" / "b" / "c.png"
    write(image, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_the_longest_name_is_written_and_a_longer_one_refused(image: Photo, tmp_path: Path) -> None:
    write(image, tmp_path / ("n" * 251 + ".png"))
    with pytest.raises(ImageError, match="too long"):
        write(image, tmp_path / ("n" * 252 + ".png"))


def test_places_where_no_file_can_be(image: Photo, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ImageError, match="folder"):
        write(image, tmp_path / "folder.png", overwrite=True)
    with pytest.raises(ImageError, match="cannot write"):
        write(image, tmp_path / "file" / "a.png")
    with pytest.raises(ImageError, match="quality"):
        write(image, tmp_path / "a.jpg", quality=0)


@pytest.mark.parametrize(("name", "limit"), [("a.jpg", 65500), ("a.webp", 16383)])
def test_sides_beyond_a_format_are_refused(image: Photo, tmp_path: Path, name: str, limit: int) -> None:
    with pytest.raises(ImageError, match=str(limit)):
        write(image.with_pixels(torch.zeros(3, 1, limit + 1)), tmp_path / name)


def test_values_are_rounded_and_clipped(image: Photo, tmp_path: Path) -> None:
    levels = torch.tensor([-9.0, 0.4, 0.6, 99.4, 99.6, 254.6, 300.0]) / 127.5 - 1
    write(image.with_pixels(levels.expand(3, 1, 7)), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 1, 99, 100, 255, 255]


def test_with_pixels_of_another_size_takes_the_alpha_along(image: Photo) -> None:
    alpha = np.tile(np.array([0, 0, 255, 255], np.uint8), (4, 1))
    clear = replace(image, alpha=alpha)
    large = clear.with_pixels(torch.zeros(3, 8, 8, dtype=torch.float64, requires_grad=True))
    assert large.pixels.dtype == torch.float32
    assert not large.pixels.requires_grad
    assert large.alpha is not None
    assert large.alpha.dtype == np.uint8
    assert large.alpha[:, [0, -1]].tolist() == [[0, 255]] * 8
    assert clear.with_pixels(torch.zeros(3, 4, 4)).alpha is alpha
    for bad in (torch.zeros(1, 3, 4, 4), torch.zeros(4, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(ArrayError, match=r"\(3, H, W\)"):
            clear.with_pixels(bad)


def test_save_is_write(image: Photo, tmp_path: Path) -> None:
    image.save(tmp_path / "a.bmp")
    assert read(tmp_path / "a.bmp").pixels.equal(image.pixels)
    assert "source.png" in repr(image)
