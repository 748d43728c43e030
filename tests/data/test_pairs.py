from __future__ import annotations

import random
import re
import shutil
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from restore.data.card import (
    CleanSplit,
    DatasetCard,
    FolderSplit,
    JoinedSplit,
    ListSplit,
    RegexNames,
    SuffixNames,
    load_cards,
)
from restore.data.files import image_files, read_list
from restore.data.pairs import drop_leaks, find_pairs, folder_pairs
from restore.errors import DataError
from restore.images.listing import natural_key
from restore.training.loading import ImageStore, PairStore

CARDS = load_cards()

# Names of inputs that fit each regular expression of the cards, as the authors of the sets use them.
EXAMPLES = {
    r"(im_\d+)_s\d+_a\d+": ["im_0001_s80_a04", "im_0001_s85_a05", "im_0010_s80_a04", "im_0002_s100_a06"],
    r"rain-(\d+)": ["rain-001", "rain-002", "rain-010"],
    r"(?:X2/)?norain-(\d+)(?:x2)?": ["norain-1", "X2/norain-2x2", "norain-10"],
    r"(\d+)_\d+": ["1400_1", "1400_10", "1401_2"],
    r"(\d+)_.+": ["1_1_0.90179", "1_2_0.97842", "2_1_0.99082"],
    r"(\d+)_[\d.]+_[\d.]+": ["0001_0.8_0.2", "0002_0.8_0.08", "0010_1_0.1"],
    r"(?:.+/)?(\d+)_[\d.]+_[\d.]+": ["part1/0025_0.8_0.04", "part2/0025_1_0.2", "part1/0100_0.85_0.1"],
    r"(.+)-R-\d+": ["Winter_0-1/Winter_0-1-Webcam-R-000", "Winter_0-1/Winter_0-1-Webcam-R-001", "M_0-0/M_0-0-R-000"],
    r"[a-z_]+/(.+)": ["low/00001", "low_haze_rain/00001", "rain/00002", "snow/00002", "haze/00010"],
}
PLAIN = ["a 1", "a 2", "a 10"]


def layouts() -> list[tuple[str, str, str]]:
    return [
        (card.name, layout.name, split) for card in CARDS.values() for layout in card.layouts for split in layout.splits
    ]


def base_and_glob(text: str) -> tuple[str, str | None]:
    parts = text.split("/")
    for index, part in enumerate(parts):
        if set(part) & set("*["):
            return "/".join(parts[:index]), "/".join(parts[index:])
    return text, None


def examples(where: FolderSplit) -> list[str]:
    _, glob = base_and_glob(where.input)
    if isinstance(where.pairing, RegexNames):
        names = EXAMPLES[where.pairing.pattern]
    elif isinstance(where.pairing, SuffixNames):
        names = [f"{number}{where.pairing.input}" for number in (1, 2, 10)]
    else:
        names = PLAIN
    return [name for name in names if glob is None or fnmatchcase(f"{name}.png", glob)]


