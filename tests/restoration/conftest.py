"""What tests of whole models share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from restore.degradations import LABELS
from restore.models.auxiliary import DetectorRecipe
from restore.networks import TwoViewsSpec
from restore.restoration.detector import Detector


@pytest.fixture(scope="session")
def small_detector() -> TwoViewsSpec:
    """The network of a detector that is small enough for a test."""
    return TwoViewsSpec(stem=(4, 4), channels=(8, 8, 8, 8), coarse=(4, 4, 4, 4), piece=64, whole=48)


@pytest.fixture(scope="session")
def sure_of(small_detector: TwoViewsSpec) -> Callable[[str], Detector]:
    """A function that makes a detector that finds one label in every image: its last layer knows nothing but that."""

    def make(label: str) -> Detector:
        torch.manual_seed(0)
        network = small_detector.build()
        with torch.no_grad():
            network.head[1].weight.zero_()
            network.head[1].bias.copy_(6.0 * (torch.tensor([name == label for name in LABELS]).float()))
        return Detector(DetectorRecipe(name="small", network=small_detector), network)

    return make
