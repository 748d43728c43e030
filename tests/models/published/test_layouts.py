"""Any width, depth and attention, saved in the original's layout, comes back by its shapes with the same outputs."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from restore.contracts import Condition
from restore.diffusion.schedule import Linear
from restore.models.native import assemble
from restore.models.published import guided_diffusion, open_checkpoint, palette, sr3
from restore.models.published.convert import to_original
from restore.models.published.family import Identified
from restore.models.published.keymap import Rule
from restore.models.published.weather_diffusion import WeatherDiffusion
from restore.networks import EncoderSpec, NetworkSpec, UNetSpec

FEW = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PREFIXED = {"palette", "sr3"}


def draw_trunk(draw, base: int, **fixed):
    """Return a small network's hyper-parameters; attention at any levels."""
    mult = draw(st.lists(st.integers(1, 2), min_size=1, max_size=3))
    levels = len(mult)
    return {
        "channels": tuple(base * m for m in mult),
        "blocks": draw(st.integers(1, 2)),
        "attention": tuple(sorted(draw(st.sets(st.integers(0, levels - 1), max_size=levels)))),
        **fixed,
    }


def reopened(spec, layout, family, wrap, *overrides, suffix=".pth"):
    """Return network and spec of a file with this network's random weights, and the network itself."""
    torch.manual_seed(0)
    network = spec.build().eval().requires_grad_(False)
    state = to_original(Identified(family, spec, layout, {}, 0), network.state_dict())
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"weights{suffix}"
        torch.save(wrap(state), path)
        opened = open_checkpoint(path, None, overrides)
        found = TypeAdapter(NetworkSpec | EncoderSpec).validate_python(opened.recipe["network"])
        again = assemble(found.build, {k: v.clone() for k, v in opened.tensors.items()}, "test").eval()
    assert opened.conversion is not None and opened.conversion.family == family
    return network, again.requires_grad_(False), found


def same(spec, network, again, value):
    side = 2 * spec.multiple
    torch.manual_seed(1)
    x, image = torch.randn(2, 3, side, side), torch.rand(2, 3, side, side) * 2 - 1
    condition = Condition(image, torch.zeros(2, dtype=torch.int64))
    # the same weights in the same layout: not a bit may differ
    torch.testing.assert_close(again(x, value, condition), network(x, value, condition), rtol=0, atol=0)


@FEW
@given(data=st.data())
def test_weather_diffusion(data):
    attended = draw_trunk(data.draw, 32)
    spec = UNetSpec(
        **attended,
        stem=32,
        level={"width": 32, "hidden": 128, "out": 128, "first": "sin", "endpoint": True},
        modulation="add",
        shrink=data.draw(st.sampled_from(["conv_asymmetric", "pool"]))
        if len(attended["channels"]) > 1
        else "conv_asymmetric",
        eps=1e-6,
        condition_channels=data.draw(st.sampled_from([0, 3])),
    )
    config = argparse.Namespace(
        data=argparse.Namespace(image_size=8 * spec.multiple, dataset="mine"), device=torch.device("cpu")
    )

    def wrap(state):
        raw = {f"module.{name}": torch.zeros_like(value) for name, value in state.items()}
        return {"epoch": 3, "step": 9, "state_dict": raw, "optimizer": {}, "ema_helper": state, "config": config}

    network, again, found = reopened(
        spec, WeatherDiffusion().keymap(spec), "weather_diffusion", wrap, suffix=".pth.tar"
    )
    assert found == spec
    same(spec, network, again, torch.tensor([3.0, 700.0]))


def tables_sr3(length):
    schedule = Linear(steps=length, beta_start=1e-6, beta_end=0.01).build()
    tables = {name: torch.zeros(length) for name in sr3.SR3_TABLES - {sr3.FREQUENCIES}}
    return {**tables, "betas": schedule.beta.float()}


@FEW
@given(data=st.data())
def test_sr3_and_ddpm(data):
    continuous = data.draw(st.booleans())
    spec = UNetSpec(
        **draw_trunk(data.draw, 8),
        stem=8,
        level={"width": 8, "hidden": 32, "out": 8, "first": "sin"},
        modulation="add",
        activate=not continuous,
        shrink="conv",
        groups=data.draw(st.sampled_from([1, 2, 4, 8])),
        qkv_bias=False,
        condition_channels=data.draw(st.sampled_from([0, 3])),
    )

    def wrap(state):
        return {**tables_sr3(50), **({} if continuous else {"denoise_fn.time_mlp.0.inv_freq": torch.zeros(4)}), **state}

    network, again, found = reopened(
        spec, sr3.sr3_keymap(spec, continuous), "sr3", wrap, f"norm_groups={spec.groups}", "dropout=0"
    )
    assert found == spec
    same(spec, network, again, torch.tensor([0.3, 0.9]) if continuous else torch.tensor([3.0, 30.0]))


