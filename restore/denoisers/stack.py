"""The stack: the one place where denoisers are put around each other.

From the inside out::

    network            one tile, at one level
    guidance           estimates with and without the condition; a classifier's gradient
    tiles              images of any size, and the colour guard
    self-ensemble      the mean over orientations
    aligned            blocks of JPEG where the file had them
    threshold          estimates stay within the range of images
    masked             known pixels stay as they are

Averaging estimates of x_0 equals averaging estimates of the noise, for the two are affine in each other at each pixel,
as long as thresholds come after the merge: so tiles are inside of the threshold. What knows whole images only is
outside of the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from restore.contracts import Condition, Denoiser
from restore.denoisers.aligned import Aligned
from restore.denoisers.ensemble import SelfEnsemble
from restore.denoisers.guidance import ClassifierFree, Droppable
from restore.denoisers.masked import Masked
from restore.denoisers.threshold import NoThreshold, ThresholdSpec

__all__ = ["Guidance", "Known", "stacked"]


class Guidance(NamedTuple):
    """Classifier-free guidance: its scale, what training dropped, and the features of an image that was dropped."""

    scale: float = 1.0
    dropped: Sequence[Droppable] = ()
    features: Tensor | None = None


class Known(NamedTuple):
    """Pixels that are known.

    Attributes:
        pixels: (B, C, H, W); what they hold inside the hole is not used.
        hole: (B, 1, H, W), 1 where pixels are to be filled.
        clean: the network was trained to see them without noise; a generator was not.
    """

    pixels: Tensor
    hole: Tensor
    clean: bool


def stacked(
    network: Denoiser,
    tiles: Callable[[Denoiser], Denoiser],
    *,
    guidance: Guidance = Guidance(),
    guide: Callable[[Denoiser], Denoiser] | None = None,
    orientations: int = 1,
    overview: Callable[[Condition], Condition] = lambda condition: condition,
    aligned: bool = False,
    threshold: ThresholdSpec = NoThreshold(),
    known: Known | None = None,
) -> Denoiser:
    """Return a network as a denoiser of whole images, with all requested decorators around it; see this module.

    Args:
        network: denoises one tile.
        tiles: makes a denoiser of tiles one of whole images, `functools.partial(in_tiles, tiles=...)`.
        guidance: classifier-free guidance.
        guide: other guidance, inside of the tiles.
        orientations: of the self-ensemble; 1 is none.
        overview: gives a turned condition the thumbnail, or the features, of its image.
        aligned: whether the network knows the blocks of JPEG by their places.
        threshold: keeps x0 in its range.
        known: pixels that are kept.
    """
    denoiser = network
    if guidance.scale != 1:
        denoiser = ClassifierFree(denoiser, guidance.scale, tuple(guidance.dropped), guidance.features)
    if guide is not None:
        denoiser = guide(denoiser)
    denoiser = tiles(denoiser)
    if orientations != 1:
        denoiser = SelfEnsemble(denoiser, orientations, overview)
    if aligned:
        denoiser = Aligned(denoiser)
    denoiser = threshold.around(denoiser)
    if known is not None:
        denoiser = Masked(denoiser, known.pixels, known.hole, clean_input=known.clean)
    return denoiser
