"""Without its config: what a network computes best is what it was trained to be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restore.checkpoints import open_checkpoint, pickles

SHIPPED = {
    "sr3": ["sr3", "ddpm", "sr3_uncond"],
    "palette": ["guided_diffusion", "sr3"],
    "guided_diffusion": ["unet_a", "unet_b", "superres"],
}
CASES = [(family, name) for family, names in SHIPPED.items() for name in names]


def recorded(golden, family: str, name: str) -> tuple[Path, dict]:
    """Return a file and the config that it was recorded with."""
    g = golden(family)
    if family == "guided_diffusion":
        facts = g.facts["models"][name]
        return g.folder / facts["file"], g.config(facts["kwargs"])
    facts = g.facts["modules"][name]
    (file,) = [file for file in facts["files"] if file.endswith(("_gen.pth", "_Network.pth"))]
    return g.folder / name / file, g.config(facts["config"])


@pytest.mark.parametrize(("family", "name"), CASES)
def test_heads_groups_and_order_are_found_by_trying(golden, family, name):
    path, config = recorded(golden, family, name)
    tried, told = open_checkpoint(path), open_checkpoint(path, config)
    assert all(torch.equal(tried.tensors[key], value) for key, value in told.tensors.items())
    networks = [opened.recipe["network"] for opened in (tried, told)]
    width = networks[0]["channels"][-1]
    heads = [(net["head_channels"] and width // net["head_channels"]) or net["heads"] for net in networks]
    assert heads[0] == heads[1]
    assert networks[0]["groups"] == networks[1]["groups"]
    assert tried.conversion is not None and "by trying" in tried.conversion.summary()


def test_what_was_never_trained_gives_no_hint(golden, tmp_path):
    path, _ = recorded(golden, "sr3", "sr3")
    state = dict(pickles.load(path))
    torch.manual_seed(0)
    for name, value in state.items():
        if name.startswith("denoise_fn"):
            state[name] = torch.randn_like(value)
    torch.save(state, tmp_path / "random.pth")
    conversion = open_checkpoint(tmp_path / "random.pth").conversion
    assert conversion is not None
    assert "never trained" in conversion.summary()
    assert conversion.assumed["unet.norm_groups"] == "8"


def test_a_user_is_believed(golden):
    path, _ = recorded(golden, "sr3", "sr3")
    conversion = open_checkpoint(path, None, ["norm_groups=8"]).conversion
    assert conversion is not None
    assert conversion.recipe["network"]["groups"] == 8
    assert "by trying" not in conversion.summary()
