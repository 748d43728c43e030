"""The default network: any size, channels-last, and what each input may and may not change."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restore.contracts import Condition
from restore.networks import EfficientUNet, EfficientUNetSpec
from restore.networks.efficient_unet import Block

SPEC = EfficientUNetSpec(channels=(8, 16, 24), blocks=(1, 2, 1), embedding=16, context=8)

PLAIN = SPEC.model_copy(update={"normalised": True, "gain": False})


@pytest.fixture(scope="module", params=[SPEC, PLAIN], ids=["gain", "normalised"])
def network(request: pytest.FixtureRequest) -> EfficientUNet:
    torch.manual_seed(0)
    network = request.param.build().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network.requires_grad_(False)


def inputs(batch: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Condition]:
    g = torch.Generator().manual_seed(seed)
    image, x_t = torch.randn(2, batch, 3, height, width, generator=g)
    thumbnail = torch.randn(batch, 3, 32, 32, generator=g)
    box = torch.tensor([[0.0, 0.0, 0.5, 0.5]]).repeat(batch, 1)
    condition = Condition(image, torch.ones(batch, dtype=torch.int64), thumbnail, box=box)
    return x_t, torch.rand(batch, generator=g), condition


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(1, 5))
def test_any_multiple_of_its_stride_goes_in_and_comes_out(rows: int, columns: int) -> None:
    network = SPEC.build().eval()
    x_t, value, condition = inputs(1, rows * SPEC.multiple, columns * SPEC.multiple)
    assert network(x_t, value, condition).shape == x_t.shape


def test_fresh_weights_answer_nothing() -> None:
    """A fresh residual network leaves the image as it is: training starts from harmless."""
    x_t, value, condition = inputs(2, 16, 16)
    assert SPEC.build()(x_t, value, condition).abs().max() == 0


def test_images_of_a_batch_do_not_see_each_other(network: EfficientUNet) -> None:
    x_t, value, condition = inputs(3, 16, 24)
    alone = torch.cat([network(x_t[i : i + 1], value[i : i + 1], condition.select(slice(i, i + 1))) for i in range(3)])
    torch.testing.assert_close(network(x_t, value, condition), alone, rtol=1e-5, atol=1e-4)


def test_moving_the_image_moves_the_answer(network: EfficientUNet) -> None:
    """What is far from the border does not know where it is, or how large the image is."""
    x_t, value, condition = inputs(1, 256, 256)
    whole = network(x_t, value, condition)
    part = condition.replaced(image=condition.image[..., 64:, 32:])
    inner = network(x_t[..., 64:, 32:], value, part)
    torch.testing.assert_close(
        whole[..., 64 + 64 : -64, 32 + 64 : -64], inner[..., 64:-64, 64:-64], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("what", ["level", "label", "thumbnail", "features", "box", "image", "x_t"])
def test_everything_that_goes_in_matters(network: EfficientUNet, what: str) -> None:
    x_t, value, condition = inputs(1, 16, 16)
    before = network(x_t, value, condition)
    if what == "level":
        value = value + 0.1
    elif what == "label":
        condition = condition.replaced(label=torch.tensor([2]))
    elif what == "thumbnail":
        condition = condition.replaced(thumbnail=condition.thumbnail.flip(1))
    elif what == "features":
        condition = condition.replaced(features=network.encode(condition.thumbnail.flip(1)))
    elif what == "box":
        condition = condition.replaced(box=torch.tensor([[0.5, 0.5, 1.0, 1.0]]))
    elif what == "image":
        condition = condition.replaced(image=-condition.image)
    else:
        x_t = -x_t
    assert (network(x_t, value, condition) - before).abs().max() > 1e-4


def test_without_context_it_is_the_network_that_was_trained_without() -> None:
    """The context's last layer starts at zero, so adding it to trained weights changes nothing."""
    torch.manual_seed(1)
    network = SPEC.build().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("context."):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    x_t, value, condition = inputs(1, 16, 16)
    assert torch.equal(
        network(x_t, value, condition), network(x_t, value, condition.replaced(thumbnail=None, box=None))
    )


