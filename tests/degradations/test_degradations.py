"""Properties that every kind of weather must have, and the mixture that training sees."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from restore.degradations import (
    LABELS,
    BlindResolution,
    Camera,
    Clean,
    Degradation,
    Haze,
    Hole,
    Mixture,
    Rain,
    Raindrop,
    RainHaze,
    RainSnow,
    Random,
    SensorNoise,
    Snow,
)
from restore.errors import ArrayError
from restore.schema import Spec

WEATHER = {"rain": Rain(), "snow": Snow(), "haze": Haze(), "rain+haze": RainHaze(), "raindrop": Raindrop()}
WEATHER["rain in sheets"] = Rain(sheets=0.6)
KINDS = {**WEATHER, "clean": Clean()}

every_kind = pytest.mark.parametrize("kind", KINDS)
every_weather = pytest.mark.parametrize("kind", WEATHER)


def photographs(batch: int = 4, height: int = 48, width: int = 40) -> torch.Tensor:
    """Smooth colours with fine texture, so that blur, veil and streaks all change something."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(batch, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return (0.8 * smooth + 0.2 * torch.rand(batch, 3, height, width, generator=generator)).clamp(0.0, 1.0)


@every_kind
def test_union_picks_the_class_by_its_kind(kind: str) -> None:
    spec = TypeAdapter(Degradation).validate_python({"kind": KINDS[kind].kind})
    assert spec == type(KINDS[kind])()
    assert TypeAdapter(Degradation).validate_json(spec.model_dump_json()) == spec


@every_kind
def test_a_seed_means_one_image_alone_or_among_others(kind: str) -> None:
    spec, clean = KINDS[kind], photographs()
    together = spec(clean, Random([11, 12, 13, 14]))
    again = spec(clean, Random([11, 12, 13, 14]))
    assert torch.equal(together, again)
    for i in range(4):
        alone = spec(clean[i : i + 1], Random([11 + i]))
        torch.testing.assert_close(alone[0], together[i], atol=2e-5, rtol=0.0)
    order = [2, 0, 3, 1]
    shuffled = spec(clean[order], Random([11 + i for i in order]))
    torch.testing.assert_close(shuffled, together[order], atol=2e-5, rtol=0.0)


@every_weather
def test_seeds_differ(kind: str) -> None:
    clean = photographs(1).expand(4, -1, -1, -1)
    different = WEATHER[kind](clean, Random(range(4)), 1.0)
    assert min((different[i] - different[j]).abs().max() for i in range(4) for j in range(i)) > 0.02


@every_weather
def test_severity_zero_is_the_clean_image_and_more_is_worse(kind: str) -> None:
    spec, clean, seeds = WEATHER[kind], photographs(8), range(20, 28)
    assert torch.equal(spec(clean, Random(seeds), 0.0), clean)
    errors = torch.stack([(spec(clean, Random(seeds), s) - clean).abs().mean((1, 2, 3)) for s in (0.0, 0.2, 0.5, 1.0)])
    assert (errors.diff(dim=0) > -1e-4).all()
    assert (errors.mean(1).diff() > 1e-3).all()


@every_weather
def test_severity_may_differ_within_a_batch(kind: str) -> None:
    spec, clean = WEATHER[kind], photographs(3)
    mixed = spec(clean, Random([1, 2, 3]), torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(mixed[0], clean[0])
    for i, severity in enumerate((0.0, 0.5, 1.0)):
        torch.testing.assert_close(mixed[i], spec(clean, Random([1, 2, 3]), severity)[i], atol=2e-5, rtol=0.0)


@every_kind
@pytest.mark.parametrize("severity", [-0.1, 1.1, float("nan"), torch.zeros(3), torch.zeros(2, 1)])
def test_a_wrong_severity_is_refused(kind: str, severity: float | torch.Tensor) -> None:
    with pytest.raises(ArrayError, match="severity"):
        KINDS[kind](photographs(2), Random([1, 2]), severity)


@every_kind
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (63, 65)])
def test_any_size_stays_finite_and_in_range(kind: str, shape: tuple[int, int]) -> None:
    black, white = torch.zeros(3, 3, *shape), torch.ones(3, 3, *shape)
    for clean, severity in ((photographs(3, *shape), None), (black, 1.0), (white, 1.0)):
        before = clean.clone()
        degraded = KINDS[kind](clean, Random([5, 6, 7]), severity)
        assert degraded.shape == clean.shape
        assert degraded.dtype == torch.float32
        assert torch.isfinite(degraded).all()
        assert degraded.min() >= 0.0
        assert degraded.max() <= 1.0
        assert torch.equal(clean, before), "the clean image was written to"


@every_kind
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), height=st.integers(1, 40), width=st.integers(1, 40))
def test_no_seed_and_no_size_makes_nan(kind: str, seed: int, height: int, width: int) -> None:
    degraded = KINDS[kind](photographs(1, height, width), Random([seed]))
    assert ((degraded >= 0.0) & (degraded <= 1.0)).all()


