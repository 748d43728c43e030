"""One stream per sample."""

from __future__ import annotations

import torch

from restore.degradations.random import Random


def test_a_sample_draws_the_same_whatever_its_neighbours() -> None:
    together, alone = Random([3, 4, 5]), Random([4])
    assert torch.equal(together.uniform(shape=(2, 3))[1], alone.uniform(shape=(2, 3))[0])
    assert torch.equal(together.normal((4,))[1], alone.normal((4,))[0])
    assert torch.equal(together.choice((1.0, 2.0, 3.0))[1], alone.choice((1.0, 2.0, 3.0))[0])
    assert torch.equal(together.log_within((0.1, 10.0))[1], alone.log_within((0.1, 10.0))[0])
    points, one = together.points([2, 3, 0], 2), alone.points([3], 2)
    assert torch.equal(points.values[points.owner == 1], one.values)
    assert points.owner.tolist() == [0, 0, 1, 1, 1]
    assert points.rank.tolist() == [0, 1, 0, 1, 2]


def test_a_subset_continues_the_streams() -> None:
    whole, split = Random([1, 2, 3]), Random([1, 2, 3])
    whole.uniform()
    split.uniform()
    part = split.subset([2, 0])
    assert torch.equal(part.uniform(), whole.uniform()[[2, 0]])
    whole.subset([1]).uniform()
    assert len(part) == 2


def test_choice_follows_its_weights_and_never_takes_a_zero() -> None:
    drawn = Random(range(2000)).choice((0.0, 1.0, 0.0, 3.0, 0.0))
    assert set(drawn.tolist()) == {1, 3}
    assert abs((drawn == 3).float().mean().item() - 0.75) < 0.04


def test_ranges_are_kept() -> None:
    random = Random(range(500))
    assert 2.0 <= random.within((2.0, 3.0)).min() <= random.within((2.0, 3.0)).max() <= 3.0
    logs = random.log_within((0.01, 100.0)).log10()
    assert -2.001 <= logs.min() < -1.8 < 1.8 < logs.max() <= 2.001
    assert abs(logs.mean().item()) < 0.2


def test_a_given_severity_does_not_move_the_stream() -> None:
    drawn, given = Random([9, 10]), Random([9, 10])
    assert ((drawn.severity(None) >= 0.0) & (drawn.severity(None) <= 1.0)).all()
    assert given.severity(0.5).tolist() == [0.5, 0.5]
    given.severity(torch.tensor([0.1, 0.2]))
    assert torch.equal(drawn.uniform(), given.uniform())
