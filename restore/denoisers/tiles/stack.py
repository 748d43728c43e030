"""The engine and the guard, put together."""

from __future__ import annotations

import torch

from restore.contracts import Denoiser
from restore.denoisers.tiles.engine import Capacity, Patched
from restore.denoisers.tiles.guard import Guarded
from restore.denoisers.tiles.spec import Patches

__all__ = ["in_patches"]


def in_patches(
    denoiser: Denoiser,
    patches: Patches,
    *,
    halo: int | None = None,
    seeds: tuple[int, ...] = (),
    device: torch.device | None = None,
    capacity: Capacity | None = None,
) -> Denoiser:
    """Return a denoiser of tiles as one of pictures, with the colour guard where `patches` asks for it.

    Args:
        denoiser: denoises tiles.
        patches: how to cut.
        halo: how far the network sees around a pixel; None for without bound.
        seeds: one per picture, for all that is drawn inside: the places of shifted grids, the guard's noise.
        device: where tiles are denoised, if not where the pictures are.
        capacity: what is known of how many fit into its memory, to be kept from picture to picture.
    """
    capacity = capacity or Capacity()
    whole = Patched(denoiser, patches, halo, seeds, device, capacity)
    if not patches.guard:
        return whole
    return Guarded(whole, Patched(denoiser, patches.coarse, device=device, capacity=capacity), patches, seeds)
