"""Pipelines: stages hand an image on, `auto` is a detector before a restorer, and settings are known by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from restore import Restorer
from restore.errors import ConfigError, MissingResource
from restore.images import Photo, to_photo
from restore.restoration.bulk import restore_files
from restore.restoration.detector import AUTO, Decision, Detector, decide
from restore.restoration.jobs import Job, Options
from restore.restoration.pipeline import Detecting, Pipeline, Restoring, State, can_detect, label_for
from restore.restoration.settings import Settings
from restore.system import resources


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    found = Restorer.from_pretrained(tiny_model, device="cpu", dtype=torch.float32)
    with torch.no_grad():  # so that labels make a difference that 8 bits show
        for parameter in found.network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return found


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(Image.fromarray(data.coffee()).resize((96, 64), Image.Resampling.LANCZOS))


class Adding:
    """A stage that adds to an image, a row above it, and a word to what was given."""

    def __init__(self, value: float, finishes: bool = False) -> None:
        self.value, self.finishes, self.given = value, finishes, []  # type: ignore[var-annotated]

    def __call__(self, state: State) -> State:
        self.given.append(state)
        return replace(
            state,
            image=torch.nn.functional.pad(state.image, (0, 0, 1, 0)) + self.value,
            settings=state.settings.changed(seed=state.settings.seed + 1),
            done=self.finishes,
        )

    def size(self, height: int, width: int, settings: Settings) -> tuple[int, int]:
        return height + 1, width

    def evaluations(self, height: int, width: int, settings: Settings) -> int:
        return height * width

    def finish(self, given: Photo, pixels: torch.Tensor, settings: Settings) -> Photo:
        return replace(given.with_pixels(pixels), mode=given.mode + f"+{settings.seed}")


def test_each_stage_is_given_what_the_one_before_made() -> None:
    first, second = Adding(0.25), Adding(0.5)
    pipeline, state = Pipeline([first, second]), State(torch.zeros(3, 4, 5), Settings(seed=7))
    found = pipeline.run(state)
    assert first.given == [state] and [given.settings.seed for given in second.given] == [8]
    torch.testing.assert_close(second.given[0].image, first(state).image)
    torch.testing.assert_close(found.image[:, 2:], torch.full((3, 4, 5), 0.75))
    assert found.image.shape[1:] == pipeline.size(4, 5, state.settings) == (6, 5)
    assert pipeline.evaluations(4, 5, state.settings) == 4 * 5 + 5 * 5
    finished = pipeline.finish(Photo(state.image, mode="RGB"), found)
    assert finished.mode == "RGB+9+9" and finished.pixels is not None and finished.height == 6
    assert state.settings == Settings(seed=7) and pipeline.run(state).settings == found.settings  # nothing is kept


def test_what_is_done_is_handed_to_nobody() -> None:
    first, second = Adding(0.25, finishes=True), Adding(0.5)
    found = Pipeline([first, second]).run(State(torch.zeros(3, 4, 5)))
    assert found.done and len(first.given) == 1 and not second.given


def test_without_a_detector_it_is_the_restorer_alone(restorer: Restorer, photo: np.ndarray) -> None:
    pipeline = Pipeline.of(restorer, "derain")
    assert pipeline.detector is None and [type(stage) for stage in pipeline.stages] == [Restoring]
    assert np.array_equal(pipeline(photo, task="derain", steps=2), restorer(photo, task="derain", steps=2))
    state = pipeline.run(State(to_photo(photo).pixels, Settings(samples=2, seed=3)))
    want = restorer.posterior(to_photo(photo).pixels, Settings(samples=2, seed=3))
    assert torch.equal(state.result().mean, want.mean) and torch.equal(state.result().deviation, want.deviation)
    assert state.decision is None and not state.done
    settings = Settings(steps=3, samples=2)
    assert pipeline.evaluations(150, 100, settings) == restorer.evaluations(150, 100, settings)


@pytest.mark.parametrize(("label", "task"), [("snow", "desnow"), ("rain", "derain"), ("unknown", "weather")])
def test_the_network_is_conditioned_on_what_was_found(
    restorer: Restorer, photo: np.ndarray, sure_of: Callable[[str], Detector], label: str, task: str
) -> None:
    pipeline = Pipeline.of(restorer, AUTO, sure_of(label))
    assert pipeline.detector is not None and [type(stage) for stage in pipeline.stages] == [Detecting, Restoring]
    found = pipeline(photo)
    assert np.array_equal(found, restorer(photo, task=task))
    others = {"desnow", "derain", "weather"} - {task}
    assert not any(np.array_equal(found, restorer(photo, task=other)) for other in others)
    pixels = to_photo(photo).pixels
    state = pipeline.run(State(pixels))
    assert isinstance(state.decision, Decision) and state.decision.label == label and state.settings.label == label
    assert torch.equal(state.result().mean, restorer.posterior(pixels, Settings(task=task)).mean)


def test_a_label_that_the_model_lacks_is_not_given(restorer: Restorer) -> None:
    recipe = restorer.recipe.model_copy(update={"labels": ("unknown", "rain", "snow", "haze")})
    lacking = replace(restorer, recipe=recipe)
    for kind, label, index in (("raindrop", "unknown", 0), ("snow", "snow", 2)):
        assert label_for(decide({kind: 1.0}, 0.65, 0.5), recipe) == label
        assert lacking.label(Settings(label=label)) == index
    with pytest.raises(ConfigError, match=r"'tiny' has no label 'raindrop'; it has unknown, rain, snow, haze"):
        lacking.label(Settings(label="raindrop"))


def test_a_clean_image_is_left_as_it_is(
    restorer: Restorer, photo: np.ndarray, sure_of: Callable[[str], Detector]
) -> None:
    pipeline = Pipeline.of(restorer, AUTO, sure_of("clean"))
    assert np.array_equal(pipeline(photo), photo)
    assert not np.array_equal(restorer(photo, task="weather"), photo)
    given, seen = to_photo(photo), []
    state = pipeline.run(State(given.pixels, Settings(samples=2), on_tiles=seen.append))
    assert state.done and state.decision is not None and state.decision.clean and not seen
    assert torch.equal(state.result().mean, given.pixels) and pipeline.finish(given, state) is given
    assert state.result().deviation is not None and float(state.result().deviation.abs().max()) == 0
    assert pipeline.run(State(given.pixels)).result().deviation is None


def test_of_a_folder_each_image_has_its_own_decision(
    restorer: Restorer, photographs: Path, tmp_path: Path, sure_of: Callable[[str], Detector]
) -> None:
    job = Job(photographs / "coffee.png", tmp_path / "coffee.png")
    (outcome,) = restore_files(Pipeline.of(restorer, AUTO, sure_of("haze")), [job], Options())
    assert outcome.status == "restored" and outcome.decision is not None and outcome.decision.kind == "haze"
    (outcome,) = restore_files(Pipeline.of(restorer), [replace(job, output=tmp_path / "other.png")], Options())
    assert outcome.status == "restored" and outcome.decision is None


def test_models_that_are_conditioned_on_no_weather_say_so(
    restorer: Restorer, sure_of: Callable[[str], Detector]
) -> None:
    blind = replace(restorer, recipe=restorer.recipe.model_copy(update={"tasks": {"weather": "unknown"}}))
    jpeg = Restorer.from_pretrained("jpeg", device="cpu")
    assert can_detect(restorer.recipe) and not can_detect(blind.recipe) and not can_detect(jpeg.recipe)
    for model in (blind, jpeg):
        with pytest.raises(ConfigError, match=f"{model.recipe.name!r} is not conditioned .* it knows "):
            Pipeline.of(model, AUTO)
        with pytest.raises(ConfigError, match="is not conditioned"):
            Detecting(sure_of("snow"), model.recipe)
    with pytest.raises(ConfigError, match="task 'auto' is a pipeline"):
        restorer.task(AUTO)


def test_absent_weights_are_named_with_the_command_that_makes_them(
    restorer: Restorer, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path)
    monkeypatch.setattr(resources, "_share", lambda: Path(__file__).parents[2])
    with pytest.raises(MissingResource, match=r"weights of detector.*scripts/train_models\.py.*weather, derain"):
        Pipeline.of(restorer, AUTO)
    assert Pipeline.of(restorer, "derain")(photo, task="derain").shape == photo.shape


def test_settings_are_known_by_their_names(restorer: Restorer, photo: np.ndarray) -> None:
    for call in (restorer, Pipeline.of(restorer), lambda image, **changes: Settings().changed(**changes)):
        with pytest.raises(ConfigError, match=r"no setting 'sample'; did you mean samples or sampler\? there are task"):
            call(photo, sample=3)
        with pytest.raises(ConfigError, match=r"no setting 'zzz'; there are task, .*, gradients"):
            call(photo, zzz=1)
    assert Settings(steps=2).changed(samples=3) == Settings(steps=2, samples=3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"samples": 0}, "samples must be at least 1, not 0"), ({"self_ensemble": 3}, "1, 2, 4, 8 orientations, not 3")],
)
def test_settings_that_are_never_right_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        Settings().changed(**changes)
