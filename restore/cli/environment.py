"""`restore env`."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from restore.cli.console import print_json, table

__all__ = ["env"]

PACKAGES = ("restore", "torch", "torchvision", "kornia", "scikit-image", "opencv-python", "lpips", "timm", "Pillow")


def env(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Show versions, devices and models of this machine.

    Example:

      restore env --json
    """
    import torch

    from restore.system import resources
    from restore.system.devices import fast_dtype, pick_device
    from restore.system.versions import version_of

    device = pick_device("auto")
    facts: dict[str, str] = {"python": platform.python_version(), "system": platform.platform()}
    facts |= {package: version_of(package) for package in PACKAGES}
    facts |= {
        "threads": str(torch.get_num_threads()),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "dtype": str(fast_dtype(device)).removeprefix("torch."),
        "models": ", ".join(resources.list_weights()) or "none",
    }
    if as_json:
        print_json(facts)
    else:
        typer.echo(table(["what", "value"], list(facts.items())))
