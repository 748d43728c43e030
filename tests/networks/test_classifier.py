from __future__ import annotations

import torch

from restore.contracts import Condition, Level
from restore.denoisers.guidance import ClassifierGradient
from restore.networks.classifier import ClassifierSpec


def test_logits_of_any_size_and_level() -> None:
    spec = ClassifierSpec(channels=(8, 12), blocks=(1, 1), embedding=16, labels=5)
    network = spec.build()
    assert spec.multiple == 4
    for shape in ((2, 3, 16, 8), (1, 3, 64, 64)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        assert network(x, torch.full((len(x),), 0.3)).shape == (len(x), 5)
    with torch.no_grad():
        for block in network.modules():
            if hasattr(block, "modulation"):
                block.modulation.weight.normal_(generator=torch.Generator().manual_seed(1))
                block.conv2.weight.normal_(generator=torch.Generator().manual_seed(2))
        near, far = (network(x, torch.tensor([value])) for value in (0.1, 0.9))
        before = x.clone()
        network(x, torch.tensor([0.1]))
    assert (near - far).abs().max() > 1e-4
    assert torch.equal(x, before)


def test_its_gradient_climbs() -> None:
    torch.manual_seed(0)
    network = ClassifierSpec(channels=(8, 12), blocks=(1, 1), embedding=16, labels=3).build().requires_grad_(False)
    gradient = ClassifierGradient(network, "alpha_bar", label=2)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    level, condition = Level(torch.ones(4, dtype=torch.int64), torch.full((4,), 0.5)), Condition(x)
    with torch.inference_mode():
        step = gradient(x, level, condition)

    def log_p(x: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(network(x, torch.full((4,), 0.5)), 1)[:, 2]

    assert bool((log_p(x + 0.01 * step / step.abs().amax()) > log_p(x)).all())
