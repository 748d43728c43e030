"""Records what the models that ship, the published families and training give, as numbers to compare with.

python scripts/record_outputs.py            # compares with tests/golden/edition1: bit by bit, and within 1e-5
python scripts/record_outputs.py --write    # records anew

A record has, for each output, a digest of its float32 values and 256 of them. Digests agree on one machine with one
version of PyTorch; the values agree within 1e-5 on others, which is what the suite tests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data
from torch import Tensor

from restore.degradations import JPEG, Mixture, Random
from restore.degradations.resolution import shrink_by
from restore.denoisers.tiles import Tiles
from restore.models.auxiliary import DetectorRecipe
from restore.models.recipe import Recipe
from restore.networks import EfficientUNetSpec, TwoViewsSpec
from restore.restoration.pipeline import Pipeline, State
from restore.restoration.restorer import Restorer
from restore.restoration.settings import Settings
from restore.tasks import Prepared, Request
from restore.training.config import TrainConfig
from restore.training.trainer import Trainer

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
FOLDER = GOLDEN / "edition1"
KEPT = 256  # values of each output, evenly spread, that are recorded as they are

Outputs = Iterator[tuple[str, Tensor]]


def photographs() -> dict[str, Tensor]:
    """Return two small photographs, (1, 3, H, W) in [0, 1], with sides that are multiples of nothing much."""
    cut = {"astronaut": data.astronaut()[20:110, 160:282], "coffee": data.coffee()[100:202, 180:270]}
    return {name: torch.from_numpy(x.copy()).permute(2, 0, 1)[None].float() / 255 for name, x in cut.items()}


def stored(name: str, make: Callable[[], Tensor]) -> Tensor:
    """Return a degraded image, (1, 3, H, W) in [0, 1]: 8 bit, and as it was recorded.

    It is not made anew, since another processor may round it across a threshold of a rain drop or a codec.
    """
    path = FOLDER / f"{name.replace(' ', '_')}.png"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        levels = make()[0].mul(255).round().to(torch.uint8).permute(1, 2, 0)
        Image.fromarray(levels.numpy()).save(path)
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def restored(restorer: Restorer, image: Tensor, **how: Any) -> Tensor:
    """Return what a model makes of a (1, 3, H, W) image in [0, 1]: (3, H, W), mean and, if any, deviation."""
    found = restorer.posterior(image[0] * 2 - 1, Settings(**how))
    return torch.cat([found.mean, found.deviation]) if found.deviation is not None else found.mean


def shipped(name: str, photograph: str, clean: Tensor) -> Outputs:
    """Yield the outputs of a model that ships, in all ways that it can be asked."""
    restorer = Restorer.from_pretrained(name, "cpu", torch.float32)
    height, width = clean.shape[-2:]
    given, how = clean, {}
    if name == "weather":
        given = stored(f"rain {photograph}", lambda: Mixture().parts()["rain"](clean, Random([7]), 0.7))
        how = {"task": "derain"}
    elif name == "jpeg":
        given = stored(f"jpeg {photograph}", lambda: JPEG()(clean, Random([7]), 0.7))
    elif name.startswith("upscale"):
        given = shrink_by(clean, restorer.recipe.task.scale)
    elif name == "inpaint":
        mask = torch.zeros(1, height, width)
        mask[:, 20:50, 30:64] = mask[:, 70:73] = 1
        how = {"request": Request(mask=mask)}
    small = restorer.recipe.tiles.model_copy(update={"size": 64, "overlap": 16})
    yield "given", given[0]
    yield "one step", restored(restorer, given, **how)
    yield "four steps", restored(restorer, given, steps=4, seed=5, **how)
    yield "two samples", restored(restorer, given, steps=2, samples=2, seed=3, **how)
    yield "tiles", restored(restorer, given, tiles=small, **how)
    shifted = small.model_copy(update={"grid": "shifted", "guard": 0.5})
    yield "shifted tiles", restored(restorer, given, steps=2, tiles=shifted, **how)
    yield "self-ensemble", restored(restorer, given, self_ensemble=4, **how)
    if restorer.recipe.dropped:
        yield "guidance", restored(restorer, given, guidance=1.5, **how)
    if name == "inpaint":
        yield "uncrop", restored(restorer, given, task="uncrop", request=Request(pad=(8, 0, 5, 13)))
    if name == "weather":
        yield "blind", restored(restorer, given, task="weather")
        auto = Pipeline.of(restorer, "auto")
        found = auto.run(State(given[0] * 2 - 1))
        yield "auto", found.result().mean
        assert found.decision is not None
        yield "probabilities", torch.tensor(list(found.decision.probabilities.values()))
        yield "clean left alone", auto.run(State(clean[0] * 2 - 1)).result().mean


def published() -> Outputs:
    """Yield one restoration by each of the published families' tiny files."""
    modules = {name: json.loads((GOLDEN / name / "facts.json").read_text())["modules"] for name in ("palette", "sr3")}
    files: list[tuple[str, str, Any]] = [
        ("weatherdiffusion", "ckpts/RainDrop_ddpm.pth.tar", None),
        ("guided_diffusion", "unet_b/model050000.pt", None),
    ]
    for family, module, end in (
        ("sr3", "sr3", "_gen.pth"),
        ("sr3", "ddpm", "_gen.pth"),
        ("palette", "guided_diffusion", "_Network.pth"),
        ("palette", "sr3", "_Network.pth"),
    ):
        found = modules[family][module]
        (file,) = [file for file in found["files"] if file.endswith(end)]
        files.append((family, f"{module}/{file}", found["config"]))
    for family, file, config in files:
        with tempfile.TemporaryDirectory() as scratch:
            path = None
            if config is not None:
                path = Path(scratch) / "config.json"
                path.write_text(json.dumps(config))
            restorer = Restorer.from_pretrained(GOLDEN / family / file, "cpu", torch.float32, config=path)
        image = torch.rand(1, restorer.recipe.task.channels, 48, 40, generator=torch.Generator().manual_seed(2)) * 2 - 1
        *_, last = restorer.stream(Prepared(image), Settings(steps=3), seeds=[4])
        yield f"published {family} {file}", last.x_t[0]


