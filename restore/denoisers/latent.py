"""Images and masks as states, and back: what lies between pixels and the denoisers where a codec encodes them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from restore.contracts import Codec

__all__ = ["decoded", "encoded", "shrunk_mask"]


def encoded(codec: Codec, image: Tensor) -> Tensor:
    """Return the states of images, (B, C, H, W), with what these have beside colours (a mask) as further channels."""
    right, below = (-side % codec.factor for side in (image.shape[-1], image.shape[-2]))
    if right or below:
        image = F.pad(image, (0, right, 0, below), mode="replicate")
    state = codec.encode(image[:, :3])
    if image.shape[1] == 3:
        return state
    return torch.cat([state, shrunk_mask(image[:, 3:], state)], dim=1)


def decoded(codec: Codec, state: Tensor, like: Tensor) -> Tensor:
    """Return the images of states, (B, 3, H, W) with the sides of `like`."""
    return codec.decode(state)[..., : like.shape[-2], : like.shape[-1]]


def shrunk_mask(mask: Tensor, state: Tensor) -> Tensor:
    """Return a mask, (B, C, H, W), in the size of a state: what marks one of its pixels marks the element."""
    if mask.shape[-2:] == state.shape[-2:]:
        return mask
    factor = math.ceil(mask.shape[-1] / state.shape[-1])
    rest = [side * factor - own for side, own in zip(state.shape[:-3:-1], mask.shape[:-3:-1], strict=True)]
    return F.max_pool2d(F.pad(mask, (0, rest[0], 0, rest[1]), mode="replicate"), factor)
