"""Where tiles lie: every pixel is covered, and weights sum to one, for any size and grid."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from restore.denoisers.tiles import Tiles, batches, grid
from restore.errors import ConfigError
from restore.schema import parse, read_yaml
from restore.system.resources import config_path
from restore.training.config import TrainConfig

HALO = 24


@st.composite
def cuts(draw: st.DrawFn) -> Tiles:
    multiple = draw(st.sampled_from([1, 2, 8]))
    size = multiple * draw(st.integers(1, 9))
    kind = draw(st.sampled_from(["anchored", "weatherdiffusion", "shifted", "whole"]))
    stride = None if kind == "whole" else draw(st.none() | st.integers(1, size))
    return Tiles(
        grid=kind,
        size=size,
        stride=stride,
        overlap=draw(st.integers(0, size - 1)) // draw(st.sampled_from([1, 4])),
        window=draw(st.sampled_from(["uniform", "hann", "gaussian"])),
        multiple=multiple,
        fixed=kind != "whole" and draw(st.booleans()),
        batch=draw(st.integers(1, 5)),
    )


lengths = st.integers(1, 60) | st.sampled_from([1, 2])


def weights(tiles: Tiles, height: int, width: int, offset: tuple[int, int]) -> Tensor:
    """The sum over all tiles of what each counts at each pixel."""
    total = torch.zeros(height, width, dtype=torch.float64)
    for tile in grid(tiles, height, width, HALO, offset):
        part = torch.ones_like(total[tile.rows.kept, tile.columns.kept])
        if tile.rows.weight is not None:
            part = part * tile.rows.weight[:, None]
        if tile.columns.weight is not None:
            part = part * tile.columns.weight
        total[tile.rows.kept, tile.columns.kept] += part
    return total


@settings(deadline=None, max_examples=80)
@given(cuts(), lengths, lengths, st.integers(0, 2**40), st.integers(0, 1000))
def test_weights_sum_to_one_at_every_pixel(tiles: Tiles, height: int, width: int, seed: int, t: int) -> None:
    offset = tiles.offset(seed, t, height, width)
    total = weights(tiles, height, width, offset)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from([2, 8]), st.integers(2, 9), st.data(), st.booleans(), lengths, lengths)
def test_tiles_begin_where_coarse_pixels_begin(
    multiple: int, side: int, data: st.DataObject, fixed: bool, height: int, width: int
) -> None:
    overlap = data.draw(st.integers(0, multiple * (side - 1)))
    cut = data.draw(st.sampled_from(["anchored", "shifted"]))
    tiles = Tiles(grid=cut, size=multiple * side, overlap=overlap, multiple=multiple, fixed=fixed)
    offset = tiles.offset(data.draw(st.integers(0, 9)), 5, height, width)
    placed = grid(tiles, height, width, offset=offset)
    starts = [span.seen.start for tile in placed for span in (tile.rows, tile.columns)]
    assert all(start % multiple == 0 for start in starts)


@settings(deadline=None, max_examples=80)
@given(cuts(), lengths, lengths, st.integers(0, 2**40))
def test_tiles_fit_the_network_and_the_image(tiles: Tiles, height: int, width: int, seed: int) -> None:
    placed = grid(tiles, height, width, HALO, tiles.offset(seed, 5, height, width))
    fixed = tiles.fixed or tiles.grid == "weatherdiffusion"
    for tile in placed:
        for span, length, side in zip((tile.rows, tile.columns), (height, width), tile.shape, strict=True):
            assert side % tiles.multiple == 0
            assert side == tiles.size if fixed else side <= tiles.size + 2 * HALO
            # only a tile that is larger than the image reaches beyond it, or one that begins at a multiple
            assert 0 <= span.seen.start < length
            assert span.seen.stop < max(length, side) + tiles.multiple
            assert span.seen.start <= span.kept.start < span.kept.stop <= min(length, span.seen.stop)
        top, left, bottom, right = tile.box
        assert 0 <= top < bottom <= 1 and 0 <= left < right <= 1
    if tiles.grid != "whole":
        assert len({tile.shape for tile in placed}) == 1


@settings(deadline=None, max_examples=80)
@given(cuts(), lengths, lengths, st.integers(0, 2**40))
def test_batches_tell_how_many_tiles_there_are(tiles: Tiles, height: int, width: int, seed: int) -> None:
    told = list(batches(tiles, height, width, HALO))
    placed = grid(tiles, height, width, HALO, tiles.offset(seed, 5, height, width))
    assert all(1 <= n <= tiles.batch for n in told)
    if tiles.grid == "shifted":
        assert len(placed) <= sum(told)
    else:
        assert len(placed) == sum(told)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 40))
def test_the_published_grid_is_the_formula(size: int, stride: int, extra: int) -> None:
    """Tiles that start at range(0, length - size + 1, stride); one more, for what these leave over."""
    assume(stride <= size)
    length = size + extra
    tiles = Tiles(grid="weatherdiffusion", size=size, stride=stride, overlap=0, multiple=1)
    published = list(range(0, length - size + 1, stride))
    assert tiles.starts(length)[: len(published)] == published
    assert tiles.published(length) == len(published)
    left_over = length - size - published[-1]
    assert tiles.starts(length)[len(published) :] == ([length - size] if left_over else [])


@pytest.mark.parametrize(
    ("height", "width", "stride", "count"), [(480, 720, 16, 27 * 42), (480, 720, 4, 17_325), (64, 64, 16, 1)]
)
def test_the_published_counts(height: int, width: int, stride: int, count: int) -> None:
    tiles = Tiles(grid="weatherdiffusion", size=64, stride=stride, overlap=0, batch=64)
    counts = tiles.published(height) * tiles.published(width)
    assert counts == count


def test_a_shifted_grid_moves_with_the_step_and_the_seed_and_nothing_else() -> None:
    tiles = Tiles(grid="shifted", size=16, overlap=2, multiple=1)
    places = {tiles.offset(seed, t, 90, 100) for seed in range(3) for t in range(10)}
    assert len(places) > 20
    assert tiles.offset(1, 5, 90, 100) == tiles.offset(1, 5, 90, 100)
    assert tiles.offset(1, 5, 16, 7) == (0, 0)


def test_every_place_of_a_seam_is_equally_likely() -> None:
    """Over all offsets, tiles begin at each inner pixel equally often: seams average out."""
    tiles = Tiles(grid="shifted", size=8, overlap=2, multiple=1)
    begins = torch.zeros(40)
    for offset in tiles.places(40):
        begins[tiles.starts(40, offset)] += 1
    assert begins[1:32].tolist() == [1.0] * 31


def test_shifted_tiles_hardly_overlap() -> None:
    tiles = Tiles(grid="shifted", size=64, overlap=8, multiple=8, fixed=True)
    published = Tiles(grid="weatherdiffusion", size=64, stride=16, overlap=0)
    assert sum(batches(published, 480, 720)) > 7 * sum(batches(tiles, 480, 720))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300))
def test_the_whole_grid_keeps_each_pixel_once(height: int, width: int) -> None:
    tiles = Tiles(grid="whole", size=64, overlap=0, multiple=16)
    counts = torch.zeros(height, width)
    for tile in grid(tiles, height, width, 30):
        counts[tile.rows.kept, tile.columns.kept] += 1
        for span, length in ((tile.rows, height), (tile.columns, width)):
            # a border of the tile that is none of the image is further away than the network sees
            assert span.seen.start == 0 or span.kept.start - span.seen.start >= 30
            assert span.seen.stop >= length or span.seen.stop - span.kept.stop >= 30
            assert span.seen.start % 16 == 0
    assert (counts == 1).all()


def test_the_whole_grid_of_a_network_without_bound_is_one_tile_or_an_error() -> None:
    tiles = Tiles(grid="whole", size=64, overlap=0)
    assert len(grid(tiles, 64, 50)) == 1
    with pytest.raises(ConfigError, match="at least 80"):
        grid(tiles, 64, 65)


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 64, "overlap": 64},
        {"size": 64, "stride": 65},
        {"size": 60},
        {"grid": "whole", "stride": 8},
        {"grid": "whole", "fixed": True},
        {"grid": "hexagonal"},
        {"guard": 1.5},
    ],
)
def test_what_cannot_be_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="tiles"):
        parse(Tiles, bad, "tiles")


def test_the_shipped_training_run_is_still_valid() -> None:
    config = parse(TrainConfig, read_yaml(config_path("train", "weather")), "weather")
    assert config.model.tiles.grid == "anchored"
