"""What every degradation must have in common that is not weather, and what each of them promises."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from restore.degradations import JPEG, Crop, Degradation, Grayscale, Haze, Hole, Mixture, Random, SensorNoise
from restore.degradations.jpeg import compress
from restore.degradations.masks import Border, Box, BoxAndStrokes, Center, FreeForm, Irregular, MaskFiles, read_mask
from restore.degradations.names import FIXED, KNOWN, named
from restore.errors import ArrayError, ConfigError

NAMES = (
    "rain+snow",
    "snow-small",
    "snow-large",
    "jpeg",
    "jpeg-q10",
    "noise",
    "noise-25",
    "grayscale",
    "crop",
    "bicubic-x2",
    "bicubic-x3",
    "blind-x4",
    "mask-box",
    "mask-center",
    "mask-irregular",
    "mask-free-form",
    "mask-hybrid",
)
SHAPES = (Box(), Center(), Border(), Border(sides=1.0), Border(sides=0.0), Irregular(), FreeForm())

every_name = pytest.mark.parametrize("name", NAMES)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda spec: spec.kind)


def photographs(batch: int = 3, height: int = 40, width: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(batch, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return (0.8 * smooth + 0.2 * torch.rand(batch, 3, height, width, generator=generator)).clamp(0.0, 1.0)


@every_name
def test_documents_come_back_from_json(name: str) -> None:
    spec = named(name)
    assert TypeAdapter(Degradation).validate_json(spec.model_dump_json()) == spec


@every_name
def test_a_seed_means_one_image_alone_or_among_others(name: str) -> None:
    spec, clean = named(name), photographs()
    together = spec(clean, Random([11, 12, 13]))
    assert torch.equal(together, spec(clean, Random([11, 12, 13])))
    for i in range(3):
        torch.testing.assert_close(spec(clean[i : i + 1], Random([11 + i]))[0], together[i], atol=2e-5, rtol=0)


@every_name
def test_severity_goes_from_nothing_to_more(name: str) -> None:
    spec, clean = named(name), photographs()
    assert torch.equal(spec(clean, Random([1, 2, 3]), 0.0), clean)
    errors = [float((spec(clean, Random([1, 2, 3]), s) - clean).abs().mean()) for s in (0.25, 1.0)]
    assert 0 < errors[0] < errors[1]
    mixed = spec(clean, Random([1, 2, 3]), torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(mixed[0], clean[0])
    torch.testing.assert_close(mixed[2], spec(clean, Random([1, 2, 3]), 1.0)[2], atol=2e-5, rtol=0)
    with pytest.raises(ArrayError, match="severity"):
        spec(clean, Random([1, 2, 3]), 1.5)


@every_name
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5)])
def test_any_size_stays_in_range(name: str, shape: tuple[int, int]) -> None:
    clean = photographs(2, *shape)
    before = clean.clone()
    degraded = named(name)(clean, Random([5, 6]))
    assert degraded.shape == clean.shape and degraded.dtype == torch.float32
    assert degraded.min() >= 0 and degraded.max() <= 1
    assert torch.equal(clean, before), "the clean image was written to"


def test_every_name_is_found_and_others_are_refused() -> None:
    for name in FIXED:
        assert named(name) == FIXED[name]
    assert named("bicubic-x8").scale == 8
    assert named("jpeg-q30").quality == (30, 30)
    for wrong, message in (
        ("fog", "bicubic-xN"),
        ("jpeg-q0", "from 1 to 100"),
        ("bicubic-x1", "from 2"),
        ("x4", "rain"),
    ):
        with pytest.raises(ConfigError, match=message):
            named(wrong)
    assert len(KNOWN) == len(set(KNOWN))


def test_jpeg_is_the_codecs_own() -> None:
    image = photographs(1, 33, 50)[0]
    array = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=12, subsampling=0)
    expected = np.asarray(Image.open(file))
    got = compress(image, 12, subsampling=False).mul(255).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_worse_quality_is_worse() -> None:
    clean = photographs()
    errors = [float((JPEG(quality=(q, q))(clean, Random([1, 2, 3])) - clean).abs().mean()) for q in (10, 40, 90)]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(ValidationError, match="above the upper bound"):
        JPEG(quality=(60, 10))


def test_qualities_are_drawn_evenly_on_a_logarithmic_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr("restore.degradations.jpeg.compress", lambda x, quality, halved: drawn.append(quality) or x)
    JPEG(quality=(5, 80))(torch.zeros(400, 3, 8, 8), Random(range(400)))
    shares = [sum(low <= q < 2 * low for q in drawn) / len(drawn) for low in (5, 10, 20, 40)]
    assert min(drawn) >= 5 and max(drawn) <= 80
    assert all(0.17 < share < 0.33 for share in shares)


def test_noise_has_its_deviation() -> None:
    flat = torch.full((2, 3, 64, 64), 0.25)
    normal, shot = SensorNoise(sigma=(0.1, 0.1), shot=0.0), SensorNoise(sigma=(0.1, 0.1), shot=1.0)
    assert abs(float((normal(flat, Random([1, 2]), 1.0) - flat).std()) - 0.1) < 0.005
    assert abs(float((shot(flat, Random([1, 2]), 1.0) - flat).std()) - 0.05) < 0.005


def test_gray_has_the_luma_of_the_colours() -> None:
    gray = Grayscale()(photographs(), Random([1, 2, 3]))
    assert torch.equal(gray[:, 0], gray[:, 1]) and torch.equal(gray[:, 0], gray[:, 2])
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(Grayscale()(red, Random([0])), torch.full((1, 3, 2, 2), 0.299))


@every_shape
@pytest.mark.parametrize("area", [0.0, 0.1, 0.3, 0.8, 1.0])
def test_masks_cover_the_given_area(shape, area: float) -> None:
    mask = shape(Random(range(6)), 60, 80, torch.full((6,), area))
    assert mask.shape == (6, 1, 60, 80)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    # a rectangle's sides are whole pixels
    assert ((mask.mean((1, 2, 3)) - area).abs() < 0.03).all()


@every_shape
def test_a_larger_hole_contains_the_smaller_one(shape) -> None:
    sizes = [shape(Random(range(4)), 40, 50, torch.full((4,), area)) for area in (0.05, 0.2, 0.6)]
    assert all((small <= large).all() for small, large in pairwise(sizes))


def test_holes_differ_in_their_shape_from_seed_to_seed() -> None:
    for shape in (Box(), Irregular(), FreeForm(), BoxAndStrokes(), Border()):
        masks = shape(Random(range(5)), 40, 40, torch.full((5,), 0.3))
        assert len({mask.numpy().tobytes() for mask in masks}) == 5


def test_a_center_is_in_the_middle_and_a_border_is_not() -> None:
    center = Center()(Random([0]), 40, 60, torch.tensor([0.25]))[0, 0]
    assert torch.equal(center, center.flip(0)) and torch.equal(center, center.flip(1))
    assert center[20, 30] == 1 and center[0].sum() == 0
    for seed in range(8):
        known = 1 - Border()(Random([seed]), 40, 60, torch.tensor([0.4]))[0, 0]
        rows, columns = known.amax(1).nonzero()[:, 0], known.amax(0).nonzero()[:, 0]
        box = known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all(), "what is known is one rectangle"


def test_a_hole_changes_nothing_else() -> None:
    clean = photographs()
    for spec in (Hole(), Crop(), Hole(mask=BoxAndStrokes())):
        mask = spec.masks(Random([1, 2, 3]), 40, 48) > 0.5
        degraded = spec(clean, Random([1, 2, 3]))
        assert torch.equal(degraded, torch.where(mask, 0.5, clean))
        assert mask.flatten(1).any(1).all()


def test_masks_from_files(tmp_path: Path) -> None:
    drawn = np.zeros((20, 30), np.uint8)
    drawn[5:10, :15] = 255
    Image.fromarray(drawn).save(tmp_path / "one.png")
    mask = MaskFiles(folder=tmp_path)(Random([0, 1, 2, 3]), 40, 60, torch.full((4,), 0.5))
    expected = torch.from_numpy(drawn > 0).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert all(torch.equal(m[0] > 0, expected) or torch.equal(m[0] > 0, expected.flip(-1)) for m in mask)
    keep = read_mask(tmp_path / "one.png", "keep")
    assert torch.equal(keep, 1 - read_mask(tmp_path / "one.png"))
    assert keep.mean() == 1 - 75 / 600


def test_haze_over_a_given_depth(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(40, 250, 64).astype(np.uint8), (32, 1))
    Image.fromarray(ramp).save(tmp_path / "depth.png")
    spec = Haze(depth=tmp_path / "depth.png", transmission=(0.3, 0.3), airlight=(1.0, 1.0), tint=0.0)
    medium = spec.medium(Random([3, 4]), torch.ones(2), 32, 64)
    depth = medium.transmission[:, 1].log() / np.log(0.3)
    expected = torch.from_numpy(ramp / ramp.mean()).float()
    torch.testing.assert_close(depth, expected.expand(2, -1, -1), atol=1e-3, rtol=0)
    assert TypeAdapter(Degradation).validate_json(spec.model_dump_json()) == spec


def test_sleet_can_be_trained_on_without_a_label() -> None:
    degraded, label = Mixture(weights={"rain+snow": 1.0}).sample(photographs(), Random([1, 2, 3]))
    assert label.tolist() == [0, 0, 0]
    assert not torch.equal(degraded, photographs())
