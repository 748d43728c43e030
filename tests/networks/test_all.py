"""What is true of every network: levels keep their digits in any type, and capabilities are what is declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from restore import networks
from restore.contracts import Condition
from restore.networks import BaseNetworkSpec, Capabilities, build_empty
from restore.networks.efficient_unet import MAX_FREQUENCY, unit_level_features

TRUNK = {"stem": 8, "channels": (8, 16), "blocks": 1, "groups": 4, "level": {"width": 16, "hidden": 16, "out": 12}}
SMALL = {"channels": (8, 12), "blocks": (1, 1), "embedding": 16, "labels": 5}

MAPPED = {
    "efficient_unet": networks.EfficientUNetSpec(**SMALL, context=8),
    "efficient_unet, plain": networks.EfficientUNetSpec(
        **{**SMALL, "labels": 1}, context=0, gated=False, gain=False, learned_variance=True, state_channels=4
    ),
    "unet": networks.UNetSpec(**TRUNK, classes=3),
    "unet, plain": networks.UNetSpec(**TRUNK, state_channels=4, outputs=8, condition_channels=0),
}
"""Networks that map x_t to a prediction; of each kind one with all that it can do, and one of a state of 4 channels."""

LEVELLED = {
    **MAPPED,
    "classifier": networks.ClassifierSpec(**SMALL),
    "classifier, plain": networks.ClassifierSpec(**SMALL, state_channels=4),
    "encoder": networks.EncoderSpec(**TRUNK, outputs=5, pool="adaptive"),
    "encoder, plain": networks.EncoderSpec(**TRUNK, outputs=5, size=16, pool_head_channels=4, state_channels=4),
}
"""Networks that see a noise level."""

ALL = {
    **LEVELLED,
    "two_views": networks.TwoViewsSpec(stem=(4, 4), channels=(8, 8, 8, 16), coarse=(4, 4, 4, 8), piece=64, whole=48),
}

mapped = pytest.mark.parametrize("spec", MAPPED.values(), ids=MAPPED)
levelled = pytest.mark.parametrize("spec", LEVELLED.values(), ids=LEVELLED)
every = pytest.mark.parametrize("spec", ALL.values(), ids=ALL)


def concrete(kind: type[BaseNetworkSpec]) -> Iterator[type[BaseNetworkSpec]]:
    for own in kind.__subclasses__():
        if "kind" in own.model_fields and own.__module__.startswith("restore."):
            yield own
        yield from concrete(own)


def filled(spec: BaseNetworkSpec) -> nn.Module:
    """Return a network in which no weight is zero, so that all that goes in counts."""
    torch.manual_seed(0)
    network = spec.build().eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def inputs(spec: BaseNetworkSpec, value: Tensor) -> tuple[Tensor, Tensor, Condition]:
    known, g = spec.capabilities, torch.Generator().manual_seed(1)
    x_t, image = (
        torch.randn(len(value), c, 16, 16, generator=g) for c in (known.state_channels, known.condition_channels)
    )
    return x_t, value, Condition(image, thumbnail=torch.randn(len(value), 3, 32, 32, generator=g))


def test_the_examples_are_of_all_kinds() -> None:
    assert {type(spec) for spec in ALL.values()} == set(concrete(BaseNetworkSpec))
    unions: list[Any] = [get_args(union)[0] for union in (networks.NetworkSpec, networks.ClassifierNetworkSpec)]
    assert {kind for union in unions for kind in get_args(union)} == {type(spec) for spec in LEVELLED.values()}


@levelled
@pytest.mark.parametrize("values", [(0.0, 0.3, 0.9999), (1.0, 411.0, 999.0)], ids=["unit", "counted"])
def test_bfloat16_sees_the_features_of_a_level_that_float32_sees(
    spec: BaseNetworkSpec, values: tuple[float, ...]
) -> None:
    """What the first linear layer gets; rounded once, at the end, and not by a phase of hundreds of radians."""

    def features(dtype: torch.dtype) -> Tensor:
        network, seen = filled(spec).to(dtype), []
        first = next(module for module in network.modules() if isinstance(module, nn.Linear) and hears(network, module))
        first.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        x_t, value, condition = inputs(spec, torch.tensor(values))
        network(x_t.to(dtype), value, condition.to(dtype=dtype))
        return seen[0]

    exact = features(torch.float32)
    assert exact.shape[0] == len(values) and (exact[0] - exact[1]).abs().max() > 0.01
    assert torch.equal(features(torch.bfloat16), exact.bfloat16())


def hears(network: nn.Module, layer: nn.Module) -> bool:
    """Return whether a layer is the one that the features of the level go into."""
    level = network.level
    return layer is (level[0] if isinstance(level, nn.Sequential) else level.layer1)


@every
def test_no_number_is_rounded_but_the_weights(spec: BaseNetworkSpec) -> None:
    """A buffer that no checkpoint restores is a table, and `network.to(torch.bfloat16)` would round it."""
    network = spec.build()
    tables = [name for name, value in network.named_buffers() if value.is_floating_point()]
    assert [name for name in tables if name not in network.state_dict()] == []


def test_unit_features_are_the_closed_form() -> None:
    value = torch.tensor([0.0, 0.25, 0.7, 1.0])
    frequency = torch.logspace(0, 3, 8, dtype=torch.float64)
    assert float(frequency[-1]) == pytest.approx(MAX_FREQUENCY)
    angle = value.double()[:, None] * frequency
    # an angle of 1000 has a last digit of 6e-5
    torch.testing.assert_close(
        unit_level_features(value, 16).double(), torch.cat([angle.sin(), angle.cos()], 1), rtol=0, atol=5e-4
    )


@mapped
def test_a_prediction_has_the_channels_that_are_declared(spec: BaseNetworkSpec) -> None:
    known = spec.capabilities
    outputs = known.state_channels * (1 + known.learned_variance)
    assert filled(spec)(*inputs(spec, torch.tensor([0.3, 0.6]))).shape == (2, outputs, 16, 16)


@mapped
def test_a_network_can_do_what_it_declares_and_nothing_else(spec: BaseNetworkSpec) -> None:
    known, network = spec.capabilities, filled(spec)
    assert known.grows == hasattr(network, "extended")
    x_t, value, condition = inputs(spec, torch.tensor([0.3]))
    before = network(x_t, value, condition)
    other = network(x_t, value, condition.replaced(label=torch.tensor([max(known.labels - 1, 0)])))
    assert torch.equal(other, before) == (known.labels < 2)
    assert torch.equal(network(x_t, value, condition.replaced(thumbnail=None)), before) == (not known.encodes)
    if known.encodes:
        encoded = condition.replaced(thumbnail=None, features=network.encode(condition.thumbnail))
        assert torch.equal(network(x_t, value, encoded), before)
        assert list(network.context.parameters())
    clean = torch.zeros(1)
    assert torch.equal(network(x_t, clean, condition), network(-x_t, clean, condition)) == known.gated


@every
def test_an_empty_network_has_the_shapes_and_draws_nothing(spec: BaseNetworkSpec) -> None:
    generator = torch.get_rng_state()
    network = build_empty(spec.build)
    assert torch.equal(torch.get_rng_state(), generator)
    shapes = {key: value.shape for key, value in spec.build().state_dict().items()}
    assert {key: value.shape for key, value in network.state_dict().items()} == shapes
    assert all(value.is_meta for value in network.state_dict().values())


def test_the_defaults_are_those_of_a_plain_network() -> None:
    """The base of networks in other packages."""

    class PlainSpec(BaseNetworkSpec):
        width: Annotated[int, "of its layers"] = 4

    assert PlainSpec().capabilities == Capabilities() and PlainSpec().multiple == 1
    with pytest.raises(NotImplementedError, match="PlainSpec does not say"):
        PlainSpec().build()


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (networks.EfficientUNetSpec, {"state_channels": 4}, "state_channels must be 3, not 4; or set gain=false"),
        (networks.UNetSpec, {"outputs": 5}, "outputs must be 3, or 6 with a learned variance, not 5"),
        (networks.UNetSpec, {"state_channels": 4}, "outputs must be 4, or 8 with a learned variance, not 3"),
    ],
)
def test_states_that_do_not_fit(kind: type[BaseNetworkSpec], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        kind(**changes)
