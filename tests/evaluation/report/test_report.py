"""The report: tables, files, images and the page."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from restore.evaluation.metrics import PROTOCOLS, summarise
from restore.evaluation.report import Result, csv_text, json_text, markdown, markdown_text, summary_table, write_report
from restore.evaluation.report.gallery import Gallery, error_map, make_gallery, shown_records
from restore.evaluation.report.page import page_html
from restore.evaluation.report.result import file_name
from restore.evaluation.report.tables import interval, number
from restore.evaluation.scoring import (
    EvaluationPlan,
    Output,
    Provenance,
    Record,
    Scoring,
    Series,
    SetScores,
    evaluate_plan,
    gain_of,
    show,
)
from restore.evaluation.scoring.images import from_clean


class Page(HTMLParser):
    """What is in a page: tags with their attributes, and the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.words = ""
        self.data = ""
        self._script = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for key, value in attrs if key == "id" and value]
        self._script = dict(attrs).get("id") or "code" if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._script == "data":
            self.data += data
        elif not self._script:
            self.words += data

    def handle_endtag(self, tag: str) -> None:
        self._script = ""


@pytest.fixture(scope="module")
def report(result: Result, plan: EvaluationPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(result, folder, plan)
    return folder


@pytest.fixture(scope="module")
def page(report: Path) -> Page:
    return Page((report / "index.html").read_text(encoding="utf-8"))


# ---- tables and files ----------------------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_series_and_protocol_with_its_means(result: Result) -> None:
    header, cells = summary_table(result)
    assert len(cells) == 2 * 2 * 2
    (line,) = (c for c in cells if c[:4] == ["rain", "three", "smooth", "rgb"])
    values = [r.after["rgb"]["psnr"] for r in result.records if (r.data, r.model) == ("rain", "three")]
    assert line[header.index("after")] == f"{np.mean(values):.2f}"
    assert line[header.index("n")] == "5"
    assert all(len(c) == len(header) for c in cells)
    assert len(markdown(header, cells).splitlines()) == 10


def test_numbers_say_what_they_are() -> None:
    assert number(summarise([float("inf")] * 3), "psnr") == "inf"
    assert number(summarise([]), "psnr") == "-" and interval(summarise([1.0]), "psnr") == ""
    assert number(summarise([20.0, 21.0]), "psnr", sign=True) == "+20.50"
    assert interval(summarise([0.5, 0.5]), "ssim") == "[0.5000, 0.5000]"


def test_what_is_left_out_of_a_mean_is_told(result: Result) -> None:
    def changed(record: Record) -> Record:
        perfect = {"psnr": float("inf"), "ssim": 1.0}
        return replace(record, before={**record.before, "rgb": perfect}) if record.name == "coffee" else record

    told = Result("", [changed(record) for record in result.records], 20, result.provenance).remarks
    assert any("protocol rgb: 1 of 5 inputs equal the ground truth and are left out of" in text for text in told)
    assert any("protocol rgb: 1 of 5 images have no finite gain in psnr" in text for text in told)
    assert not any("outputs" in text or "ssim" in text for text in told)


def test_notes_on_sets_are_remarks(result: Result) -> None:
    sets = {Series("rain", "three", "smooth"): SetScores({}, {}, ["fid after could not be taken: too few"])}
    assert replace(result, sets=sets).remarks[-1] == "rain, three: fid after could not be taken: too few"


def test_few_images_are_nowhere_a_clear_difference(result: Result, page: Page) -> None:
    document = json.loads(json_text(result))
    assert {c["difference"]["count"] for c in document["comparisons"]} == {5}
    assert not any(c["difference"]["clear"] for c in document["comparisons"])
    assert "too few images" in page.words
    shades = {attributes.get("class") for tag, attributes in page.tags if tag == "div"}
    assert not shades & {"big good", "big bad"}


def test_an_own_protocol_is_reported_as_it_was_used(plan: EvaluationPlan, result: Result, tmp_path: Path) -> None:
    own = PROTOCOLS["sr"].model_copy(update={"name": "ours", "description": "half of sr"})
    other = PROTOCOLS["rgb"].model_copy(update={"crop": 7})
    plan = replace(plan, jobs=plan.jobs[:1], scoring=Scoring((own, other), scale=3))
    records = list(evaluate_plan(plan))
    found = replace(result, records=records, provenance=Provenance.gather(plan, records, {}, torch.device("cpu")))
    document = json.loads(json_text(found))
    assert document["protocols"]["ours"]["description"] == "half of sr" and document["protocols"]["rgb"]["crop"] == 7
    assert document["provenance"]["data"]["scale"] == 3
    page = page_html(found, [], None)
    assert "half of sr" in page and "crop 3 (scale)" in page and "crop 7" in page


def test_csv_holds_every_score(result: Result) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(result))))
    assert len(lines) == 2 * len(result.records)
    for line in lines:
        (record,) = (
            r for r in result.records if (r.data, r.name, r.model) == (line["data"], line["name"], line["model"])
        )
        assert float(line["psnr_after"]) == record.after[line["protocol"]]["psnr"]
        assert float(line["ssim_before"]) == record.before[line["protocol"]]["ssim"]


