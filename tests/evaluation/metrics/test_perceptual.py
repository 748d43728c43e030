"""LPIPS, FID and KID: what happens without their weights, and what they compute with some."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from restore.errors import ArrayError, ConfigError, MissingResource
from restore.evaluation.metrics import METRICS, fid, inception_weights, kid, lpips, lpips_trunk, score
from restore.evaluation.metrics.perceptual import LPIPS_TRUNKS, LpipsTrunk


def images(seed: int, count: int = 2, side: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("net", "model"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_a_missing_trunk_names_its_place_and_the_command(
    net: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    x = images(0)
    with pytest.raises(MissingResource) as caught:
        lpips(x, x, net=net)  # type: ignore[arg-type]
    message = str(caught.value)
    assert str(tmp_path / "hub" / "checkpoints" / LPIPS_TRUNKS[net].file) in message
    assert f"torchvision.models.{model}(weights='IMAGENET1K_V1')" in message
    assert list(tmp_path.rglob("*")) == []
    assert f"lpips_{net}" in METRICS


def test_missing_inception_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for measure in (inception_weights, lambda: fid([images(0)], [images(1)]), lambda: kid([], [])):
        with pytest.raises(MissingResource, match=r"pip install .*torch-fidelity|python -c .*FrechetInceptionDistance"):
            measure()
    assert list(tmp_path.rglob("*")) == []


def test_an_unknown_network_is_answered_with_the_accepted_ones() -> None:
    with pytest.raises(ConfigError, match="'squeeze'; accepted: alex, vgg"):
        lpips_trunk("squeeze")  # type: ignore[arg-type]


def known_by_its_digest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the trunk by what it holds, as the trained one is; torchvision reads it under the name that it knows."""
    content = path.read_bytes()
    name = f"alexnet-owt-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.with_name(name).write_bytes(content)
    monkeypatch.setenv("TORCH_HOME", str(path.parents[2]))
    monkeypatch.setitem(LPIPS_TRUNKS, "alex", LpipsTrunk("alexnet", name))


@pytest.fixture(scope="module")
def random_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An AlexNet of random weights where the trained one would be."""
    import torchvision

    home = tmp_path_factory.mktemp("torch")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shapes = {name: value.shape for name, value in torchvision.models.alexnet().state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    weights = {
        # LPIPS never runs the classifier: one stored number stands for each of its large tensors.
        name: torch.randn(shape, generator=generator) * 0.05
        if name.startswith("features")
        else torch.zeros(1).expand(shape)
        for name, shape in shapes.items()
    }
    path = home / "hub" / "checkpoints" / LPIPS_TRUNKS["alex"].file
    path.parent.mkdir(parents=True)
    torch.save(weights, path)
    return path


def test_lpips_is_that_of_the_package_on_images_in_minus_one_to_one(
    random_trunk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lpips as package

    known_by_its_digest(random_trunk, monkeypatch)
    a, b = images(1), images(2)
    got = lpips(a, b)
    assert got.shape == (2,) and got.dtype == torch.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = package.LPIPS(net="alex", version="0.1", verbose=False)
    with torch.no_grad():
        unit = reference((a + 1) / 2, (b + 1) / 2, normalize=True).flatten()
        wrong = reference((a + 1) / 2, (b + 1) / 2).flatten()
    torch.testing.assert_close(got.float(), unit, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(got.float(), wrong, rtol=1e-2)
    torch.testing.assert_close(lpips(b, a), got, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(torch.cat([lpips(a[:1], b[:1]), lpips(a[1:], b[1:])]), got, rtol=1e-4, atol=1e-6)
    assert lpips(a, a).tolist() == [0.0, 0.0]
    assert lpips(a.double(), b.double()).tolist() == pytest.approx(got.tolist(), rel=1e-4)

    levels = [((x + 1) * 127.5).round() / 127.5 - 1 for x in (a, b)]
    scored = score(a, b, "rgb", metrics=["lpips_alex"])["lpips_alex"]
    torch.testing.assert_close(scored, lpips(*levels), rtol=1e-4, atol=1e-6)


def test_a_damaged_trunk_is_named_and_never_used(
    random_trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hub" / "checkpoints" / LPIPS_TRUNKS["alex"].file
    path.parent.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for content in (b"", random_trunk.read_bytes()):  # cut off; whole, but not what the name says
        path.write_bytes(content)
        with pytest.raises(MissingResource, match=r"7be5be79\.pth, which is damaged: delete it; .* torchvision"):
            lpips_trunk("alex")
    path.write_bytes(b"")
    known_by_its_digest(path, monkeypatch)  # whatever the digest says, what cannot be read is damaged
    with pytest.raises(MissingResource, match="is damaged: delete it"):
        lpips(images(0), images(1))


def test_lpips_refuses_what_it_would_score_wrongly(random_trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known_by_its_digest(random_trunk, monkeypatch)
    a = images(3)
    with pytest.raises(ArrayError, match=r"\[-1, 1\], got a value of magnitude 255"):
        lpips(a * 0 + 255, a)
    with pytest.raises(ArrayError, match="magnitude nan"):
        lpips(a * float("nan"), a)
    with pytest.raises(ArrayError, match="at least 32"):
        lpips(a[..., :31], a[..., :31])
    with pytest.raises(ArrayError, match="differ in shape"):
        lpips(a, a[:1])


class MeanColor(nn.Module):
    """Features small enough to check by hand: the mean of each channel."""

    num_features = 3

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        assert levels.dtype == torch.uint8
        return levels.double().mean((2, 3))


def test_fid_and_kid_of_given_features_equal_their_closed_forms() -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    generator = torch.Generator().manual_seed(4)
    sets = []
    for shift in (0.0, 0.2):
        colors = torch.rand(30, 3, 1, 1, generator=generator) + shift - 0.6
        sets.append(colors.expand(30, 3, 8, 8).clamp(-1, 1))
    features = [((x[:, :, 0, 0] + 1) * 127.5).round().double().numpy() for x in sets]

    (mean_a, cov_a), (mean_b, cov_b) = ((x.mean(0), np.cov(x, rowvar=False)) for x in features)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    frechet = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    split = [x.split(7) for x in sets]
    assert fid(*split, features=MeanColor()) == pytest.approx(frechet, rel=1e-4)
    assert fid(split[0], split[0], features=MeanColor()) == pytest.approx(0, abs=1e-3)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / 3 + 1) ** 3

    a, b = features
    within = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / (30 * 29) for x in (a, b)]
    expected = sum(within) - 2 * kernel(a, b).mean()
    mean, deviation = kid(*split, features=MeanColor())
    assert mean == pytest.approx(expected, rel=1e-4)
    assert deviation == pytest.approx(0, abs=1e-6 * abs(expected))  # all 30 images are in every subset

    with pytest.raises(ArrayError, match="got 1 restored and 30"):
        fid([sets[0][:1]], split[1], features=MeanColor())


def test_kid_leaves_the_global_generator_alone() -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    kid([images(5, 4, 8)], [images(6, 6, 8)], features=MeanColor())
    assert torch.equal(torch.get_rng_state(), before)
