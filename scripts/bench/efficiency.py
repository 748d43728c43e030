"""How much of the machine's rate of matrix products the network's forward pass reaches, and where the rest goes.

    python scripts/bench/efficiency.py                  # a minute
    python scripts/bench/efficiency.py --device cuda
    python scripts/bench/efficiency.py --compile        # five minutes more: the compiler works on each shape

Operations are counted (convolutions, matrix products), not estimated. The product of large matrices and the network
take turns, so that a busy machine slows both alike. The second table is a profile of the best shape: the time of each
kind of operation.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from machine import describe, matrix_product, table, turns
from torch.profiler import ProfilerActivity, profile

from restore.contracts import Condition
from restore.restoration.plan import cost
from restore.restoration.restorer import Restorer
from restore.system.devices import fast_dtype

KINDS = {
    "convolution": ("conv", "cudnn", "gemm", "cutlass", "xmma", "sm80", "sm90"),
    "normalisation": ("norm", "addcmul"),
    "activation": ("silu",),
    "residual and skip additions": ("aten::add",),
    "moving data": ("copy", "cat", "shuffle", "contiguous", "clone", "resize", "empty"),
}


def evaluation(restorer: Restorer, network: Callable[..., Any], batch: int, side: int) -> Callable[[], Any]:
    """Return one forward pass, as the patch engine does it."""
    shape = (batch, 3, side, side)
    x_t, image = torch.randn(2, *shape, device=restorer.device).to(restorer.dtype)
    label = torch.zeros(batch, dtype=torch.int64, device=restorer.device)
    box = torch.rand(batch, 4, device=restorer.device).sort().values
    condition = restorer.overview(Condition(image.float(), label, box=box)).to(dtype=restorer.dtype)
    value = torch.full((batch,), 0.5, device=restorer.device)
    return torch.no_grad()(lambda: network(x_t, value, condition))


def losses(call: Callable[[], Any], cuda: bool) -> Counter[str]:
    """Return the microseconds of each kind of operation in one call."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    call()
    with profile(activities=activities) as profiled:
        for _ in range(5):
            call()
    spent: Counter[str] = Counter()
    for event in profiled.key_averages():
        micros = event.self_device_time_total if cuda else event.self_cpu_time_total
        kind = next((kind for kind, words in KINDS.items() if any(w in event.key.lower() for w in words)), "the rest")
        spent[kind] += micros / 5
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="weather")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--shapes", nargs="+", default=["1x512", "1x256", "4x256", "16x64", "1x64"], help="tiles x side"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fp32 = Restorer.from_pretrained(options.model, device=options.device, dtype=torch.float32)
    types = dict.fromkeys((torch.float32, fast_dtype(fp32.device)))
    rows, best = [], (0.0, Counter[str](), 0, 0.0)
    for dtype in types:
        restorer = replace(fp32, dtype=dtype)
        networks = {"as it is": restorer.network}
        if options.compile:
            networks["compiled"] = torch.compile(restorer.network, dynamic=False)
        product, product_flop = matrix_product(dtype, options.device)
        for shape in options.shapes:
            batch, side = (int(part) for part in shape.split("x"))
            flop = cost(restorer.recipe, batch, side, side, dtype).flop
            calls = {name: evaluation(restorer, network, batch, side) for name, network in networks.items()}
            seconds = turns({"product": product, **calls}, options.rounds, options.device)
            rate = product_flop / seconds["product"]
            for name, call in calls.items():
                share = flop / seconds[name] / rate
                kind = str(dtype).removeprefix("torch.")
                milliseconds, reached, limit = seconds[name] * 1e3, flop / seconds[name] / 1e9, rate / 1e9
                rows.append(
                    [kind, shape, name, flop / 1e9, milliseconds, f"{reached:.0f}", f"{limit:.0f}", f"{share:.0%}"]
                )
                if share > best[0]:
                    # at once, for the next type converts the very same network
                    best = (share, losses(call, options.device.startswith("cuda")), flop, rate)
    print(describe(options.device), "\n")
    print(table(["type", "tiles x side", "network", "GFLOP", "ms", "GFLOP/s", "matrix product", "share"], rows))
    _, spent, flop, rate = best
    total = sum(spent.values())
    ideal = flop / rate * 1e3
    print(f"\nThe best of these, by kind of operation; at the rate of the product it would take {ideal:.1f} ms:\n")
    print(table(["operation", "ms", "share"], [[k, v / 1e3, f"{v / total:.0%}"] for k, v in spent.most_common()]))


if __name__ == "__main__":
    main()
