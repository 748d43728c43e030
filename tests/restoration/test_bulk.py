"""Many images: nothing is lost, nothing is replaced by chance, and little is held."""

from __future__ import annotations

import gc
import shutil
import time
from pathlib import Path

import pytest
import torch

from restore.errors import ConfigError
from restore.images import Photo
from restore.restoration.bulk import restore_files
from restore.restoration.jobs import Job, Options, plan_jobs, refuse_collisions
from restore.restoration.pipeline import Pipeline
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings


@pytest.fixture(scope="module")
def pipeline(tiny_model: Path) -> Pipeline:
    return Pipeline.of(Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32))


def test_results_below_their_inputs_are_not_restored_once_more(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    shutil.copytree(photographs, folder / "trip")
    jobs = plan_jobs([folder], folder / "out", recursive=True)
    for job in jobs:
        job.output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(job.source, job.output)
    assert len(jobs) == len(list(photographs.iterdir()))
    assert plan_jobs([folder], folder / "out", recursive=True) == jobs
    # but a folder may be given that is the output itself
    assert len(plan_jobs([folder / "out"], folder / "out", recursive=True)) == len(jobs)


@pytest.mark.parametrize("name", ["clear.heic", "clear.jpgg", "notes.txt"])
def test_a_file_that_cannot_be_written_is_no_folder(photographs: Path, tmp_path: Path, name: str) -> None:
    source = min(photographs.iterdir())
    with pytest.raises(ConfigError, match=r"cannot write \.\w+ files: choose one of .*\.png"):
        plan_jobs([source], tmp_path / name)
    (tmp_path / name).mkdir()
    assert plan_jobs([source], tmp_path / name)[0].output == tmp_path / name / source.name
    assert plan_jobs([source], tmp_path / "trip.2024")[0].output.parent == tmp_path / "trip.2024"
    assert plan_jobs([photographs], tmp_path / "results.v12")


def test_files_beside_results_do_not_collide(photographs: Path, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    jobs = plan_jobs([tmp_path], tmp_path / "out")
    refuse_collisions(jobs, Options())
    with pytest.raises(ConfigError, match="would both be written"):
        refuse_collisions(jobs, Options(compare=True))


def test_links_and_masks_are_inputs_too(tmp_path: Path) -> None:
    source, mask = tmp_path / "a.png", tmp_path / "m.png"
    source.touch()
    mask.touch()
    (tmp_path / "link.png").symlink_to(source)
    with pytest.raises(ConfigError, match="is an input"):
        refuse_collisions([Job(tmp_path / "link.png", source)], Options())
    for masks in (mask, tmp_path):
        with pytest.raises(ConfigError, match="is an input"):
            refuse_collisions([Job(source, mask)], Options(mask=masks))


def test_a_closed_iterator_loses_nothing_that_was_restored(
    pipeline: Pipeline, photographs: Path, tmp_path: Path
) -> None:
    jobs = plan_jobs([photographs], tmp_path / "out")
    told = []
    work = restore_files(pipeline, jobs, Options(), on_done=told.append)
    assert next(work).status == "restored"
    work.close()
    assert [outcome.job for outcome in told] == jobs[:2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [job.output.name for job in jobs[:2]]


def test_an_image_that_is_done_is_not_held(pipeline: Pipeline, photographs: Path, tmp_path: Path) -> None:
    jobs = plan_jobs([photographs], tmp_path / "out")
    names = [job.source.name for job in jobs]
    held = []

    def alive() -> set[str]:
        gc.collect()
        return {found.name for found in gc.get_objects() if type(found) is Photo and found.name in names}

    def look(job: Job, tiles: int) -> None:
        allowed = set(names[names.index(job.source.name) :][:2])
        until = time.monotonic() + 60  # the image before may still be on its way to the disk
        while not alive() <= allowed and time.monotonic() < until:
            time.sleep(0.02)
        held.append(alive() - allowed)

    outcomes = list(restore_files(pipeline, jobs, Options(Settings(samples=2), compare=True, uncertainty=True), look))
    assert all(outcome.status == "restored" and len(outcome.written) == 3 for outcome in outcomes)
    assert held == [set()] * 5


def test_beside_a_large_image_none_is_read(
    pipeline: Pipeline, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restore.restoration.bulk.LARGE", 128 * 96 - 1)
    jobs = plan_jobs([photographs], tmp_path / "out")
    names = [job.source.name for job in jobs]

    def look(job: Job, tiles: int) -> None:
        gc.collect()
        alive = {found.name for found in gc.get_objects() if type(found) is Photo and found.name in names}
        assert alive == {job.source.name}

    assert [done.status for done in restore_files(pipeline, jobs, Options(), look)] == ["restored"] * 5


def test_too_little_memory_is_an_outcome(pipeline: Pipeline, photographs: Path, tmp_path: Path) -> None:
    def greedy(denoiser):  # type: ignore[no-untyped-def]
        return lambda *given: torch.empty(1 << 50)

    jobs = plan_jobs([photographs], tmp_path / "out")
    outcomes = list(restore_files(pipeline, jobs[:2], Options(Settings(guide=greedy))))
    assert [outcome.status for outcome in outcomes] == ["failed"] * 2
    assert all("does not fit into the device's memory: pass a smaller patch" in outcome.reason for outcome in outcomes)
    assert not any("\n" in outcome.reason for outcome in outcomes)


def test_a_name_that_the_disk_refuses_is_an_outcome(pipeline: Pipeline, photographs: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(photographs / "coffee.png", tmp_path / "a.png"))
    bad, good = Job(source, tmp_path / f"{'x' * 300}.png"), Job(source, tmp_path / "b.png")
    outcomes = list(restore_files(pipeline, [bad, good], Options()))
    assert [outcome.status for outcome in outcomes] == ["failed", "restored"]
    assert "name is too long" in outcomes[0].reason
