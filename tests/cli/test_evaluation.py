"""`restore evaluate` and `restore metrics`, end to end with real files and a small network."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore.cli.choosing import model_and_tasks, severity_of
from restore.cli.console import model_for, table
from restore.data.synthesize import degradations_named, synthesize
from restore.errors import ConfigError


@pytest.fixture(scope="module")
def pairs(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `input` and `target`, snowed on."""
    folder = tmp_path_factory.mktemp("pairs") / "snowy"
    assert len(list(synthesize(photographs, folder, "snow"))) == 5
    return folder


@pytest.fixture
def options(pairs: Path, tiny_model: Path) -> list[object]:
    """A model on two folders, quickly."""
    return ["--input", pairs / "input", "--target", pairs / "target", "-m", tiny_model, "--dtype", "fp32"]


def test_two_folders_give_a_table(cli, options) -> None:
    ran = cli("evaluate", *options)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split()[:4] == ["data", "task", "protocol", "n"]
    assert [line.split()[:4] for line in lines[2:]] == [["snowy", "weather", p, "5"] for p in ("native", "rgb")]
    assert "Traceback" not in ran.err


def test_another_sampler_or_preset_is_another_score(cli, options, tmp_path: Path) -> None:
    """How images are made is part of what is evaluated, and of what is told of it."""
    first, second = (
        json.loads(cli("evaluate", *options, "--json", "--protocol", "rgb", "--sampler", f"ddim,steps={n}").out)
        for n in (1, 3)
    )
    assert first["rows"][0]["after"] != second["rows"][0]["after"]
    assert "threshold" in str(second["provenance"]) and "'steps': 3" in str(second["provenance"])
    ran = cli("evaluate", *options, "--preset", "published")
    assert ran.code == 2 and "has no preset 'published'" in ran.err
    ran = cli("evaluate", *options[:4], "-m", "none", "--sampler", "ddim,steps=1")
    assert ran.code == 2 and "pass --model" in ran.err


def test_json_and_csv_agree_with_each_other(cli, options, tmp_path: Path) -> None:
    ran = cli(
        "evaluate",
        *options,
        "--json",
        "--csv",
        tmp_path / "scores.csv",
        "--protocol",
        "rgb",
        "--task",
        "desnow,weather",
    )
    assert ran.code == 0
    document = json.loads(ran.out)
    lines = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(lines) == len(document["images"]) == 10
    for row in document["rows"]:
        values = [float(line["psnr_after"]) for line in lines if line["task"] == row["task"]]
        assert row["after"]["psnr"]["mean"] == pytest.approx(sum(values) / 5)
        assert row["after"]["psnr"]["low"] < row["after"]["psnr"]["mean"] < row["after"]["psnr"]["high"]
    assert {c["metric"] for c in document["comparisons"]} == {"psnr", "ssim"}
    assert document["provenance"]["command"].startswith("restore evaluate --input")


def test_made_weather_has_a_row_told_and_a_row_blind(cli, photographs: Path, tiny_model: Path) -> None:
    options = ["--clean", photographs, "-m", tiny_model, "--protocol", "rgb", "--limit", 2, "--json", "--seed", "1,2"]
    ran = cli("evaluate", *options, "--degradation", "rain,haze", "--degradation", "clean", "--severity", 0.7)
    document = json.loads(ran.out)
    assert ran.code == 0
    rows = [(row["data"], row["task"], row["images"], row["seeds"]) for row in document["rows"]]
    told_and_blind = [
        ("rain", "derain"),
        ("rain", "weather"),
        ("haze", "dehaze"),
        ("haze", "weather"),
        ("clean", "weather"),
    ]
    assert sorted(rows) == sorted((data, task, 2, 2) for data, task in told_and_blind)
    clean = next(row for row in document["rows"] if row["data"] == "clean")
    assert clean["before"]["psnr"] == {"mean": None, "count": 0, "infinite": 2, "low": None, "high": None}
    assert document["provenance"]["data"]["severity"] == 0.7 and document["provenance"]["seeds"] == [1, 2]


def test_a_card_names_its_protocol_and_its_papers(cli, shared: Path, tiny_model: Path) -> None:
    root = shared / "data" / "pairs" / "RainDrop_5"
    ran = cli("evaluate", "raindrop", "--root", root, "-m", tiny_model, "--limit", 1, "--json")
    document = json.loads(ran.out)
    assert [row["protocol"] for row in document["rows"]] == ["weatherdiff"]
    assert document["as_reported"] and document["provenance"]["data"]["card"] == "raindrop"


