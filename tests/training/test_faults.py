"""What goes wrong in a step leaves the saved state whole; files of version 0.1 are still resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from restore.errors import CheckpointError
from restore.models import native
from restore.training.config import TrainConfig
from restore.training.objective import Batch, Loss, Setting, Simple
from restore.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


class Breaking(Simple):
    """L_simple, but that something is not finite in the third step."""

    broken: str = "gradient"

    def build(self, setting: Setting) -> Loss:
        whole, broken = super().build(setting), self.broken

        class Broken(Loss):
            calls = 0

            def __call__(self, batch: Batch) -> Tensor:
                self.calls += 1
                loss = whole(batch)
                if self.calls < 3:
                    return loss
                # the root's value at 0 is 0, and its slope infinite
                return loss + (loss - loss).abs().sqrt() if broken == "gradient" else loss * torch.inf

        return Broken(setting)


@pytest.fixture
def config(tmp_path: Path, photographs: Path, tiny_recipe: Any) -> TrainConfig:
    return TrainConfig(
        model=tiny_recipe,
        data={"kind": "clean", "folders": [photographs]},
        output=tmp_path / "run",
        stages=[{"until": 4, "patch": 16, "regions": 1, "patches": 2}],
        region=32,
        precision="fp32",
        validation={"images": 0},
        save_every=2,
    )


def finite(path: Path) -> bool:
    return all(bool(x.isfinite().all()) for x in native.load(path).values())


@pytest.mark.parametrize(
    ("broken", "said"), [("gradient", r"the gradient is not finite \(loss 0\.\d+\)"), ("loss", "the loss is inf")]
)
def test_a_step_that_is_not_finite_is_not_taken(config: TrainConfig, broken: str, said: str) -> None:
    trainer = Trainer(config.model_copy(update={"objective": Breaking(broken=broken)}), device="cpu")
    state = {}
    with pytest.raises(
        CheckpointError, match=said + r".* at step 3, .* state of step 2 is saved: lower optimizer\.rate"
    ):
        for _ in trainer:
            state = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    assert trainer.step == 2
    assert all(torch.equal(value, state[key]) for key, value in trainer.network.state_dict().items())
    assert finite(config.output / "model.safetensors")
    # what the message says to do works, and is the run that nothing had happened to
    for _ in Trainer(config, resume=True, device="cpu"):
        pass
    losses = [json.loads(line)["loss"] for line in (config.output / "log.jsonl").read_text().splitlines()]
    fresh = config.model_copy(update={"output": config.output.with_name("fresh")})
    assert losses == [progress.loss for progress in Trainer(fresh, device="cpu")]


def test_without_a_saved_state_the_run_starts_again(config: TrainConfig) -> None:
    config = config.model_copy(update={"objective": Breaking(), "save_every": 100})
    with pytest.raises(CheckpointError, match=r"no state is saved yet: lower optimizer\.rate and start again"):
        for _ in Trainer(config, device="cpu"):
            pass
    assert not (config.output / "last.pt").exists()


@pytest.mark.parametrize("where", ["network", "ema", "optimizer"])
def test_what_is_not_finite_is_not_saved(config: TrainConfig, where: str) -> None:
    trainer = Trainer(config, device="cpu")
    for progress in trainer:
        if progress.step == 2:
            break
    before = {path.name: path.read_bytes() for path in config.output.iterdir()}
    parameter = next(trainer.network.parameters())
    with torch.no_grad():
        if where == "network":
            parameter[0] = torch.nan
        elif where == "ema":
            next(trainer.ema.module.parameters())[0] = torch.inf
        else:
            trainer.optimizer.state[parameter]["exp_avg"][0] = torch.nan
    with pytest.raises(CheckpointError, match=rf"not finite and was not saved \(1 tensors, the first {where}\."):
        trainer.save()
    assert {path.name: path.read_bytes() for path in config.output.iterdir()} == before


@pytest.mark.parametrize("learned", [False, True])
def test_a_state_of_the_first_edition_is_resumed(config: TrainConfig, learned: bool) -> None:
    """It has what the loss has learned under `problem`."""
    document = config.model_dump()
    if learned:
        document["model"]["schedule"] = {"kind": "learned", "steps": 20, "hidden": 8}
        document["objective"] = {"kind": "continuous_bound"}
    else:
        document["model"]["schedule"] = {"kind": "cosine", "steps": 2}
        document["objective"] = {"kind": "simple", "levels": {"kind": "importance", "keep": 1}}
    config = TrainConfig(**document)
    whole = [progress.loss for progress in Trainer(config, device="cpu")]
    parts = config.model_copy(update={"output": config.output.with_name("parts")})
    trainer = Trainer(parts, device="cpu")
    for progress in trainer:
        if progress.step == 2:
            break
    state = torch.load(trainer.last, weights_only=True)
    assert state["loss"]
    problem = {"history": {}, "schedule": {}} | state.pop("loss")
    torch.save(state | {"problem": problem}, trainer.last)
    assert [progress.loss for progress in Trainer(parts, resume=True, device="cpu")] == whole[2:]
