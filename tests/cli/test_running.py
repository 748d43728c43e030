"""`restore run` and `restore demo`, end to end with real files and a small network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

import restore
from restore.networks.efficient_unet import EfficientUNet


@pytest.fixture
def photo(photographs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(photographs / "coffee.png", tmp_path / "photo.png"))


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_photograph_comes_back_restored_in_its_own_size(cli, photo: Path, tiny_model: Path) -> None:
    out = photo.with_name("out.png")
    ran = cli("run", photo, "-o", out, "-m", tiny_model)
    assert (ran.code, ran.err) == (0, "")
    assert f"{photo} -> {out}" in ran.out
    assert size(out) == size(photo) == (128, 96)
    assert np.any(np.asarray(Image.open(out)) != np.asarray(Image.open(photo)))


def test_the_same_seed_gives_the_same_image_whatever_is_beside_it(
    cli, photographs: Path, photo: Path, tiny_model: Path, tmp_path: Path
) -> None:
    cli("run", photo, "-o", tmp_path / "alone.png", "-m", tiny_model, "--seed", 7, "--steps", 2)
    cli("run", photographs, "-o", tmp_path / "all", "-m", tiny_model, "--seed", 7, "--steps", 2)
    cli("run", photo, "-o", tmp_path / "other.png", "-m", tiny_model, "--seed", 8, "--steps", 2)
    alone, among, other = (
        np.asarray(Image.open(tmp_path / name)) for name in ("alone.png", "all/coffee.png", "other.png")
    )
    assert np.array_equal(alone, among)
    assert not np.array_equal(alone, other)


def test_from_the_command_to_the_network_it_is_ten_frames(
    cli, photo: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The straight path: functions of the package that are under way while the network works, both ends counted."""
    package, stacks, forward = Path(restore.__file__).parent, [], EfficientUNet.forward

    def watched(self: EfficientUNet, *args: Any) -> Tensor:
        frames = traceback.extract_stack()[:-1]
        inside = [frame for frame in frames if Path(frame.filename).is_relative_to(package)]
        named = [f"{Path(frame.filename).relative_to(package).as_posix()}:{frame.name}" for frame in inside]
        stacks.append([*named[named.index("cli/running.py:run") :], "networks/efficient_unet.py:forward"])
        return forward(self, *args)

    monkeypatch.setattr(EfficientUNet, "forward", watched)
    ran = cli("run", photo, "-o", photo.with_name("out.png"), "-m", tiny_model, "--task", "derain")
    assert ran.code == 0 and stacks, ran.err
    assert all(len(stack) <= 10 for stack in stacks), "\n".join(max(stacks, key=len))


