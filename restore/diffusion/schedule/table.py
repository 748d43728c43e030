"""A noise schedule as a table, and what a step between two of its levels does.

`alpha_bar` is the one name for the product of (1 - beta), which other code calls alphas_cumprod, gammas or at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from restore.contracts import Level
from restore.diffusion.schedule.spacing import visited
from restore.errors import ConfigError

__all__ = ["Schedule", "Transitions"]


class Transitions(NamedTuple):
    """The reverse steps t -> u of a sampler, one entry each, in the order in which they are taken.

    Attributes:
        t: (n,) int64, the level that a step leaves.
        u: (n,) int64, the level that it reaches.
        beta: (n,) float64, the variance of the forward step from u to t; the largest sensible reverse variance.
        beta_tilde: (n,) float64, the variance of q(x_u | x_t, x0), the smallest sensible one (DDPM, eq. 7).
        log_beta: (n,) float64.
        log_beta_tilde: (n,) float64; the last step, to u = 0, repeats the one before it, for log 0 is of no use.
        mean_x0: (n,) float64, the share of x0 in the mean of q(x_u | x_t, x0) (DDPM, eq. 7).
        mean_xt: (n,) float64, the share of x_t in it.
    """

    t: Tensor
    u: Tensor
    beta: Tensor
    beta_tilde: Tensor
    log_beta: Tensor
    log_beta_tilde: Tensor
    mean_x0: Tensor
    mean_xt: Tensor

    def at(self, i: int) -> Transitions:
        """Return the entries of the i-th step, each without a dimension."""
        return Transitions(*(field[i] for field in self))

    def to(self, device: torch.device | str) -> Transitions:
        """Return the entries on a device."""
        return Transitions(*(field.to(device) for field in self))

    def gather(self, index: Tensor, like: Tensor) -> Transitions:
        """Return the entries of each image's step: the floating-point ones (B, 1, 1, 1) in `like`'s type."""
        shape = (-1, *(1,) * (like.ndim - 1))
        index = index.to(self.t.device)
        moved = (field[index].to(like).reshape(shape) for field in self[2:])
        return Transitions(self.t[index].to(like.device), self.u[index].to(like.device), *moved)


@dataclass(frozen=True, eq=False)
class Schedule:
    """A table of `alpha_bar`, and what follows from it: which levels to visit, and the quantities of a level.

    Attributes:
        alpha_bar: (T + 1,) float64, strictly decreasing, `alpha_bar[0] == 1`; only the last may be 0.
        given_beta: (T,) float64, the betas that it was made from, where they are known more exactly than
            from `alpha_bar`.
    """

    alpha_bar: Tensor
    given_beta: Tensor | None = None

    def __post_init__(self) -> None:
        table = self.alpha_bar
        if table.ndim != 1 or len(table) < 2 or table.dtype != torch.float64:
            raise ConfigError(f"a schedule is a float64 table of T + 1 >= 2 values, not {table.dtype} {table.shape}")
        if table[0] != 1:
            raise ConfigError(f"alpha_bar[0] must be 1 (the clean image), not {table[0].item()}")
        falls = table.diff() < 0
        if not bool(falls.all()):
            t = int((~falls).nonzero()[0]) + 1
            raise ConfigError(
                f"alpha_bar must decrease strictly, but alpha_bar[{t}] = {table[t].item():.6g} follows"
                f" {table[t - 1].item():.6g}; use fewer levels or smaller betas"
            )
        if table[-1] < 0:
            raise ConfigError(f"alpha_bar must stay at or above 0, not reach {table[-1].item()}")

    @classmethod
    def from_beta(cls, beta: Tensor) -> Schedule:
        """Return the schedule of a (T,) table of betas; `beta[i]` leads from level i to level i + 1.

        Raises:
            ConfigError: a beta lies outside of (0, 1].
        """
        beta = beta.to(torch.float64)
        bad = ~((beta > 0) & (beta <= 1))
        if bool(bad.any()):
            i = int(bad.nonzero()[0])
            raise ConfigError(
                f"betas must lie in (0, 1], not {beta[i].item():.6g} at level {i + 1} of {len(beta)};"
                " change beta_start and beta_end, or the number of levels"
            )
        product = torch.cumprod(1 - beta, dim=0)
        return cls(torch.cat([torch.ones(1, dtype=torch.float64), product]), beta)

    @property
    def T(self) -> int:
        """The number of levels above the clean image."""
        return len(self.alpha_bar) - 1

    @cached_property
    def beta(self) -> Tensor:
        """(T,) float64: `beta[t - 1] = 1 - alpha_bar[t] / alpha_bar[t - 1]` (DDPM, section 2)."""
        if self.given_beta is not None:
            return self.given_beta
        return 1 - self.alpha_bar[1:] / self.alpha_bar[:-1]

    @cached_property
    def _placed(self) -> dict[tuple[str, torch.device], Any]:
        return {}

    def on(self, device: torch.device | str) -> Tensor:
        """Return (T + 1,) `alpha_bar` on a device, where it is kept: nothing waits when it is read there again."""
        key = ("alpha_bar", torch.device(device))
        if key not in self._placed:
            self._placed[key] = self.alpha_bar.to(device)
        return self._placed[key]

    def every_step(self, device: torch.device | str) -> Transitions:
        """Return the `transitions` between all levels on a device, where they are kept."""
        key = ("steps", torch.device(device))
        if key not in self._placed:
            self._placed[key] = self.transitions().to(device)
        return self._placed[key]

    def steps(self, n: int | None, spacing: str = "trailing", start: int | None = None) -> list[int]:
        """Return the levels that a sampler visits, strictly decreasing, the last of them 0; see `visited`.

        Args:
            n: the number of steps; None for every level.
            spacing: a name or a string of sections.
            start: the level to start from, as if it were the last; T by default.

        Raises:
            ConfigError: n or `start` is not in 1..T, or the spacing is unknown.
        """
        if start is not None and not 1 <= start <= self.T:
            raise ConfigError(f"start must be a level between 1 and {self.T}, not {start}")
        return visited(start or self.T, n, spacing)

    def level(self, t: int | Tensor, batch: int | None = None, device: torch.device | str | None = None) -> Level:
        """Return the `Level` of step `t`: one number for a whole batch, or a (B,) int64 tensor."""
        if isinstance(t, int):
            # filled where they are, for a copy from the host would have it wait
            share, size = float(self.alpha_bar[t]), (batch or 1,)
            filled = torch.full(size, share, dtype=torch.float64, device=device)
            return Level(torch.full(size, t, dtype=torch.int64, device=device), filled, t, share)
        return Level(t.to(device), self.on(t.device)[t].to(device))

    def transitions(self, levels: Sequence[int] | None = None) -> Transitions:
        """Return the steps between visited levels (decreasing, the last 0); between all levels by default.

        Leaving out levels leaves alpha_bar as it is and makes larger betas (improved DDPM, section 4).
        """
        visits = torch.tensor(range(self.T, -1, -1) if levels is None else levels, dtype=torch.int64)
        t, u = visits[:-1], visits[1:]
        alpha_bar_t, alpha_bar_u = self.alpha_bar[t], self.alpha_bar[u]
        alpha = alpha_bar_t / alpha_bar_u
        beta = torch.where(t - u == 1, self.beta[t - 1], 1 - alpha)
        beta_tilde = beta * (1 - alpha_bar_u) / (1 - alpha_bar_t)
        positive = torch.where(u > 0, beta_tilde, beta_tilde[-2] if len(t) > 1 else beta)
        mean_x0 = alpha_bar_u.sqrt() * beta / (1 - alpha_bar_t)
        mean_xt = alpha.sqrt() * (1 - alpha_bar_u) / (1 - alpha_bar_t)
        return Transitions(t, u, beta, beta_tilde, beta.log(), positive.log(), mean_x0, mean_xt)

    def log_snr(self, t: int) -> float:
        """Return log(alpha_bar / (1 - alpha_bar)) of level t; infinite at the clean end and where alpha_bar is 0."""
        alpha_bar = float(self.alpha_bar[t])
        if alpha_bar in (0.0, 1.0):
            return math.inf if alpha_bar else -math.inf
        return math.log(alpha_bar) - math.log1p(-alpha_bar)
