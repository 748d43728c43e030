"""Training: a run is a generator of progress that can be interrupted, saved and resumed at any step.

Every random number of a step follows from the seed, the step and the place in the global batch, never from the process
that draws it. The rest of a run's state is the network, its average, the optimizer, and what the loss has learned. A
resumed run is therefore the same run, whatever interrupted it, and so is one that several processes share.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from restore.contracts import Condition
from restore.errors import CheckpointError, ConfigError, DataError
from restore.models import native, published
from restore.models.card import AnyRecipe
from restore.models.find import find_weights
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.schema import read_json_lines
from restore.system.atomic import write_atomically
from restore.system.devices import fast_dtype, pick_device
from restore.system.seeds import seed_of
from restore.training.batches import Batches
from restore.training.checkpoint import read_state, write_state
from restore.training.config import TrainConfig
from restore.training.objective import Batch, Loss, Setting
from restore.training.processes import share_dropout
from restore.training.validation import HeldOut

__all__ = ["Progress", "Trainer", "read_log"]


@dataclass(frozen=True)
class Progress:
    """The progress of a run after a step.

    Attributes:
        step: steps done.
        steps: steps of the whole run.
        loss: of this step's global batch.
        rate: the learning rate it was made with.
        seconds: wall time of the step.
        validation: PSNR in dB before and after restoration by label, at the steps where images were validated.
    """

    step: int
    steps: int
    loss: float
    rate: float
    seconds: float
    validation: dict[str, tuple[float, float]] = field(default_factory=dict)


class Trainer:
    """One training run.

    It is an iterator, and that is the hook for code of your own: the body of the loop runs after each step, with the
    step's `Progress` and the trainer itself (`network`, `ema`, `optimizer`, `loss`, `config`) at hand. Leaving the loop
    stops the run; `save` keeps it to be resumed::

        trainer = Trainer(config)
        for progress in trainer:
            tracker.log({"loss": progress.loss, "rate": progress.rate}, step=progress.step)
            if progress.validation and progress.validation["rain"][1] > 32:
                trainer.save()
                break

    Args:
        config: what to train, on what, and how.
        resume: continue from the last checkpoint in `config.output`; a fresh folder is a fresh start.
        device: `auto`, `cpu` or `cuda`.
        dataset: pairs to train on in place of `config.data`: any map-style data set whose items are `(degraded, clean)`
            or `(degraded, clean, label)`, float tensors (3, H, W) in [0, 1] and the number of a label of the model (see
            `restore.training.datasets.DatasetStore`). `config.validation.images` of them are held out.

    Raises:
        ConfigError: the folder holds a run already and `resume` is off, the sampler has more steps than the
            schedule, there is nothing to train on, or there is no such device.
        CheckpointError: the checkpoint, or the model to start from, belongs to another network.
        DataError: the images or items to train on are not as they should be.
    """

    def __init__(
        self,
        config: TrainConfig,
        resume: bool = False,
        device: str = "auto",
        dataset: Dataset[Any] | None = None,
    ) -> None:
        from timm.scheduler.cosine_lr import CosineLRScheduler
        from timm.utils.model_ema import ModelEmaV3

        self.config = config
        self._join(device)
        self.last = config.output / "last.pt"
        if self.last.exists() and not resume:
            raise ConfigError(f"{config.output} holds a run already: pass --resume to continue it, or another output")
        if (config.output / "model.safetensors").exists() and not self.last.exists():
            raise ConfigError(f"{config.output} holds a model, but no last.pt to continue from: choose another output")
        torch.manual_seed(config.seed)
        network = self._build()
        self.network, self.optimizer = self.accelerator.prepare(network, config.optimizer.build(network))
        self.ema = ModelEmaV3(self.accelerator.unwrap_model(self.network), decay=config.ema, use_warmup=True)
        self.loss = self._build_loss()
        if learned := self.loss.parameters():
            self.optimizer.add_param_group({"params": learned, "weight_decay": 0.0})
        self.rates = CosineLRScheduler(
            self.optimizer,
            t_initial=config.steps,
            lr_min=config.optimizer.final_rate,
            warmup_t=min(config.optimizer.warmup, config.steps - 1),
            warmup_lr_init=config.optimizer.final_rate,
            t_in_epochs=False,
        )
        self.batches = Batches(config, self.device, self.rank, self.processes, dataset)
        self.held_out = HeldOut(self.batches)
        self.step = 0
        self.saved: int | None = None
        if resume and self.last.exists():
            self._load()
        self._forget_later_steps()

    def _join(self, device: str) -> None:
        """Find this process's device and the other processes.

        Raises:
            ConfigError: there is no such device, or it is given by its number.
        """
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        place = pick_device(device)
        if place.index is not None:
            raise ConfigError(f"training takes the devices that it is given: set CUDA_VISIBLE_DEVICES, not {device}")
        cpu = place.type == "cpu"
        # it is one for the whole process, and refuses another precision than the first run's; the processes stay joined
        AcceleratorState._reset_state(reset_partial_state=False)
        self.accelerator = Accelerator(mixed_precision=self._precision(cpu), cpu=cpu)
        self.device = self.accelerator.device
        self.rank, self.processes = self.accelerator.process_index, self.accelerator.num_processes

    def _precision(self, cpu: bool) -> str:
        if self.config.precision == "auto":
            return "bf16" if fast_dtype(torch.device("cpu" if cpu else "cuda")) is torch.bfloat16 else "no"
        return "bf16" if self.config.precision == "bf16" else "no"

    def _build(self) -> nn.Module:
        """Return the network, with the weights to start from.

        Raises:
            CheckpointError: the model to start from belongs to another network.
        """
        config = self.config
        spec = config.model.network
        network, known = spec.build().to(memory_format=torch.channels_last), spec.capabilities
        if config.start_from and not self.last.exists():
            path = find_weights(config.start_from)
            tensors = published.open_checkpoint(path).tensors
            native.fill(network, network.extended(tensors) if known.grows else tensors, str(path))
        if isinstance(config.model, Recipe) and not config.thumbnail and known.encodes:
            # no thumbnail is logged: several processes would wait for gradients that nobody makes
            for parameter in network.context.parameters() if network.context is not None else ():
                parameter.requires_grad_(False)
        share_dropout(network, self.rank, self.processes)
        return network

    def _build_loss(self) -> Loss:
        """Return the loss, on the device.

        Raises:
            ConfigError: it has no meaning for this model, or the sampler has more steps than the schedule.
        """
        model = self.config.model
        own = model.parameterization()
        if isinstance(model, Recipe) and own is not None:
            model.sampler.levels(model.sampling_schedule.build() if model.sampling_schedule else own.schedule)
        loss = self.config.objective.build(Setting(self.network, own, model.task, self.ema.module))
        for module in loss.modules().values():
            module.to(self.device)
        return loss

    def __iter__(self) -> Iterator[Progress]:
        """Yield progress after each step until the run is done; stop iterating at any time and call `save`.

        Raises:
            CheckpointError: the loss or its gradient is not finite. Nothing of that step is kept, and what was saved
                before is whole.
        """
        # Adam's second moments of small gradients become denormal numbers, which halve the speed of a CPU
        torch.set_flush_denormal(True)
        try:
            yield from self._steps()
        finally:
            torch.set_flush_denormal(False)

    def _steps(self) -> Iterator[Progress]:
        self.network.train()
        while self.step < self.config.steps:
            start = time.perf_counter()
            self.rates.step_update(self.step)
            rate = self.optimizer.param_groups[0]["lr"]
            loss = self._update(*self.batches(self.step))
            self.step += 1
            last = self.step == self.config.steps
            # saved first: whatever may go wrong during validation costs no step
            if last or self.step % self.config.save_every == 0:
                self.save()
            scores = self.validate() if last or self.step % self.config.validation.every == 0 else {}
            progress = Progress(self.step, self.config.steps, loss, rate, time.perf_counter() - start, scores)
            self._log(progress)
            yield progress

    def _update(self, x0: Tensor, condition: Condition) -> float:
        """Take one step; return the loss of the global batch.

        Raises:
            CheckpointError: the loss or its gradient is not finite; weights and optimizer are as before the step.
        """
        seed = seed_of(self.config.seed, self.step, 2**31)
        generator = torch.Generator(self.device).manual_seed(seed)
        torch.manual_seed(seed)  # what a network draws by itself, dropout, must not differ in a resumed run
        loss = self.loss(Batch(x0, condition, generator, self.rank, self.processes))
        self.accelerator.backward(loss)
        learned = self.loss.parameters()
        for parameter in learned:
            parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.optimizer.clip)
        value = self._finite(loss.detach(), norm, [p.grad for p in learned if p.grad is not None])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.accelerator.unwrap_model(self.network), step=self.step)
        return value

    def _finite(self, loss: Tensor, norm: Tensor, others: list[Tensor]) -> float:
        """Return the loss of the global batch.

        Raises:
            CheckpointError: it is not finite, or the norm of the gradient or one of the `others` is not.
        """
        mean = self.accelerator.gather(loss).mean()
        # one reading of the device a step, and the same numbers in all processes
        value, *gradients = torch.stack([mean.float(), *(x.float().norm() for x in (norm, *others))]).tolist()
        if all(math.isfinite(x) for x in (value, *gradients)):
            return value
        self.optimizer.zero_grad(set_to_none=True)
        what = f"the gradient is not finite (loss {value:.4g})" if math.isfinite(value) else f"the loss is {value}"
        way = (
            "no state is saved yet: lower optimizer.rate and start again"
            if self.saved is None
            else f"the state of step {self.saved} is saved: lower optimizer.rate and pass --resume"
        )
        raise CheckpointError(f"{what} at step {self.step + 1}, of which nothing was kept; {way}")

    def _log(self, progress: Progress) -> None:
        if not self.accelerator.is_main_process:
            return
        self.config.output.mkdir(parents=True, exist_ok=True)
        with (self.config.output / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(progress.__dict__) + "\n")

    def recipe(self) -> AnyRecipe:
        """Return the model's recipe with what follows from its training."""
        return self.loss.trained(self.config.trained)

    def restorer(self) -> Restorer:
        """Return the averaged weights as a model that can restore."""
        recipe = self.recipe()
        assert isinstance(recipe, Recipe)  # a run that trains a classifier or a detector has nothing to validate
        return Restorer(recipe, self.ema.module, device=self.device)

    def validate(self) -> dict[str, tuple[float, float]]:
        """Return PSNR in dB (before, after) by label on held-out images; writes a sheet of them. See `HeldOut`."""
        if not self.batches.held_out:
            return {}
        scores = self.held_out.scores(self.restorer(), self.config.output / "validation" / f"{self.step:07d}.png")
        self.ema.module.train()
        return scores

    def save(self) -> None:
        """Write the run's state and its averaged weights, atomically.

        Raises:
            CheckpointError: the state is not finite; what was saved before is left as it is.
        """
        if not self.accelerator.is_main_process:
            self.saved = self.step
            return
        unwrapped = self.accelerator.unwrap_model(self.network)
        state = {
            "step": self.step,
            "network": unwrapped.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loss": self.loss.state_dict(),
        }
        write_state(self.last, state)
        native.save(
            self.config.output / "model.safetensors",
            {key: value.to(torch.float32) for key, value in self.ema.module.state_dict().items()},
            self.recipe().model_dump(mode="json"),
            {"step": self.step, "config": self.config.model_dump(mode="json")},
        )
        self.saved = self.step

    def _load(self) -> None:
        state = read_state(self.last)
        if state["step"] > self.config.steps:
            raise ConfigError(
                f"{self.last} is of step {state['step']}, and this run ends at step {self.config.steps}: it belongs to "
                "another run; choose another output, or raise `until` of the last stage"
            )
        native.fill(self.accelerator.unwrap_model(self.network), state["network"], str(self.last))
        native.fill(self.ema.module, state["ema"], str(self.last))
        self.optimizer.load_state_dict(state["optimizer"])
        self.loss.load_state_dict(state["loss"])
        self.step = self.saved = state["step"]

    def _forget_later_steps(self) -> None:
        """Drop from the log what a crash undid: steps after the checkpoint are made again."""
        log = self.config.output / "log.jsonl"
        if self.accelerator.is_main_process and log.exists():
            kept = [json.dumps(entry) for entry in read_log(log) if entry["step"] <= self.step]
            write_atomically(log, "".join(line + "\n" for line in kept))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's `log.jsonl`; a last line that was cut off is left aside.

    Raises:
        DataError: there is none, or it is no log.
    """
    entries = read_json_lines(path, "log", error=DataError)
    if not all(isinstance(entry, dict) and isinstance(entry.get("step"), int) for entry in entries):
        raise DataError(f"{path} is not the log of a training run: a line names no step")
    return entries