def test_of_twenty_files_three_are_bad(cli, photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = photographs / "chelsea.png"
    for i in range(17):
        shutil.copy(source, folder / f"{i}.png")
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes(source.read_bytes()[:3000])
    (folder / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    ran = cli("run", folder, "-o", tmp_path / "out", "-m", tiny_model)
    assert ran.code == 3
    assert len(list((tmp_path / "out").iterdir())) == 17
    lines = [line for line in ran.err.splitlines() if line.startswith("failed: ")]
    assert len(lines) == 3
    assert all(any(name in line for line in lines) for name in ("empty.png", "half.png", "page.jpg"))
    assert "3 of 20 images failed" in ran.err


def test_only_bad_files_is_failure(cli, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no image")
    ran = cli("run", tmp_path / "bad.png", "-o", tmp_path / "out.png", "-m", tiny_model)
    assert ran.code == 1
    assert not (tmp_path / "out.png").exists()


def test_what_is_there_already(cli, photo: Path, tiny_model: Path) -> None:
    out = photo.with_name("out.png")
    out.write_bytes(b"mine")
    assert cli("run", photo, "-o", out, "-m", tiny_model).code == 1
    assert out.read_bytes() == b"mine"
    ran = cli("run", photo, "-o", out, "-m", tiny_model, "--on-exists", "skip")
    assert ran.code == 0 and "skipped" in ran.err and out.read_bytes() == b"mine"
    assert cli("run", photo, "-o", out, "-m", tiny_model, "--on-exists", "overwrite").code == 0
    assert size(out) == (128, 96)


def test_an_input_is_never_overwritten(cli, photo: Path, tiny_model: Path) -> None:
    before = photo.read_bytes()
    ran = cli("run", photo, "-o", photo, "-m", tiny_model, "--on-exists", "overwrite")
    assert ran.code == 2 and "is an input" in ran.err
    assert photo.read_bytes() == before


def test_compare_and_uncertainty(cli, photo: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "o" / "x.png"
    ran = cli("run", photo, "-o", out, "-m", tiny_model, "--samples", 3, "--uncertainty", "--compare", "--json")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert [Path(p).name for p in document[0]["written"]] == ["x.png", "x.compare.png", "x.uncertainty.png"]
    assert document[0]["status"] == "restored" and document[0]["width"] == 128
    spread = np.asarray(Image.open(out.with_name("x.uncertainty.png")))
    assert spread.shape == (96, 128) and spread.max() > 0
    assert size(out.with_name("x.compare.png"))[0] >= 2 * 128


def test_names_and_folders_are_kept(cli, photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / "in" / place).mkdir(parents=True)
        shutil.copy(photographs / "rocket.png", tmp_path / "in" / place / "x.png")
    ran = cli("run", tmp_path / "in", "-r", "-o", tmp_path / "out", "-m", tiny_model)
    assert ran.code == 0
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png")) == [
        "a/x.png",
        "b/x.png",
    ]
    clash = cli("run", tmp_path / "in/a/x.png", tmp_path / "in/b/x.png", "-o", tmp_path / "flat", "-m", tiny_model)
    assert clash.code == 2 and "would both be written" in clash.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--task", "derian"), 2, "does not know task 'derian'; did you mean derain? it knows weather, derain"),
        (("--steps", "5000"), 2, "between 1 and 1000"),
        (("--device", "gpu"), 2, "choose auto, cpu or cuda"),
        (("--dtype", "fp8"), 2, "choose auto, fp32, bf16"),
        (("--on-exists", "ask"), 2, "choose skip, overwrite, error"),
        (("--uncertainty",), 2, "--samples 2 or more"),
        (("--patch", "50"), 2, "multiple of 4"),
        (("--overlap", "64"), 2, "overlap must be below"),
        (("--overlap", "8", "--grid", "whole"), 2, "leave --overlap out"),
        (("--samples", "2", "--sampler", "ddim,steps=1"), 2, "2 samples need 2 steps or more"),
        (("--invert-mask",), 2, "pass --mask, too"),
        (("--self-ensemble", "3"), 2, "takes 1, 2, 4, 8 orientations, not 3"),
    ],
)
def test_bad_options_are_one_line(cli, photo: Path, tiny_model: Path, arguments, code: int, message: str) -> None:
    ran = cli("run", photo, "-o", photo.with_name("out.png"), "-m", tiny_model, *arguments)
    assert ran.code == code
    assert message in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not photo.with_name("out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sampler", "ddim,steps=5000"), "between 1 and 1000, not 5000"),
        (("--guidance", "3"), "guidance"),
        (("--sampler", "ddim,spacing=50", "--steps", "10"), "visits 50 levels, not 10"),
    ],
)
def test_what_can_never_work_is_told_before_any_image(
    cli, photographs: Path, tiny_model: Path, tmp_path: Path, arguments, message: str
) -> None:
    ran = cli("run", photographs, "-o", tmp_path / "out", "-m", tiny_model, *arguments)
    assert ran.code == 2 and message in ran.err
    assert len(ran.err.strip().splitlines()) == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", ["wether", "no/such.safetensors"])
def test_an_unknown_model_is_named(cli, photo: Path, model: str) -> None:
    ran = cli("run", photo, "-o", photo.with_name("out.png"), "-m", model)
    assert ran.code == 2 and model in ran.err


def test_a_seed_too_large_for_the_generators_is_refused(cli, photo: Path, tiny_model: Path) -> None:
    ran = cli("run", photo, "-o", photo.with_name("out.png"), "-m", tiny_model, "--seed", 2**63)
    assert ran.code == 2 and "'--seed'" in ran.err


def test_no_input(cli, tiny_model: Path, tmp_path: Path) -> None:
    ran = cli("run", tmp_path / "nothing*.png", "-o", tmp_path / "out", "-m", tiny_model)
    assert ran.code == 1 and "nothing*.png" in ran.err
    assert cli("run").code == 2


def test_the_demo_measures_what_it_writes(cli, tiny_model: Path, tmp_path: Path) -> None:
    ran = cli("demo", "-o", tmp_path / "demo", "-m", tiny_model)
    assert ran.code == 0
    assert (tmp_path / "demo" / "comparison.png").is_file()
    rows = [line.split() for line in ran.out.splitlines() if line.startswith(("astronaut", "coffee", "rocket"))]
    assert [row[1] for row in rows] == ["rain", "snow", "haze"]
    with Image.open(tmp_path / "demo" / "astronaut.degraded.png") as image:
        degraded = np.asarray(image, dtype=np.float64)
    from skimage import data
    from skimage.metrics import peak_signal_noise_ratio

    want = peak_signal_noise_ratio(data.astronaut().astype(np.float64), degraded, data_range=255)
    assert float(rows[0][2]) == pytest.approx(want, abs=0.006)