def test_finished_outputs_are_scored_without_a_model(cli, pairs: Path, tmp_path: Path) -> None:
    ran = cli("evaluate", "--restored", pairs / "input", "--target", pairs / "target", "--json")
    document = json.loads(ran.out)
    assert ran.code == 0 and document["rows"][0]["before"] == {} and document["rows"][0]["seconds"] is None
    assert [method["model"] for method in document["provenance"]["methods"]] == ["input"]
    both = cli(
        "evaluate", "--restored", f"{pairs / 'input'},{pairs / 'target'}", "--target", pairs / "target", "--json"
    )
    comparison = json.loads(both.out)["comparisons"][0]
    assert (comparison["first"], comparison["second"]) == ("input", "target")
    assert comparison["difference"]["infinite"] == 5  # a perfect output has no finite PSNR


def test_two_models_are_told_apart_and_compared(cli, options, tiny_model: Path, tmp_path: Path) -> None:
    other = shutil.copy(tiny_model, tmp_path / "other.safetensors")
    document = json.loads(cli("evaluate", *options, "-m", other, "--protocol", "rgb", "--limit", 2, "--json").out)
    assert [row["model"] for row in document["rows"]] == ["tiny", "tiny (other)"]
    assert document["comparisons"][0]["difference"]["mean"] == 0  # the same weights under another name


