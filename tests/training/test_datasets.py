"""Somebody's own data set: trained on as folders are, and named where its items are not what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from restore.data.files import image_files
from restore.data.joined import decode
from restore.errors import ConfigError, DataError
from restore.training.batches import Batches
from restore.training.config import TrainConfig
from restore.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


class Negatives(Dataset[tuple[Tensor, Tensor, int]]):
    """Photographs and their negatives; every other one counts as snow."""

    def __init__(self, folder: Path) -> None:
        self.paths = image_files(folder)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        clean = decode(self.paths[index]).float() / 255
        return 1 - clean, clean, 2 * (index % 2)


class Items(Dataset[Any]):
    """The same item again and again."""

    def __init__(self, item: Any, count: int = 3) -> None:
        self.item, self.count = item, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return self.item


@pytest.fixture
def config(tmp_path: Path, tiny_recipe: Any) -> TrainConfig:
    return TrainConfig(
        model=tiny_recipe,
        output=tmp_path / "run",
        stages=[{"until": 4, "patch": 16, "regions": 2, "patches": 2}],
        region=64,
        label_drop=0.0,
        validation={"every": 4, "images": 2, "size": 32},
        save_every=2,
    )


def test_a_dataset_is_trained_on_and_resumed(config: TrainConfig, photographs: Path) -> None:
    pairs = Negatives(photographs)
    whole = list(Trainer(config, device="cpu", dataset=pairs))
    # two of five are held out: the first, and the third, which have no label
    assert list(whole[-1].validation) == ["unknown"]
    parts = config.model_copy(update={"output": config.output.with_name("parts")})
    for progress in Trainer(parts, device="cpu", dataset=pairs):
        if progress.step == 2:
            break
    rest = list(Trainer(parts, resume=True, device="cpu", dataset=pairs))
    assert [p.loss for p in rest] == [p.loss for p in whole[2:]]


def test_its_items_are_cut_alike_and_labelled(config: TrainConfig, photographs: Path) -> None:
    pairs = Negatives(photographs)
    batches = Batches(config, torch.device("cpu"), dataset=pairs)
    assert batches.report()[0] == "training on 3 pairs of Negatives; 2 more are held out"
    found = [batches(step) for step in range(4)]
    for x0, condition in found:
        torch.testing.assert_close(condition.image, -x0, atol=1e-6, rtol=0)
    assert {int(label) for _, condition in found for label in condition.label} == {0, 2}
    halves = [Batches(config, torch.device("cpu"), rank, 2, pairs)(1) for rank in range(2)]
    assert torch.equal(torch.cat([x0 for x0, _ in halves]), found[1][0])
    # what is held out is never trained on
    held = {index for store in batches.held_out.values() for index in store.index}
    assert not held & set(batches._store.index)


def test_it_takes_the_place_of_the_config_s_data(config: TrainConfig, photographs: Path, tmp_path: Path) -> None:
    document = config.model_dump() | {"data": {"kind": "clean", "folders": [tmp_path / "nowhere"]}}
    batches = Batches(TrainConfig(**document), torch.device("cpu"), dataset=Negatives(photographs))
    assert batches(0)[0].shape == (4, 3, 16, 16)
    with pytest.raises(ConfigError, match="nothing to train on: name a source by data, or give the Trainer a dataset"):
        Batches(config, torch.device("cpu"))


GOOD = torch.rand(3, 20, 30)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (GOOD, r"must be \(degraded, clean\) or \(degraded, clean, label\), not Tensor"),
        ((GOOD, (GOOD * 255).byte()), r"clean must be a float tensor \(3, H, W\), not torch.uint8 \(3, 20, 30\)"),
        ((GOOD[:1], GOOD), r"degraded must be a float tensor .* not torch.float32 \(1, 20, 30\)"),
        ((GOOD, GOOD * 2 - 1), r"clean must lie in \[0, 1\], not from -"),
        ((GOOD, GOOD / 0), r"clean must lie in \[0, 1\]"),
        ((GOOD, GOOD[:, :9]), r"the shapes differ: \(3, 20, 30\) and \(3, 9, 30\)"),
        ((GOOD, GOOD, 7), "label 7 is not one of the model's 0 to 6"),
    ],
)
def test_a_bad_item_is_named(config: TrainConfig, item: Any, said: str) -> None:
    quiet = config.model_copy(update={"validation": config.validation.model_copy(update={"images": 0})})
    with pytest.raises(DataError, match=r"item \d of Items.*" + said):
        Batches(quiet, torch.device("cpu"), dataset=Items(item))(0)


def test_what_is_no_map_is_refused(config: TrainConfig) -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Any:
            yield GOOD, GOOD

    with pytest.raises(ConfigError, match="Stream has no length: training takes map-style data sets"):
        Batches(config, torch.device("cpu"), dataset=Stream())
    with pytest.raises(DataError, match="the data set for training is empty"):
        Batches(config, torch.device("cpu"), dataset=Items(GOOD, 0))