class Builder:
    """Makes a miniature of a layout and remembers what pairs it should give."""

    def __init__(self, root: Path, image: bytes):
        self.root, self.image = root, image
        self.expected: dict[Path | None, Path] = {}

    def put(self, relative: str) -> Path:
        path = self.root / relative.lstrip("/")
        assert path.is_relative_to(self.root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.image)
        return path

    def folders(self, where: FolderSplit) -> None:
        (source, _), (target, _) = base_and_glob(where.input), base_and_glob(where.target)
        for name in examples(where):
            truth = where.pairing.target_of(name)
            self.expected[self.put(f"{source}/{name}.png")] = self.put(f"{target}/{truth}.png")

    def listed(self, where: ListSplit, two_columns: bool) -> None:
        folder = where.list.rpartition("/")[0]
        names = EXAMPLES[where.pairing.pattern] if isinstance(where.pairing, RegexNames) else ["2_rain", "10_rain"]
        lines = []
        for name in names:
            truth = f"elsewhere/{name}.png" if two_columns else f"gt/{where.pairing.target_of(name)}.png"
            source = self.put(f"{folder}/input/{name}.png")
            self.expected[source] = self.put(f"{folder}/{truth}")
            lines.append(f"/input/{name}.png /{truth}" if two_columns else f"./input/{name}.png")
        (self.root / where.list).write_text("\r\n\r\n".join([*lines, ""]))

    def clean(self, where: CleanSplit) -> None:
        folder, glob = base_and_glob(where.target)
        end = "_HR" if glob and "_HR" in glob else ""
        paths = [self.put(f"{folder}/{name}{end}.png") for name in PLAIN]
        self.expected = {path: path for path in paths}
        if where.list:
            (self.root / where.list).write_text("\n".join(path.name for path in paths))


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from PIL import Image

    path = tmp_path_factory.mktemp("png") / "x.png"
    Image.new("RGB", (12, 12), (10, 20, 30)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize(("name", "layout", "split"), layouts())
def test_miniature_of_every_layout_loads(name: str, layout: str, split: str, tmp_path: Path, png: bytes) -> None:
    card = CARDS[name]
    where = next(one for one in card.layouts if one.name == layout).splits[split]
    builder = Builder(tmp_path, png)
    if isinstance(where, JoinedSplit):
        folder, glob = base_and_glob(where.files)
        for name in PLAIN:
            builder.expected[builder.put(f"{folder}/{(glob or '*').replace('*', name)}.png")] = tmp_path
        pairs = find_pairs(card, tmp_path, split)
        assert (pairs.layout, pairs.split) == (layout, split)
        assert [pair.input.path for pair in pairs] == [pair.target.path for pair in pairs] == list(builder.expected)
        sides = ("left", "right") if where.first == "input" else ("right", "left")
        assert {(pair.input.side, pair.target.side) for pair in pairs} == {sides}
        return
    if isinstance(where, ListSplit):
        builder.listed(where, two_columns=name == "spa-data")
    elif isinstance(where, CleanSplit):
        builder.clean(where)
    else:
        builder.folders(where)
    pairs = find_pairs(card, tmp_path, split)
    assert len(builder.expected) >= 2
    assert (pairs.layout, pairs.split) == (layout, split)
    assert {pair.input or pair.target: pair.target for pair in pairs} == builder.expected
    assert len({pair.name for pair in pairs}) == len(pairs)
    assert [pair.name for pair in pairs] == sorted((pair.name for pair in pairs), key=natural_key)


@pytest.mark.parametrize("name", [name for name, card in CARDS.items() if card.paired])
@pytest.mark.parametrize("target", ["target", "gt"])
def test_every_paired_card_accepts_plain_folders(name: str, target: str, tmp_path: Path, png: bytes) -> None:
    card = CARDS[name]
    builder = Builder(tmp_path, png)
    for stem in ("1", "2", "10"):
        builder.put(f"input/{stem}.png"), builder.put(f"{target}/{stem}.png")
    pairs = find_pairs(card, tmp_path)
    assert [pair.name for pair in pairs] == ["1", "2", "10"] and pairs.layout == f"plain-input-{target}"
    for split in card.splits:
        assert len(find_pairs(card, tmp_path, split)) == 3


REAL = {
    "OutdoorRain_Test1_5": ("outdoor-rain", 5),
    "RainDrop_5": ("raindrop", 5),
    "RESIDE_ITS_4": ("reside-its", 4),
    "SOTS_outdoor_2": ("sots-outdoor", 2),
    "Snow100K_1": ("snow100k", 1),
    "DDN_demo_3": ("rain1400", 3),
    "DDN_SIRR_val20": ("folder", 20),
    "JORDER_heavy_sample": ("rain200h", 25),
    "REVIDE_real_haze_4": ("folder", 4),
}


@pytest.mark.parametrize("folder", REAL)
def test_real_pairs_load_through_their_cards(folder: str, shared: Path) -> None:
    name, count = REAL[folder]
    pairs = find_pairs(CARDS[name], shared / "data" / "pairs" / folder)
    assert len(pairs) == count and all(pair.input.name == pair.target.name for pair in pairs)
    if folder != "REVIDE_real_haze_4":
        store = PairStore([(pair.input, pair.target) for pair in pairs[:3]])
        source, truth, _ = store.regions(0, 2, 32, 0)
        assert source.shape == truth.shape == (2, 3, 32, 32) and not store.corrupt


@pytest.mark.parametrize(("name", "count"), [("set5", 5), ("set14", 14), ("kodak24", 24)])
def test_real_sets_load_through_their_cards(name: str, count: int, shared: Path) -> None:
    folder = {"set5": "Set5", "set14": "Set14", "kodak24": "Kodak24"}[name]
    pairs = find_pairs(CARDS[name], shared / "data" / "super_resolution" / folder)
    assert len(pairs) == count == CARDS[name].splits["test"].count
    assert all(pair.input is None for pair in pairs) and pairs.layout == "plain-folder"
    assert not ImageStore([pairs[0].target]).corrupt


def test_pairs_go_by_name_whatever_the_order_of_creation(tmp_path: Path, png: bytes) -> None:
    names = [f"im{number}" for number in range(1, 13)]
    for seed, side in enumerate(("input", "target")):
        shuffled = random.Random(seed).sample(names, len(names))
        for name in shuffled:
            Builder(tmp_path, png).put(f"{side}/{name}.{'jpg' if side == 'input' else 'png'}")
    pairs = folder_pairs(tmp_path / "input", tmp_path / "target")
    assert [pair.name for pair in pairs] == names
    assert all(pair.input.stem == pair.target.stem == pair.name for pair in pairs)


def test_missing_ground_truth_is_named_up_to_five(good: Path) -> None:
    for number in range(1, 8):
        (good / "target" / f"{number}.png").unlink()
    with pytest.raises(DataError, match=r"7 inputs .* no ground truth: 1, 2, 3, 4, 5 and 2 more"):
        find_pairs(CARDS["folder"], good)


def test_two_files_of_one_name_are_ambiguous(good: Path) -> None:
    (good / "input" / "3.jpg").write_bytes((good / "input" / "3.png").read_bytes())
    with pytest.raises(DataError, match=r"3\.jpg beside 3\.png"):
        folder_pairs(good / "input", good / "target")


def test_names_that_do_not_fit_the_rule_are_named(tmp_path: Path, png: bytes) -> None:
    builder = Builder(tmp_path, png)
    for path in ("test_a/data/0_rain.png", "test_a/data/odd.png", "test_a/gt/0_clean.png"):
        builder.put(path)
    with pytest.raises(DataError, match=r"do not fit the pairing rule: odd"):
        find_pairs(CARDS["raindrop"], tmp_path)


def test_clean_images_below_the_root_are_not_taken_for_a_plain_folder(tmp_path: Path, png: bytes) -> None:
    for root, path in (("div2k", "DIV2K_valid_HR/0801"), ("set5", "Set5/image_SRF_2/img_001_SRF_2_LR")):
        Builder(tmp_path / root, png).put(f"{path}.png")
        with pytest.raises(DataError, match=r"images right in it"):
            find_pairs(CARDS[root], tmp_path / root, "train" if root == "div2k" else None)
    # nor are those beside another split, of which they may be some
    Builder(tmp_path / "div2k", png).put("0802.png")
    with pytest.raises(DataError, match="does not hold the train split"):
        find_pairs(CARDS["div2k"], tmp_path / "div2k", "train")
    assert find_pairs(CARDS["div2k"], tmp_path / "div2k").split == "validation"
    Builder(tmp_path / "set5", png).put("baby.png")
    assert [pair.name for pair in find_pairs(CARDS["set5"], tmp_path / "set5")] == ["baby"]


def test_a_listed_image_is_not_its_own_ground_truth(tmp_path: Path, png: bytes) -> None:
    builder = Builder(tmp_path, png)
    builder.put("1.png"), builder.put("2.png")
    (tmp_path / "allweather.txt").write_text("1.png\n2.png 2.png\n")
    with pytest.raises(DataError, match=r"2 inputs .* no ground truth: 1\.png, 2\.png"):
        find_pairs(CARDS["allweather"], tmp_path)


def test_list_files_accept_what_people_write(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(
        b"\xef\xbb\xbfinput/a.png\r\n\r\n  ./input/b b.png  \r\n# note\r\ninput\\c.png\r\nrain/d e.jpg gt/d e.png\r\n"
    )
    entries, refused = read_list(path)
    assert entries == [("input/a.png",), ("input/b b.png",), ("input/c.png",), ("rain/d e.jpg", "gt/d e.png")]
    assert refused == []


@pytest.mark.parametrize("line", ["../secret/a.png", "input/../../a.png", r"C:\data\a.png", "a.png b.png c.png"])
def test_list_entries_that_leave_the_root_are_refused(line: str, tmp_path: Path, png: bytes) -> None:
    root = tmp_path / "root"
    Builder(root, png).put("input/a.png"), Builder(root, png).put("gt/a.png")
    (root / "allweather.txt").write_text(f"input/a.png\n{line}\n")
    with pytest.raises(DataError, match="leaves its folder"):
        find_pairs(CARDS["allweather"], root)


def test_list_entries_may_carry_folders_of_their_authors(tmp_path: Path, png: bytes) -> None:
    builder = Builder(tmp_path, png)
    builder.put("input/a.png"), builder.put("gt/a.jpg")
    (tmp_path / "allweather.txt").write_text("/data/allweather/input/a.png\n")
    (pair,) = find_pairs(CARDS["allweather"], tmp_path)
    assert (pair.name, pair.input, pair.target) == ("a", tmp_path / "input/a.png", tmp_path / "gt/a.jpg")
    (tmp_path / "allweather.txt").write_text("input/a.png\ninput/gone.png\n")
    with pytest.raises(DataError, match=r"1 listed files are absent .*gone\.png"):
        find_pairs(CARDS["allweather"], tmp_path)


def test_folder_names_may_differ_in_case(tmp_path: Path, png: bytes) -> None:
    builder = Builder(tmp_path, png)
    builder.put("train/snow/1.png"), builder.put("train/GT/1.png")
    assert find_pairs(CARDS["csd"], tmp_path, "train").layout == "authors"


def test_what_was_looked_for_is_said(tmp_path: Path, good: Path) -> None:
    with pytest.raises(DataError, match=r"Test/Snow \+ Test/Gt"):
        find_pairs(CARDS["csd"], tmp_path / "good" / "input")
    with pytest.raises(DataError, match="no split 'validation'; its splits are train, test"):
        find_pairs(CARDS["csd"], good, "validation")
    with pytest.raises(DataError, match="not a folder"):
        find_pairs(CARDS["csd"], tmp_path / "nowhere")


def test_leaked_images_are_left_out(tmp_path: Path, png: bytes) -> None:
    builder = Builder(tmp_path, png)
    for number in (300, 301, 350, 351):
        builder.put(f"train/input/im_{number:04d}_s80_a04.png"), builder.put(f"train/gt/im_{number:04d}.png")
    card = CARDS["outdoor-rain"]
    kept, dropped = drop_leaks(card, find_pairs(card, tmp_path, "train"))
    assert [pair.name[:7] for pair in kept] == ["im_0300", "im_0351"]
    assert [name[:7] for name in dropped] == ["im_0301", "im_0350"]


def test_list_images_finds_all_below(good: Path) -> None:
    assert len(image_files(good)) == 16
    with pytest.raises(DataError, match="holds no images"):
        (good / "empty").mkdir()
        image_files(good / "empty")


def test_links_that_lead_in_circles_are_not_followed(good: Path) -> None:
    before = image_files(good)
    (good / "loop").symlink_to(good, target_is_directory=True)
    (good / min(path.parent.name for path in before) / "up").symlink_to(good, target_is_directory=True)
    assert image_files(good) == before
    other = good.parent / "other"
    shutil.copytree(good, other, symlinks=True)
    (good / "beside").symlink_to(other, target_is_directory=True)
    assert len(image_files(good)) == 2 * len(before)


def test_every_regular_expression_has_an_example() -> None:
    rules = [
        where.pairing
        for card in CARDS.values()
        for layout in card.layouts
        for where in layout.splits.values()
        if isinstance(where, FolderSplit | ListSplit) and isinstance(where.pairing, RegexNames)
    ]
    assert {rule.pattern for rule in rules} == set(EXAMPLES)
    for rule in rules:
        assert all(re.fullmatch(rule.pattern, name) for name in EXAMPLES[rule.pattern])


def test_a_card_without_layouts_is_paired() -> None:
    assert isinstance(CARDS["folder"], DatasetCard) and CARDS["folder"].paired
