"""guided-diffusion (Dhariwal and Nichol 2021): models, up-samplers and classifiers, `modelN.pt` and `ema_RATE_N.pt`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd
from typing import Any, Literal

from restore.degradations import LABELS
from restore.errors import ConfigError, TensorMismatch
from restore.models.published.family import (
    Identified,
    PublishedSpec,
    faster,
    generating,
    input_channels,
    level_embedding,
    make,
    published_tiles,
    settle,
)
from restore.models.published.guided_shapes import Ways, find_ways, pool_of
from restore.models.published.keymap import KeyMap, Shapes, stages_down, stages_up
from restore.models.published.settings import OriginalSettings
from restore.models.published.state import TensorLike
from restore.networks.encoder import EncoderSpec
from restore.networks.unet import UNetSpec

__all__ = ["GuidedDiffusion", "guided_keymap", "heads", "trunk"]

GUIDED_BLOCK = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "modulation": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "shortcut": "skip_connection",
}
GUIDED_ATTENTION = {"norm": "norm", "qkv": "qkv", "out": "proj_out"}
OWN = ("classifier_depth", "classifier_width", "classifier_resblock_updown")  # flags that only a classifier has


class GuidedDiffusion:
    """The family; see `restore.models.published.family.Family`."""

    name = "guided_diffusion"

    def detect(self, shapes: Shapes, settings: OriginalSettings) -> bool:
        """Return whether the tensors are guided-diffusion's."""
        return shapes.has("time_embed") and (shapes.has("input_blocks") or shapes.has("middle_block"))

    def read(self, tensors: Mapping[str, TensorLike], settings: OriginalSettings) -> Identified:
        """Return the network and recipe of a state."""
        shapes = Shapes(tensors)
        if shapes.count("output_blocks") < 2:
            return self.classifier(shapes, settings)
        spec = self.network(shapes, settings)
        name = settle(self.name, spec, settings)
        steps = settings.get(int, 1000, "diffusion_steps")
        spec = heads(spec, settings).model_copy(update={"dropout": settings.get(float, 0.0, "dropout")})
        size = settings.get(int, usual_size(spec), "large_size", "image_size")
        upscale = spec.condition_channels > 0
        small = settings.get(int, max(size // 4, 1), "small_size") if upscale else size
        recipe = {
            "name": name or f"guided-diffusion-{size}",
            "tasks": {"upscale": "unknown"} if upscale else generating(spec),
            "schedule": named_schedule(settings, steps),
            "prediction": "x0" if settings.get(bool, False, "predict_xstart") else "eps",
            "level_input": "t",
            "level_scale": 1000 / steps if settings.get(bool, False, "rescale_timesteps") else 1.0,
            "task": {"kind": "upscale", "scale": max(size // small, 1), "filter": "bilinear"}
            if upscale
            else {"kind": "generate"},
            # its labels are classes of its own, of which there may be fewer than of ours
            **({"labels": ["unknown"]} if 0 < spec.classes < len(LABELS) else {}),
            **guided_sampling(size, spec, settings, steps),
        }
        names = guided_keymap(spec, "time_embed", by_head=not settings.get(bool, False, "use_new_attention_order"))
        return Identified(self.name, spec, names, recipe, size)

    def network(self, shapes: Shapes, settings: OriginalSettings) -> UNetSpec:
        """Return the hyper-parameters of a model or an up-sampler, from the shapes alone, with one head."""
        inputs = input_channels(shapes, "input_blocks.0.0.weight")
        ways = find_ways(shapes, "")
        classes = shapes.take("label_emb.weight", 2)[0] if "label_emb.weight" in shapes else 0
        outputs = shapes.agreed(("out.2.weight", 0), ("out.2.bias", 0))
        check_ways(settings, ways, "num_res_blocks", "resblock_updown")
        settings.check(bool, outputs == 6, "learn_sigma")
        stated = settings.find(bool, "class_cond")
        if stated is not None and stated[0] and not classes:
            raise TensorMismatch(
                f"missing {shapes.called('label_emb.weight')}, which a model with class_cond has ({stated[1]})"
            )
        settings.check(bool, classes > 0, "class_cond")
        return make(
            UNetSpec,
            **trunk(shapes, ways, "", "time_embed"),
            condition_channels=inputs - 3,
            order="x_t_first",
            outputs=outputs,
            classes=classes,
        )

    def classifier(self, shapes: Shapes, settings: OriginalSettings) -> Identified:
        """Return the network and recipe of a classifier."""
        pool, outputs = pool_of(shapes)
        own = settings.first(*OWN) is not None
        names = ("classifier_depth", "classifier_resblock_updown") if own else ("num_res_blocks", "resblock_updown")
        ways = find_ways(shapes, "", settings.find(int, names[0]))
        scale = 2 ** (len(ways.channels) - 1)
        fields = trunk(shapes, ways, "", "time_embed")
        size = usual_size(make(EncoderSpec, **fields, outputs=outputs, pool=pool))
        if pool == "attention":
            size = int((shapes.take("out.2.positional_embedding", 2)[1] - 1) ** 0.5) * scale
        spec = make(EncoderSpec, **fields, outputs=outputs, pool=pool, size=size)
        check_ways(settings, ways, *names)
        name = settle(self.name, spec, settings)
        widths = {ways.channels[i] for i in ways.attention} | {ways.channels[-1]}
        # in a config with flags of a classifier the others are those of the model that it guides
        source = "key=value" if own else None
        per_head = settings.get(int, gcd(64, *widths), "num_head_channels", source=source)
        _divides(per_head, widths, "num_head_channels")
        spec = make(EncoderSpec, **{**spec.model_dump(), "head_channels": per_head, "pool_head_channels": per_head})
        if pool == "attention":
            settings.check(int, size, "image_size")
        else:
            spec = spec.model_copy(update={"size": settings.get(int, size, "image_size")})
        order = settings.find(bool, "use_new_attention_order")
        notes = (
            ("use_new_attention_order is the model's; a classifier has the old order",) if order and order[0] else ()
        )
        recipe = {
            "kind": "classifier",
            "name": name or f"guided-diffusion-classifier-{spec.size}",
            "schedule": named_schedule(settings, settings.get(int, 1000, "diffusion_steps")),
            "level_input": "t",
        }
        return Identified(
            self.name, spec, guided_keymap(spec, "time_embed", by_head=True), recipe, spec.size, notes=notes
        )


def trunk(shapes: Shapes, ways: Ways, prefix: str, embed: str) -> dict[str, Any]:
    """Return what a U-Net and a classifier share of their hyper-parameters, from the shapes alone."""
    first, stem = f"{prefix}input_blocks.1.0", f"{prefix}input_blocks.0.0"
    level = level_embedding(shapes, f"{prefix}{embed}.0", f"{prefix}{embed}.2", f"{first}.emb_layers.1.weight")
    ends = ((f"{prefix}input_blocks.1.0", ways.channels[0]), (f"{prefix}middle_block.0", ways.channels[-1]))
    votes = [
        shapes.most(0, f"{block}.emb_layers.1.{leaf}") == 2 * channels
        for block, channels in ends
        for leaf in ("weight", "bias")
    ]
    return {
        "stem": shapes.agreed((f"{stem}.weight", 0), (f"{stem}.bias", 0), (f"{first}.in_layers.0.weight", 0)),
        "channels": ways.channels,
        "blocks": ways.blocks,
        "attention": ways.attention,
        "level": {**level, "first": "cos"},
        "modulation": "scale_shift" if sum(votes) > 1 else "add",
        "shrink": ways.shrink,
    }


def check_ways(settings: OriginalSettings, ways: Ways, depth: str, residual: str) -> None:
    """Compare what a config says of the shapes, under these two names, with the shapes."""
    settings.check(int, ways.blocks, depth)
    if len(ways.channels) > 1:
        settings.check(bool, ways.shrink == "residual", residual)


def heads(spec: UNetSpec, settings: OriginalSettings) -> UNetSpec:
    """Return the network with its attention heads, which do not follow from shapes.

    Raises:
        ConfigError: they do not divide the channels.
    """
    widths = {spec.channels[i] for i in spec.attention} | {spec.channels[-1]}
    stated = settings.first("num_head_channels", "num_heads")
    per_head = settings.find(int, "num_head_channels", source=stated)
    if per_head is not None and per_head[0] > 0:
        _divides(settings.get(int, 1, "num_head_channels", source=stated), widths, "num_head_channels")
        return spec.model_copy(update={"head_channels": per_head[0], "heads": 1})
    default = max(n for n in (1, 2, 4) if all(width % n == 0 for width in widths))
    count = settings.get(int, default, "num_heads", source=stated)
    _divides(count, widths, "num_heads")
    up = settings.find(int, "num_heads_upsample")
    if up is None or up[0] in (-1, count):
        return spec.model_copy(update={"heads": count})
    _divides(settings.get(int, 1, "num_heads_upsample"), widths, "num_heads_upsample")
    return spec.model_copy(update={"heads": count, "heads_up": up[0]})


def _divides(value: int, widths: set[int], name: str) -> None:
    if value < 1 or any(width % value for width in widths):
        raise ConfigError(f"{name} cannot be {value}: it must divide each of {sorted(widths)}")


def usual_size(spec: PublishedSpec) -> int:
    """Return the side of the images if attention begins at 32 pixels, as published; else by the number of levels."""
    return 32 * 2 ** min(spec.attention) if spec.attention else 2 ** (len(spec.channels) + 2)


def named_schedule(settings: OriginalSettings, steps: int) -> dict[str, Any]:
    """Return the schedule of a name; the linear one keeps its 1000-step ends scaled (script_util).

    Raises:
        ConfigError: the name is unknown.
    """
    name = settings.get(str, "linear", "noise_schedule")
    if name == "cosine":
        return {"kind": "cosine", "steps": steps}
    if name != "linear":
        raise ConfigError(f"unknown noise_schedule {name!r}; guided-diffusion has linear and cosine")
    return {"kind": "linear", "steps": steps, "beta_start": 0.1 / steps, "beta_end": 20 / steps}


def guided_sampling(size: int, spec: UNetSpec, settings: OriginalSettings, steps: int) -> dict[str, Any]:
    """Return how images are made: our faster way, and the published respacing as a preset."""
    tiles = published_tiles(size, spec, batch=2)
    respacing = str(settings.get(str | int, str(min(250, steps)), "timestep_respacing") or steps)
    variance: Literal["learned", "beta"] = "learned" if spec.outputs == 6 else "beta"
    if respacing.startswith("ddim"):
        visited = {"kind": "ddim", "eta": 0.0, "spacing": respacing}
    else:
        visited = {"kind": "ancestral", "variance": variance, "spacing": respacing}
    return {
        "sampler": faster(spec, 25, steps),
        "tiles": tiles,
        "presets": {"published": {"sampler": visited, "tiles": tiles}},
    }


def guided_keymap(spec: PublishedSpec, embed: str, by_head: bool, prefix: str = "") -> KeyMap:
    """Return the original's names, which count through all modules of a way."""
    names = {
        "stem": "input_blocks.0.0",
        "level.layer1": f"{embed}.0",
        "level.layer2": f"{embed}.2",
        "middle.0": "middle_block.0",
        "middle.1": "middle_block.1",
        "middle.2": "middle_block.2",
        **dict(numbered_down(spec)),
    }
    if isinstance(spec, UNetSpec):
        names |= {"label": "label_emb", "head_norm": "out.0", "head": "out.2", **dict(numbered_up(spec))}
    else:
        names |= {"head_norm": "out.0", "head": "out.3" if spec.pool == "adaptive" else "out.2"}
        last = 3 if spec.pool == "spatial_v2" else 2
        names |= {"head.0": "out.0", "head.1": "out.1", f"head.{last}": f"out.{last}"}
    return KeyMap(
        {ours: prefix + theirs for ours, theirs in names.items()},
        GUIDED_BLOCK,
        GUIDED_ATTENTION,
        ones=1,
        by_head=by_head,
    )


def numbered_down(spec: PublishedSpec) -> Iterator[tuple[str, str]]:
    """Yield our and their paths of the way down."""
    for n, (path, attention) in enumerate(stages_down(spec), 1):
        if attention is None:
            residual = spec.shrink == "residual"
            yield path if residual else f"{path}.conv", f"input_blocks.{n}.0" + ("" if residual else ".op")
            continue
        yield f"{path}.block", f"input_blocks.{n}.0"
        if attention:
            yield attention, f"input_blocks.{n}.1"


def numbered_up(spec: UNetSpec) -> Iterator[tuple[str, str]]:
    """Yield our and their paths of the way up, where growing stands behind the last stage of a level."""
    n, inside = -1, 0
    for path, attention in stages_up(spec):
        if attention is None:
            residual = spec.shrink == "residual"
            yield path if residual else f"{path}.conv", f"output_blocks.{n}.{inside}" + ("" if residual else ".conv")
            continue
        n, inside = n + 1, 1 + bool(attention)
        yield f"{path}.block", f"output_blocks.{n}.0"
        if attention:
            yield attention, f"output_blocks.{n}.1"
