"""The U-Net of the published dialects: its parts against diffusers, its hyper-parameters against what cannot be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention as TheirAttention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from pydantic import ValidationError
from torch import nn

from restore.contracts import Condition
from restore.networks import Encoder, EncoderSpec, UNet, UNetSpec
from restore.networks.layers import Attention, LevelEmbedding, LevelSpec, ResBlock, Shrink, level_features

SMALL = {"stem": 8, "channels": (8, 16), "blocks": 1, "groups": 4, "level": {"width": 8, "hidden": 16, "out": 12}}


def small(**changes) -> UNetSpec:
    return UNetSpec(**{**SMALL, **changes})


def inputs(spec, batch=2, side=8):
    torch.manual_seed(0)
    x = torch.randn(batch, 3, side, side)
    return x, torch.rand(batch), Condition(torch.rand(batch, max(spec.condition_channels, 1), side, side))


def copied(module: nn.Module, other: nn.Module) -> None:
    module.weight.data.copy_(other.weight.reshape(module.weight.shape))
    if other.bias is not None:
        module.bias.data.copy_(other.bias)


@pytest.mark.parametrize("first", ["sin", "cos"])
@pytest.mark.parametrize("endpoint", [False, True])
@pytest.mark.parametrize("width", [8, 9])
def test_level_features_are_those_of_diffusers(first, endpoint, width):
    t = torch.tensor([0.0, 0.5, 17.0, 999.0])
    theirs = get_timestep_embedding(
        t, width, flip_sin_to_cos=first == "cos", downscale_freq_shift=1.0 if endpoint else 0.0
    )
    torch.testing.assert_close(level_features(t, width, first, endpoint), theirs, rtol=0, atol=1e-4)


def test_levels_keep_their_digits_whatever_the_network_runs_in():
    """A level of 999 has no neighbour closer than 4 in bfloat16: rounded, it would be off by 0.2."""
    torch.manual_seed(0)
    embedding, level = LevelEmbedding(LevelSpec(width=8, hidden=16, out=4)), torch.tensor([0.0, 411.0, 998.0, 999.0])
    exact = embedding(level)
    torch.testing.assert_close(embedding.to(torch.bfloat16)(level).float(), exact, rtol=0, atol=0.005)


@pytest.mark.parametrize("modulation", ["add", "scale_shift"])
@pytest.mark.parametrize("resample", ["keep", "down", "up"])
@pytest.mark.parametrize(("inner", "outer"), [(8, 8), (8, 16)])
def test_a_block_is_that_of_diffusers(modulation, resample, inner, outer):
    torch.manual_seed(0)
    theirs = ResnetBlock2D(
        in_channels=inner, out_channels=outer, temb_channels=12, groups=4, eps=1e-5,
        time_embedding_norm="default" if modulation == "add" else "scale_shift",
        up=resample == "up", down=resample == "down",
    )  # fmt: skip
    ours = ResBlock(small(modulation=modulation), inner, outer, resample)
    names = {"norm1": "norm1", "conv1": "conv1", "modulation": "time_emb_proj", "norm2": "norm2", "conv2": "conv2"}
    for name, other in names.items():
        copied(ours.get_submodule(name), theirs.get_submodule(other))
    if inner != outer:
        copied(ours.shortcut, theirs.conv_shortcut)
    x, e = torch.randn(2, inner, 6, 6), torch.randn(2, 12)
    torch.testing.assert_close(ours(x, e), theirs(x, e), rtol=1e-5, atol=1e-5)


def test_without_the_activation_the_level_enters_as_it_is():
    block = ResBlock(small(modulation="add", activate=False), 8, 8)
    x = torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        block.modulation.weight.zero_()
        block.modulation.weight[:, 0] = 1
        block.modulation.bias.zero_()
        low = block(x, torch.tensor([[-2.0] + [0.0] * 11]))
        h = block.norm2(block.conv1(F.silu(block.norm1(x))) - 2)
        torch.testing.assert_close(low, x + block.conv2(F.silu(h)))


@pytest.mark.parametrize(("heads", "head_channels"), [(1, None), (2, None), (4, None), (1, 4)])
def test_attention_is_that_of_diffusers(heads, head_channels):
    torch.manual_seed(0)
    ours = Attention(small(heads=heads, head_channels=head_channels), 16)
    theirs = TheirAttention(
        16, heads=ours.heads, dim_head=16 // ours.heads, norm_num_groups=4, eps=1e-5, bias=True,
        residual_connection=True, upcast_softmax=True,
    )  # fmt: skip
    copied(theirs.group_norm, ours.norm)
    for i, name in enumerate(("to_q", "to_k", "to_v")):
        theirs.get_submodule(name).weight.data.copy_(ours.qkv.weight[16 * i : 16 * (i + 1)])
        theirs.get_submodule(name).bias.data.copy_(ours.qkv.bias[16 * i : 16 * (i + 1)])
    copied(theirs.to_out[0], ours.out)
    x = torch.randn(2, 16, 5, 3)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_shrinking():
    x = torch.randn(1, 8, 6, 6)
    for how, padding in (("conv", 1), ("conv_asymmetric", 0)):
        ours, theirs = Shrink(8, how), Downsample2D(8, use_conv=True, padding=padding)
        copied(ours.conv, theirs.conv)
        torch.testing.assert_close(ours(x, torch.empty(0)), theirs(x))
    torch.testing.assert_close(Shrink(8, "pool")(x, torch.empty(0)), F.avg_pool2d(x, 2))


@pytest.mark.parametrize("shrink", ["conv", "conv_asymmetric", "residual", "pool"])
@pytest.mark.parametrize("condition", [0, 3, 4])
def test_shapes(shrink, condition):
    spec = small(shrink=shrink, condition_channels=condition, outputs=6, attention=(1,))
    x, value, given = inputs(spec)
    network = spec.build().eval()
    assert isinstance(network, UNet)
    assert network(x, value, given).shape == (2, 6, 8, 8)
    assert network(x[..., :6], value, given.replaced(image=given.image[..., :6])).shape == (2, 6, 8, 6)


def test_the_order_of_the_inputs():
    x, value, _ = inputs(small())
    other = torch.randn_like(x)
    first = small(order="condition_first").build().eval()
    second = small(order="x_t_first").build().eval()
    second.load_state_dict(first.state_dict())
    torch.testing.assert_close(first(x, value, Condition(other)), second(other, value, Condition(x)))


def test_one_level_for_a_whole_batch():
    spec = small()
    x, _, given = inputs(spec)
    network = spec.build().eval()
    torch.testing.assert_close(network(x, torch.tensor([0.3]), given), network(x, torch.tensor([0.3, 0.3]), given))


def test_classes():
    spec = small(classes=3)
    x, value, given = inputs(spec)
    network = spec.build().eval()
    out = [network(x, value, given.replaced(label=torch.full((2,), i))) for i in range(3)]
    assert not torch.allclose(out[0], out[1])
    torch.testing.assert_close(network(x, value, given), out[0])


def test_an_image_does_not_depend_on_its_neighbours():
    spec = small(attention=(0, 1))
    x, value, given = inputs(spec, batch=3)
    network = spec.build().eval()
    alone = network(x[1:2], value[1:2], given.select(slice(1, 2)))
    torch.testing.assert_close(network(x, value, given)[1:2], alone)


def test_heads_may_differ_on_the_way_up():
    network = small(heads=2, heads_up=4, attention=(1,)).build()
    assert {m.heads for m in network.down.modules() if isinstance(m, Attention)} == {2}
    assert {m.heads for m in network.up.modules() if isinstance(m, Attention)} == {4}


def test_every_parameter_gets_a_gradient():
    spec = small(attention=(0,), classes=2, dropout=0.5)
    x, value, given = inputs(spec)
    network = spec.build().train()
    network(x, value, given.replaced(label=torch.tensor([0, 1]))).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groups": 3}, "groups = 3 does not divide"),
        ({"groups": 16}, "groups = 16 does not divide the 8 channels"),
        ({"attention": (2,)}, "attention names levels 0 to 1"),
        ({"heads": 3}, "number of heads does not divide the 16 channels"),
        ({"head_channels": 5}, "head_channels = 5 does not divide"),
        ({"heads_up": 5}, "number of heads does not divide"),
        ({"channels": ()}, "channels"),
        ({"width": 8}, "width"),
    ],
)
def test_networks_that_cannot_be(changes, words):
    with pytest.raises(ValidationError, match=words):
        small(**changes)


@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial", "spatial_v2"])
def test_classifiers(pool):
    spec = EncoderSpec(**{**SMALL, "outputs": 5, "pool": pool, "size": 8, "pool_head_channels": 4, "attention": (1,)})
    network = spec.build().eval()
    assert isinstance(network, Encoder)
    x, value, given = inputs(small())
    out = network(x, value)
    assert out.shape == (2, 5)
    torch.testing.assert_close(network(x, value, given), out)
    torch.testing.assert_close(network(x[:1], value[:1]), out[:1])
    assert torch.autograd.grad(network(x.requires_grad_(), value).sum(), x)[0].abs().sum() > 0


def test_the_attention_pooling_is_that_of_torch():
    """The mean of all pixels asks, all pixels and the mean answer."""
    spec = EncoderSpec(**{**SMALL, "outputs": 5, "size": 8, "pool_head_channels": 4})
    pool = spec.build().head
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight.data.copy_(pool.qkv.weight)
    theirs.in_proj_bias.data.copy_(pool.qkv.bias)
    theirs.out_proj.weight.data.copy_(torch.eye(16))
    theirs.out_proj.bias.data.zero_()
    x = torch.randn(2, 16, 4, 4)
    tokens = x.flatten(2)
    tokens = (torch.cat([tokens.mean(2, keepdim=True), tokens], 2) + pool.position).transpose(1, 2)
    expected = pool.out(theirs(tokens[:, :1], tokens, tokens)[0][:, 0])
    torch.testing.assert_close(pool(x), expected, rtol=1e-5, atol=1e-5)