@pytest.mark.parametrize(
    "more",
    [{"blocks": (2, 2, 3)}, {"channels": (8, 16, 24, 32), "blocks": (1, 2, 1, 2)}],
    ids=["blocks", "level"],
)
def test_a_network_that_grows_answers_as_before(network: EfficientUNet, more: dict[str, tuple[int, ...]]) -> None:
    torch.manual_seed(2)
    spec = network.spec.model_copy(update=more)
    larger, known = spec.build().eval().requires_grad_(False), network.state_dict()
    assert len(larger.state_dict()) > len(known)
    larger.load_state_dict(larger.extended(known))
    x_t, value, condition = inputs(2, 2 * spec.multiple, spec.multiple)
    torch.testing.assert_close(larger(x_t, value, condition), network(x_t, value, condition))


@pytest.mark.parametrize("gone", ["down.0.0.", "up.1.0.", "grow.0.", "stem.", "down.1.1.conv1.bias"])
def test_what_no_growth_explains_stays_missing(network: EfficientUNet, gone: str) -> None:
    known = {key: value for key, value in network.state_dict().items() if not key.startswith(gone)}
    assert network.extended(known).keys() == known.keys()


def test_the_gain_is_of_the_brightness() -> None:
    """`gain * (condition + 1) + offset`: a head that answers a constant gain makes the image so much brighter."""
    network = SPEC.build().eval()
    with torch.no_grad():
        network.head.bias[-3 * SPEC.stem**2 :] = 0.5
    x_t, value, condition = inputs(2, 16, 16)
    torch.testing.assert_close(network(x_t, value, condition), 0.5 * (condition.image + 1))


def test_the_learned_variance_has_no_gain() -> None:
    network = SPEC.model_copy(update={"learned_variance": True}).build().eval()
    with torch.no_grad():
        network.head.bias[-3 * SPEC.stem**2 :] = 0.5
    x_t, value, condition = inputs(2, 16, 16)
    prediction, variance = network(x_t, value, condition).chunk(2, dim=1)
    torch.testing.assert_close(prediction, 0.5 * (condition.image + 1))
    assert variance.abs().max() == 0


def test_a_modulation_out_of_bounds_at_most_doubles() -> None:
    """Scales multiply from block to block, and nothing is normalised behind them."""
    block = Block(4, 8)
    with torch.no_grad():
        block.modulation.bias[:4] = 1000.0
    x = torch.randn(2, 4, 6, 6)
    scale, shift = block.modulation(torch.zeros(2, 8)).chunk(2, dim=1)
    torch.testing.assert_close(block._modulated(x, scale, shift), 2 * x)


def test_no_label_is_the_label_unknown(network: EfficientUNet) -> None:
    x_t, value, condition = inputs(2, 16, 16)
    unknown = condition.replaced(label=torch.zeros(2, dtype=torch.int64))
    assert torch.equal(network(x_t, value, condition.replaced(label=None)), network(x_t, value, unknown))


def test_bfloat16_is_the_same_function(network: EfficientUNet) -> None:
    x_t, value, condition = inputs(8, 32, 32)
    half = network.spec.build().eval()
    half.load_state_dict(network.state_dict())
    half, rounded = half.to(torch.bfloat16), condition.to(dtype=torch.bfloat16)
    pairs = {
        # without the thumbnail, so that the level counts; with rounded frequencies it would be off by a tenth
        0.01: [x.embed(value, c.replaced(thumbnail=None)) for x, c in ((half, rounded), (network, condition))],
        0.02: [half(x_t.bfloat16(), value, rounded), network(x_t, value, condition)],
    }
    for bound, (got, want) in pairs.items():
        assert (got.float() - want).norm() < bound * want.norm()


def test_gradients_reach_every_parameter(network: EfficientUNet) -> None:
    live = network.spec.build()
    live.load_state_dict(network.state_dict())
    live(*inputs(2, 16, 16)).square().mean().backward()
    silent = [n for n, p in live.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert silent == []
