"""The loss of each level so far: what importance sampling goes by."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

__all__ = ["LossHistory"]


def gathered(x: Tensor) -> Tensor:
    """Return the (B,) tensors of all processes, in their order, (processes x B,); x itself where there is one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return x
    parts = [torch.empty_like(x) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)


class LossHistory:
    """The last losses of each level; mutable, and part of a training run's state.

    It lives on the device of the losses, and nothing in it waits for that device.

    Attributes:
        losses: (T, keep) float64, or None before the first loss.
        counts: (T,) int64, how many of them have been seen.
    """

    def __init__(self) -> None:
        self.losses: Tensor | None = None
        self.counts: Tensor | None = None

    def weights(self, T: int, keep: int, floor: float, device: torch.device | str = "cpu") -> Tensor:
        """Return the (T,) float64 probability of each level: the root of its second moment (improved DDPM, eq. 18).

        Uniform until every level has been seen `keep` times; `floor` of it stays uniform for ever.
        """
        uniform = torch.full((T,), 1 / T, dtype=torch.float64, device=device)
        if self.losses is None or self.counts is None:
            return uniform
        losses, counts = self._on(device)
        root = losses.square().mean(1).sqrt().clamp(min=1e-12)
        learned = root / root.sum() * (1 - floor) + floor / T
        return torch.where((counts < keep).any(), uniform, learned)

    def update(self, t: Tensor, loss: Tensor, T: int, keep: int) -> None:
        """Note the (B,) losses at (B,) levels, counted from 1, of all processes; the oldest of a level is forgotten."""
        t, loss = gathered(t), gathered(loss.detach().double())
        if self.losses is None or self.counts is None:
            self.losses = torch.zeros(T, keep, dtype=torch.float64, device=t.device)
            self.counts = torch.zeros(T, dtype=torch.int64, device=t.device)
        losses, counts = self._on(t.device)
        level = t - 1
        same = level[:, None] == level
        earlier, later = same.tril(-1).sum(1), same.triu(1).sum(1)
        place = level * keep + (counts[level] + earlier) % keep
        # of more than `keep` losses of one level the last ones stay; the others go to a place that is cut off
        place = torch.where(later < keep, place, T * keep)
        flat = torch.cat([losses.flatten(), losses.new_zeros(1)]).scatter_(0, place, loss)
        self.losses = flat[:-1].reshape(T, keep)
        self.counts = counts.index_add(0, level, torch.ones_like(level))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state to be saved."""
        if self.losses is None or self.counts is None:
            return {}
        return {"losses": self.losses.clone(), "counts": self.counts.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over a saved state."""
        self.losses, self.counts = state.get("losses"), state.get("counts")

    def _on(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        assert self.losses is not None and self.counts is not None
        self.losses, self.counts = self.losses.to(device), self.counts.to(device)
        return self.losses, self.counts
