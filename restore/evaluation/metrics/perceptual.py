"""Distances in the features of a network: LPIPS for a pair, FID and KID for two sets of images.

These need weights that no wheel carries. Nothing here ever downloads: where a file is absent the functions raise
`MissingResource` with the command that fetches it, so that a report prints a reason and never a made-up number.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import pickle
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from restore.errors import ArrayError, ConfigError, MissingResource
from restore.evaluation.metrics.fidelity import check_pair
from restore.evaluation.metrics.registry import Metric, register

if TYPE_CHECKING:
    from torchmetrics import Metric as SetMetric

__all__ = ["LPIPS_TRUNKS", "LpipsNet", "fid", "inception_weights", "kid", "lpips", "lpips_trunk"]

LpipsNet = Literal["alex", "vgg"]

SHORTEST_SIDE = 32  # below it AlexNet's second pooling has nothing left to pool
KID_SUBSET = 1000


class LpipsTrunk(NamedTuple):
    """The network under an LPIPS head: its name in torchvision and the file that torchvision stores it in."""

    model: str
    file: str


LPIPS_TRUNKS: dict[str, LpipsTrunk] = {
    "alex": LpipsTrunk("alexnet", "alexnet-owt-7be5be79.pth"),
    "vgg": LpipsTrunk("vgg16", "vgg16-397923af.pth"),
}
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_COMMAND = (
    'python -c "from torchmetrics.image.fid import FrechetInceptionDistance as F; F()"  # downloads 91 MB'
)


def lpips_trunk(net: LpipsNet) -> Path:
    """Return the file of the trunk under LPIPS `net`, in `$TORCH_HOME/hub/checkpoints`.

    Raises:
        ConfigError: `net` is neither alex nor vgg.
        MissingResource: the file is not there, or is not the one that its name stands for; the message is the command
            that gets it.
    """
    if net not in LPIPS_TRUNKS:
        raise ConfigError(f"unknown LPIPS network {net!r}; accepted: {', '.join(LPIPS_TRUNKS)}")
    trunk = LPIPS_TRUNKS[net]
    path = _checkpoints() / trunk.file
    if not path.is_file():
        raise MissingResource(f"LPIPS ({net}) needs {_shown(path)}, which is not there; {_command(net)}")
    state = path.stat()
    # torchvision verifies the digest of a file when it downloads it, and never again
    if not _digest(path, state.st_size, state.st_mtime_ns).startswith(path.stem.rpartition("-")[2]):
        raise _damaged(net, path)
    return path


def _command(net: str) -> str:
    model = LPIPS_TRUNKS[net].model
    return (
        "with a network connection this gets it: "
        f"python -c \"import torchvision; torchvision.models.{model}(weights='IMAGENET1K_V1')\""
    )


def _damaged(net: str, path: Path) -> MissingResource:
    return MissingResource(f"LPIPS ({net}) needs {_shown(path)}, which is damaged: delete it; {_command(net)}")


@functools.lru_cache(maxsize=4)
def _digest(path: Path, size: int, changed: int) -> str:
    """Return the SHA-256 of a file; its size and time of change only serve as the cache's key."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@torch.no_grad()
def lpips(a: Tensor, b: Tensor, net: LpipsNet = "alex") -> Tensor:
    """Return the LPIPS distance (heads v0.1) of each image, (B,) float64, 0 for equal images.

    `a`, `b`: RGB (B, 3, H, W) in [-1, 1], sides of at least 32, on one device. The network runs in float32. Images
    in [0, 1] would give distances two to four times too small without any other sign.

    Raises:
        ArrayError: the batches differ in shape, are not RGB, are too small, or leave [-1, 1].
        ConfigError: `net` is neither alex nor vgg.
        MissingResource: the trunk is not downloaded, or damaged.
    """
    check_pair(a, b)
    trunk = lpips_trunk(net)
    if a.shape[1] != 3 or min(a.shape[-2:]) < SHORTEST_SIDE:
        raise ArrayError(f"LPIPS needs (B, 3, H, W) with sides of at least {SHORTEST_SIDE}, got {tuple(a.shape)}")
    extreme = max(float(a.abs().max()), float(b.abs().max()))
    if not extreme <= 1.0 + 1e-4:
        raise ArrayError(f"LPIPS takes images in [-1, 1], got a value of magnitude {extreme:.4g}")
    distance = _lpips_network(net, trunk, a.device)(a.float(), b.float())
    return distance.flatten().double()


@functools.lru_cache(maxsize=4)
def _lpips_network(net: LpipsNet, trunk: Path, device: torch.device) -> nn.Module:
    """Return the network; `trunk` is where torchvision will read its weights, and is only part of the cache's key.

    Raises:
        MissingResource: the trunk cannot be read.
    """
    with warnings.catch_warnings():
        # The package loads its trunk from torchvision with a deprecated argument.
        warnings.simplefilter("ignore")
        import lpips as package

        try:
            network = package.LPIPS(net=net, version="0.1", verbose=False)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
            raise _damaged(net, trunk) from error
    return network.requires_grad_(False).eval().to(device)


