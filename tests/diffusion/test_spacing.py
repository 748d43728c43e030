from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore.diffusion.schedule.spacing import SPACINGS, section_count, visited
from restore.errors import ConfigError

FACTS = json.loads((Path(__file__).resolve().parents[1] / "golden" / "schedules.json").read_text())


@pytest.mark.golden
@pytest.mark.parametrize(("T", "spacing", "expected"), FACTS["spacings"])
def test_sections_equal_the_recorded_ones(T: int, spacing: str, expected: list[int]) -> None:
    assert [t - 1 for t in visited(T, None, spacing)[-2::-1]] == expected


@pytest.mark.golden
@pytest.mark.parametrize(("T", "spacing"), FACTS["errors"])
def test_sections_that_the_original_refuses(T: int, spacing: str) -> None:
    with pytest.raises(ConfigError, match=spacing):
        visited(T, None, spacing)


@given(T=st.integers(1, 1200), n=st.integers(1, 1200), spacing=st.sampled_from(SPACINGS))
@settings(max_examples=200, deadline=None)
def test_levels_fall_strictly_to_zero(T: int, n: int, spacing: str) -> None:
    n = min(n, T)
    levels = visited(T, n, spacing)
    assert all(a > b for a, b in pairwise(levels))
    assert levels[-1] == 0 and levels[0] <= T
    if spacing == "weatherdiffusion":
        assert len(levels) - 1 >= n and levels == [*[1 + i for i in range(0, T, T // n)][::-1], 0]
    else:
        assert len(levels) - 1 == n
    if spacing in ("trailing", "linspace", "quadratic"):
        assert levels[0] == T
    if spacing in ("leading", "linspace", "weatherdiffusion") and n > 1:
        assert levels[-2] == 1


@pytest.mark.parametrize(("n", "steps"), [(25, 25), (3, 4), (7, 8), (600, 1000)])
def test_weatherdiffusion_visits_more_where_n_does_not_divide(n: int, steps: int) -> None:
    levels = visited(1000, n, "weatherdiffusion")
    assert len(levels) - 1 == steps
    assert n != 25 or levels[0] == 961


def test_quadratic_is_dense_near_the_clean_end() -> None:
    levels = visited(1000, 10, "quadratic")
    assert levels == [1000, 810, 640, 490, 360, 250, 160, 90, 40, 10, 0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [1, 2, 4, 5, 10, 20, 50, 100])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_spacings_equal_those_of_diffusers(n: int, spacing: str) -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(n)
    theirs = [int(t) + 1 for t in scheduler.timesteps]
    if spacing == "linspace" and n == 1:
        theirs = [1000]  # they visit the clean end then
    assert visited(1000, n, spacing)[:-1] == theirs


@pytest.mark.parametrize(
    ("T", "n", "spacing", "said"),
    [
        (10, 11, "trailing", "between 1 and 10 .* not 11"),
        (10, 0, "leading", "between 1 and 10 .* not 0"),
        (10, 2, "evenly", "'evenly'; choose leading, trailing, linspace, quadratic, weatherdiffusion"),
        (10, 3, "5", "'5' visits 5 levels, not 3"),
        (10, None, "6,6", "section of 5 levels cannot be given 6"),
    ],
)
def test_bad_values_are_named(T: int, n: int | None, spacing: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        visited(T, n, spacing)


def test_section_count() -> None:
    assert [section_count(s) for s in ("ddim10", "1,2,3", "trailing", "ddim", "1,")] == [10, 6, None, None, None]
