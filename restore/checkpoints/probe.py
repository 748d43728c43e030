"""Settings that neither shapes nor a config tell, found by trying: a trained network knows noise when it sees it.

The number of groups of a normalisation or of heads of an attention changes what a network computes and none of its
tensors. With the right number it finds the noise in a noised picture; with a wrong one it does much worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.checkpoints.family import Choice, Found
from restore.checkpoints.layout import gather, rules
from restore.checkpoints.native import assemble
from restore.checkpoints.settings import Settings
from restore.contracts import Condition
from restore.diffusion.denoiser import NetworkDenoiser
from restore.diffusion.parameterization import noised, to_eps
from restore.diffusion.schedule import Schedule, ScheduleSpec
from restore.schema import parse

__all__ = ["noise_error", "probed"]

SIDE = 32  # of the pictures, at least
SHARES = (0.9, 0.5, 0.1, 0.01)  # of the pictures' variance in what the network sees
KNOWS = 0.5  # a network whose error is below this share of the noise's variance finds noise; 1 is to know nothing
BETTER = 0.8  # another choice must have less than this share of the default's error
LARGEST = 200_000_000  # parameters; beyond, trying takes longer than asking


def probed(found: Found, state: Mapping[str, Tensor], settings: Settings) -> Found:
    """Return what was found, with the choice that finds noise best; the settings say so.

    The default stays where nothing is clearly better, and where nothing finds noise: weights that were never trained
    give no hint.
    """
    count = sum(state[name].numel() for rule in _rules(found) for name in rule.sources)
    if len(found.choices) < 2:
        return found
    names = list(found.choices[0].settings)
    if count > LARGEST:
        return _noted(found, f"{', '.join(names)} cannot be told from so large a file; give the original's config")
    errors = [noise_error(replace(found, network=c.network, layout=c.layout), state) for c in found.choices]
    best = min(range(len(errors)), key=errors.__getitem__)
    if errors[best] > KNOWS:
        return _noted(
            found,
            f"the network does not find noise with any {', '.join(names)}: it was never trained, or another setting is "
            "wrong; give the original's config",
        )
    if errors[best] > BETTER * errors[0]:
        best = 0
    choice: Choice = found.choices[best]
    for name in names:
        settings.assumed.pop(name, None)
        settings.given.pop(name, None)
    for name, value in choice.settings.items():
        settings.given[name] = f"{value} (by trying: error {errors[best]:.3f}, worst {max(errors):.3f})"
    return replace(found, network=choice.network, layout=choice.layout)


def noise_error(found: Found, state: Mapping[str, Tensor]) -> float:
    """Return the mean squared error of the noise that a network finds in smooth pictures, at four levels."""
    with torch.device("meta"):
        network = found.network.build()
    tensors = gather(network, rules(network, found.layout), state)
    network = assemble(found.network.build, tensors, "the file").eval()
    recipe = found.recipe
    schedule = parse(ScheduleSpec, recipe["schedule"], "the schedule").build()
    denoiser = NetworkDenoiser(
        network, recipe["prediction"], recipe["level_input"], level_scale=recipe.get("level_scale", 1.0)
    )
    multiple = found.network.multiple
    x0, eps, other = _pictures(-(-SIDE // multiple) * multiple)
    level = schedule.level(torch.tensor(_levels(schedule, SHARES)))
    x_t, shown = noised(x0, eps, level.alpha_bar), x0
    seen = torch.ones_like(x0, dtype=torch.bool)
    if recipe.get("task", {}).get("fill") == "noise":
        # a network that fills holes was trained to find noise in them alone: here the right half of the picture
        seen[..., : x0.shape[-1] // 2] = False
        x_t, shown = torch.where(seen, x_t, x0), torch.where(seen, other, x0)
    with torch.no_grad():
        estimate = denoiser(x_t, level, Condition(shown)).x0
    return float((to_eps(estimate, x_t, level.alpha_bar) - eps)[seen].square().mean())


def _pictures(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return four smooth pictures and twice as much noise, (4, 3, side, side) each."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(len(SHARES), 3, 4, 4, generator=generator) * 1.6 - 0.8
    x0 = F.interpolate(coarse, (side, side), mode="bilinear")
    first, second = (torch.randn(x0.shape, generator=generator) for _ in range(2))
    return x0, first, second


def _levels(schedule: Schedule, shares: Sequence[float]) -> list[int]:
    """Return the first level at or below each share of alpha_bar."""
    table = schedule.alpha_bar
    return [min(int((table > share).sum()), schedule.T) for share in shares]


def _rules(found: Found) -> list:
    with torch.device("meta"):
        network = found.network.build()
    return rules(network, found.layout)


def _noted(found: Found, note: str) -> Found:
    return replace(found, notes=(*found.notes, note))
