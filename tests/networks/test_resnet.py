"""The residual trunks against timm's, to the bit."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from timm import create_model
from torch import Tensor, nn

from restore.models import native
from restore.models.auxiliary import DetectorRecipe
from restore.networks.resnet import DEPTHS, ResNet, ResNetDepth
from restore.system import resources

depths = pytest.mark.parametrize("depth", get_args(ResNetDepth))


def theirs(depth: str, stem: int, channels: tuple[int, ...]) -> nn.Module:
    return create_model(depth, pretrained=False, num_classes=0, in_chans=6, stem_width=stem, channels=channels)


def both(depth: ResNetDepth) -> tuple[ResNet, nn.Module]:
    torch.manual_seed(0)
    ours = ResNet(depth, 6, 12, (8, 12, 16, 20))
    torch.manual_seed(0)
    return ours, theirs(depth, 12, (8, 12, 16, 20))


def test_all_depths_are_known() -> None:
    assert set(DEPTHS) == set(get_args(ResNetDepth))


@depths
def test_fresh_weights_are_those_of_timm(depth: ResNetDepth) -> None:
    ours, other = (network.state_dict() for network in both(depth))
    assert list(ours) == list(other)
    assert all(torch.equal(ours[key], other[key]) for key in ours)


@depths
@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_features_and_gradients_are_those_of_timm(depth: ResNetDepth, size: tuple[int, int]) -> None:
    ours, other = both(depth)
    for network in (ours, other):
        torch.manual_seed(1)
        for parameter in network.parameters():
            # the last normalisation of a block begins at zero
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    x = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(0)).contiguous(
        memory_format=torch.channels_last
    )
    pair: list[tuple[Tensor, Tensor]] = []
    for training in (True, False):
        pair.append((ours.train(training)(x), other.train(training).forward_features(x)))
    assert pair[0][0].shape == (2, ours.features, -(-size[0] // 32), -(-size[1] // 32))
    pair[0][0].square().sum().backward()
    pair[0][1].square().sum().backward()
    known = dict(other.named_parameters())
    pair += [(p.grad, known[name].grad) for name, p in ours.named_parameters()]
    pair += list(zip(ours.buffers(), other.buffers(), strict=True))
    assert all(torch.equal(one, two) for one, two in pair)


def test_the_detector_that_ships_answers_as_with_timm() -> None:
    path = resources.weights_path("detector")
    spec = DetectorRecipe.model_validate(native.read_metadata(path)["recipe"]).network
    network = native.assemble(spec.build, native.load(path), str(path)).eval()
    x = torch.rand(2, 3, 150, 170, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        ours = network(x)
        for name, stem, channels in zip(("fine", "coarse"), spec.stem, (spec.channels, spec.coarse), strict=True):
            trunk = theirs(spec.trunk, stem, channels).eval()
            trunk.load_state_dict(getattr(network, name).state_dict())
            trunk.forward = trunk.forward_features
            setattr(network, name, trunk)
        assert torch.equal(ours, network(x)) and ours.std() > 0.1