def test_an_empty_batch_stays_empty() -> None:
    for spec in KINDS.values():
        assert spec(torch.zeros(0, 3, 8, 8), Random([])).shape == (0, 3, 8, 8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_kind
def test_cuda_makes_the_same_image(kind: str) -> None:
    clean = photographs(3)
    expected = KINDS[kind](clean, Random([1, 2, 3]))
    got = KINDS[kind](clean.cuda(), Random([1, 2, 3], "cuda"))
    assert got.is_cuda
    # A soft threshold amplifies the rounding of a transform, hence a bound on the mean and a loose one on the worst.
    assert (got.cpu() - expected).abs().mean() < 1e-5
    assert (got.cpu() - expected).abs().max() < 1e-2


def test_haze_is_the_scattering_model() -> None:
    spec = Haze(transmission=(0.4, 0.4), airlight=(0.8, 0.8), tint=0.0, relief=(0.0, 0.0))
    clean = photographs()
    for severity in (0.25, 1.0):
        t = 1.0 - severity * 0.6
        torch.testing.assert_close(spec(clean, Random(range(4)), severity), clean * t + 0.8 * (1.0 - t))


def test_haze_thickens_with_depth_and_keeps_its_mean() -> None:
    medium = Haze(transmission=(0.3, 0.3), relief=(1.0, 1.0), tint=0.0).medium(
        Random(range(16)), torch.ones(16), 32, 32
    )
    depth = medium.transmission[:, 1].log() / math.log(0.3)
    torch.testing.assert_close(depth.mean((1, 2)), torch.ones(16), atol=1e-4, rtol=0.0)
    assert (depth.std((1, 2)) > 0.05).all()
    assert medium.transmission.shape == (16, 3, 32, 32)


def test_streaks_run_along_their_direction() -> None:
    clean = torch.zeros(16, 3, 96, 96)
    upright = Rain(slant=0.0, layers=(1, 1), length=(40.0, 40.0), width=(1.5, 1.5), veil=0.0)
    rainy = upright(clean, Random(range(16)), 1.0).mean(1)
    along = (rainy[:, 1:] - rainy[:, :-1]).abs().mean()
    across = (rainy[:, :, 1:] - rainy[:, :, :-1]).abs().mean()
    assert across > 2.5 * along


def test_dense_rain_brightens_more_than_it_streaks() -> None:
    def light_to_contrast(dense: float) -> torch.Tensor:
        rainy = Rain(dense=dense, veil=0.0)(torch.zeros(64, 3, 64, 64), Random(range(64)), 1.0).mean(1).flatten(1)
        return (rainy.mean(1) / rainy.std(1)).median()

    assert light_to_contrast(1.0) > 1.5 * light_to_contrast(0.0)


def test_rain_in_sheets_differs_more_from_part_to_part_than_it_streaks() -> None:
    def parts_to_streaks(sheets: float) -> torch.Tensor:
        spec = Rain(dense=1.0, sheets=sheets, veil=0.0)
        rainy = spec(torch.zeros(48, 3, 96, 96), Random(range(48)), 1.0).mean(1, keepdim=True)
        parts = F.avg_pool2d(rainy, 24)
        return (parts.flatten(1).std(1) / (rainy - F.interpolate(parts, scale_factor=24)).flatten(1).std(1)).median()

    assert parts_to_streaks(1.0) > 2 * parts_to_streaks(0.0)


def test_streaks_and_flakes_only_brighten_a_dark_image() -> None:
    clean = torch.zeros(8, 3, 32, 32)
    for spec in (Rain(), Snow()):
        assert spec(clean, Random(range(8)), 1.0).mean((1, 2, 3)).min() > 0.0


def test_raindrops_leave_a_uniform_image_uniform_when_they_neither_shine_nor_darken() -> None:
    spec = Raindrop(gain=(1.0, 1.0), ring=0.0, shading=0.0, veil=0.0, glare=0.0)
    clean = torch.full((4, 3, 40, 40), 0.6)
    torch.testing.assert_close(spec(clean, Random(range(4)), 1.0), clean)


def test_a_drop_shows_the_scene_upside_down() -> None:
    ramp = torch.linspace(0.2, 0.8, 128)[:, None].expand(128, 128).expand(6, 3, 128, 128).contiguous()
    spec = Raindrop(
        gain=(1.0, 1.0),
        ring=0.0,
        shading=0.0,
        glare=0.0,
        coverage=(0.06, 0.06),
        diameter=(30.0, 40.0),
        refraction=(3.0, 3.0),
    )
    wet = spec(ramp, Random(range(6)), 1.0)
    slope = (wet[:, :, 1:] - wet[:, :, :-1]).flatten()
    inverted = slope < -0.002
    assert inverted.float().mean() > 0.005
    assert torch.equal(spec(ramp, Random(range(6)), 0.0), ramp)


def test_mixture_labels_name_what_was_done() -> None:
    clean, seeds = photographs(64, 16, 16), range(64)
    degraded, label = Mixture().sample(clean, Random(seeds))
    assert label.shape == (64,)
    assert label.dtype == torch.int64
    assert set(label.tolist()) == set(range(1, len(LABELS)))
    camera_off = Mixture(camera=Camera(noise_chance=0.0, compression_chance=0.0))
    untouched, same = camera_off.sample(clean, Random(seeds))
    assert torch.equal(label, same)
    cleans = same == LABELS.index("clean")
    assert torch.equal(untouched[cleans], clean[cleans])
    assert torch.equal((untouched != clean).flatten(1).any(1), ~cleans)
    assert degraded.min() >= 0.0
    assert degraded.max() <= 1.0


@pytest.mark.parametrize("kind", LABELS[1:])
def test_mixture_of_one_kind_has_one_label(kind: str) -> None:
    _, label = Mixture(weights={kind: 2.0}).sample(photographs(6, 8, 8), Random(range(6)))
    assert label.tolist() == [LABELS.index(kind)] * 6


def test_mixture_follows_its_weights() -> None:
    mixture = Mixture(weights={"clean": 3.0, "haze": 1.0})
    _, label = mixture.sample(torch.zeros(1200, 3, 1, 1), Random(range(1200)))
    share = (label == LABELS.index("clean")).float().mean().item()
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 1200)


