"""Training: a run is a generator of progress that can be interrupted, saved and resumed at any step.

Every random number of a step follows from the seed and the step, for pictures, weather and cuts also from the place in
the global batch, for noise and levels from the process. The rest of a run's state is the network, its average, and the
optimizer. A resumed run is therefore the same run, whatever interrupted it.
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
from PIL import Image
from torch import Tensor

from restore.contracts import Condition
from restore.degradations import Random
from restore.diffusion.schedule import Learned, LearnedSchedule
from restore.errors import CheckpointError, ConfigError, DataError
from restore.models import native, published
from restore.models.card import AnyRecipe
from restore.models.find import find_weights
from restore.models.recipe import Recipe
from restore.restoration.restorer import Restorer
from restore.system.atomic import replacing, write_atomically
from restore.system.devices import fast_dtype, pick_device
from restore.system.seeds import seed_of
from restore.tasks import Example, Prepared
from restore.training.batches import Sampler
from restore.training.config import TrainConfig
from restore.training.loading import PairStore

__all__ = ["Progress", "Trainer", "read_log"]


@dataclass(frozen=True)
class Progress:
    """What a run tells after each step.

    Attributes:
        step: steps done.
        steps: steps of the whole run.
        loss: of this step's global batch.
        rate: the learning rate it was made with.
        seconds: wall time of the step.
        validation: PSNR in dB before and after restoration by label, at the steps where pictures were looked at.
    """

    step: int
    steps: int
    loss: float
    rate: float
    seconds: float
    validation: dict[str, tuple[float, float]] = field(default_factory=dict)


class Trainer:
    """One training run.

    Args:
        config: what to train, on what, and how.
        resume: continue from the last checkpoint in `config.output`; a fresh folder is a fresh start.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: the folder holds a run already and `resume` is off, the sampler has more steps than the
            schedule, or there is no such device.
        CheckpointError: the checkpoint, or the model to start from, belongs to another network.
    """

    def __init__(self, config: TrainConfig, resume: bool = False, device: str = "auto") -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from timm.scheduler.cosine_lr import CosineLRScheduler
        from timm.utils.model_ema import ModelEmaV3

        self.config = config
        place = pick_device(device)
        if place.index is not None:
            raise ConfigError(f"training takes the devices that it is given: set CUDA_VISIBLE_DEVICES, not {device}")
        cpu = place.type == "cpu"
        # it is one for the whole process, and refuses another precision than the first run's; the processes stay joined
        AcceleratorState._reset_state(reset_partial_state=False)
        self.accelerator = Accelerator(mixed_precision=self._precision(cpu), cpu=cpu)
        self.device = self.accelerator.device
        self.last = config.output / "last.pt"
        if self.last.exists() and not resume:
            raise ConfigError(f"{config.output} holds a run already: pass --resume to continue it, or another output")
        if (config.output / "model.safetensors").exists() and not self.last.exists():
            raise ConfigError(f"{config.output} holds a model, but no last.pt to continue from: choose another output")
        torch.manual_seed(config.seed)
        network = config.model.network.build().to(memory_format=torch.channels_last)
        if config.start_from and not self.last.exists():
            path = find_weights(config.start_from)
            tensors = published.open_checkpoint(path).tensors
            native.fill(network, getattr(network, "extended", dict)(tensors), str(path))
        if isinstance(config.model, Recipe) and not config.model.patches.context and hasattr(network, "context"):
            # no thumbnail is shown: several processes would wait for gradients that nobody makes
            for parameter in network.context.parameters() if network.context is not None else ():
                parameter.requires_grad_(False)
        optimizer = config.optimizer.build(network)
        self.problem = config.model.problem().to(self.device)
        if isinstance(config.model, Recipe):
            sampled = config.model.sampling_schedule
            config.model.sampler.levels(sampled.build() if sampled else self.problem.schedule)
        if learned := self.problem.parameters():
            optimizer.add_param_group({"params": learned, "weight_decay": 0.0})
        self.rates = CosineLRScheduler(
            optimizer,
            t_initial=config.steps,
            lr_min=config.optimizer.final_rate,
            warmup_t=min(config.optimizer.warmup, config.steps - 1),
            warmup_lr_init=config.optimizer.final_rate,
            t_in_epochs=False,
        )
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.ema = ModelEmaV3(self.accelerator.unwrap_model(self.network), decay=config.ema, use_warmup=True)
        self.sampler = Sampler(config, self.device, self.accelerator.process_index, self.accelerator.num_processes)
        self.step = 0
        if resume and self.last.exists():
            self._load()
        self._forget_later_steps()

    def _precision(self, cpu: bool) -> str:
        if self.config.precision == "auto":
            return "bf16" if fast_dtype(torch.device("cpu" if cpu else "cuda")) is torch.bfloat16 else "no"
        return "bf16" if self.config.precision == "bf16" else "no"

    def __iter__(self) -> Iterator[Progress]:
        """Yield progress after each step until the run is done; stop iterating at any time and call `save`."""
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
            loss = self._update(*self.sampler(self.step))
            self.step += 1
            value = float(self.accelerator.gather(loss).mean())
            if not math.isfinite(value):
                raise CheckpointError(f"the loss is {value} at step {self.step}; lower optimizer.rate and resume")
            last = self.step == self.config.steps
            # saved first: whatever may go wrong while pictures are looked at costs no step
            if last or self.step % self.config.save_every == 0:
                self.save()
            scores = self.validate() if last or self.step % self.config.validation.every == 0 else {}
            progress = Progress(self.step, self.config.steps, value, rate, time.perf_counter() - start, scores)
            self._log(progress)
            yield progress

    def _update(self, x0: Tensor, condition: Condition) -> Tensor:
        seed = seed_of(self.config.seed, self.step, 2**31 + self.accelerator.process_index)
        generator = torch.Generator(self.device).manual_seed(seed)
        torch.manual_seed(seed)  # what a network draws by itself, dropout, must not differ in a resumed run
        problem = self.config.model.task.problem(self.problem, x0, condition)
        loss = self.config.objective(self.network, problem, x0, condition, generator)
        self.accelerator.backward(loss)
        for parameter in self.problem.parameters():
            parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.accelerator.unwrap_model(self.network), step=self.step)
        return loss.detach()

    def _log(self, progress: Progress) -> None:
        if not self.accelerator.is_main_process:
            return
        self.config.output.mkdir(parents=True, exist_ok=True)
        with (self.config.output / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(progress.__dict__) + "\n")

    def recipe(self) -> AnyRecipe:
        """Return the model's recipe with what follows from its training."""
        recipe, learned = self.config.trained, self.problem.schedule
        # one that was trained before is a table, and stays it
        if isinstance(recipe.schedule, Learned) and isinstance(learned, LearnedSchedule):
            return recipe.model_copy(update={"schedule": recipe.schedule.trained(learned.refreshed())})
        return recipe

    def restorer(self) -> Restorer:
        """Return the averaged weights as a model that can restore."""
        recipe = self.recipe()
        assert isinstance(recipe, Recipe)  # a run that trains a classifier or a detector has no pictures to look at
        return Restorer(recipe, self.ema.module, device=self.device)

    @torch.no_grad()
    def validate(self) -> dict[str, tuple[float, float]]:
        """Return PSNR in dB (before, after) by label on held-out pictures; writes a sheet of pictures.

        The sheet shows a row a picture: degraded, restored, true.
        """
        if not self.accelerator.is_main_process or not self.sampler.held_out:
            return {}
        restorer = self.restorer()
        scores, rows = {}, []
        for name, (image, label, hole), clean in self._validation_pictures():
            # what does not fit beside a run on a GPU is restored from the CPU, and stays there
            found = restorer.batch(Prepared(image, hole), labels=label, seeds=range(len(clean)))
            restored = found.mean.to(clean.device).add(1).div(2)
            degraded = image[:, :3].add(1).div(2).clamp(0, 1)
            before, after = (_psnr(x, clean) for x in (degraded, restored))
            scores[name] = (before, after)
            rows.append(torch.cat([degraded[0], restored[0].clamp(0, 1), clean[0]], dim=2))
        sheet = (torch.cat(rows, dim=1).permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
        folder = self.config.output / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(folder / f"{self.step:07d}.png")
        self.ema.module.train()
        return scores

    def _validation_pictures(self) -> Iterator[tuple[str, Example, Tensor]]:
        task, size = self.config.model.task, self.config.validation.size
        for label_name, store in self.sampler.held_out.items():
            if isinstance(store, PairStore):
                *pictures, label = store.each(size)
                degraded, clean = (x.to(self.device).float() / 255 for x in pictures)
                yield label_name, Example(task.from_pairs(degraded), label.to(self.device)), clean
                continue
            clean = store.each(size).to(self.device).float() / 255
            for name, view in task.views(self.sampler.mixture).items():
                example = view(clean, Random(range(len(clean)), self.device), self.config.validation.severity)
                yield name, self.sampler.named(example), clean

    def save(self) -> None:
        """Write the run's state and its averaged weights, atomically."""
        if not self.accelerator.is_main_process:
            return
        unwrapped = self.accelerator.unwrap_model(self.network)
        state = {
            "step": self.step,
            "network": unwrapped.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "problem": self.problem.state_dict(),
        }
        with replacing(self.last) as temporary:
            torch.save(state, temporary)
        native.save(
            self.config.output / "model.safetensors",
            {key: value.to(torch.float32) for key, value in self.ema.module.state_dict().items()},
            self.recipe().model_dump(mode="json"),
            {"step": self.step, "config": self.config.model_dump(mode="json")},
        )

    def _load(self) -> None:
        try:
            state: dict[str, Any] = torch.load(self.last, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever its unpickler raised
            raise CheckpointError(f"{self.last} is damaged and cannot be resumed: {error}") from None
        if state["step"] > self.config.steps:
            raise ConfigError(
                f"{self.last} is of step {state['step']}, and this run ends at step {self.config.steps}: it belongs to "
                "another run; choose another output, or raise `until` of the last stage"
            )
        native.fill(self.accelerator.unwrap_model(self.network), state["network"], str(self.last))
        native.fill(self.ema.module, state["ema"], str(self.last))
        self.optimizer.load_state_dict(state["optimizer"])
        self.problem.load_state_dict(state.get("problem", {}))
        self.step = state["step"]

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
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not the log of a training run: {error}") from None


def _psnr(a: Tensor, b: Tensor) -> float:
    """Return the mean PSNR in dB of two batches in [0, 1] after 8-bit rounding."""
    error = (a.clamp(0, 1).mul(255).round() - b.mul(255).round()).square().mean((1, 2, 3)).clamp(min=1e-9)
    return float((10 * torch.log10(255**2 / error)).mean())