def inception_weights() -> Path:
    """Return the file of the Inception network under FID and KID, in `$TORCH_HOME/hub/checkpoints`.

    Raises:
        MissingResource: torchmetrics or torch-fidelity is not installed, or the file is not there.
    """
    absent = [name for name in ("torchmetrics", "torch_fidelity") if importlib.util.find_spec(name) is None]
    if absent:
        packages = " ".join(name.replace("_", "-") for name in absent)
        raise MissingResource(f"FID and KID need {' and '.join(absent)}; this installs it: pip install {packages}")
    path = _checkpoints() / INCEPTION_FILE
    if not path.is_file():
        raise MissingResource(
            f"FID and KID need {_shown(path)}, which is not there; with a network connection this gets it: "
            f"{INCEPTION_COMMAND}"
        )
    return path


def fid(restored: Iterable[Tensor], target: Iterable[Tensor], *, features: nn.Module | None = None) -> float:
    """Return the Frechet distance between the features of two sets of images; lower is better, 0 for equal sets.

    `restored`, `target`: batches (B, 3, H, W) in [-1, 1]; sizes may differ between batches. They are rounded to 8 bit.
    `features`: the Inception network of the paper unless another one is given: a module from uint8 batches to
    (B, N) with the attribute `num_features`. The estimate is biased upwards for small sets: compare only sets of one
    size, and prefer `kid` below a few thousand images.

    Raises:
        ArrayError: fewer than two images in a set.
        MissingResource: torchmetrics, torch-fidelity or the Inception weights are absent.
    """
    _require_set_metrics(features)
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=2048 if features is None else features)
    _fill(metric, restored, target)
    return float(metric.compute())


def kid(
    restored: Iterable[Tensor], target: Iterable[Tensor], *, features: nn.Module | None = None, seed: int = 0
) -> tuple[float, float]:
    """Return mean and standard deviation of the kernel distance between two sets of images; lower is better.

    Arguments as in `fid`. Unbiased for any number of images: taken on 100 random subsets of at most 1000 images
    (Binkowski et al. 2018, section 4), drawn with `seed`.

    Raises:
        ArrayError: fewer than two images in a set.
        MissingResource: torchmetrics, torch-fidelity or the Inception weights are absent.
    """
    _require_set_metrics(features)
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        # It warns at every construction that it keeps all features in memory, which is intended here.
        warnings.simplefilter("ignore", UserWarning)
        metric = KernelInceptionDistance(feature=2048 if features is None else features, subset_size=KID_SUBSET)
    metric.subset_size = min(KID_SUBSET, *_fill(metric, restored, target))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the subsets are drawn on the CPU, from the global generator
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def _require_set_metrics(features: nn.Module | None) -> None:
    if features is None:
        inception_weights()
    elif importlib.util.find_spec("torchmetrics") is None:
        raise MissingResource("FID and KID need torchmetrics; this installs it: pip install torchmetrics")


@torch.no_grad()
def _fill(metric: SetMetric | Any, restored: Iterable[Tensor], target: Iterable[Tensor]) -> tuple[int, int]:
    """Feed both sets to the metric as 8-bit batches; return how many images each has."""
    counts = []
    for batches, real in ((restored, False), (target, True)):
        count = 0
        for batch in batches:
            metric.to(batch.device)
            levels = batch.double().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
            metric.update(levels, real=real)
            count += len(batch)
        counts.append(count)
    if min(counts) < 2:
        raise ArrayError(f"FID and KID compare sets of images: got {counts[0]} restored and {counts[1]} true ones")
    return counts[0], counts[1]


def _shown(path: Path) -> str:
    """Return a path as reports show it, which are read by others: what is below the home folder from there on."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


LPIPS_2018 = (
    "Zhang, Isola, Efros, Shechtman, Wang. The unreasonable effectiveness of deep features as a perceptual metric. "
    "CVPR 2018"
)

register(
    Metric(
        name="lpips_alex",
        label="LPIPS (alex)",
        direction="lower",
        low=0,
        description="learned perceptual distance, AlexNet trunk, heads v0.1: the one that papers report",
        reference=LPIPS_2018,
        of_colors=True,
        usual=True,
        reported_as="lpips",
        score=lambda pair: lpips(*pair.network, net="alex"),
        needs=lambda: lpips_trunk("alex"),
    ),
    Metric(
        name="lpips_vgg",
        label="LPIPS (vgg)",
        direction="lower",
        low=0,
        description="learned perceptual distance, VGG-16 trunk, heads v0.1: meant as a loss",
        reference=LPIPS_2018,
        of_colors=True,
        score=lambda pair: lpips(*pair.network, net="vgg"),
        needs=lambda: lpips_trunk("vgg"),
    ),
    Metric(
        name="fid",
        label="FID",
        direction="lower",
        low=0,
        per="set",
        description="Frechet distance between the Inception features of two sets; biased for small sets",
        reference=(
            "Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter. GANs trained by a two time-scale update rule "
            "converge to a local Nash equilibrium. NeurIPS 2017"
        ),
        compare=lambda restored, target, features: (fid(restored, target, features=features), None),
        needs=inception_weights,
    ),
    Metric(
        name="kid",
        label="KID",
        direction="lower",
        per="set",
        description="kernel distance between the Inception features of two sets; unbiased, so at times below 0",
        reference="Binkowski, Sutherland, Arbel, Gretton. Demystifying MMD GANs. ICLR 2018",
        compare=lambda restored, target, features: kid(restored, target, features=features),
        needs=inception_weights,
    ),
)
