"""Several processes are one: real ones, over gloo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from restore.training.config import TrainConfig
from restore.training.processes import GlobalDropout
from restore.training.trainer import Trainer


def document(photographs: Path, output: Path, recipe: Any) -> dict[str, Any]:
    """A run of 20 steps with everything that is drawn: levels by importance, dropout, dropped labels and images."""
    model = recipe.model_dump(mode="json")
    model["network"] = {"kind": "unet", "stem": 8, "channels": (8, 16), "blocks": 1, "groups": 4, "dropout": 0.3}
    model["level_input"] = "t"
    model["schedule"] = {"kind": "cosine", "steps": 4}
    return {
        "model": model,
        "data": {"kind": "clean", "folders": [str(photographs)]},
        "output": str(output),
        "objective": {"kind": "simple", "levels": {"kind": "importance", "keep": 2}},
        "stages": [{"until": 20, "patch": 16, "regions": 2, "patches": 2}],
        "region": 32,
        "image_drop": 0.2,
        "precision": "fp32",
        "optimizer": {"rate": 1e-3, "warmup": 2},
        "validation": {"every": 20, "images": 3, "size": 32},
    }


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes_train_as_one_does(tmp_path: Path, photographs: Path, tiny_recipe: Any) -> None:
    one = document(photographs, tmp_path / "one", tiny_recipe)
    for _ in Trainer(TrainConfig(**one), device="cpu"):
        pass
    config = tmp_path / "two.yaml"
    config.write_text(json.dumps(one | {"output": str(tmp_path / "two")}))
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "restore", "train", str(config), "--device", "cpu"]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert "2 processes share the regions of each step" in said[0]
    alone, together = (log(tmp_path / name) for name in ("one", "two"))
    assert len(together) == 20
    losses = [torch.tensor([entry["loss"] for entry in run]) for run in (alone, together)]
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=0)
    # validation is shared, and the same images come of it
    assert list(together[-1]["validation"]) == list(alone[-1]["validation"])
    for name, scores in alone[-1]["validation"].items():
        assert together[-1]["validation"][name] == pytest.approx(scores, abs=1e-2)
    assert (tmp_path / "two" / "validation" / "0000020.png").is_file()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_dropout_of_a_share_is_the_share_of_dropout(order: torch.memory_format) -> None:
    x = torch.rand(6, 8, 5, 7).to(memory_format=order)
    torch.manual_seed(3)
    whole = F.dropout(x, 0.4)
    parts = []
    for rank in range(3):
        torch.manual_seed(3)
        share = x[2 * rank : 2 * rank + 2].contiguous(memory_format=order)
        parts.append(GlobalDropout(0.4, rank, 3)(share))
    torch.testing.assert_close(torch.cat(parts), whole)
    assert torch.equal(GlobalDropout(0.4, 0, 3).eval()(x), x)
