"""What every network's hyper-parameters say about the network, so that nobody has to try what it can do."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from restore.schema import Spec

__all__ = ["BaseNetworkSpec", "Capabilities"]


@dataclass(frozen=True)
class Capabilities:
    """What a network takes and gives; the defaults are those of a plain network that restores colour images.

    Attributes:
        state_channels: channels of x_t and of the prediction.
        condition_channels: channels of the degraded image; 0 for a network without it.
        labels: number of labels that it can be conditioned on, 0 for none.
        learned_variance: it gives twice as many channels, the second half of which gives where the reverse step's
            variance lies (improved DDPM, eq. 15).
        gated: it multiplies x_t by the noise level, so that a first step from nothing but noise does not depend on
            the noise.
        halo: how many pixels around a tile its prediction depends on at most; None where there is no bound.
        encodes: it has a method `encode(thumbnail: (B, 3, S, S)) -> features`, whose result replaces the thumbnail in
            a condition, and a module `context`, or None, that holds the parameters which only a thumbnail trains.
        grows: it has a method `extended(tensors) -> tensors`, which completes the weights of a smaller network of
            its kind so that it gives the same prediction.
    """

    state_channels: int = 3
    condition_channels: int = 3
    labels: int = 0
    learned_variance: bool = False
    gated: bool = False
    halo: int | None = None
    encodes: bool = False
    grows: bool = False


class BaseNetworkSpec(Spec):
    """The base of the hyper-parameters of all networks, of those in other packages, too.

    A subclass has a field `kind` with its name as the only value, implements `build`, and overrides `multiple` and
    `capabilities` where the defaults are not true of it. What it says in `capabilities` may depend on its fields,
    which can have the same names.
    """

    @property
    def multiple(self) -> int:
        """Both sides of an input must be multiples of this."""
        return 1

    @property
    def capabilities(self) -> Capabilities:
        """What the network takes and gives."""
        return Capabilities()

    def build(self) -> nn.Module:
        """Return the network with fresh weights, drawn from PyTorch's global generator; nothing is downloaded."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its network is built")
