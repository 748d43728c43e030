from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore.data.files import image_files
from restore.data.joined import decode
from restore.data.pairs import folder_pairs
from restore.errors import ConfigError, DataError, ImageError
from restore.training.loading import Ahead, Draws, ImageStore, PairStore


@pytest.fixture
def store(good: Path) -> ImageStore:
    return ImageStore(image_files(good / "target"))


def test_draws_are_splitmix64() -> None:
    """The first outputs for seed 0 that the generator's authors and many libraries print."""
    draws = Draws()
    assert [draws.below(1 << 64) for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_draws_are_even_and_differ_by_key() -> None:
    counts = np.bincount([Draws(1, step, index).below(7) for step in range(70) for index in range(100)], minlength=7)
    assert ((counts - 1000) ** 2 / 1000).sum() < 22.5  # chi-squared, 6 degrees of freedom, p = 0.001
    keys = [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0), (0, 1, 1)]
    assert len({Draws(*key).below(1 << 62) for key in keys}) == len(keys)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 10**6), st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 2**40), st.sampled_from([16, 40, 70])
)
def test_any_number_of_processes_sees_the_same_batch(
    store: ImageStore, step: int, world: int, seed: int, size: int
) -> None:
    whole = store.regions(step, 12, size, seed)
    parts = [store.regions(step, 12, size, seed, rank=rank, world=world) for rank in range(world)]
    assert whole.shape == (12, 3, size, size) and whole.dtype == torch.uint8
    assert torch.equal(torch.cat(parts), whole)


def test_a_sample_depends_on_seed_step_and_place_only(store: ImageStore) -> None:
    many = store.regions(5, 12, 24, 3)
    assert torch.equal(store.regions(5, 4, 24, 3), many[:4])
    assert not torch.equal(store.regions(6, 12, 24, 3), many)
    assert not torch.equal(store.regions(5, 12, 24, 4), many)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_threads_do_not_change_the_data(store: ImageStore, workers: int) -> None:
    ahead = Ahead(lambda step: store.regions(step, 4, 16, 1), stop=9, workers=workers)
    for step in (2, 3, 4, 8, 5, 6, 10):  # forwards, back, and beyond the end
        assert torch.equal(ahead(step), store.regions(step, 4, 16, 1))


def test_what_is_read_ahead_was_begun_before_it_is_asked_for() -> None:
    begun: list[int] = []
    release = threading.Event()

    def make(step: int) -> int:
        begun.append(step)
        if step > 0:
            release.wait(10)
        return step

    ahead = Ahead(make, stop=3, workers=2)
    assert ahead(0) == 0
    deadline = time.monotonic() + 10
    while len(begun) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(begun) == [0, 1, 2]
    release.set()
    assert [ahead(1), ahead(2)] == [1, 2] and len(begun) == 3


def test_an_error_comes_when_its_step_is_asked_for(store: ImageStore) -> None:
    ahead = Ahead(lambda step: store.regions(step, 3, 16, 0, world=1 + step % 2), stop=5, workers=2)
    assert len(ahead(0)) == 3
    with pytest.raises(ConfigError):
        ahead(1)
    assert len(ahead(2)) == 3


def test_streaming_gives_what_memory_gives(good: Path, store: ImageStore) -> None:
    small = ImageStore(image_files(good / "target"), memory_mb=0.02)
    assert store.in_memory and not small.in_memory
    for step in range(4):
        assert torch.equal(small.regions(step, 8, 32, 0), store.regions(step, 8, 32, 0))
    assert small.held_bytes <= 0.02 * 2**20 < store.held_bytes == 8 * 3 * 48 * 64


def test_regions_are_cut_from_the_images(good: Path, store: ImageStore) -> None:
    images = [decode(path) for path in image_files(good / "target")]
    for region in store.regions(0, 4, 40, 9):
        windows = [p.unfold(1, 40, 1).unfold(2, 40, 1).permute(1, 2, 0, 3, 4).flatten(0, 1) for p in images]
        both = torch.cat([torch.cat(windows), torch.cat(windows).flip(-1)])
        assert (both == region).flatten(1).all(1).any()


def slopes(path: Path, zoom: tuple[float, float], count: int) -> torch.Tensor:
    """Return how steep regions of a ramp are, which rises by 2 with each column."""
    regions = ImageStore([path], zoom=zoom).regions(0, count, 48, 1).float()
    return (regions[:, :, :, 44] - regions[:, :, :, 4]).div(40).abs()


@pytest.fixture
def ramp(tmp_path: Path, save: Callable[..., Path]) -> Path:
    return save(tmp_path / "ramp.png", np.repeat(np.arange(96, dtype=np.uint8)[None, :, None] * 2, 96, 0).repeat(3, 2))


@pytest.mark.parametrize("zoom", [0.5, 1.0, 1.6, 2.0])
def test_a_zoomed_region_is_a_part_of_another_side(ramp: Path, zoom: float) -> None:
    found = slopes(ramp, (zoom, zoom), 6)
    torch.testing.assert_close(found, torch.full_like(found, 2 / zoom), atol=0.06, rtol=0)


def test_zoom_is_drawn_log_uniform_for_each_region_and_not_for_validation(ramp: Path) -> None:
    factor = (2 / slopes(ramp, (0.5, 2.0), 200)[:, 0, 20]).log2()
    assert factor.min() < -0.9 and factor.max() > 0.9 and abs(factor.mean()) < 0.15
    assert torch.equal(ImageStore([ramp], zoom=(0.5, 2.0)).each(48), ImageStore([ramp]).each(48))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90))
