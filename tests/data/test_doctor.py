from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.data.card import DatasetCard, load_card
from restore.data.doctor import KINDS, find_leaks, verify
from restore.data.look import look_all
from restore.data.pairs import Pairs, find_pairs
from restore.errors import DataError

EXPECTED = {"name": "eight", "title": "Eight", "summary": "s", "task": "weather", "paper": "none", "licence": "unknown"}


@pytest.fixture
def card() -> DatasetCard:
    return DatasetCard(
        **EXPECTED,
        splits={"test": {"count": 8}, "train": {"count": "unknown"}},
        default_split="test",
        protocol={"id": "native"},
        layouts=[
            {"name": "folders", "splits": {"test": {"kind": "folders", "input": "input", "target": "target"}}},
            {
                "name": "listed",
                "splits": {"train": {"kind": "list", "list": "list.txt", "replace": ["input", "target"]}},
            },
        ],
        leaks=[{"text": "t", "split": "test", "against": ["other"], "pattern": "^7$"}],
    )


class Plant:
    """Damages a sound folder in one way; each method returns a file that the finding must name."""

    def __init__(self, root: Path):
        self.root = root
        self.input, self.target = root / "input", root / "target"

    def open(self, path: Path) -> Image.Image:
        with Image.open(path) as image:
            return image.copy()

    def missing_target(self) -> str:
        (self.target / "3.png").unlink()
        return "3"

    def unused_target(self) -> str:
        (self.input / "3.png").unlink()
        return "target/3.png"

    def ambiguous_name(self) -> str:
        self.open(self.input / "3.png").save(self.input / "3.jpg")
        return "3.jpg"

    def foreign_file(self) -> str:
        (self.input / "model.zip").write_bytes(b"PK")
        return "model.zip"

    def count_mismatch(self) -> str:
        (self.input / "8.png").unlink(), (self.target / "8.png").unlink()
        return ""

    def empty_file(self) -> str:
        (self.input / "3.png").write_bytes(b"")
        return "input/3.png"

    def lfs_pointer(self) -> str:
        text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
        (self.input / "3.png").write_text(text)
        return "input/3.png"

    def not_an_image(self) -> str:
        (self.target / "3.png").write_text("<!DOCTYPE html><html><body>404</body></html>")
        return "target/3.png"

    def undecodable(self) -> str:
        data = (self.target / "3.png").read_bytes()
        (self.target / "3.png").write_bytes(data[: len(data) // 2])
        return "target/3.png"

    def wrong_suffix(self) -> str:
        self.open(self.input / "3.png").save(self.input / "3.png", format="JPEG", quality=95)
        return "input/3.png"

    def unusual_mode(self) -> str:
        self.open(self.input / "3.png").convert("RGBA").save(self.input / "3.png")
        return "input/3.png"

    def rotated_by_exif(self) -> str:
        exif = Image.Exif()
        exif[274] = 3
        self.open(self.input / "3.png").save(self.input / "3.png", exif=exif)
        return "input/3.png"

    def too_small(self) -> str:
        for folder in (self.input, self.target):
            self.open(folder / "3.png").resize((10, 30)).save(folder / "3.png")
        return "input/3.png"

    def one_colour(self) -> str:
        Image.new("RGB", (64, 48), (0, 0, 0)).save(self.input / "3.png")
        return "input/3.png"

    def size_mismatch(self) -> str:
        self.open(self.target / "3.png").crop((0, 0, 60, 48)).save(self.target / "3.png")
        return "target/3.png"

    def mode_mismatch(self) -> str:
        self.open(self.input / "3.png").convert("L").save(self.input / "3.png")
        return "input/3.png"

    def identical_pair(self) -> str:
        self.open(self.target / "3.png").save(self.input / "3.png")
        return "input/3.png"

    def swapped_target(self) -> str:
        three, four = (self.open(self.target / f"{number}.png") for number in (3, 4))
        three.save(self.target / "4.png"), four.save(self.target / "3.png")
        return "target/3.png"

    def duplicate_input(self) -> str:
        self.open(self.input / "3.png").save(self.input / "4.png")
        return "input/4.png"

    def duplicate_target(self) -> str:
        self.open(self.target / "3.png").save(self.target / "4.png", compress_level=1)
        return "target/4.png"

    def near_duplicate(self) -> str:
        self.open(self.target / "3.png").resize((96, 72)).save(self.target / "4.png")
        return "target/4.png"

    def known_leak(self) -> str:
        return "target/7.png"

    def unreadable_file(self) -> str:
        (self.input / "9.png").symlink_to(self.root / "gone.png")
        (self.target / "9.png").write_bytes((self.target / "3.png").read_bytes())
        return "input/9.png"


PLANTED = [name for name in vars(Plant) if not name.startswith("_") and name != "open"]


def test_a_sound_folder_is_sound(good: Path, card: DatasetCard) -> None:
    report = verify(card, good, workers=1)
    assert (report.pairs, report.targets, report.layout, report.split) == (8, 8, "folders", "test")
    assert report.ok and dict(report.kinds) == {"known-leak": 1}
    assert report.sizes == {"64x48": 16} and report.modes == {"RGB": 16}
    assert json.loads(json.dumps(report.as_dict()))["ok"] is True
    assert "usable, with warnings" in report.lines()[-1]


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found_by_name(fault: str, good: Path, card: DatasetCard) -> None:
    named = getattr(Plant(good), fault)()
    kind = fault.replace("_", "-")
    report = verify(card, good, workers=1)
    found = report.of_kind(kind)
    assert found, f"{kind} not among {dict(report.kinds)}"
    assert any(named in " ".join((finding.text, *finding.files)) for finding in found)
    assert all(finding.severity == KINDS[kind] for finding in found)
    assert report.ok == all(finding.severity == "warning" for finding in report.findings)
    assert any(kind in line for line in report.lines())


def test_at_least_fifteen_kinds_are_planted() -> None:
    assert len(PLANTED) >= 15 and {name.replace("_", "-") for name in PLANTED} <= set(KINDS)


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["input/1.png", "../input/2.png"], "list-entry-escapes"),
        (["input/1.png", "input/99.png"], "list-entry-absent"),
        (["input/1.png", "input/1.png"], "list-entry-repeated"),
    ],
)
def test_faults_of_list_files_are_found_by_name(lines: list[str], kind: str, good: Path, card: DatasetCard) -> None:
    (good / "list.txt").write_text("\n".join(lines))
    report = verify(card, good, "train", workers=1)
    (finding,) = report.of_kind(kind)
    assert lines[1] in finding.files and report.pairs == 1


