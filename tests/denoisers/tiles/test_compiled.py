"""Networks that are compiled: few shapes, less memory where it does not suffice, and the same answers."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from restore.contracts import Condition
from restore.denoisers.tiles import FixedBatch, Tiles
from restore.denoisers.tiles.compiled import check_compiler
from restore.errors import ConfigError
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.tasks import Prepared


class Small(nn.Module):
    """A network on a device where only so many tiles fit."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.sizes = room, []

    def forward(self, x_t: Tensor, value: Tensor, condition: Condition) -> Tensor:
        self.sizes.append(len(x_t))
        if len(x_t) > self.room:
            raise torch.OutOfMemoryError("no room")
        return 2 * x_t


def ask(network: nn.Module, n: int) -> None:
    x_t = torch.arange(float(n))[:, None, None, None].expand(n, 3, 4, 4)
    assert torch.equal(network(x_t, torch.zeros(n), Condition(x_t)), 2 * x_t)


def test_a_batch_that_is_too_large_is_halved_and_not_filled_up_again() -> None:
    network = Small(3)
    fixed = FixedBatch(network, 8)
    ask(fixed, 1)
    assert network.sizes == [8, 4, 2]
    ask(fixed, 2)
    assert network.sizes == [8, 4, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):  # the engine halves what it asks for
        ask(fixed, 5)
    ask(fixed, 2)
    assert network.sizes[-1] == 2
    with pytest.raises(torch.OutOfMemoryError):
        ask(FixedBatch(Small(0), 4), 1)


@pytest.mark.parametrize("cuda", [False, True])
def test_without_a_compiler_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path, cuda: bool) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(ConfigError, match="compiler"):
        check_compiler(cuda)
    monkeypatch.setenv("CC" if cuda else "CXX", "no-such-compiler -O2")
    with pytest.raises(ConfigError, match="no-such-compiler"):
        check_compiler(cuda)


def test_the_whole_grid_is_not_compiled(tiny_recipe: Recipe) -> None:
    tiles = Tiles(grid="whole", size=64, overlap=0, multiple=4)
    with pytest.raises(ConfigError, match="whole grid"):
        Restorer(tiny_recipe, tiny_recipe.network.build()).compiled(tiles)


def test_a_compiled_network_answers_as_before(tiny_recipe: Recipe) -> None:
    try:
        check_compiler(cuda=False)
    except ConfigError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    spec = tiny_recipe.network.model_copy(update={"channels": (8,), "blocks": (1,)})
    network = spec.build()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    tiles = Tiles(size=16, overlap=4, batch=2, multiple=spec.multiple, context=16)
    plain = Restorer(tiny_recipe.model_copy(update={"network": spec, "tiles": tiles}), network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own
        made = plain.compiled()
        assert made.tiles().fixed and not plain.tiles().fixed
        for height, width in ((40, 25), (9, 50)):
            image = torch.rand(1, 3, height, width) * 2 - 1
            want = plain.batch(Prepared(image), Settings(tiles=made.tiles())).mean
            assert (want - image).abs().max() > 1e-2
            torch.testing.assert_close(made.batch(Prepared(image)).mean, want, rtol=0, atol=1e-4)
