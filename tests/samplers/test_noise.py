from __future__ import annotations

import pytest
import torch

from restore.errors import ArrayError, ConfigError
from restore.samplers import RecordedNoise, SeededNoise


def test_a_draw_depends_on_its_seed_alone() -> None:
    like = torch.empty(3, 3, 4, 5)
    first, second = (SeededNoise([3, 1, 4]) for _ in range(2))
    a, b = first.draw(like), first.draw(like)
    assert torch.equal(second.draw(like), a) and not torch.equal(a, b)
    alone = SeededNoise([1])
    assert torch.equal(alone.draw(like[:1]), a[1:2]) and torch.equal(alone.draw(like[:1]), b[1:2])


def test_draws_are_standard_normal() -> None:
    draw = SeededNoise([0, 1]).draw(torch.empty(2, 3, 100, 100, dtype=torch.float64))
    assert draw.dtype == torch.float64
    assert draw.mean().abs() < 0.02 and (draw.std() - 1).abs() < 0.02


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(ArrayError, match="a batch of 2 needs 2 seeds, there are 1"):
        SeededNoise([0]).draw(torch.empty(2, 3, 1, 1))


def test_recorded_noise_comes_in_order_and_ends() -> None:
    noise = RecordedNoise([torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 1)])
    like = torch.empty(1, 3, 2, 2)
    assert noise.draw(like).sum() == 0 and noise.draw(like).sum() == 12
    with pytest.raises(ArrayError, match=r"\(1, 3, 2, 2\), but the recorded draw is \(1, 3, 2, 1\)"):
        noise.draw(like)
    with pytest.raises(ArrayError, match="no draw is left"):
        noise.draw(like)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match=f"not {seed}"):
        SeededNoise([0, seed])
