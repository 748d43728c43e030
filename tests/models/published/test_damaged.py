"""A file with one tensor too few, too many or of another shape: the error names that tensor, whichever it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore.errors import TensorMismatch
from restore.models.fitting import shown
from restore.models.published import pickles
from restore.models.published.convert import identify
from restore.models.published.keymap import check_keys, rules
from restore.models.published.settings import OriginalSettings
from restore.models.published.unwrap import unwrap

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
FILES = {
    "weatherdiffusion/ckpts/RainDrop_ddpm.pth.tar": [],
    "palette/guided_diffusion/190_Network.pth": [],
    "palette/guided_diffusion/190_Network_ema.pth": [],
    "palette/sr3/190_Network.pth": [],
    "palette/sr3/190_Network_ema.pth": [],
    "sr3/sr3/I1560000_E91_gen.pth": [],
    "sr3/ddpm/I30000_E3_gen.pth": [],
    "sr3/sr3_uncond/I20000_E2_gen.pth": [],
    # without its embedding of classes a file is a whole one of a model without classes, unless it is told
    "guided_diffusion/unet_a/ema_0.9999_300000.pt": ["class_cond=true"],
    "guided_diffusion/unet_b/model050000.pt": [],
    "guided_diffusion/superres/model100000.pt": ["class_cond=true"],
    "guided_diffusion/classifier/model299999.pt": [],
}


class Damaged:
    """The shapes in a file; each state made of them is recognised and checked as a file would be."""

    def __init__(self, path, overrides):
        self.path, self.overrides, self.known = path, overrides, {}
        self.state = unwrap(path, pickles.inspect(path)).state
        self.tables = self.open(self.state)

    def open(self, state):
        """Return the names of the tables in a state that is whole."""
        settings = OriginalSettings(self.overrides)
        settings.file = self.path.name
        found = identify(state, settings, self.path)
        key = found.family, found.network.model_dump_json()
        if key not in self.known:
            with torch.device("meta"):
                self.known[key] = rules(found.network.build(), found.keymap)
        check_keys(self.known[key], state, str(self.path), found.tables)
        return found.tables

    def problem(self, state):
        """Return what is said of a damaged state, or nothing."""
        try:
            self.open(state)
        except TensorMismatch as error:
            return str(error)
        return ""

    def with_shape(self, name, *shape):
        return {**self.state, name: torch.empty(shape, device="meta")}


@pytest.fixture(scope="module", params=list(FILES))
def damaged(request):
    return Damaged(GOLDEN / request.param, FILES[request.param])


def test_any_tensor_that_is_missing(damaged):
    for name in damaged.state:
        said = damaged.problem({key: value for key, value in damaged.state.items() if key != name})
        assert name in said, (name, said)


def test_any_tensor_of_other_axes(damaged):
    for name in damaged.state:
        shape = (2, 2) if name in damaged.tables else (7,)
        said = damaged.problem(damaged.with_shape(name, *shape))
        assert f"{name} is {shape}" in said, (name, said)


# a wider first convolution and more classes are those of another whole model
FREE = ("label_emb.weight", "downs.0.weight", "input_blocks.0.0.weight")


def test_any_tensor_of_another_size(damaged):
    """The tensor that is wrong is named, not those alone that its size is compared with."""
    for n, name in enumerate(damaged.state):
        shape = tuple(damaged.state[name].shape)
        axis = n % len(shape)
        larger = (*shape[:axis], shape[axis] + 1 + n % 3, *shape[axis + 1 :])
        for other in {larger, shape[::-1]} - {shape}:
            said = damaged.problem(damaged.with_shape(name, *other))
            assert name in said or name.endswith(FREE), (name, other, said)


def test_any_way_that_is_longer(damaged):
    """Further numbers, and further tensors of a module, are left over whatever they look like."""
    stems = {name.rsplit(".", 2)[0] for name in damaged.state if "." in name}
    ways = [way for way in ("down.", "downs.", "ups.", "input_blocks.", "output_blocks.", "out.", "temb.dense.")
            if any(name.startswith((way, "denoise_fn." + way)) for name in damaged.state)]  # fmt: skip
    prefix = "denoise_fn." if any(name.startswith("denoise_fn.") for name in damaged.state) else ""
    extra = [f"{stem}.surplus" for stem in sorted(stems)]
    for way in ways:
        last = max(int(name.removeprefix(prefix + way).split(".")[0]) for name in damaged.state
                   if name.startswith(prefix + way))  # fmt: skip
        for number in (last + 1, last + 2, 99, 999_999_999_999, "9" * 5000):
            extra += [f"{prefix}{way}{number}.0.weight", f"{prefix}{way}{number}.conv.weight"]
    for name in [*extra, "surplus", "surplus.weight"]:
        said = damaged.problem(damaged.with_shape(name, 3))
        assert f"left over {shown(name)}" in said, (name[:80], said[:400])