def draw_guided(data, **fixed):
    trunk = draw_trunk(data.draw, 32)
    return {
        **trunk,
        "stem": trunk["channels"][0],
        "level": {"width": 32, "hidden": 128, "out": 128, "first": "cos"},
        "modulation": data.draw(st.sampled_from(["add", "scale_shift"])),
        "shrink": data.draw(st.sampled_from(["residual", "conv", "pool"]))
        if len(trunk["channels"]) > 1
        else "residual",
        **fixed,
    }


def draw_heads(data):
    heads = data.draw(st.sampled_from([{"heads": 2}, {"heads": 4, "heads_up": 2}, {"head_channels": 16}]))
    words = {"heads": "num_heads", "heads_up": "num_heads_upsample", "head_channels": "num_head_channels"}
    return heads, [f"{words[key]}={value}" for key, value in heads.items()]


@FEW
@given(data=st.data())
def test_guided_diffusion(data):
    heads, words = draw_heads(data)
    by_head = data.draw(st.booleans())
    spec = UNetSpec(
        **draw_guided(data),
        **heads,
        order="x_t_first",
        condition_channels=data.draw(st.sampled_from([0, 3])),
        outputs=data.draw(st.sampled_from([3, 6])),
        classes=data.draw(st.sampled_from([0, 5])),
    )
    layout = guided_diffusion.guided_keymap(spec, "time_embed", by_head)
    network, again, found = reopened(
        spec, layout, "guided_diffusion", dict, *words, f"use_new_attention_order={not by_head}", suffix=".pt"
    )
    assert found == spec
    same(spec, network, again, torch.tensor([0.0, 999.0]))


@FEW
@given(data=st.data())
def test_palette(data):
    second = data.draw(st.booleans())
    if second:
        spec = UNetSpec(
            **draw_trunk(data.draw, 8),
            stem=8,
            level={"width": 8, "hidden": 32, "out": 8, "first": "sin"},
            modulation="add",
            activate=False,
            shrink="conv",
            groups=4,
            qkv_bias=False,
        )
        layout, words = sr3.sr3_keymap(spec, continuous=True), ["norm_groups=4"]
    else:
        heads, words = draw_heads(data)
        spec = UNetSpec(**draw_guided(data), **heads)
        layout = guided_diffusion.guided_keymap(spec, "cond_embed", True, "denoise_fn.")

    def wrap(state):
        gammas = Linear(steps=2000, beta_start=1e-6, beta_end=0.01).build().alpha_bar[1:].float()
        return {**dict.fromkeys(palette.PALETTE_TABLES, gammas), **state}

    network, again, found = reopened(spec, layout, "palette", wrap, *words, "dropout=0")
    assert found == spec
    same(spec, network, again, torch.tensor([0.1, 0.99]))


@FEW
@given(data=st.data())
def test_classifiers(data):
    fields = draw_guided(data)
    pool = data.draw(st.sampled_from(["attention", "adaptive", "spatial", "spatial_v2"]))
    multiple = 2 ** (len(fields["channels"]) - 1)
    per_head = data.draw(st.sampled_from([16, 32]))
    spec = EncoderSpec(
        **fields, outputs=7, pool=pool, size=2 * multiple, head_channels=per_head, pool_head_channels=per_head
    )
    network, again, found = reopened(
        spec,
        guided_diffusion.guided_keymap(spec, "time_embed", True),
        "guided_diffusion",
        dict,
        f"num_head_channels={per_head}",
        f"classifier_depth={spec.blocks}",
        f"image_size={spec.size}",
        suffix=".pt",
    )
    assert found == spec
    x, value = torch.randn(2, 3, spec.size, spec.size), torch.tensor([1.0, 500.0])
    torch.testing.assert_close(again(x, value), network(x, value), rtol=0, atol=0)


@pytest.mark.parametrize("heads", [1, 2, 3, 8])
def test_queries_keys_and_values_by_head(heads):
    """Rows of head h in the original: q_h, k_h, v_h; ours: all q, all k, all v."""
    d = 4
    names = [(part, head, i) for head in range(heads) for part in "qkv" for i in range(d)]
    ordered = sorted(names, key=lambda row: ("qkv".index(row[0]), row[1], row[2]))
    theirs = torch.arange(len(names))[:, None, None].float()
    rule = Rule("qkv.weight", ("qkv.weight",), (3 * heads * d, 1, 1), heads)
    ours = rule.ours({"qkv.weight": theirs})
    assert [names[int(row)] for row in ours.flatten()] == ordered
    assert torch.equal(rule.theirs(ours)["qkv.weight"], theirs)
