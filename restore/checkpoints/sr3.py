"""SR3 by Janspiry, and the DDPM variant in its repository: `I{iteration}_E{epoch}_gen.pth`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from restore.checkpoints.family import Choice, Found, TensorLike, divisor, faster, is_real, make, schedule, settle
from restore.checkpoints.layout import Layout, Shapes, stages_down, stages_up
from restore.checkpoints.settings import Settings
from restore.networks.unet import UNetSpec

__all__ = ["SR3", "layout", "network"]

PREFIX = "denoise_fn."
BLOCK = {
    "norm1": "res_block.block1.block.0",
    "conv1": "res_block.block1.block.3",
    "norm2": "res_block.block2.block.0",
    "conv2": "res_block.block2.block.3",
    "shortcut": "res_block.res_conv",
}
MODULATION = {"noise_level_mlp": "res_block.noise_func.noise_func.0", "time_mlp": "res_block.mlp.1"}
ATTENTION = {"norm": "norm", "qkv": "qkv", "out": "out"}
TABLES = frozenset(
    {
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "denoise_fn.time_mlp.0.inv_freq",
    }
)


class SR3:
    """The family; see `restore.checkpoints.family.Family`."""

    name = "sr3"

    def detect(self, shapes: Shapes, settings: Settings) -> bool:
        """Return whether the tensors are SR3's or its DDPM variant's."""
        return any(PREFIX + f"{mlp}.1.weight" in shapes for mlp in MODULATION)

    def read(self, tensors: Mapping[str, TensorLike], settings: Settings) -> Found:
        """Return the network and recipe of a state."""
        spec = network(Shapes(tensors), settings, "channel_multiplier")
        name = settle(self.name, spec, settings)
        spec = finish(spec, settings)
        usual = 16 * 2 ** min(spec.attention) if spec.attention else 128
        size = settings.get(int, usual, "diffusion.image_size", "image_size")
        continuous = PREFIX + "noise_level_mlp.1.weight" in tensors
        ends = (1e-6, 1e-2) if continuous else (1e-4, 2e-2)
        trained, notes = self.trained(tensors, settings, *ends)
        used = {key: trained[key] for key in trained if key in ("steps", "beta_start", "beta_end")}
        sampled = schedule(
            settings,
            "linear",
            used["steps"],
            used.get("beta_start", ends[0]),
            used.get("beta_end", ends[1]),
            "beta_schedule.val",
        )
        conditional = bool(spec.condition_channels)
        recipe = {
            "name": name or f"{'sr3' if continuous else 'sr3-ddpm'}-{size}",
            "tasks": {"upscale" if conditional else "generate": "unknown"},
            "schedule": trained,
            "sampling_schedule": sampled,
            "prediction": "eps",
            "level_input": "sqrt_alpha_bar" if continuous else "t",
            "task": {"kind": "upscale", "scale": self.scale(settings)} if conditional else {"kind": "weather"},
            **sampling(size, spec, sampled["steps"]),
        }
        names = layout(spec, continuous)
        tables = TABLES & set(tensors)
        return Found(self.name, spec, names, recipe, size, tables, notes, choices(spec, names, settings))

    def trained(
        self, tensors: Mapping[str, TensorLike], settings: Settings, start: float, end: float
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the schedule of training: by the table in the file where it is a straight line, else by settings."""
        betas = tensors.get("betas")
        steps = betas.shape[0] if betas is not None else 2000
        if betas is None or not is_real(betas):
            return schedule(settings, "linear", steps, start, end, "beta_schedule.train"), ()
        line = torch.linspace(float(betas[0]), float(betas[-1]), steps, dtype=torch.float64)
        if torch.allclose(line.float(), betas.float(), rtol=1e-4, atol=0):
            settings.given["training schedule"] = f"linear, {steps} steps (the table in the file)"
            first, last = (float(f"{float(beta):.6g}") for beta in (betas[0], betas[-1]))
            return {"kind": "linear", "steps": steps, "beta_start": first, "beta_end": last}, ()
        document = schedule(settings, "linear", steps, start, end, "beta_schedule.train")
        return document, ("the betas in the file are not linear; give the original's config if this is wrong",)

    def scale(self, settings: Settings) -> int:
        """Return how many times larger the result is than the low-resolution picture."""
        low = settings.find(int, "datasets.train.l_resolution", "l_resolution")
        high = settings.find(int, "datasets.train.r_resolution", "r_resolution")
        return high[0] // low[0] if low and high else settings.get(int, 8, "scale")


