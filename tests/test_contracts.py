from __future__ import annotations

import torch

from restore.contracts import Condition, Estimate


def full() -> Condition:
    image = torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2)
    return Condition(image, torch.tensor([1, 2]), torch.ones(2, 3, 4, 4), torch.zeros(2, 4))


def test_select_takes_pictures_of_every_field() -> None:
    chosen = full().select(torch.tensor([1, 1, 0]))
    assert chosen.image.shape == (3, 3, 2, 2) and chosen.label.tolist() == [2, 2, 1]
    assert chosen.context.shape == (3, 3, 4, 4) and chosen.box.shape == (3, 4)
    bare = Condition(full().image).select(slice(0, 1))
    assert bare.image.shape == (1, 3, 2, 2) and bare.label is bare.context is bare.box is None


def test_to_changes_the_type_of_pictures_and_not_of_labels() -> None:
    half = full().to(dtype=torch.bfloat16)
    assert half.image.dtype == half.context.dtype == half.box.dtype == torch.bfloat16
    assert half.label.dtype == torch.int64


def test_map_replaces_some_fields() -> None:
    changed = full().map(label=None)
    assert changed.label is None and torch.equal(changed.image, full().image)


def test_an_estimate_says_nothing_that_it_was_not_told() -> None:
    estimate = Estimate(torch.zeros(1))
    assert estimate.fraction is None and estimate.gradient is None