def test_json_holds_everything_and_nothing_that_is_not_json(result: Result) -> None:
    document = json.loads(json_text(result), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["complete"] is True and len(document["rows"]) == 8 and len(document["images"]) == 20
    assert document["provenance"]["methods"][0]["sha256"] == "ab" * 32
    assert len(document["provenance"]["data"]["manifest_sha256"]) == 64
    assert document["protocols"]["native"]["luma"] == "bt601-limited"
    assert document["comparisons"][0]["difference"]["count"] == 5


def test_failures_and_stops_are_told_everywhere(result: Result) -> None:
    failed = Record("", "rain", "broken", "three", "smooth", 0, failure="rain/broken.png is half a file")
    partial = Result(result.title, [*result.records[:7], failed], result.expected, result.provenance)
    assert not partial.complete and len(partial.failures) == 1
    for text in (markdown_text(partial), page_html(partial, [], None)):
        assert "8 of 20" in text and "half a file" in text and "artial" in text
    assert json.loads(json_text(partial))["complete"] is False
    assert csv_text(partial).splitlines()[-1].endswith("rain/broken.png is half a file")
    assert "artial" not in page_html(result, [], None)


def test_published_scores_stand_beside_and_are_marked(card_result: Result) -> None:
    assert card_result.reported
    page = Page(page_html(card_result, [], None))
    for score in card_result.reported:
        assert score["method"] in page.words
    assert page.words.count("as reported, ") == len(card_result.reported)
    assert "as reported" in markdown_text(card_result)
    assert sum(attributes.get("class") == "reported" for tag, attributes in page.tags if tag == "tr") == len(
        card_result.reported
    )


# ---- images ------------------------------------------------------------------------------------------------------


def test_best_median_and_worst_are_chosen_by_gain() -> None:
    def record(name: str, before: float, after: float) -> Record:
        return Record(name, "d", name, "m", "t", 0, before={"rgb": {"psnr": before}}, after={"rgb": {"psnr": after}})

    records = [record(name, 20, 20 + gain) for name, gain in [("c", 3), ("a", 9), ("e", -1), ("b", 5), ("d", 1)]]
    assert [(role, r.name) for role, r in shown_records(records, "rgb", "psnr")] == [
        ("best", "a"),
        ("median", "c"),
        ("worst", "e"),
    ]
    assert [role for role, _ in shown_records(records[:2], "rgb", "psnr")] == ["best", "worst"]
    assert [role for role, _ in shown_records(records[:1], "rgb", "psnr")] == ["median"]
    identical = [record("x", float("inf"), 40.0), record("y", float("inf"), 30.0)]
    assert [r.name for _, r in shown_records(identical, "rgb", "psnr")] == [
        "x",
        "y",
    ]  # by the score, where no gain is finite


def test_an_error_map_grows_brighter_with_the_error_and_is_black_without() -> None:
    target = torch.zeros(3, 1, 65)
    shifted = target + torch.arange(65) / 127.5
    shades = np.asarray(error_map(shifted, target).convert("L")).astype(int)[0]
    assert shades[0] == 0 and shades[64] > 240
    assert (np.diff(shades) >= 0).all()


def test_the_gallery_holds_the_images_that_were_scored_each_once(result: Result, plan: EvaluationPlan) -> None:
    gallery = make_gallery(result, plan)
    assert len(gallery.entries) == 4 * 3
    assert {entry.role for entry in gallery.entries} == {"best", "median", "worst"}
    used = {key for entry in gallery.entries for key in entry.images.values()}
    assert used == set(gallery.files)
    entry = gallery.entries[0]
    shown = show(plan, entry.record)
    for layer, pixels in (("truth", shown.target), ("output", shown.restored)):
        with Image.open(io.BytesIO(gallery.files[entry.images[layer]])) as image:
            expected = pixels.clamp(-1, 1).add(1).mul(127.5).round().permute(1, 2, 0).numpy()
            assert np.abs(np.asarray(image.convert("RGB")).astype(float) - expected).max() <= 1


def test_images_on_a_page_are_reduced_to_its_budget(result: Result, plan: EvaluationPlan) -> None:
    gallery = make_gallery(result, plan)
    uris = gallery.data_uris()
    assert gallery.exact
    for key, uri in uris.items():
        assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == gallery.files[key]
    small = replace(gallery, budget=20_000, files=dict(list(gallery.files.items())[:8]))
    assert not small.exact
    assert sum(map(len, small.data_uris().values())) < sum(map(len, list(uris.values())[:8])) / 2
    many = replace(gallery, budget=10 * 2**20, files=dict.fromkeys(map(str, range(100)), b"x" * 2**20))
    assert many.side < replace(many, files=dict.fromkeys("abcdefghijkl", b"x" * 2**20)).side <= 768
    assert "reduced to" in page_html(result, [], small) and "reduced to" not in page_html(result, [], gallery)


def test_a_lack_of_memory_costs_an_image_and_no_report(result: Result, plan: EvaluationPlan) -> None:
    @dataclass(frozen=True)
    class Greedy:
        model: str
        task: str
        error: str

        def __call__(self, *_: object) -> list[Output]:
            raise RuntimeError(self.error)

    def gallery(error: str) -> Gallery:
        jobs = [(case, [Greedy(m.model, m.task, error) for m in methods]) for case, methods in plan.jobs]
        return make_gallery(result, replace(plan, jobs=jobs))  # type: ignore[arg-type]

    assert not gallery("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes").entries
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        gallery("a mistake of ours")


def test_names_of_any_length_make_files(
    photographs: Path, plan: EvaluationPlan, result: Result, tmp_path: Path
) -> None:
    (tmp_path / "clean").mkdir()
    for letter in "ab":
        shutil.copy(photographs / "coffee.png", tmp_path / "clean" / f"{'x' * 240}{letter}.png")
    jobs = [(case, plan.jobs[0][1][:1]) for case in from_clean(tmp_path / "clean", ["rain"]).cases]
    plan = replace(plan, jobs=jobs)
    write_report(replace(result, records=list(evaluate_plan(plan)), expected=2), tmp_path / "report", plan)
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    keys = {key for entry in json.loads(page.data)["entries"] for key in entry["images"].values()}
    assert len(keys) == 10 and {path.stem for path in (tmp_path / "report" / "images").iterdir()} == keys


def test_names_of_files_are_plain_short_and_never_the_same() -> None:
    texts = ["a b", "a_b", "A_b", "é" * 300, "é" * 301, "caf\udce9"]
    names = [file_name(text) for text in texts]
    assert len({name.lower() for name in names}) == len(names)
    assert all(len(name.encode()) < 200 and "/" not in name for name in names)


# ---- the page ------------------------------------------------------------------------------------------------------


def test_a_report_is_complete(report: Path, result: Result) -> None:
    names = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    assert {"index.html", "report.json", "scores.csv", "table.md", "figures/gains.png"} <= names
    assert sum(name.startswith("figures/") for name in names) == 9
    assert sum(name.startswith("images/") for name in names) > 12
    for name in names:
        if name.endswith(".png"):
            with Image.open(report / name) as image:
                image.load()


def test_the_page_loads_nothing(page: Page, report: Path) -> None:
    loading = ("src", "srcset", "data", "action", "poster")
    for tag, attributes in page.tags:
        for key in loading:
            assert not (attributes.get(key) or "").strip(), (tag, attributes)
        if tag in {"link", "a"}:
            assert (attributes.get("href") or "").startswith(("#", "data:"))
    text = (report / "index.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text and "@import" not in text
    inside = re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'xlink:href="#([^"]+)"', text)
    assert (
        inside and set(inside) <= set(page.ids) and len(re.findall(r"url\(|href=\"[^#d]", text)) == text.count("url(#")
    )


def test_names_cannot_break_out_of_the_page(page: Page) -> None:
    assert not any(tag == "b" for tag, _ in page.tags)  # one method is called <b>five</b>
    assert "a <script>note</script>" in page.words and "<b>five</b> & more" in page.words
    assert sum(tag == "script" for tag, _ in page.tags) == 2


def test_the_page_is_accessible(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    html = next(attributes for tag, attributes in page.tags if tag == "html")
    assert html["lang"] == "en"
    assert all("alt" in attributes for tag, attributes in page.tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    inside = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {target for target in inside if target} <= {f"#{name}" for name in page.ids}
    headings = [tag for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert headings.count("h1") == 1 and headings[0] == "h1"


def test_the_page_carries_what_its_reader_needs(page: Page, result: Result) -> None:
    known = result.provenance
    needed = [known.command, known.finished, known.versions["torch"], str(known.machine["processor"]), "ab" * 32]
    needed += [str(known.data["manifest_sha256"]), "peak memory", "seconds an image", "network evaluations", "luma"]
    for text in needed:
        assert text in page.words, text


def test_the_caption_says_what_the_interval_is_of(page: Page, result: Result) -> None:
    assert "bootstrap interval of the mean gain over images" in page.words
    bare = replace(result, records=[replace(record, before={}) for record in result.records])
    assert "bootstrap interval of the mean over images" in page_html(bare, [], None)


def test_the_page_lists_the_origins_where_there_are_several(result: Result, page: Page) -> None:
    assert "It was continued" not in page.words
    here = dict(result.provenance.origins[0])
    several = replace(result.provenance, origins=[here, {**here, "device": "another device"}, {"restorations": 2}])
    words = Page(page_html(replace(result, provenance=several), [], None)).words
    assert "It was continued" in words and "another device" in words and "unknown" in words


def test_an_image_that_a_protocol_resized_is_shown_as_it_was_scored(
    photographs: Path, plan: EvaluationPlan, result: Result, tmp_path: Path
) -> None:
    with Image.open(photographs / "coffee.png") as image:
        image.crop((0, 0, 90, 70)).save(tmp_path / "odd.png")
    jobs = [(case, plan.jobs[0][1]) for case in from_clean(tmp_path, ["rain"]).cases]
    plan = replace(plan, jobs=jobs, scoring=Scoring((PROTOCOLS["weatherdiff"],)))
    records = list(evaluate_plan(plan))
    found = replace(result, records=records, provenance=Provenance.gather(plan, records, {}, torch.device("cpu")))
    gallery = make_gallery(found, plan)
    for entry in json.loads(Page(page_html(found, [], gallery)).data)["entries"]:
        assert (entry["width"], entry["height"]) == (96, 80)
        assert "90×70 pixels, scored at 96×80" in entry["caption"]


def test_the_script_of_the_page_knows_every_score(page: Page, result: Result) -> None:
    data = json.loads(page.data)
    assert len(data["scored"]) == len(result.records) and data["protocols"] == ["native", "rgb"]
    assert all(key in data["images"] for entry in data["entries"] for key in entry["images"].values())
    record = result.records[0]
    row, name, _, height, width, _, scores = data["scored"][0]
    assert (name, height, width) == (record.name, 96, 128) and row == 0
    gain = scores[0][1] - scores[0][0]
    assert gain == pytest.approx(gain_of(record, "native", "psnr"), abs=1e-3)


def test_a_report_without_inputs_or_images_is_valid(result: Result, tmp_path: Path) -> None:
    records = [replace(record, before={}, seconds=None, task="", model="theirs") for record in result.records[:10:2]]
    bare = Result("theirs", records, len(records), replace(result.provenance, methods=[{"model": "theirs"}]))
    write_report(bare, tmp_path)
    data = json.loads(Page((tmp_path / "index.html").read_text(encoding="utf-8")).data)
    assert data["paired"] is False and data["entries"] == []
    empty = Result("nothing", [], 4, result.provenance)
    assert "No image was scored" in page_html(empty, [], None)