def network(shapes: Shapes, settings: Settings, multiplier: str) -> UNetSpec:
    """Return the hyper-parameters of an SR3 or DDPM U-Net, from the shapes alone, with one group per normalisation."""
    mlp = "noise_level_mlp" if PREFIX + "noise_level_mlp.1.weight" in shapes else "time_mlp"
    stem, inputs = shapes[PREFIX + "downs.0.weight"][:2]
    channels, counts, attention = levels(shapes)
    outputs = shapes[PREFIX + "final_conv.block.3.weight"][0]
    hidden, width = shapes[PREFIX + f"{mlp}.1.weight"]
    settings.check(int, stem, "unet.inner_channel")
    settings.check(tuple[float, ...], tuple(c / stem for c in channels), f"unet.{multiplier}")
    settings.check(int, counts[0], "unet.res_blocks")
    settings.check(int, inputs, "unet.in_channel")
    return make(
        UNetSpec,
        stem=stem,
        channels=channels,
        blocks=counts[0],
        attention=attention,
        level={
            "width": width,
            "hidden": hidden,
            "out": shapes[PREFIX + f"{mlp}.3.weight"][0],
            "first": "sin",
        },
        modulation="add",
        activate=mlp == "time_mlp",
        shrink="conv",
        groups=1,
        qkv_bias=False,
        condition_channels=inputs - 3,
        outputs=outputs,
    )


def levels(shapes: Shapes) -> tuple[list[int], list[int], list[int]]:
    """Return width and number of blocks of each level, and the levels with attention, by walking down."""
    widths, counts, attention = [0], [0], []
    for n in shapes.children(PREFIX + "downs")[1:]:
        if f"{PREFIX}downs.{n}.conv.weight" in shapes:
            widths.append(0)
            counts.append(0)
            continue
        widths[-1] = shapes[f"{PREFIX}downs.{n}.res_block.block1.block.3.weight"][0]
        counts[-1] += 1
        if shapes.has(f"{PREFIX}downs.{n}.attn") and len(widths) - 1 not in attention:
            attention.append(len(widths) - 1)
    return widths, counts, attention


def finish(spec: UNetSpec, settings: Settings) -> UNetSpec:
    """Return the network with what its shapes cannot tell: groups and dropout."""
    groups = divisor(spec.norm_widths(), 32, "norm_groups", settings, "unet.norm_groups", "norm_groups")
    dropout = settings.get(float, 0.2, "unet.dropout", "dropout")
    return spec.model_copy(update={"groups": groups, "dropout": dropout})


def choices(spec: UNetSpec, names: Layout, settings: Settings) -> tuple[Choice, ...]:
    """Return the groups that a normalisation could have, the assumed number first; none if it was told."""
    if settings.configured or "unet.norm_groups" not in settings.assumed:
        return ()
    usable = [n for n in range(1, 33) if n != spec.groups and all(width % n == 0 for width in spec.norm_widths())]
    return tuple(
        Choice({"unet.norm_groups": str(n)}, spec.model_copy(update={"groups": n}), names)
        for n in (spec.groups, *usable)
    )


def layout(spec: UNetSpec, continuous: bool) -> Layout:
    """Return the original's names, which count through all modules of a way."""
    mlp = "noise_level_mlp" if continuous else "time_mlp"
    names = {
        "stem": "downs.0",
        "level.layer1": f"{mlp}.1",
        "level.layer2": f"{mlp}.3",
        "middle.0": "mid.0",
        "middle.1": "mid.0.attn",
        "middle.2": "mid.1",
        "head_norm": "final_conv.block.0",
        "head": "final_conv.block.3",
        **dict(numbered(stages_down(spec), "downs", 1)),
        **dict(numbered(stages_up(spec), "ups", 0)),
    }
    block = {**BLOCK, "modulation": MODULATION[mlp]}
    return Layout({ours: PREFIX + theirs for ours, theirs in names.items()}, block, ATTENTION, ones=2)


def numbered(stages: Iterator[tuple[str, str | None]], way: str, first: int) -> Iterator[tuple[str, str]]:
    """Yield our and their paths of a way's modules."""
    for n, (path, attention) in enumerate(stages, first):
        if attention is None:
            yield f"{path}.conv", f"{way}.{n}.conv"
            continue
        yield f"{path}.block", f"{way}.{n}"
        if attention:
            yield attention, f"{way}.{n}.attn"


def sampling(size: int, spec: UNetSpec, steps: int) -> dict[str, Any]:
    """Return how pictures are made: our faster way, and the published one (every step, ancestral) as a preset."""
    patches = {
        "size": size,
        "multiple": spec.multiple,
        "fixed": True,
        "overlap": size // 4,
        "window": "hann",
        "batch": 4,
    }
    return {
        "sampler": faster(spec, 50, steps),
        "patches": patches,
        "presets": {
            "published": {
                "sampler": {"kind": "ancestral", "steps": steps, "variance": "beta_tilde"},
                "patches": patches,
            }
        },
    }
