"""A network and its weights: does a file fit what its recipe describes, and how does it get in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from restore.errors import TensorMismatch, one_line
from restore.networks import build_empty

__all__ = ["assemble", "check_tensors", "fill", "finite", "shown"]

MOST_NAMED = 8  # problems that a message lists
DRAWN = frozenset({"normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_",
                   "xavier_normal_", "orthogonal_", "random_", "bernoulli_", "erfinv_"})  # fmt: skip
MADE = frozenset({"randn", "rand", "normal"})
SLACK = 1000  # parameters that a network may have beyond the tensors of its file before building it is given up


def assemble(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], source: str) -> nn.Module:
    """Return a network with these weights; they stay memory-mapped where nothing but them is in the network.

    Its tensors are compared with the file's before there is memory for them, so that an absurd recipe costs nothing;
    and filling a large network with random numbers first would take longer than reading it.

    Raises:
        TensorMismatch: see `fill`; or no network can be built as the recipe says.
    """
    try:
        with _at_most(2 * len(tensors) + SLACK, source):
            network = build_empty(build)
    except TensorMismatch:
        raise
    except (RuntimeError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        why = one_line(str(error), 200)
        raise TensorMismatch(f"{source}: no network can be built as its recipe says: {why}") from None
    state = network.state_dict()
    check_tensors(state, tensors, source)
    if any(name not in state for name, _ in network.named_buffers()):
        network = build()
        copy_into(network, tensors)
        return network
    typed = {
        key: value if value.dtype == state[key].dtype else value.to(state[key].dtype) for key, value in tensors.items()
    }
    network.load_state_dict(typed, assign=True)
    return network.requires_grad_(True)


@contextmanager
def _at_most(count: int, source: str) -> Iterator[None]:
    """Give up building a network, in this thread, once it has more parameters than that."""
    built, thread = 0, threading.get_ident()

    def registered(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal built
        built += threading.get_ident() == thread
        if built > count:
            raise TensorMismatch(
                f"{source} does not fit its network: the recipe describes one of more than {count} tensors, "
                "far more than the file holds"
            )

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()


def fill(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy the tensors into the network, each exactly once, in the network's own type.

    Raises:
        TensorMismatch: a tensor is missing, left over, of another shape, or holds NaN or infinity; all are named.
    """
    check_tensors(network.state_dict(), tensors, source)
    copy_into(network, tensors)


def copy_into(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors that are known to fit into a network."""
    with torch.no_grad():
        for key, value in network.state_dict().items():
            value.copy_(tensors[key])


def finite(value: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity; their sum alone is tested first, which is faster."""
    return not value.is_floating_point() or bool(value.sum().isfinite()) or bool(torch.isfinite(value).all())


def check_tensors(state: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise where tensors do not fit a network's state, which may be on the meta device.

    Raises:
        TensorMismatch: a tensor is missing, left over, of another shape, of whole numbers where the network's are not,
            or holds NaN or infinity; all are named.
    """
    problems = [f"missing {shown(key)}" for key in state if key not in tensors]
    problems += [f"left over {shown(key)}" for key in tensors if key not in state]
    for key, value in tensors.items():
        if key not in state:
            continue
        if value.shape != state[key].shape:
            problems.append(f"{shown(key)} is {tuple(value.shape)}, the network's is {tuple(state[key].shape)}")
        elif state[key].is_floating_point() and not value.is_floating_point():
            kinds = (str(tensor.dtype).removeprefix("torch.") for tensor in (value, state[key]))
            problems.append("{} holds {}, the network's holds {}".format(shown(key), *kinds))
        elif not finite(value):
            problems.append(f"{shown(key)} holds NaN or infinity")
    if problems:
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise TensorMismatch(f"{source} does not fit its network: {'; '.join(problems[:MOST_NAMED])}{more}")


def shown(name: str) -> str:
    r"""Return a name from a file as a message shows it: on one line, and not longer than 120 characters.

    >>> shown("a\nb")
    'a\\nb'
    """
    return one_line(name, 120)
