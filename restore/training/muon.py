"""Muon: steps along the orthogonalised momentum of each weight matrix.

Momentum of a matrix is replaced by the nearest semi-orthogonal matrix, U V^T of its singular value decomposition, so
that rare directions are learnt as fast as common ones (Jordan et al. 2024, "Muon: An optimizer for hidden layers in
neural networks"; sizes of steps after Liu et al. 2025, "Muon is scalable for LLM training"). A polynomial iterated five
times comes close to U V^T. It is iterated on the small square matrix X X^T here and applied to X once: for the
convolutions of a U-Net that is a third of the arithmetic, and float32 is cheap enough, where the usual bfloat16 is
emulated on many CPUs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

__all__ = ["Muon", "orthogonalized"]

QUINTIC = (3.4445, -4.7750, 2.0315)
"""a, b, c of `x -> a x + b x^3 + c x^5`, which brings singular values from (0, 1] near 1 quickly (Jordan et al.)."""


def orthogonalized(x: Tensor, iterations: int = 5) -> Tensor:
    """Return about U V^T of each x = U S V^T, (N, m, n); its singular values lie around 1, within some 30 %.

    Args:
        x: matrices of any size and scale; those of rank 0 come back as zeros.
        iterations: of the polynomial.
    """
    if x.shape[1] > x.shape[2]:
        return orthogonalized(x.mT, iterations).mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    a, b, c = QUINTIC
    one = torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
    gram = x @ x.mT
    product: Tensor | None = None
    for i in range(iterations):
        # X' = P X with P = a + b G + c G^2, and so G' = P G P, for P and G commute and are symmetric
        step = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add_(one, alpha=a)
        product = step if product is None else step @ product
        if i + 1 < iterations:
            gram = step @ gram @ step
    return x if product is None else product @ x


class Muon(torch.optim.Optimizer):
    """Muon for the weight matrices of a network, AdamW for the rest: biases, embeddings.

    A convolution counts as the matrix (outputs, inputs x height x width).

    Args:
        network: whose parameters are learnt.
        lr: learning rate of both; a step of a matrix has 0.2 times the root mean square that a sign step would have.
        weight_decay: decoupled, of matrices.
        momentum: of the matrices' gradients, Nesterov's.
        betas: of AdamW.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float = 6e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
        matrices, rest = [], []
        for parameter in network.parameters():
            (matrices if parameter.ndim >= 2 and id(parameter) not in tables else rest).append(parameter)
        groups: list[dict[str, Any]] = []
        if matrices:
            groups.append({"params": matrices, "matrices": True, "weight_decay": weight_decay})
        if rest:
            groups.append({"params": rest, "matrices": False, "weight_decay": 0.0})
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas, "matrices": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Change the parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                (self._matrices if group["matrices"] else self._rest)(group, parameters)
        return loss

    def _matrices(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        gradients = [p.grad for p in parameters]
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        momenta = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1.0 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
        # equal shapes go through the products together
        alike: dict[torch.Size, list[int]] = defaultdict(list)
        for i, p in enumerate(parameters):
            alike[p.shape].append(i)
        for places in alike.values():
            flat = torch.stack([_flattened(ahead[i]) for i in places])
            turned = orthogonalized(flat)
            rate = group["lr"] * 0.2 * max(flat.shape[1:]) ** 0.5
            for i, step in zip(places, turned, strict=True):
                _flattened(parameters[i]).sub_(step, alpha=rate)

    def _rest(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p].update(step=torch.zeros(()), first=torch.zeros_like(p), second=torch.zeros_like(p))
        states = [self.state[p] for p in parameters]
        adamw(
            list(parameters),
            [p.grad for p in parameters],  # type: ignore[misc]
            [s["first"] for s in states],
            [s["second"] for s in states],
            [],
            [s["step"] for s in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def _flattened(x: Tensor) -> Tensor:
    """Return x as a matrix that shares its memory; columns may have any order, so theirs is that of memory."""
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    return x.view(len(x), -1)
