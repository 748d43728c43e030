"""Files, folders and patterns become one list in the order a person expects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore.errors import ImageError
from restore.images import list_images, listing, namesake, namesakes, passed_over
from restore.images.formats import RAW_SUFFIXES
from restore.images.listing import natural_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "10.png",
        "2.JPG",
        "1.png",
        "a1b10.tif",
        "a1b9.tif",
        ".hidden.png",
        "notes.txt",
        "b/3.png",
        "b/c/4.webp",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_folder_gives_its_images_in_natural_order(folder: Path) -> None:
    assert names(list_images([folder])) == ["1.png", "2.JPG", "10.png", "a1b9.tif", "a1b10.tif"]
    assert set(names(list_images([folder], recursive=True))) == {*names(list_images([folder])), "3.png", "4.webp"}


def test_a_file_is_taken_whatever_its_suffix(folder: Path) -> None:
    assert names(list_images([folder / "notes.txt", folder / ".hidden.png"])) == ["notes.txt", ".hidden.png"]


def test_masks_are_images(folder: Path) -> None:
    (folder / "1.json").write_text("{}")
    assert namesake(folder, Path("elsewhere/1.jpg")) == folder / "1.png"
    assert namesakes(folder)["1"] == folder / "1.png" and "notes" not in namesakes(folder)


def test_patterns(folder: Path) -> None:
    assert names(list_images([str(folder / "*.png")])) == ["1.png", "10.png"]
    assert names(list_images([str(folder / "**" / "*.webp")])) == ["4.webp"]
    (folder / "x[1].png").write_bytes(b"")
    assert names(list_images([str(folder / "x[1].png")])) == ["x[1].png"]


def test_each_file_comes_once_in_the_order_of_the_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = list_images([folder / "10.png", "*.png", ".", "./1.png"])
    assert names(found) == ["10.png", "1.png", "2.JPG", "a1b9.tif", "a1b10.tif"]


def test_what_gives_nothing_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    for given_path, word in (("*.gif", "matches"), ("missing.png", "no file"), ("empty", "holds no file")):
        with pytest.raises(ImageError, match=word) as caught:
            list_images([folder / "1.png", str(folder / given_path)])
        assert given_path in str(caught.value)
    assert list_images([]) == []


def test_links_that_go_in_circles_end(folder: Path) -> None:
    (folder / "b" / "up").symlink_to(folder)
    (folder / "self.png").symlink_to(folder / "self.png")
    os.mkfifo(folder / "pipe.png")
    found = names(list_images([folder], recursive=True))
    assert len(found) == len(set(found)) == 9


@given(st.lists(st.text("ab.é0129٣²", min_size=1, max_size=8)))
def test_every_name_has_a_place_in_the_order(texts: list[str]) -> None:
    assert sorted(sorted(texts, key=natural_key), key=natural_key) == sorted(texts, key=natural_key)


def test_files_that_are_passed_over_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "IMAGE_SUFFIXES", listing.IMAGE_SUFFIXES - RAW_SUFFIXES)
    assert passed_over([folder]) is None
    for name in ("a.CR2", "b.xyz", "c.mp4", ".d.mp4", "e.json", "LICENSE", "b/f.xyz"):
        (folder / name).write_text("some words")
    (folder / "g").write_bytes(bytes(range(128, 256)))
    sentence = passed_over([folder, folder, str(folder / "1.png")])
    assert sentence is not None
    assert sentence.startswith("4 files of kinds that are not read: .CR2, .mp4, .xyz, no suffix (")
    assert "pip install 'restore-diffusion[raw]'" in sentence
    assert (passed_over([folder], recursive=True) or "").startswith("5 files")
    (folder / "b" / "3.png").unlink()
    assert passed_over([folder / "b"]) == "1 file of a kind that is not read: .xyz"
    assert passed_over([folder / "1.png", str(folder / "*.mp4")]) is None


def test_a_folder_without_images_says_what_it_holds(folder: Path) -> None:
    (folder / "only").mkdir()
    (folder / "only" / "a.xyz").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"holds no file .*, but 1 file of a kind that is not read: \.xyz"):
        list_images([folder / "only"])