def test_mixture_does_not_depend_on_neighbours() -> None:
    clean = photographs(12, 24, 24)
    together, labels = Mixture().sample(clean, Random(range(12)))
    for i in range(12):
        alone, label = Mixture().sample(clean[i : i + 1], Random([i]))
        assert label.item() == labels[i].item()
        torch.testing.assert_close(alone[0], together[i], atol=2e-5, rtol=0.0)


@pytest.mark.parametrize("weights", [{"fog": 1.0}, {}, {"rain": 0.0}, {"rain": -1.0, "snow": 2.0}])
def test_senseless_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"unknown kinds|weights must not"):
        Mixture(weights=weights)


def test_ranges_must_be_ordered() -> None:
    with pytest.raises(ValidationError, match="above the upper bound"):
        Haze(transmission=(0.5, 0.2))
    with pytest.raises(ValidationError, match="must be above 0"):
        Rain(coverage=(0.0, 0.2))
    with pytest.raises(ValidationError, match="must be above 0"):
        Rain(layers=(0, 2))


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        (Hole, {"area": (10, 40)}),
        (Haze, {"transmission": (0.5, 3)}),
        (Haze, {"airlight": (-0.1, 0.9)}),
        (Haze, {"relief": (0.2, 1.5)}),
        (Rain, {"opacity": (2, 9)}),
        (Rain, {"brightness": (0.5, 1.1)}),
        (Snow, {"opacity": (0.5, 2)}),
        (Snow, {"brightness": (0.5, 2)}),
        (Raindrop, {"opacity": (0.5, 2)}),
        (RainSnow, {"balance": (0.5, 2)}),
        (SensorNoise, {"sigma": (-0.1, 0.2)}),
        (BlindResolution, {"noise": (0, 15)}),
        (Camera, {"noise": (0, 15)}),
        (Camera, {"compression": (0.01, 5)}),
    ],
)
def test_shares_lie_between_0_and_1(kind: type[Spec], bounds: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValidationError, match="must lie between 0 and 1"):
        kind(**bounds)


def test_what_is_divided_by_or_drawn_on_a_logarithm_is_above_0() -> None:
    for kind, bounds in ((Haze, {"transmission": (0, 0.5)}), (Camera, {"compression": (0, 0.5)})):
        with pytest.raises(ValidationError, match="must be above 0"):
            kind(**bounds)
    with pytest.raises(ValidationError, match="above the upper bound"):
        BlindResolution(quality=(95, 40))


def test_camera_noise_has_the_given_deviation() -> None:
    camera = Camera(noise_chance=1.0, noise=(0.01, 0.01), compression_chance=0.0)
    image = torch.full((2, 3, 64, 64), 0.5)
    assert abs((camera(image, Random([1, 2])) - image).std().item() - 0.01) < 5e-4


def test_camera_compression_keeps_flat_blocks_and_rounds_the_rest() -> None:
    camera = Camera(noise_chance=0.0, compression_chance=1.0, compression=(0.02, 0.02))
    flat = torch.full((1, 3, 19, 13), 0.5)
    torch.testing.assert_close(camera(flat, Random([1])), flat, atol=0.02 / 16 + 1e-6, rtol=0.0)
    image = photographs(1)
    error = (camera(image, Random([1])) - image).abs()
    assert 0.0 < error.mean() < 0.05
