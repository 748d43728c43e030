"""Degradations on a device: nothing waits for it, and what it needs comes in few transfers.

The meta device stands for a GPU: its tensors have no values, so that whatever reads one fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from restore.degradations import Degradation, Mixture, Random
from restore.degradations.color_augmentation import ColorAugmentation
from restore.degradations.masks import Border, Box, BoxAndStrokes, Center, FreeForm, Irregular
from restore.degradations.names import FIXED
from restore.system.transfer import send
from restore.tasks import Detection, Inpainting, Uncropping

READ_BY_A_CODEC = {"jpeg"}
CLEAN = torch.rand(6, 3, 48, 40, generator=torch.Generator().manual_seed(0))


class Transfers(TorchDispatchMode):
    """Counts the tensors that come from the CPU; fails where one goes back."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.device.type == "meta":
            given = [x for x in args if isinstance(x, Tensor)]
            self.count += bool(given) and all(x.device.type == "cpu" for x in given)
        return result


def on_device(work: Callable[[Tensor, Random], Any]) -> int:
    """Return how many transfers it takes."""
    with Transfers() as transfers:
        work(CLEAN.to("meta"), Random(range(len(CLEAN)), "meta"))
    return transfers.count - 1  # that of the images


@pytest.mark.parametrize("name", sorted(set(FIXED) - READ_BY_A_CODEC))
@pytest.mark.parametrize("severity", [None, 0.6])
def test_no_degradation_reads_what_lies_on_a_device(name: str, severity: float | None) -> None:
    degradation: Degradation = FIXED[name]
    assert on_device(lambda clean, random: degradation(clean, random, severity)) <= 30


def test_what_training_draws_comes_in_few_transfers() -> None:
    augmentation = ColorAugmentation(balance=0.1, light=0.2)
    everything = Mixture(weights={kind: 1.0 for kind in ("rain", "snow", "haze", "rain+haze", "raindrop", "clean")})
    assert on_device(lambda clean, random: augmentation(clean, random)) <= 6
    assert on_device(lambda clean, random: everything.sample(clean, random)) <= 60
    assert on_device(lambda clean, random: Detection().examples(everything)(clean, random, None)) <= 75


@pytest.mark.parametrize("task", [Inpainting(fill="gray"), Uncropping(fill="gray")])
def test_no_training_example_reads_what_lies_on_a_device(task: Inpainting | Uncropping) -> None:
    on_device(lambda clean, random: task.examples(Mixture())(clean, random, None))


@pytest.mark.parametrize("mask", [Box(), Center(), Border(), Irregular(), FreeForm(), BoxAndStrokes()])
def test_no_mask_reads_what_lies_on_a_device(mask: Any) -> None:
    on_device(lambda clean, random: mask(random, 48, 40, torch.full((6,), 0.3)))


def test_tensors_of_all_types_travel_together() -> None:
    given = (torch.rand(3), torch.tensor([True, False, True]), torch.arange(5), torch.rand(2, 3, dtype=torch.float64))
    assert all(a is b for a, b in zip(send("cpu", *given), given, strict=True))
    with Transfers() as transfers:
        moved = send("meta", *given, torch.empty(0, 4), torch.rand(2).to("meta"))
    assert [(x.dtype, x.shape) for x in moved[:4]] == [(x.dtype, x.shape) for x in given]
    assert moved[4].shape == (0, 4) and transfers.count == 2  # ours, and that of the test itself


def test_values_survive_the_journey(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed and unpacked as for a GPU, but on the CPU."""
    given = (torch.rand(3), torch.tensor([True, False]), torch.arange(5), torch.rand(2, 3).to(torch.float64).T)

    class Elsewhere:
        type = "elsewhere"

    monkeypatch.setattr(torch, "device", lambda name: Elsewhere())
    to = Tensor.to
    monkeypatch.setattr(Tensor, "to", lambda x, *a, **k: x.clone() if isinstance(a[0], Elsewhere) else to(x, *a, **k))
    assert all(torch.equal(a, b) for a, b in zip(send("elsewhere", *given), given, strict=True))
