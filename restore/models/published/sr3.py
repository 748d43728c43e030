"""SR3 by Janspiry, and the DDPM variant in its repository: `I{iteration}_E{epoch}_gen.pth`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from restore.diffusion.schedule import ScheduleSpec
from restore.errors import CheckpointError, ConfigError, TensorMismatch
from restore.models.published.family import (
    Identified,
    agrees,
    divisor,
    faster,
    generating,
    input_channels,
    is_real,
    level_embedding,
    make,
    published_tiles,
    schedule,
    settle,
    tables,
    word,
)
from restore.models.published.keymap import KeyMap, Shapes, stages_down, stages_up
from restore.models.published.settings import OriginalSettings
from restore.models.published.state import DENOISER, TensorLike, called
from restore.networks.unet import UNetSpec
from restore.schema import parse

__all__ = ["SR3", "sr3_keymap", "sr3_network"]

SR3_BLOCK = {
    "norm1": "res_block.block1.block.0",
    "conv1": "res_block.block1.block.3",
    "norm2": "res_block.block2.block.0",
    "conv2": "res_block.block2.block.3",
    "shortcut": "res_block.res_conv",
}
MODULATION = {"noise_level_mlp": "res_block.noise_func.noise_func.0", "time_mlp": "res_block.mlp.1"}
SR3_ATTENTION = {"norm": "norm", "qkv": "qkv", "out": "out"}
SR3_NORM = "block2.block.0.weight"
FREQUENCIES = "denoise_fn.time_mlp.0.inv_freq"
SR3_TABLES = frozenset(
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
        FREQUENCIES,
    }
)


class SR3:
    """The family; see `restore.models.published.family.Family`."""

    name = "sr3"

    def detect(self, shapes: Shapes, settings: OriginalSettings) -> bool:
        """Return whether the tensors are SR3's or its DDPM variant's."""
        parts = ("downs.0", "mid.0", "ups.0", "final_conv.block", *MODULATION)
        return sum(shapes.has(DENOISER + part) for part in parts) > 1

    def read(self, tensors: Mapping[str, TensorLike], settings: OriginalSettings) -> Identified:
        """Return the network and recipe of a state."""
        spec = sr3_network(Shapes(tensors), settings, "channel_multiplier")
        name = settle(self.name, spec, settings)
        spec = finish(spec, settings)
        usual = 16 * 2 ** min(spec.attention) if spec.attention else 128
        size = settings.get(int, usual, "diffusion.image_size", "image_size")
        continuous = not spec.activate
        found = tables(SR3_TABLES - {FREQUENCIES} if continuous else SR3_TABLES, tensors, frozenset({FREQUENCIES}))
        ends = (1e-6, 1e-2) if continuous else (1e-4, 2e-2)
        trained, notes = self.trained(tensors, settings, *ends)
        sampled = schedule(
            settings,
            word(trained),
            trained["steps"],
            trained.get("beta_start", ends[0]),
            trained.get("beta_end", trained.get("beta", ends[1])),
            "beta_schedule.val",
        )
        conditional = bool(spec.condition_channels)
        recipe = {
            "name": name or f"{'sr3' if continuous else 'sr3-ddpm'}-{size}",
            "tasks": {"upscale": "unknown"} if conditional else generating(spec),
            "schedule": trained,
            "sampling_schedule": sampled,
            "prediction": "eps",
            "level_input": "sqrt_alpha_bar" if continuous else "t",
            "task": {"kind": "upscale", "scale": self.scale(settings)} if conditional else {"kind": "generate"},
            **sr3_sampling(size, spec, sampled["steps"]),
        }
        names = sr3_keymap(spec, continuous)
        return Identified(self.name, spec, names, recipe, size, found, notes)

    def trained(
        self, tensors: Mapping[str, TensorLike], settings: OriginalSettings, start: float, end: float
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the schedule of training: by the table in the file where its kind is known, else by settings.

        Raises:
            CheckpointError: the table is of no known kind, and no setting says what it is.
        """
        betas = tensors.get("betas")
        steps = betas.shape[0] if betas is not None else 2000
        if betas is None or not is_real(betas):
            return schedule(settings, "linear", steps, start, end, "beta_schedule.train"), ()
        document = recognised(betas)
        if document is not None:
            settings.given["training schedule"] = f"{word(document)}, {steps} steps (the table in the file)"
            return document, ()
        if settings.find(str, "beta_schedule.train.schedule") is None:
            raise CheckpointError(
                f"the table {called(tensors)('betas')} in the file is of no schedule that is known; "
                "give the original's config, or beta_schedule.train.schedule=NAME"
            )
        document = schedule(settings, "linear", steps, start, end, "beta_schedule.train")
        return document, (f"the betas in the file are not those of {word(document)}, which the settings say",)

    def scale(self, settings: OriginalSettings) -> int:
        """Return how many times larger the result is than the low-resolution image."""
        low = settings.find(int, "datasets.train.l_resolution", "l_resolution")
        high = settings.find(int, "datasets.train.r_resolution", "r_resolution")
        return high[0] // low[0] if low and high else settings.get(int, 8, "scale")


