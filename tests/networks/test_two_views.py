"""The network that looks at an image twice: any size, fine and coarse alike."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from restore.networks import TwoViews, TwoViewsSpec
from restore.networks.resnet import ResNetDepth
from restore.networks.two_views import pieces, reduced


@pytest.fixture(scope="module")
def network() -> TwoViews:
    torch.manual_seed(0)
    return TwoViewsSpec(stem=(4, 4), channels=(8, 8, 8, 16), coarse=(4, 4, 4, 8), piece=64, whole=48, most=96).build()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (33, 20), (64, 64), (200, 310)])
def test_logits_of_any_size(network: TwoViews, size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    before = x.clone()
    with torch.no_grad():
        logits = network.eval()(x)
    assert logits.shape == (2, 7) and bool(logits.isfinite().all())
    assert torch.equal(x, before)


def test_an_image_is_judged_alone(network: TwoViews) -> None:
    x = torch.rand(3, 3, 70, 90, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        together, alone = network.eval()(x), network(x[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


def test_both_views_count(network: TwoViews) -> None:
    smooth = torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    fine = smooth + 0.5 * (torch.arange(256) % 2 * 2 - 1)  # gone where neighbours are averaged
    assert torch.allclose(reduced(fine, 32), reduced(smooth, 32), atol=1e-5)
    wide = TwoViewsSpec(stem=(4, 4), channels=(8, 8, 8, 16), coarse=(4, 4, 4, 8), piece=64, whole=32).build().eval()
    with torch.no_grad():
        assert not torch.allclose(wide(fine), wide(smooth), atol=1e-4)


@pytest.mark.parametrize("trunk", get_args(ResNetDepth))
def test_every_trunk_fits_its_head(trunk: ResNetDepth) -> None:
    spec = TwoViewsSpec(trunk=trunk, stem=(4, 4), channels=(8, 8, 8, 16), coarse=(4, 4, 4, 8), piece=64, whole=48)
    assert spec.build()(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_training_sees_one_piece_and_learns() -> None:
    spec = TwoViewsSpec(stem=(4, 4), channels=(8, 8, 8, 16), coarse=(4, 4, 4, 8), piece=64, whole=48, labels=2)
    torch.manual_seed(0)
    network = spec.build().train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(8) % 2
    losses = []
    for _ in range(25):
        x = torch.rand(8, 3, 64, 64, generator=generator) * (0.3 + label[:, None, None, None])
        loss = torch.nn.functional.cross_entropy(network(x), label)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3


def test_pieces_reach_all_borders() -> None:
    x = torch.arange(70.0).reshape(1, 1, 7, 10)
    cut = pieces(x, 4, 3)
    assert [tuple(piece.shape[-2:]) for piece in cut] == [(4, 4)] * 6
    assert torch.equal(torch.cat([p.flatten() for p in cut]).unique(), x.flatten())
    assert torch.equal(pieces(x, 20, 3)[0], x)
    assert torch.equal(pieces(x, 4, 1)[0], x[..., 1:5, 3:7])
