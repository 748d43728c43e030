"""An image with a hole: outside of it there is nothing to learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restore.contracts import Condition
from restore.denoisers.parameterization import Parameterization
from restore.diffusion.schedule import Cosine
from restore.tasks.holed import Holed
from restore.training.objective import Batch, Hybrid, Objective, Setting, Simple, Variational

PREDICTIONS = ["eps", "x0", "v", "residual"]


class Wrong(nn.Module):
    """A network whose predictions are noise times `scale`, with a variance, which is not scaled, where it has one."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.outputs = outputs

    def forward(self, x_t: torch.Tensor, value: torch.Tensor, condition: Condition) -> torch.Tensor:
        said = torch.randn(len(x_t), self.outputs, *x_t.shape[-2:], generator=torch.Generator().manual_seed(3))
        return torch.cat([self.scale * said[:, :3], said[:, 3:]], dim=1)


def pull(objective: Objective, prediction: str, outputs: int, hole: float) -> float:
    """Return how strongly an objective pulls at the scale of the predictions, of images that are all hole or none."""
    x0, image = torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    parameterization = Parameterization(Cosine(steps=30).build(), prediction, "alpha_bar")
    holed = Holed.of(parameterization, x0, torch.full((4, 1, 8, 8), hole).bool())
    network = Wrong(outputs)
    value = objective.build(Setting(network, holed))(Batch(x0, Condition(image), torch.Generator().manual_seed(1)))
    (gradient,) = torch.autograd.grad(value, [network.scale], allow_unused=True, materialize_grads=True)
    return float(gradient.abs())


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(
    ("objective", "outputs"), [(Simple(), 3), (Variational(variance="beta_tilde"), 3), (Hybrid(weight=1.0), 6)]
)
def test_known_pixels_teach_no_prediction(objective: Objective, outputs: int, prediction: str) -> None:
    """A network may say of known pixels what it likes."""
    assert pull(objective, prediction, outputs, 0.0) == 0
    assert pull(objective, prediction, outputs, 1.0) > 0


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_estimate_of_known_pixels_is_what_they_are(prediction: str) -> None:
    x0, image, eps = torch.rand(3, 4, 3, 8, 8) * 2 - 1
    hole = torch.rand(4, 1, 8, 8) < 0.5
    parameterization = Holed.of(Parameterization(Cosine(steps=30).build(), prediction, "alpha_bar"), x0, hole)
    level = parameterization.schedule.level(12, 4)
    found = parameterization.x0(parameterization.predict(Wrong(3), x0, Condition(image), level, eps), Condition(image))
    known = ~hole.expand(-1, 3, -1, -1)
    assert torch.equal(found[known], x0[known]) and not torch.allclose(found[~known], x0[~known])