def trained(folder: Path) -> Outputs:
    """Yield the losses of 20 steps of each kind of training, and the averaged weights' sums."""
    images = folder / "photographs"
    images.mkdir()
    for name, image in photographs().items():
        Image.fromarray((image[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(images / f"{name}.png")
    network = EfficientUNetSpec(channels=(8, 16), blocks=(1, 1), embedding=16, context=8)
    tiles = Tiles(size=64, overlap=16, batch=3, multiple=4, context=16)
    plain = Recipe(name="tiny", network=network, tiles=tiles)
    varied = plain.model_copy(update={"network": network.model_copy(update={"learned_variance": True})})
    eyes = TwoViewsSpec(stem=(8, 8), channels=(8, 8, 16, 16), coarse=(8, 8, 8, 8), piece=32, whole=32)
    holes = {"task": {"kind": "inpaint"}, "network": {**network.model_dump(), "condition_channels": 4}}
    runs: dict[str, dict[str, Any]] = {
        "simple": {"model": plain, "image_drop": 0.2},
        "muon": {"model": plain, "optimizer": {"name": "muon", "rate": 1e-3, "warmup": 2}},
        "few steps": {"model": plain, "objective": {"kind": "few_step", "steps": 2}},
        "hybrid": {"model": varied, "objective": {"kind": "hybrid", "levels": {"kind": "importance", "keep": 1}}},
        "holes": {"model": Recipe(name="holes", tiles=tiles, **holes)},
        "detector": {
            "model": DetectorRecipe(name="eyes", network=eyes),
            "objective": {"kind": "recognition"},
            "label_drop": 0.0,
            "validation": {"images": 0},
        },
    }
    for name, changes in runs.items():
        document = {
            "data": {"kind": "clean", "folders": [images]},
            "output": folder / name,
            "stages": [{"until": 20, "patch": 32, "regions": 2, "patches": 2}],
            "region": 64,
            "precision": "fp32",
            "validation": {"images": 0},
            "optimizer": {"rate": 1e-3, "warmup": 2},
            "save_every": 1000,
        } | changes
        losses = [progress.loss for progress in Trainer(TrainConfig(**document), device="cpu")]
        yield f"training {name}", torch.tensor(losses)


def outputs() -> Outputs:
    """Yield every recorded output under its name."""
    torch.set_num_threads(1)
    for name in ("weather", "inpaint", "jpeg", "colorize", "upscale_x2", "upscale_x4"):
        for photograph, clean in photographs().items():
            for way, output in shipped(name, photograph, clean):
                yield f"{name} {photograph} {way}", output
    yield from published()
    with tempfile.TemporaryDirectory() as folder:
        yield from trained(Path(folder))


def kept(output: Tensor) -> Tensor:
    """Return up to 256 values of an output, evenly spread."""
    flat = output.detach().float().flatten()
    return flat[torch.linspace(0, len(flat) - 1, min(KEPT, len(flat))).round().long()].contiguous()


def digest(output: Tensor) -> str:
    """Return a digest of all values of an output."""
    return hashlib.sha256(output.detach().float().contiguous().numpy().tobytes()).hexdigest()[:16]


def write() -> None:
    """Record all outputs."""
    values, digests = {}, {}
    for name, output in outputs():
        values[name], digests[name] = kept(output), digest(output)
        print(f"{digests[name]}  {name}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file(values, FOLDER / "values.safetensors")
    record = {"torch": torch.__version__, "digests": digests}
    (FOLDER / "digests.json").write_text(json.dumps(record, indent=1) + "\n")


def compare() -> int:
    """Return 1 if an output differs by a bit, is missing, or is new; prints each."""
    record = json.loads((FOLDER / "digests.json").read_text())
    values, different, seen = load_file(FOLDER / "values.safetensors"), 0, set()
    for name, output in outputs():
        seen.add(name)
        if name not in values:
            print(f"new        {name}", flush=True)
        elif digest(output) != record["digests"][name]:
            far = float((kept(output) - values[name]).abs().max()) if kept(output).shape == values[name].shape else -1
            print(f"different  {name}: by up to {far:.2e}", flush=True)
            different += 1
    missing = sorted(set(values) - seen)
    print("".join(f"missing    {name}\n" for name in missing), end="")
    print(f"{len(seen) - different} of {len(seen)} bit-equal (recorded with torch {record['torch']})")
    return int(different > 0 or bool(missing))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="record anew")
    if parser.parse_args().write:
        write()
    else:
        sys.exit(compare())


if __name__ == "__main__":
    main()