def test_as_a_real_process(photo: Path, tiny_model: Path) -> None:
    out = photo.with_name("out.png")
    done = subprocess.run(
        [Path(sys.executable).with_name("restore"), "run", photo, "-o", out, "-m", tiny_model],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert size(out) == (128, 96)


def test_env_and_models(cli, tiny_model: Path) -> None:
    assert json.loads(cli("env", "--json").out)["torch"]
    info = json.loads(cli("models", "info", tiny_model, "--json").out)
    assert info["recipe"]["name"] == "tiny"
    assert cli("--help").out.count("run") and cli("run", "--help").out.count("restore run rainy.jpg")


def test_a_comparison_replaces_no_input(cli, photographs: Path, tiny_model: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(photographs / "coffee.png", tmp_path / "x.compare.png"))
    before = source.read_bytes()
    ran = cli("run", source, "-o", tmp_path / "x.png", "-m", tiny_model, "--compare")
    assert ran.code == 2 and "is an input" in ran.err
    assert source.read_bytes() == before and not (tmp_path / "x.png").exists()


def test_a_comparison_that_is_there_is_kept(cli, photo: Path, tiny_model: Path) -> None:
    out, sheet = photo.with_name("out.png"), photo.with_name("out.compare.png")
    sheet.write_bytes(b"mine")
    ran = cli("run", photo, "-o", out, "-m", tiny_model, "--compare")
    assert ran.code == 1 and sheet.name in ran.err and not out.exists()
    ran = cli("run", photo, "-o", out, "-m", tiny_model, "--compare", "--on-exists", "skip", "--json")
    assert json.loads(ran.out)[0]["written"] == [str(out)] and sheet.read_bytes() == b"mine"
    ran = cli("run", photo, "-o", out, "-m", tiny_model, "--compare", "--on-exists", "overwrite")
    assert ran.code == 0 and size(sheet)[0] > 128


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_whole_files_and_says_how_many(
    cli, photographs: Path, tiny_model: Path, tmp_path: Path, sign: signal.Signals, code: int
) -> None:
    out = tmp_path / "out"

    def send() -> None:
        until = time.monotonic() + 60
        while not list(out.glob("*.png")) and time.monotonic() < until:
            time.sleep(0.005)
        os.kill(os.getpid(), sign)

    sender = threading.Thread(target=send)
    sender.start()
    ran = cli("run", photographs, "-o", out, "-m", tiny_model, "--steps", 40, "--samples", 4)
    sender.join()
    assert ran.code == code
    done = list(out.iterdir())
    assert 1 <= len(done) < 5 and all(path.suffix == ".png" for path in done)
    for path in done:
        with Image.open(path) as image:
            image.load()
        assert str(path) in ran.out
    assert f"stopped: {len(done)} of 5 images were done" in ran.err


def test_the_guard_is_an_option(cli, photo: Path, tiny_model: Path) -> None:
    outs = [photo.with_name(f"{guard}.png") for guard in (0, 1)]
    for guard, out in enumerate(outs):
        assert cli("run", photo, "-o", out, "-m", tiny_model, "--guard", guard).code == 0
    assert np.any(np.asarray(Image.open(outs[0])) != np.asarray(Image.open(outs[1])))
    assert cli("run", photo, "-o", photo.with_name("x.png"), "-m", tiny_model, "--guard", 2).code == 2


def test_a_self_ensemble_of_two_does_not_mind_a_mirror(cli, photo: Path, tiny_model: Path) -> None:
    def restored(mirrored: bool, orientations: int) -> np.ndarray:
        name = f"{mirrored}{orientations}"
        with Image.open(photo) as image:
            (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image).save(
                photo.with_name(f"{name}.png")
            )
        out = photo.with_name(f"{name}-out.png")
        options = ["-m", tiny_model, "--dtype", "fp32", "--patch", 128, "--self-ensemble", orientations]
        assert cli("run", photo.with_name(f"{name}.png"), "-o", out, *options).code == 0
        with Image.open(out) as image:
            return np.asarray(image).astype(int)

    assert np.abs(restored(False, 2) - restored(True, 2)[:, ::-1]).max() <= 1
    assert np.abs(restored(False, 1) - restored(True, 1)[:, ::-1]).max() > 1


def test_a_budget_counts_every_sample(cli, photo: Path, tiny_model: Path) -> None:
    common = ["-m", tiny_model, "--steps", 2, "--budget", "1h"]
    for samples in (1, 5):
        ran = cli("run", photo, "-o", photo.with_name(f"{samples}.png"), *common, "--samples", samples)
        assert ran.code == 0 and "plan for 128x96: ddim, 2 steps, tiles of 64" in ran.err