def test_names_that_are_alike_are_told_apart(cli, pairs: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Every training run writes `model.safetensors`, and folders of outputs are often called alike."""
    for run in ("a", "b", "c"):
        (tmp_path / run).mkdir()
        shutil.copy(tiny_model, tmp_path / run / "model.safetensors")
    shutil.copytree(pairs / "input", tmp_path / "a" / "out")
    shutil.copytree(pairs / "target", tmp_path / "b" / "out")
    models = ",".join(str(tmp_path / run / "model.safetensors") for run in ("a", "b", "c"))
    outputs = f"{tmp_path / 'a' / 'out'},{tmp_path / 'b' / 'out'}"
    where = ("--input", pairs / "input", "--target", pairs / "target", "--restored", outputs, "-m", models)
    kept = ("--task", "derain", "--limit", 1, "--protocol", "rgb", "--keep", tmp_path / "kept", "--json")
    document = json.loads(cli("evaluate", *where, *kept).out)
    names = [row["model"] for row in document["rows"]]
    assert names == ["tiny (a/model)", "tiny (b/model)", "tiny (c/model)", "a/out", "b/out"]
    assert all(row["images"] == 1 for row in document["rows"])
    assert len(list((tmp_path / "kept").rglob("*.png"))) == 5


def test_names_that_are_no_text(cli, photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clean"
    folder.mkdir()
    odd = folder / os.fsdecode(b"caf\xe9.png")
    try:
        shutil.copy(photographs / "coffee.png", odd)
    except OSError:
        pytest.skip("this disk takes names of UTF-8 only")
    options = ("--clean", folder, "--degradation", "rain", "--model", "none", "--protocol", "rgb")
    ran = cli("evaluate", *options, "--report", tmp_path / "report", "--json")
    assert ran.code == 0 and len(json.loads(ran.out)["images"]) == 1
    assert cli("data", "synthesize", folder, tmp_path / "pairs", "--degradation", "rain").code == 0
    assert cli("data", "manifest", folder, "-o", tmp_path / "sums").code == 0
    assert b"caf\xe9.png" in (tmp_path / "sums").read_bytes()


def test_a_metric_that_no_image_is_large_enough_for_is_told(cli, photographs: Path) -> None:
    options = ("--clean", photographs, "--degradation", "rain", "--model", "none", "--protocol", "rgb", "--limit", 1)
    ran = cli("evaluate", *options, "--metric", "ms_ssim")
    assert ran.code == 0 and "ms_ssim could be taken of no image" in ran.out + ran.err


def test_ground_truths_are_not_replaced_by_their_scores(cli, photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clean"
    shutil.copytree(photographs, folder)
    options = ("--clean", folder, "--degradation", "rain", "--model", "none", "--limit", 1)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for extra, complaint in (
        (("--csv", min(before)), "it is the file that was read"),
        (("--csv", tmp_path), "is a folder: name the file to write"),
        (("--report", folder / "report"), "whose images are evaluated"),
        (("--keep", folder / "kept"), "whose images are evaluated"),
    ):
        ran = cli("evaluate", *options, *extra)
        assert ran.code != 0 and complaint in ran.err
    rooted = ("kodak24", "--root", folder, "--degradation", "rain", "--model", "none", "--limit", 1)
    for option in ("--report", "--keep"):
        ran = cli("evaluate", *rooted, option, folder / "made")
        assert ran.code == 2 and "whose images are evaluated" in ran.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name the images in one way"),
        (["--target", "{photographs}", "--input", "{photographs}", "--severity", "7"], "none is made"),
        (["--target", "{photographs}", "--input", "{photographs}", "--scale", "3"], "--protocol sr"),
        (["--clean", "{photographs}", "--degradation", "bicubic-x4", "--scale", "2"], "--scale 2 is not that of"),
        (["--input", "x"], "name the images in one way"),
        (["--clean", "x", "--target", "y"], "name the images in one way"),
        (["kodak24"], "--root"),
        (["--clean", "{photographs}"], "--degradation"),
        (["--clean", "{photographs}", "--degradation", "fog"], "unknown degradation 'fog'"),
        (["--target", "{photographs}"], "--restored"),
        (["--target", "{photographs}", "--input", "{photographs}", "--protocol", "y"], "unknown protocol 'y'"),
        (["--target", "{photographs}", "--input", "{photographs}", "--protocol", "sr"], "--scale"),
        (["--target", "{photographs}", "--input", "{photographs}", "--metric", "beauty"], "unknown metric 'beauty'"),
        (["--target", "{photographs}", "--input", "{photographs}", "--task", "dance"], "does not know task 'dance'"),
        (["--target", "{photographs}", "--input", "{photographs}", "--seed", "one"], "whole numbers"),
        (["--target", "{photographs}", "--input", "{photographs}", "--resume"], "--report"),
        (["no-such-card", "--root", "x"], "no-such-card"),
        (["--root", "{photographs}", "--task", "dance"], "does not know task 'dance'"),
        (["--clean", "{photographs}", "--degradation", "rain", "--task", "told"], "--task told is now --label true"),
        (["--clean", "{photographs}", "--degradation", "rain", "--label", "told"], "true, blind, detected, not told"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    cli, arguments, complaint: str, photographs: Path, tiny_model: Path
) -> None:
    ran = cli("evaluate", *(text.format(photographs=photographs) for text in arguments), "-m", tiny_model)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err and ran.err.count("\n") == 1


def test_some_bad_images_are_named_and_give_exit_code_3(cli, pairs: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(pairs, tmp_path / "snowy")
    (folder / "input" / "coffee.png").write_bytes(b"")
    options = ["--input", folder / "input", "--target", folder / "target", "-m", tiny_model, "--protocol", "rgb"]
    ran = cli("evaluate", *options, "--report", tmp_path / "report")
    assert ran.code == 3 and "snowy/coffee" in ran.err and "1 of 5 restorations failed" in ran.err
    assert " 4 " in ran.out.splitlines()[2]
    assert "coffee.png" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    for path in (folder / "input").iterdir():
        path.write_bytes(b"")
    assert cli("evaluate", *options).code == 1


def test_a_report_is_continued_and_never_overwritten_by_chance(cli, options, tmp_path: Path) -> None:
    report = tmp_path / "report"
    first = cli("evaluate", *options, "--limit", 3, "--protocol", "rgb", "--report", report)
    assert first.code == 0 and f"wrote {report / 'index.html'}" in first.out
    stamp = (report / "journal.jsonl").read_bytes()
    again = cli("evaluate", *options, "--protocol", "rgb", "--report", report)
    assert again.code == 2 and "--resume" in again.err
    assert (report / "journal.jsonl").read_bytes() == stamp
    more = cli("evaluate", *options, "--protocol", "rgb", "--report", report, "--resume")
    assert more.code == 0
    assert (report / "journal.jsonl").read_bytes().startswith(stamp)
    assert len((report / "journal.jsonl").read_text().splitlines()) == 5
    assert len(json.loads((report / "report.json").read_text())["images"]) == 5


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_partial_report_that_says_so(
    cli, options, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    report = tmp_path / "report"

    def send() -> None:
        until = time.monotonic() + 600  # a busy machine takes its time for the first image
        while not (report / "journal.jsonl").exists() and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(os.getpid(), sign)

    sender = threading.Thread(target=send)
    sender.start()
    ran = cli("evaluate", *options, "--protocol", "rgb", "--steps", 40, "--samples", 4, "--report", report)
    sender.join()
    assert ran.code == code, ran.err
    assert "partial: " in ran.err
    document = json.loads((report / "report.json").read_text())
    assert document["complete"] is False and 1 <= len(document["images"]) < 5
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "Partial." in page and page.rstrip().endswith("</html>")
    assert len(list(csv.DictReader((report / "scores.csv").read_text().splitlines()))) == len(document["images"])


def test_several_protocols_score_one_output_side_by_side(cli, pairs: Path, tmp_path: Path) -> None:
    for side in ("input", "target"):
        (tmp_path / side).mkdir()
        with Image.open(pairs / side / "coffee.png") as image:
            image.crop((0, 0, 90, 70)).save(tmp_path / side / "coffee.png")
    ran = cli(
        "evaluate",
        "--restored",
        tmp_path / "input",
        "--target",
        tmp_path / "target",
        "--protocol",
        "weatherdiff,native,t3",
    )
    assert [line.split()[2] for line in ran.out.splitlines()[2:5]] == ["weatherdiff", "native", "t3"]
    assert len({line.split()[4] for line in ran.out.splitlines()[2:5]}) >= 2


def test_an_absent_network_is_a_reason_and_never_a_number(
    cli, options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    ran = cli("evaluate", *options, "--limit", 1)
    assert ran.code == 0 and "LPIPS" not in ran.out
    assert "note: LPIPS (alex) is absent" in ran.err and "torchvision.models.alexnet" in ran.err
    asked = cli("evaluate", *options, "--limit", 1, "--metric", "lpips_vgg")
    assert asked.code == 1 and "torchvision.models.vgg16" in asked.err
    sets = cli("evaluate", *options, "--limit", 1, "--metric", "fid", "--keep", tmp_path / "kept")
    assert sets.code == 1 and "FID and KID need" in sets.err


def test_a_damaged_network_is_a_note_unless_it_was_asked_for(
    cli, options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    ran = cli("evaluate", *options, "--limit", 1)
    assert ran.code == 0 and "note: LPIPS (alex) is absent" in ran.err and "is damaged: delete it" in ran.err
    asked = cli("evaluate", *options, "--limit", 1, "--metric", "lpips_alex")
    assert asked.code == 1 and "is damaged: delete it" in asked.err and "Aborted" not in asked.err


def test_the_table_is_printed_where_the_report_cannot_be_written(cli, options, tmp_path: Path) -> None:
    (tmp_path / "report" / "index.html").mkdir(parents=True)
    ran = cli("evaluate", *options, "--limit", 1, "--protocol", "rgb", "--report", tmp_path / "report")
    assert ran.code == 1 and "Is a directory" in ran.err
    assert ran.out.splitlines()[2].split()[:3] == ["snowy", "weather", "rgb"]


def test_the_digest_of_a_model_is_that_of_the_file_that_was_read(cli, photographs: Path) -> None:
    folder = Path(__file__).resolve().parents[1] / "golden" / "palette" / "guided_diffusion"
    options = ("--clean", photographs, "--degradation", "mask-box", "--limit", 1, "--protocol", "rgb", "--json")
    ran = cli("evaluate", *options, "-m", folder / "190_Network.pth", "--task", "inpaint", "--steps", 1)
    average = hashlib.sha256((folder / "190_Network_ema.pth").read_bytes()).hexdigest()
    assert [method["sha256"] for method in json.loads(ran.out)["provenance"]["methods"]] == [average], ran.err


def test_numbers_and_intervals_are_flush_right() -> None:
    text = table(["n", "95 % interval", "what"], [["5 x 2", "", "-"], ["10 x 2", "[+1.00, +2.00]", "x"]])
    assert text.splitlines()[2:] == [" 5 x 2" + " " * 18 + "-", "10 x 2  [+1.00, +2.00]  x"]


def test_metrics_say_which_end_is_better_and_where_they_come_from(cli) -> None:
    ran = cli("metrics")
    assert ran.code == 0
    for text in ("psnr", "lower is better", "[-1, 1]", "Wang, Bovik", "weatherdiff", "irsde-crop4"):
        assert text in ran.out
    document = json.loads(cli("metrics", "--json").out)
    assert document["metrics"]["lpips_alex"]["direction"] == "lower" and "t3" in document["protocols"]


def test_samples_and_likelihood_have_their_own_tables(cli, options, tmp_path: Path) -> None:
    report = tmp_path / "report"
    asked = ["--protocol", "rgb", "--samples", 3, "--steps", 2, "--bits-per-dim", "--limit", 2, "--report", report]
    ran = cli("evaluate", *options, *asked)
    assert ran.code == 0, ran.err
    assert "within 1 sd" in ran.out and "bits per dimension" in ran.out
    document = json.loads((report / "report.json").read_text())
    (row,) = document["rows"]
    assert row["calibration"]["samples"] == 3
    assert [share["k"] for share in row["calibration"]["shares"]] == [1.0, 2.0, 3.0]
    measured = [share["measured"] for share in row["calibration"]["shares"]]
    assert measured == sorted(measured) and measured[0] >= 0 and measured[-1] <= 1
    terms = {name: summary["mean"] for name, summary in row["bits_per_dim"].items()}
    assert terms.pop("total") == pytest.approx(sum(terms.values())) and len(terms) == 3
    assert "## Calibration of the samples" in (report / "table.md").read_text()
    page = (report / "index.html").read_text(encoding="utf-8")
    assert 'id="samples"' in page and "within 3 sd" in page
    assert (report / "figures" / "calibration.png").is_file()
    assert "tiles an image on average, over all steps and samples" in page


@pytest.mark.parametrize(
    ("name", "dB", "ssim", "grey"), [("set5", 28.42, 0.8104, False), ("set14", 26.00, 0.7027, True)]
)
def test_bicubic_of_the_benchmarks_is_as_published(cli, shared: Path, name: str, dB: float, ssim: float, grey) -> None:
    root = shared / "data" / "super_resolution" / name.capitalize()
    ran = cli("evaluate", name, "--root", root, "--degradation", "bicubic-x4", "--model", "none", "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    (row,) = document["rows"]
    assert row["protocol"] == "sr" and row["images"] == (14 if grey else 5)
    assert row["after"]["psnr"]["mean"] == pytest.approx(dB, abs=0.02)
    assert row["after"]["ssim"]["mean"] == pytest.approx(ssim, abs=0.002)
    (published,) = document["as_reported"]
    assert (published["method"], published["condition"]) == ("bicubic", "x4")
    assert published["metrics"] == {"psnr": dB, "ssim": ssim}


@pytest.mark.parametrize(
    ("names", "strength"),
    [
        (["rain", "snow-large"], 0.7),
        (["rain+snow"], 0.7),
        (["snow-small", "snow-medium", "raindrop"], 0.7),
        (["bicubic-x4"], None),
        (["rain", "jpeg-q10"], {"rain": 0.7, "jpeg-q10": None}),
    ],
)
def test_weather_has_a_strength_of_its_own(names: list[str], strength: float | dict[str, float | None] | None) -> None:
    made = degradations_named(names)
    assert severity_of(None, made) == strength
    assert severity_of("random", made) is None and severity_of("0.2", made) == 0.2


@pytest.mark.parametrize(
    ("name", "task"),
    [("jpeg-q10", "jpeg"), ("mask-box", "inpaint"), ("crop", "uncrop"), ("grayscale", "colorize"), ("rain", None)],
)
def test_the_default_model_is_that_of_what_undoes_the_degradation(name: str, task: str | None) -> None:
    try:
        chosen = model_and_tasks([], [], degradations_named([name]), None)
    except ConfigError as error:
        assert task is not None and f"no model that ships knows task '{task}'" in str(error)
        return
    assert chosen == (model_for(task), [] if task is None else [task])


def test_the_default_model_of_a_task_fits_the_factor_or_is_refused() -> None:
    both = degradations_named(["rain", "jpeg-q10"])
    assert model_and_tasks(["derain"], [], both, None) == ("weather", ["derain"])
    assert model_and_tasks([], ["true"], degradations_named(["jpeg-q10"]), None) == (model_for("jpeg"), [])
    assert model_and_tasks(["auto"], ["true"], degradations_named(["rain", "snow"]), None) == ("weather", ["auto"])
    for labels in ([], ["true"]):
        with pytest.raises(ConfigError, match="different models"):
            model_and_tasks([], labels, both, None)
    with pytest.raises(ConfigError, match="different models"):
        model_and_tasks(["upscale"], [], degradations_named(["bicubic-x2", "bicubic-x4"]), None)
    with pytest.raises(ConfigError, match="no model that ships"):
        model_and_tasks([], [], degradations_named(["bicubic-x31"]), None)


def test_label_conditions_are_compared_row_by_row(cli, photographs: Path, tiny_model: Path) -> None:
    options = ["--clean", photographs, "-m", tiny_model, "--protocol", "rgb", "--limit", 1, "--degradation", "rain"]

    def rows(*more: str) -> dict[str, float]:
        ran = cli("evaluate", *options, "--json", *more)
        assert ran.code == 0, ran.err
        return {row["task"]: row["after"]["psnr"]["mean"] for row in json.loads(ran.out)["rows"]}

    both = rows("--label", "true,blind")
    assert list(both) == ["derain", "weather"] and both == rows() == rows("--task", "derain,weather")
    assert rows("--label", "blind", "--task", "desnow").keys() == {"desnow", "weather"}
    assert rows("--label", "detected").keys() == {"auto"}


def test_a_root_alone_takes_the_card_of_the_models_task(cli, shared: Path, tiny_model: Path) -> None:
    root = shared / "data" / "pairs" / "RainDrop_5"
    ran = cli("evaluate", "--root", root, "-m", tiny_model, "--limit", 1, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["provenance"]["data"]["card"] == "raindrop"
    ran = cli("evaluate", "--root", root, "-m", "none")
    assert ran.code == 2 and "name a card" in ran.err


def test_a_metric_of_some_images_only_says_of_how_many(cli, photographs: Path, tmp_path: Path) -> None:
    for path in sorted(photographs.iterdir())[:2]:
        shutil.copy(path, tmp_path / path.name)
    with Image.open(photographs / "coffee.png") as image:
        image.resize((240, 180)).save(tmp_path / "large.png")
    ran = cli("evaluate", "--restored", tmp_path, "--target", tmp_path, "--protocol", "rgb", "--metric", "ms_ssim")
    assert ran.code == 0, ran.err
    assert "ms_ssim could be taken of 1 of 3 images only" in ran.err


def test_drawn_masks_cut_the_holes(cli, photographs: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("coffee", "other"):  # coffee has a mask of its own, without a hole on the left
        mask = Image.new("L", (128, 96), 255)
        mask.paste(0, (64, 32, 96, 64) if name == "coffee" else (0, 32, 32, 64))
        mask.save(masks / f"{name}.png")
    command = ["evaluate", "--clean", photographs, "--degradation", "mask-file", "--mask", masks, "--invert-mask"]
    ran = cli(*command, "--model", "none", "--json")
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    scores = {row["name"]: row["after"]["rgb"]["psnr"] for row in document["images"]}
    assert len(scores) == 5 and all(5 < score < 40 for score in scores.values())
    with Image.open(photographs / "coffee.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(float)
    error = ((pixels - 128)[32:64, 64:96] ** 2).sum() / pixels.size
    assert scores["coffee"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)
    assert document["provenance"]["data"]["mask"] == str(masks)
    # another mask of the same name is another evaluation, not one that can be continued
    before = {row["name"]: row["key"] for row in document["images"]}
    Image.new("L", (128, 96), 0).save(masks / "coffee.png")
    after = {row["name"]: row["key"] for row in json.loads(cli(*command, "--model", "none", "--json").out)["images"]}
    assert before["coffee"] != after["coffee"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--degradation", "mask-file"], "needs masks: pass --mask"),
        (["--degradation", "mask-box", "--mask", "photographs"], "--mask is for degradation mask-file"),
        (["--degradation", "rain", "--invert-mask"], "pass --mask, too"),
        (["--degradation", "mask-file", "--mask", "nowhere"], "nowhere"),
        (["--degradation", "mask-file", "--mask", "empty"], "no image found"),
    ],
)
def test_masks_that_are_not_there(cli, photographs: Path, tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    places = {"photographs": photographs, "nowhere": tmp_path / "nowhere", "empty": tmp_path / "empty"}
    ran = cli(
        "evaluate", "--clean", photographs, "--model", "none", *(places.get(option, option) for option in options)
    )
    assert ran.code in (1, 2)
    assert message in ran.err and len(ran.err.strip().splitlines()) == 1
