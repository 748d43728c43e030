"""Palette by Janspiry: `{epoch}_Network.pth` and `{epoch}_Network_ema.pth`, with either of its two U-Nets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from restore.errors import ConfigError, TensorMismatch
from restore.models.published import guided_diffusion, guided_shapes, sr3
from restore.models.published.family import Identified, confirms, input_channels, make, schedule, settle, tables
from restore.models.published.keymap import KeyMap, Shapes
from restore.models.published.settings import OriginalSettings
from restore.models.published.state import DENOISER, TensorLike
from restore.networks.unet import UNetSpec

__all__ = ["Palette"]

EMBED = "cond_embed"
PALETTE_TABLES = frozenset(
    {
        "gammas",
        "sqrt_recip_gammas",
        "sqrt_recipm1_gammas",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
    }
)
FILLING = {"mask_channel": False, "fill": "noise"}
TASKS: dict[str, dict[str, Any]] = {
    "inpainting": {"task": {"kind": "inpaint", **FILLING}, "tasks": {"inpaint": "unknown", "uncrop": "unknown"}},
    "uncropping": {"task": {"kind": "uncrop", **FILLING}, "tasks": {"uncrop": "unknown", "inpaint": "unknown"}},
    "colorization": {"task": {"kind": "colorize", "keep_luma": False}, "tasks": {"colorize": "unknown"}},
}
"""The network's input in each of its tasks: noise in the hole, and no mask channel."""


Module = tuple[UNetSpec, str | None, KeyMap]  # network, published name, keymap


class Palette:
    """The family; see `restore.models.published.family.Family`."""

    name = "palette"

    def detect(self, shapes: Shapes, settings: OriginalSettings) -> bool:
        """Return whether the tensors are Palette's.

        Its second U-Net has the tensors of SR3's. The buffers of the noise schedule distinguish them; an average has
        none, then the name of the file or words of the config do, and if nothing does, it is SR3's.
        """
        if self.is_guided(shapes):
            return True
        if not sr3.SR3().detect(shapes, settings) or shapes.count(f"{DENOISER}time_mlp") > 1:
            return False
        own, others = (
            sum(name in shapes for name in names)
            for names in (PALETTE_TABLES - sr3.SR3_TABLES, sr3.SR3_TABLES - PALETTE_TABLES)
        )
        if own != others:
            return own > others
        stated = settings.find(str, "module_name") or settings.find(tuple[float, ...], "unet.channel_mults")
        return "_Network" in settings.file or stated is not None

    def is_guided(self, shapes: Shapes) -> bool:
        """Return whether the tensors are of the U-Net that is like guided-diffusion's."""
        return shapes.count(DENOISER + EMBED) > 1 and shapes.has(f"{DENOISER}input_blocks")

    def read(self, tensors: Mapping[str, TensorLike], settings: OriginalSettings) -> Identified:
        """Return the network and recipe of a state."""
        shapes = Shapes(tensors)
        guided = self.is_guided(shapes)
        spec, name, keymap = self.guided(shapes, settings) if guided else self.sr3(shapes, settings)
        size = settings.get(int, 256, "unet.image_size", "image_size")
        found = tables(PALETTE_TABLES, tensors)
        steps = tensors["gammas"].shape[0] if "gammas" in tensors else 2000
        trained = schedule(settings, "linear", steps, 1e-6, 1e-2, "beta_schedule.train")
        if trained["steps"] != steps and "gammas" in tensors:
            raise TensorMismatch(
                f"{shapes.called('gammas')} is {(steps,)}, expected {(trained['steps'],)}, the steps of training "
                f"({settings.given['beta_schedule.train']})"
            )
        sampled = schedule(settings, "linear", 1000, 1e-4, 0.09, "beta_schedule.test")
        notes = ()
        if "gammas" in tensors and not confirms(trained, tensors["gammas"]):
            table = shapes.called("gammas")
            notes = (f"the table {table} in the file is of another training schedule; give the original's config",)
        task = settings.get(str, "inpainting", "task")
        if task not in TASKS:
            raise ConfigError(f"unknown task {task!r}; Palette has {', '.join(TASKS)}")
        recipe = {
            "name": name or f"palette-{size}",
            **TASKS[task],
            "schedule": trained,
            "sampling_schedule": sampled,
            "prediction": "eps",
            "level_input": "alpha_bar",
            **sr3.sr3_sampling(size, spec, sampled["steps"]),
        }
        return Identified(self.name, spec, keymap, recipe, size, found, notes)

    def guided(self, shapes: Shapes, settings: OriginalSettings) -> Module:
        """Return the U-Net that is like guided-diffusion's."""
        ways = guided_shapes.find_ways(shapes, DENOISER)
        settings.check(int, ways.blocks, "unet.res_blocks")
        inputs = input_channels(shapes, f"{DENOISER}input_blocks.0.0.weight")
        spec = make(
            UNetSpec,
            **guided_diffusion.trunk(shapes, ways, DENOISER, EMBED),
            condition_channels=inputs - 3,
            outputs=shapes.agreed((f"{DENOISER}out.2.weight", 0), (f"{DENOISER}out.2.bias", 0)),
        )
        settings.check(int, spec.level.width, "unet.inner_channel")
        name = settle(self.name, spec, settings)
        widths = {spec.channels[i] for i in spec.attention} | {spec.channels[-1]}
        stated = settings.first("num_heads", "num_head_channels") is not None
        if not stated and all(width % 32 == 0 for width in widths):
            settings.add("as in every published config", {"num_head_channels": 32})
        spec = guided_diffusion.heads(spec, settings)
        spec = spec.model_copy(update={"dropout": settings.get(float, 0.2, "unet.dropout", "dropout")})
        by_head = not settings.get(bool, False, "use_new_attention_order")
        keymap = guided_diffusion.guided_keymap(spec, EMBED, by_head, DENOISER)
        return spec, name, keymap

    def sr3(self, shapes: Shapes, settings: OriginalSettings) -> Module:
        """Return the U-Net that is like SR3's."""
        spec = sr3.sr3_network(shapes, settings, "channel_mults")
        name = settle(self.name, spec, settings)
        spec = sr3.finish(spec, settings)
        return spec, name, sr3.sr3_keymap(spec, continuous=True)