def recognised(betas: torch.Tensor) -> dict[str, Any] | None:
    """Return the schedule that a table of betas belongs to, or None."""
    first, last = (min(max(decimal(beta), 1e-12), 1.0) for beta in (betas[0], betas[-1]))
    ends, steps = {"beta_start": first, "beta_end": last}, betas.shape[0]
    kinds: tuple[dict[str, Any], ...] = (
        {"kind": "linear", **ends},
        {"kind": "quadratic", **ends},
        {"kind": "warmup", **ends, "share": 0.1},
        {"kind": "warmup", **ends, "share": 0.5},
        {"kind": "constant", "beta": last},
        {"kind": "cosine"},
        {"kind": "jsd"},
    )
    for kind in kinds:
        document = {**kind, "steps": steps}
        try:
            table = parse(ScheduleSpec, document, "the betas in the file").build().beta
        except ConfigError:  # no such schedule can be
            continue
        if agrees(table, betas, rtol=1e-4):
            return document
    return None


def decimal(value: torch.Tensor) -> float:
    """Return a number as somebody would have written it: six digits, or the fewest that give it in half precision."""
    exact = value.item()
    if value.dtype in (torch.float16, torch.bfloat16):
        candidates = (float(f"{exact:.{digits}g}") for digits in range(1, 6))
        fitting = (number for number in candidates if torch.tensor(number).to(value.dtype) == value)
        return next(fitting, exact)
    return float(f"{exact:.6g}")


def sr3_network(shapes: Shapes, settings: OriginalSettings, multiplier: str) -> UNetSpec:
    """Return the hyper-parameters of an SR3 or DDPM U-Net, from the shapes alone, with one group per normalisation."""
    mlp = max(MODULATION, key=lambda name: shapes.count(DENOISER + name))
    inputs = input_channels(shapes, DENOISER + "downs.0.weight")
    block = f"{DENOISER}downs.1.res_block"
    stem = shapes.agreed(
        (DENOISER + "downs.0.weight", 0), (DENOISER + "downs.0.bias", 0), (f"{block}.block1.block.0.weight", 0)
    )
    channels, counts, attention = walk_down(shapes)
    head = DENOISER + "final_conv.block.3"
    outputs = shapes.agreed((f"{head}.weight", 0), (f"{head}.bias", 0))
    modulation = f"{block}.{MODULATION[mlp].removeprefix('res_block.')}.weight"
    level = level_embedding(shapes, f"{DENOISER}{mlp}.1", f"{DENOISER}{mlp}.3", modulation)
    if FREQUENCIES in shapes and shapes[FREQUENCIES] != (level["width"] // 2,):
        wanted = (level["width"] // 2,)
        raise TensorMismatch(f"{shapes.called(FREQUENCIES)} is {shapes[FREQUENCIES]}, expected {wanted}")
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
        level={**level, "first": "sin"},
        modulation="add",
        activate=mlp == "time_mlp",
        shrink="conv",
        groups=1,
        qkv_bias=False,
        condition_channels=inputs - 3,
        outputs=outputs,
    )


def walk_down(shapes: Shapes) -> tuple[list[int], list[int], list[int]]:
    """Return width and number of blocks of each level, and the levels with attention, by walking down."""
    widths, counts, attention = [0], [0], []
    for n in shapes.run(DENOISER + "downs")[1:]:
        path = f"{DENOISER}downs.{n}"
        if shapes.has(f"{path}.conv") and shapes.count(f"{path}.res_block") < 2:
            widths.append(0)
            counts.append(0)
            continue
        names = [f"{path}.res_block.{name}" for name in ("block1.block.3.weight", "block2.block.3.weight", SR3_NORM)]
        widths[-1] = shapes.most(0, *names) or shapes.take(names[0], 4)[0]
        counts[-1] += 1
        if shapes.count(f"{path}.attn") > 1 and len(widths) - 1 not in attention:
            attention.append(len(widths) - 1)
    return widths, counts, attention


def finish(spec: UNetSpec, settings: OriginalSettings) -> UNetSpec:
    """Return the network with what does not follow from its shapes: groups and dropout."""
    groups = divisor(spec.norm_widths(), 32, "norm_groups", settings, "unet.norm_groups", "norm_groups")
    dropout = settings.get(float, 0.2, "unet.dropout", "dropout")
    return spec.model_copy(update={"groups": groups, "dropout": dropout})


def sr3_keymap(spec: UNetSpec, continuous: bool) -> KeyMap:
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
    block = {**SR3_BLOCK, "modulation": MODULATION[mlp]}
    return KeyMap({ours: DENOISER + theirs for ours, theirs in names.items()}, block, SR3_ATTENTION, ones=2)


def numbered(stages: Iterator[tuple[str, str | None]], way: str, first: int) -> Iterator[tuple[str, str]]:
    """Yield our and their paths of a way's modules."""
    for n, (path, attention) in enumerate(stages, first):
        if attention is None:
            yield f"{path}.conv", f"{way}.{n}.conv"
            continue
        yield f"{path}.block", f"{way}.{n}"
        if attention:
            yield attention, f"{way}.{n}.attn"


def sr3_sampling(size: int, spec: UNetSpec, steps: int) -> dict[str, Any]:
    """Return how images are made: our faster way, and the published one (every step, ancestral) as a preset."""
    tiles = published_tiles(size, spec, batch=4)
    return {
        "sampler": faster(spec, 50, steps),
        "tiles": tiles,
        "presets": {
            "published": {
                "sampler": {"kind": "ancestral", "steps": steps, "variance": "beta_tilde"},
                "tiles": tiles,
            }
        },
    }