def test_names_outside_the_rule_are_found(good: Path) -> None:
    card = load_card("raindrop")
    (good / "data").mkdir(), (good / "gt").mkdir()
    for name, stem in (("data", "1_rain"), ("gt", "1_clean"), ("data", "2_drop")):
        (good / name / f"{stem}.png").write_bytes((good / "target" / "1.png").read_bytes())
    (good / "input").rename(good / "elsewhere")
    report = verify(card, good, workers=1)
    assert [finding.files for finding in report.of_kind("unmatched-name")] == [("2_drop",)]
    assert not report.ok


def leaks_between(train: Path, test: Path) -> dict[str, set[str]]:
    card = load_card("folder")
    found = find_leaks(find_pairs(card, train), find_pairs(card, test), workers=1)
    kinds: dict[str, set[str]] = {}
    for finding in found:
        kinds.setdefault(finding.kind, set()).add(Path(finding.files[0]).name)
    return kinds


def test_leaks_from_training_to_test_are_found(good: Path, tmp_path: Path, image: Callable, save: Callable) -> None:
    train = tmp_path / "train"
    for seed in range(20, 26):
        save(train / "target" / f"{seed}.png", image(seed))
        save(train / "input" / f"{seed}.png", image(seed) // 2 + 60)
    assert leaks_between(train, good) == {}
    changes: dict[int, Callable[[Image.Image], Image.Image]] = {
        1: lambda image: image,
        2: lambda image: image.resize((128, 96), Image.Resampling.BICUBIC),
        3: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        4: lambda image: image.point(lambda value: int(value * 0.7) + 20),
    }
    for number, change in changes.items():
        with Image.open(good / "target" / f"{number}.png") as image:
            change(image.copy()).save(train / "target" / f"{number + 20}.png")
    kinds = leaks_between(train, good)
    assert kinds == {"leak-exact": {"21.png"}, "leak-near": {"22.png", "23.png", "24.png"}}
    report = verify(load_card("folder"), train, against=[find_pairs(load_card("folder"), good)], near=False, workers=1)
    assert report.kinds["leak-exact"] == 1 and report.kinds["leak-near"] == 0 and not report.ok


def test_jpeg_copies_are_near_duplicates(good: Path, card: DatasetCard) -> None:
    for quality, number in ((40, 3), (90, 5)):
        with Image.open(good / "target" / f"{number}.png") as image:
            image.save(good / "target" / f"{number + 1}.jpg", quality=quality)
        (good / "target" / f"{number + 1}.png").unlink()
    report = verify(card, good, workers=1)
    named = {frozenset(Path(file).stem for file in finding.files) for finding in report.of_kind("near-duplicate")}
    assert named == {frozenset("34"), frozenset("56")}


def test_different_scenes_do_not_resemble_each_other(tmp_path: Path, image: Callable, save: Callable) -> None:
    for seed in range(60):
        save(tmp_path / f"{seed}.png", image(seed + 100, 32, 24))
    report = verify(load_card("kodak24"), tmp_path, workers=1)
    assert report.pairs == 60 and dict(report.kinds) == {"count-mismatch": 1} and report.ok


def test_known_overlaps_of_real_sets(shared: Path) -> None:
    """Set5's head is Set14's face."""
    sets = {
        name: find_pairs(load_card(name.lower()), shared / "data/super_resolution" / name) for name in ("Set5", "Set14")
    }
    (finding,) = find_leaks(sets["Set5"], sets["Set14"], workers=1)
    assert [Path(file).name for file in finding.files] == ["img_004.png", "img_006.png"]


def test_real_pairs_verify(shared: Path) -> None:
    report = verify(load_card("snow100k"), shared / "data" / "pairs" / "Snow100K_1", workers=1)
    # The two files carry JPEG data under the name of PNG, which nobody had noticed.
    assert report.ok and dict(report.kinds) == {"count-mismatch": 1, "wrong-suffix": 2}


def test_nothing_to_check_is_an_error(tmp_path: Path, card: DatasetCard) -> None:
    with pytest.raises(DataError):
        verify(card, tmp_path / "nowhere")


def test_joined_images_are_looked_at_one_by_one(tmp_path: Path, image: Callable, save: Callable) -> None:
    for number in range(3):
        clean, rainy = image(number), image(number) // 2 + 60
        save(tmp_path / "training" / f"{number}.png", np.concatenate([clean, rainy], axis=1))
    save(tmp_path / "training" / "same.png", np.concatenate([image(5), image(5)], axis=1))
    save(tmp_path / "training" / "odd.png", image(6, width=33))
    report = verify(load_card("rain800"), tmp_path, "train", workers=1)
    assert report.pairs == report.targets == 5 and report.sizes == {"64x48": 8}
    assert report.kinds == {"count-mismatch": 1, "undecodable": 2, "identical-pair": 1}
    (same,) = report.of_kind("identical-pair")
    assert same.files == tuple(f"{tmp_path}/training/same.png ({side} half)" for side in ("right", "left"))
    assert "33 pixels wide" in report.of_kind("undecodable")[0].text


def test_pairs_know_their_origin(good: Path, card: DatasetCard) -> None:
    pairs = find_pairs(card, good)
    assert isinstance(pairs, Pairs) and (pairs.layout, pairs.split, pairs.root) == ("folders", "test", good)


@pytest.mark.parametrize("name", ["a.tga", "a.jp2", "a.j2k"])
def test_formats_that_are_only_read_have_suffixes_of_their_own(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / name)
    found = look_all([tmp_path / name])[tmp_path / name]
    assert found.problem is None and found.usual_suffix and (found.height, found.width) == (40, 50)
    (tmp_path / name).rename(tmp_path / "a.png")
    assert not look_all([tmp_path / "a.png"])[tmp_path / "a.png"].usual_suffix
