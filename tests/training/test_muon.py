"""Muon against timm's own, against the singular value decomposition, and through a saved state."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.optim.muon import zeropower_via_newtonschulz
from torch import nn

from restore.errors import ConfigError
from restore.training.muon import QUINTIC, Muon, orthogonalized
from restore.training.optimizer import Optimizer


def network(bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    first, second, third = nn.Conv2d(3, 8, 3, bias=bias), nn.Conv2d(8, 8, 3, bias=bias), nn.Conv2d(8, 8, 3, bias=bias)
    return nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), third, nn.Flatten())


def stepped(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[torch.Tensor]:
    for i in range(start, start + steps):
        torch.manual_seed(i)
        optimizer.zero_grad()
        net(torch.randn(2, 3, 9, 9)).square().mean().backward()
        optimizer.step()
    return [p.detach().clone() for p in net.parameters()]


@pytest.mark.parametrize("shape", [(5, 24, 40), (2, 40, 24), (1, 16, 16), (1, 1, 7)])
def test_the_short_form_equals_the_usual_iteration(shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    usual = torch.stack([zeropower_via_newtonschulz(m, 5, [QUINTIC], dtype=torch.float32) for m in x])
    torch.testing.assert_close(orthogonalized(x), usual, atol=2e-5, rtol=0)


def test_the_singular_vectors_stay_and_the_values_become_about_one() -> None:
    x = torch.randn(3, 20, 50, generator=torch.Generator().manual_seed(2))
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    inner = u.mT @ orthogonalized(x) @ vh.mT
    values = inner.diagonal(dim1=1, dim2=2)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3
    assert float((inner - torch.diag_embed(values)).abs().max()) < 1e-3


def test_a_matrix_of_zeros_stays_zero() -> None:
    assert not orthogonalized(torch.zeros(1, 4, 6)).any()


def test_steps_equal_timms() -> None:
    from timm.optim.muon import Muon as Theirs

    ours, theirs = network(bias=False), network(bias=False)
    a = stepped(ours, Muon(ours, lr=0.01, weight_decay=1.0), 3)
    options = {"weight_decay": 1.0, "nesterov": True, "ns_coefficients": QUINTIC}
    for x, y in zip(a, stepped(theirs, Theirs(theirs.parameters(), lr=0.01, **options), 3), strict=True):
        # timm's rounds a matrix's step, at most 0.2 x sqrt(width) x the rate, to bfloat16
        torch.testing.assert_close(x, y, atol=4e-4, rtol=0)


def test_the_rest_equals_adamw() -> None:
    ours, theirs = nn.Embedding(5, 3), nn.Embedding(5, 3)
    theirs.load_state_dict(ours.state_dict())
    for net, optimizer in (
        (ours, Muon(ours, lr=0.01)),
        (theirs, torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)),
    ):
        for i in range(3):
            optimizer.zero_grad()
            net(torch.tensor([i, i + 1])).square().sum().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight)


def test_the_order_of_the_memory_does_not_matter() -> None:
    plain, last = network(), network().to(memory_format=torch.channels_last)
    for x, y in zip(stepped(plain, Muon(plain), 3), stepped(last, Muon(last), 3), strict=True):
        torch.testing.assert_close(x, y, atol=1e-4, rtol=0)


def test_a_saved_state_goes_on_where_it_was() -> None:
    straight = network()
    whole = stepped(straight, Muon(straight), 4)
    first = network()
    optimizer = Muon(first)
    stepped(first, optimizer, 2)
    second = copy.deepcopy(first)
    resumed = Muon(second)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for x, y in zip(whole, stepped(second, resumed, 2, start=2), strict=True):
        assert torch.equal(x, y)


def test_embeddings_and_biases_are_left_to_adamw() -> None:
    net = nn.Sequential(nn.Embedding(4, 6), nn.Linear(6, 3))
    matrices, rest = (group["params"] for group in Muon(net).param_groups)
    assert [tuple(p.shape) for p in matrices] == [(3, 6)]
    assert [tuple(p.shape) for p in rest] == [(4, 6), (3,)]


@pytest.mark.parametrize(("name", "kind"), [("muon", "Muon"), ("adamw", "AdamW"), ("lion", "Lion")])
def test_an_optimizer_by_name(name: str, kind: str) -> None:
    assert type(Optimizer(name=name).build(network())).__name__ == kind


def test_an_unknown_name_is_named() -> None:
    with pytest.raises(ConfigError, match="'adamx' is neither muon nor"):
        Optimizer(name="adamx").build(network())
