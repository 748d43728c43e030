"""Tiles on another device than their image: copies that overlap with the network's work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from restore.contracts import Condition, Estimate, Level

__all__ = ["Transfer"]


class Transfer:
    """The way of tiles to the device that denoises them, and back; no way at all where it is one device.

    On CUDA, copies go through pinned memory and nobody waits for them: a batch is merged on the host only when the
    next one has been sent off.

    Args:
        home: where the images are.
        away: where tiles are denoised.
    """

    def __init__(self, home: torch.device, away: torch.device) -> None:
        self.home, self.away = home, away
        self.pinned = away.type == "cuda" and home.type == "cpu"
        self.pending: tuple[Any, Estimate, torch.cuda.Event | None] | None = None

    def there(self, x_t: Tensor, level: Level, condition: Condition) -> tuple[Tensor, Level, Condition]:
        """Return the tiles on the device that denoises them."""
        if self.home == self.away:
            return x_t, level, condition
        return self._send(x_t), level.map(self._send), condition.map(self._send)

    def back(self, batch: Any, estimate: Estimate) -> Iterator[tuple[Any, Estimate]]:
        """Yield the batches that have arrived, with their estimates at home; a later call may yield the last one."""
        if self.home == self.away:
            yield batch, estimate
            return
        previous, event = self.pending, None
        here = Estimate(*map(self._fetch, estimate))
        if self.pinned:
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self.away))
        self.pending = (batch, here, event)
        if previous is not None:
            yield self._arrived(*previous)

    def rest(self) -> Iterator[tuple[Any, Estimate]]:
        """Yield what is still under way."""
        if self.pending is not None:
            yield self._arrived(*self.pending)
            self.pending = None

    def _send(self, tensor: Tensor | None) -> Any:
        if tensor is None:
            return None
        if self.pinned:
            tensor = tensor.pin_memory()
        return tensor.to(self.away, non_blocking=self.pinned)

    def _fetch(self, tensor: Tensor | None) -> Any:
        if tensor is None:
            return None
        if not self.pinned:
            return tensor.to(self.home)
        here = torch.empty(tensor.shape, dtype=tensor.dtype, device=self.home, pin_memory=True)
        return here.copy_(tensor, non_blocking=True)

    @staticmethod
    def _arrived(batch: Any, estimate: Estimate, event: torch.cuda.Event | None) -> tuple[Any, Estimate]:
        if event is not None:
            event.synchronize()
        return batch, estimate