def test_small_images_are_continued_by_reflection(
    tmp_path: Path, save: Callable, image: Callable, width: int, height: int, size: int
) -> None:
    array = image(width * height, width, height)
    path = save(tmp_path / "small.png", array)
    (region,) = ImageStore([path]).each(size)
    pads = [(0, max(size - side, 0)) for side in (height, width)]
    # Where a side is one pixel long there is nothing to reflect, and numpy repeats it as well.
    padded = np.pad(array, [*pads, (0, 0)], mode="reflect").transpose(2, 0, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    assert any(np.array_equal(windows[:, y, x], region) for y, x in np.ndindex(windows.shape[1:3]))


def test_pairs_are_cut_alike(tmp_path: Path, save: Callable, image: Callable) -> None:
    for seed in range(4):
        array = image(seed)
        save(tmp_path / "input" / f"{seed}.png", 255 - array)
        save(tmp_path / "target" / f"{seed}.png", array)
    pairs = folder_pairs(tmp_path / "input", tmp_path / "target")
    store = PairStore([(pair.input, pair.target) for pair in pairs])
    for source, truth, _ in (store.regions(1, 16, 40, 0), store.each(40)):
        assert source.shape == truth.shape and source.shape[1:] == (3, 40, 40) and torch.equal(255 - source, truth)
    assert len({store.regions(step, 1, 40, 0)[1].numpy().tobytes() for step in range(8)}) > 4


def test_weather_is_never_turned_upside_down(tmp_path: Path, save: Callable) -> None:
    ramp = np.broadcast_to(np.arange(48, dtype=np.uint8)[:, None, None], (48, 48, 3))
    store = ImageStore([save(tmp_path / "ramp.png", np.ascontiguousarray(ramp))])
    down = store.regions(0, 64, 16, 0).to(torch.int16).diff(dim=-2)
    assert (down == 1).all()


def test_damaged_files_are_skipped_counted_and_named(good: Path) -> None:
    bad = good / "target" / "3.png"
    bad.write_bytes(bad.read_bytes()[:100])
    store = ImageStore(image_files(good / "target"), corrupt_limit=0.3)
    assert list(store.corrupt) == [bad] and "3.png" in store.report() and "1 skipped" in store.report()
    regions = store.regions(0, 32, 16, 0)
    sound = ImageStore([path for path in image_files(good / "target") if path != bad])
    streamed = ImageStore(image_files(good / "target"), corrupt_limit=0.3, memory_mb=0.02)
    assert not sound.corrupt and torch.equal(streamed.regions(0, 32, 16, 0), regions)
    assert list(streamed.corrupt) == [bad]


def test_each_sound_image_is_there_once(good: Path) -> None:
    files = image_files(good / "target")
    files[1].write_bytes(b"damaged")
    once = ImageStore(files, corrupt_limit=0.5).each(16)
    assert len(once) == len(files) - 1 and torch.equal(once, ImageStore(files, corrupt_limit=0.5).each(16))
    for region, path in zip(once, [files[0], *files[2:]], strict=True):
        windows = decode(path).unfold(1, 16, 1).unfold(2, 16, 1)
        assert (windows == region[:, None, None]).all(dim=(0, 3, 4)).any()


def test_too_much_damage_stops_the_run(good: Path) -> None:
    paths = image_files(good / "target")
    for path in paths[:3]:
        path.write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"2 of 8 training images are damaged.*1\.png, .*2\.png"):
        ImageStore(paths)
    streamed = ImageStore(paths, memory_mb=0.01)
    with pytest.raises(DataError, match="corrupt_limit"):
        for step in range(50):
            streamed.regions(step, 8, 16, 0)
    assert len(ImageStore(paths, corrupt_limit=0.5).corrupt) == 3
    with pytest.raises(DataError, match="1 of 8"):
        ImageStore(paths, corrupt_limit=0)


def test_a_pair_of_unequal_sizes_counts_as_damaged(good: Path, save: Callable, image: Callable) -> None:
    save(good / "target" / "5.png", image(5, width=60))
    pairs = [(pair.input, pair.target) for pair in folder_pairs(good / "input", good / "target")]
    store = PairStore(pairs, corrupt_limit=0.2)
    assert "64x48 and 60x48" in store.corrupt[good / "input" / "5.png"]


def test_wrong_arguments_are_errors(good: Path, store: ImageStore) -> None:
    with pytest.raises(DataError, match="no training images"):
        ImageStore([])
    with pytest.raises(ConfigError, match="corrupt_limit"):
        ImageStore(image_files(good), corrupt_limit=2)
    for rank, world in [(0, 5), (2, 2), (-1, 2)]:
        with pytest.raises(ConfigError, match="divided among"):
            store.regions(0, 8, 16, 0, rank=rank, world=world)
    with pytest.raises(DataError, match="not a folder"):
        image_files(good / "nowhere")
    with pytest.raises(ImageError, match="gone"):
        decode(good / "gone.png")


def test_decoding_is_what_pillow_decodes(good: Path, image: Callable) -> None:
    assert np.array_equal(decode(good / "target" / "2.png").permute(1, 2, 0).numpy(), image(2))
