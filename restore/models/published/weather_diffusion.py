"""WeatherDiffusion (Ozdenizci and Legenstein 2023): `*_ddpm.pth.tar`, with its config and its average inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from restore.models.published.family import (
    Identified,
    faster,
    generating,
    input_channels,
    level_embedding,
    make,
    published_tiles,
    schedule,
    settle,
)
from restore.models.published.keymap import KeyMap, Shapes, stages_down, stages_up
from restore.models.published.settings import OriginalSettings
from restore.models.published.state import TensorLike
from restore.networks.unet import UNetSpec

__all__ = ["WeatherDiffusion"]

WEATHER_BLOCK = {
    "norm1": "norm1",
    "conv1": "conv1",
    "modulation": "temb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
    "shortcut": "nin_shortcut",
}
WEATHER_ATTENTION = {"norm": "norm", "qkv": ("q", "k", "v"), "out": "proj_out"}
STRIDE = 16  # of the published patch grid, in pixels


class WeatherDiffusion:
    """The family; see `restore.models.published.family.Family`."""

    name = "weather_diffusion"

    def detect(self, shapes: Shapes, settings: OriginalSettings) -> bool:
        """Return whether the tensors are WeatherDiffusion's."""
        return sum(map(shapes.has, ("temb.dense", "conv_in", "down.0.block", "mid.block_1", "norm_out"))) > 1

    def read(self, tensors: Mapping[str, TensorLike], settings: OriginalSettings) -> Identified:
        """Return the network and recipe of a state."""
        network = self.network(Shapes(tensors), settings)
        name = settle(self.name, network, settings)
        dropout = settings.get(float, 0.0, "model.dropout", "dropout")
        network = network.model_copy(update={"dropout": dropout})
        usual = 16 * 2 ** min(network.attention) if network.attention else 64
        size = settings.get(int, usual, "data.image_size", "image_size")
        dataset = settings.find(str, "data.dataset", "dataset")
        trained = schedule(settings, "linear", 1000, 1e-4, 0.02, "diffusion")
        recipe = {
            "name": name or f"weather-diffusion-{size}",
            **({} if network.condition_channels else {"task": {"kind": "generate"}}),
            "tasks": {"weather": "unknown"} if network.condition_channels else generating(network),
            "schedule": trained,
            "prediction": "eps",
            "level_input": "t",
            **self.sampling(size, network, trained["steps"]),
        }
        notes = (f"trained on {dataset[0]}",) if dataset else ()
        return Identified(self.name, network, self.keymap(network), recipe, size, notes=notes)

    def network(self, shapes: Shapes, settings: OriginalSettings) -> UNetSpec:
        """Return the network's hyper-parameters, from the shapes alone; settings are compared with them."""
        inputs = input_channels(shapes, "conv_in.weight")
        stem = shapes.agreed(("conv_in.weight", 0), ("conv_in.bias", 0), ("down.0.block.0.norm1.weight", 0))
        channels = tuple(self.width(shapes, f"down.{i}.block.0") for i in shapes.run("down"))
        blocks = len(shapes.run("down.0.block"))
        outputs = shapes.agreed(("conv_out.weight", 0), ("conv_out.bias", 0))
        settings.check(int, stem, "model.ch")
        settings.check(tuple[float, ...], tuple(c / stem for c in channels), "model.ch_mult")
        settings.check(int, blocks, "model.num_res_blocks")
        settings.check(bool, inputs > 3, "data.conditional")
        return make(
            UNetSpec,
            stem=stem,
            channels=channels,
            blocks=blocks,
            attention=tuple(i for i in range(len(channels)) if shapes.count(f"down.{i}.attn") > 1),
            level={
                **level_embedding(shapes, "temb.dense.0", "temb.dense.1", "down.0.block.0.temb_proj.weight"),
                "first": "sin",
                "endpoint": True,
            },
            modulation="add",
            shrink="conv_asymmetric" if len(channels) == 1 or shapes.has("down.0.downsample.conv") else "pool",
            eps=1e-6,
            condition_channels=inputs - 3,
            outputs=outputs,
        )

    def width(self, shapes: Shapes, block: str) -> int:
        """Return the channels that a block makes."""
        names = ("conv1.weight", "conv2.weight", "norm2.weight")
        return shapes.most(0, *(f"{block}.{name}" for name in names)) or shapes.take(f"{block}.conv1.weight", 4)[0]

    def keymap(self, spec: UNetSpec) -> KeyMap:
        """Return the original's names; levels and blocks are numbered as ours."""
        names = {
            "stem": "conv_in",
            "level.layer1": "temb.dense.0",
            "level.layer2": "temb.dense.1",
            "middle.0": "mid.block_1",
            "middle.1": "mid.attn_1",
            "middle.2": "mid.block_2",
            "head_norm": "norm_out",
            "head": "conv_out",
        }
        for path, attention in [*stages_down(spec), *stages_up(spec)]:
            way, i, *j = path.split(".")
            if attention is None:
                shrink = way == "shrink"
                level = int(i) if shrink else int(i) + 1
                names[f"{path}.conv"] = f"down.{level}.downsample.conv" if shrink else f"up.{level}.upsample.conv"
                continue
            names[f"{path}.block"] = f"{way}.{i}.block.{j[0]}"
            if attention:
                names[attention] = f"{way}.{i}.attn.{j[0]}"
        return KeyMap(names, WEATHER_BLOCK, WEATHER_ATTENTION, ones=2)

    def sampling(self, size: int, network: UNetSpec, steps: int) -> dict[str, Any]:
        """Return how images are made: our faster way, and the published one as a preset."""
        tiles = published_tiles(size, network, batch=16)
        stride = min(STRIDE, size)
        return {
            "sampler": faster(network, 10, steps),
            "tiles": tiles,
            "presets": {
                "published": {
                    "sampler": {"kind": "ddim", "steps": 25, "eta": 0.0, "spacing": "weatherdiffusion"},
                    "tiles": {
                        **tiles,
                        "grid": "weatherdiffusion",
                        "stride": stride,
                        "overlap": 0,
                        "window": "uniform",
                    },
                    "threshold": {"kind": "none"},
                }
            },
        }
