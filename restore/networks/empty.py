"""Networks without numbers in them: for their shapes, or to be filled with weights that are there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["build_empty"]

N = TypeVar("N", bound=nn.Module)

DRAWS = frozenset({Tensor.normal_, Tensor.uniform_})


def build_empty(build: Callable[[], N]) -> N:
    """Return a network on the meta device, in a fraction of the time that drawing its weights would take.

    Drawing them for the meta device takes even longer the first time: PyTorch loads its compiler for normal numbers.

    >>> build_empty(lambda: nn.Embedding(1000, 1000)).weight.is_meta
    True
    """
    with torch.device("meta"), _Undrawn():
        return build()


class _Undrawn(TorchFunctionMode):
    """Within it, random numbers are not drawn in place, and `torch.nn.init` leaves tensors as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return what the function returns, or its first argument where it would fill that."""
        kwargs = kwargs or {}
        if func in DRAWS or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
