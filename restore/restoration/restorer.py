"""`Restorer`: a model that restores pictures. The one straight path from a picture to the network and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restore import images
from restore.contracts import Condition, Denoiser
from restore.denoisers.ensemble import SelfEnsemble
from restore.denoisers.guidance import ClassifierFree
from restore.denoisers.masked import Masked
from restore.denoisers.network import Observed
from restore.denoisers.tiles import Capacity, Patches, batches, compiled, in_patches, thumbnail
from restore.errors import ArrayError, ConfigError
from restore.images import Picture
from restore.models import native, published
from restore.models.find import find_weights
from restore.models.recipe import Recipe
from restore.restoration.detector import AUTO, Decision, Detector
from restore.samplers import Moments, SamplerSpec, SeededNoise, Step
from restore.schema import parse
from restore.system.devices import fast_dtype, home_of, pick_device, placed
from restore.system.seeds import seed_of
from restore.tasks import Filling, Prepared, Request, Task, Weather

__all__ = ["Posterior", "Restorer"]


@dataclass
class Restorer:
    """A model, ready to restore.

    Attributes:
        recipe: everything about the model but its weights.
        network: with its weights.
        device: where it runs.
        dtype: the type it runs in.
        patches: how pictures are cut; the recipe's unless changed.
        guidance_scale: how much the condition counts (`restore.denoisers.guidance.ClassifierFree`); 1 is no guidance.
        guide: puts other guidance around the network, inside of the patches.
        self_ensemble: in how many orientations each picture is looked at (`restore.denoisers.ensemble.SelfEnsemble`).
        capacity: how many tiles have turned out to fit into the device's memory.
    """

    recipe: Recipe
    network: nn.Module
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    patches: Patches | None = None
    guidance_scale: float = 1.0
    guide: Callable[[Denoiser], Denoiser] | None = None
    self_ensemble: int = 1
    capacity: Capacity = field(default_factory=Capacity, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.device = placed(self.device)
        self.patches = self.patches or self.recipe.patches
        self.network = self.network.to(self.device, self.dtype, memory_format=torch.channels_last).eval()
        self.problem = self.recipe.problem()
        sampled = self.recipe.sampling_schedule
        self.schedule = sampled.build() if sampled else self.problem.schedule

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = "weather",
        device: str = "auto",
        dtype: torch.dtype | None = None,
        *,
        config: Path | None = None,
        overrides: Sequence[str] = (),
        preset: str | None = None,
    ) -> Restorer:
        """Return a model by the name of a shipped one, or from a checkpoint file.

        Args:
            model: a name (`restore models list`) or the path of a checkpoint: ours, or of a published codebase.
            device: `auto`, `cpu` or `cuda`.
            dtype: the type to run in; None takes the one that is fastest there.
            config: the config of a published codebase, for what its checkpoint cannot tell.
            overrides: `key=value`, in the words of that config.
            preset: another way to make pictures, `published` for instance, if the model has it.

        Raises:
            ConfigError: no shipped model has that name, or the model has no such preset.
            CheckpointError: the file is damaged, unsafe, unknown, or does not fit its network.
        """
        place = pick_device(device)
        path = find_weights(model)
        opened = published.open_checkpoint(path, config, overrides)
        if (kind := opened.recipe.get("kind")) in ("classifier", "detector"):
            use = "guides a model" if kind == "classifier" else "tells --task auto what there is to remove"
            raise ConfigError(f"{path} is a {kind}: it {use}, and restores nothing by itself")
        recipe = parse(Recipe, opened.recipe, str(path))
        recipe = recipe.preset(preset) if preset else recipe
        network = native.assemble(recipe.network.build, opened.tensors, str(path))
        return cls(recipe, network, place, dtype or fast_dtype(place))

    def compiled(self) -> Restorer:
        """Return the model with its network compiled, and all tiles of one size: each other is a minute or more.

        Raises:
            ConfigError: there is no compiler here, or the grid has no tiles of one size.
        """
        own = self.patches or self.recipe.patches
        if own.grid == "whole":
            raise ConfigError("the parts of the whole grid have many sizes: compile the network for another --grid")
        return replace(self, network=compiled(self.network, own.batch), patches=own.model_copy(update={"fixed": True}))

    @property
    def halo(self) -> int | None:
        """How many pixels around a tile the network looks at; None where there is no bound."""
        return getattr(self.recipe.network, "halo", None)

    def task(self, name: str | None = None) -> Task:
        """Return the task of a name, the recipe's first by default; `auto` is weather of a kind that is found out.

        Raises:
            ConfigError: the model does not know it, or cannot be told what `auto` finds.
            MissingResource: `auto` has no detector.
        """
        if name == AUTO and self.detector:
            return self.recipe.task
        name = name or next(iter(self.recipe.tasks))
        self.recipe.label(name)
        return self.recipe.task.asked(name)

    @property
    def tellable(self) -> bool:
        """Whether the model restores weather and can be told its kind, so that there is something to find out."""
        told = set(self.recipe.tasks.values()) - {"unknown", "clean"}
        return isinstance(self.recipe.task, Weather) and bool(told)

    @cached_property
    def detector(self) -> Detector:
        """What decides for `auto`.

        Raises:
            ConfigError: the model cannot be told what it finds.
            MissingResource: its weights are not there.
        """
        if not self.tellable:
            raise ConfigError(
                f"model {self.recipe.name!r} cannot be told which weather a picture shows, so that task {AUTO!r} has "
                f"nothing to decide; it knows {', '.join(self.recipe.tasks)}"
            )
        return Detector.from_pretrained(device=str(self.device))

    def told(self, decision: Decision) -> int:
        """Return the label that the network is told after a decision; that of the unknown where it has no other."""
        name = decision.label if decision.label in self.recipe.labels else "unknown"
        return self.recipe.labels.index(name)

    def denoiser(
        self, on_batch: Callable[[int], None] | None = None, seeds: Sequence[int] = (), clipped: bool = True
    ) -> Denoiser:
        """Return the whole stack: clipping around what the task knows around orientations around patches, network.

        Args:
            on_batch: called with the number of tiles after each evaluation of the network.
            seeds: one per picture, for what the patches draw; 0 for all where it is empty.
            clipped: off for what cannot work with clipped estimates: following a picture up to its noise.
        """
        core: Denoiser = self.problem.denoiser(self.network, self.dtype)
        if self.guidance_scale != 1:
            core = ClassifierFree(core, self.guidance_scale, self.recipe.dropped, self.blind_context())
        if self.guide is not None:
            core = self.guide(core)
        if on_batch is not None:
            core = Observed(core, on_batch)
        assert self.patches is not None
        options = {"halo": self.halo, "seeds": tuple(seeds), "device": self.device, "capacity": self.capacity}
        tiled = in_patches(core, self.patches, **options)
        if self.self_ensemble != 1 and self.guide is not None:
            raise ConfigError("a guide knows one orientation of the picture: leave out the self-ensemble")
        if self.self_ensemble != 1:
            tiled = SelfEnsemble(tiled, self.self_ensemble, self.context)
        tiled = self.recipe.task.around(tiled)
        return self.recipe.threshold.around(tiled) if clipped else tiled

    def blind_context(self) -> Tensor | None:
        """Return the (1, ...) context of a picture that is nothing but mid-grey, as training shows it."""
        assert self.patches is not None
        side = max(self.patches.context, 1)
        return self.context(torch.zeros(1, 3, side, side, device=self.device))

    def context(self, degraded: Tensor) -> Tensor | None:
        """Return what every tile is shown of its whole picture, or None; made once, not for each tile and step."""
        assert self.patches is not None
        if not self.patches.context:
            return None
        small = thumbnail(degraded[:, :3], self.patches.context).to(self.device)
        shown = self.network.encode(small) if hasattr(self.network, "encode") else small
        return shown.to(degraded.device)

    def condition(self, degraded: Tensor, label: Tensor | int) -> Condition:
        """Return what the network is shown of (B, C, H, W) degraded pictures, where they stay; one label, or (B,)."""
        home = home_of(degraded, self.device)
        degraded = degraded.to(home, torch.float32)
        if not isinstance(label, Tensor):
            label = torch.full((len(degraded),), label, dtype=torch.int64)
        return Condition(degraded, label.to(home), self.context(degraded))

    @torch.no_grad()
    def stream(
        self,
        degraded: Tensor,
        *,
        label: Tensor | int = 0,
        hole: Tensor | None = None,
        seeds: Sequence[int] | None = None,
        sampler: SamplerSpec | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Iterator[Step]:
        """Yield each step of the sampler for a batch of degraded pictures of one size.

        Args:
            degraded: (B, C, H, W) in [-1, 1]; C is 3 but for tasks that also show a mask.
            label: the degradation's label, one for all or (B,).
            hole: (B, 1, H, W), 1 where pixels are asked for; the others come back as they are. None asks for all.
            seeds: one per picture; 0, 1, 2, ... by default.
            sampler: the recipe's by default.
            on_batch: called with the number of tiles after each evaluation of the network.

        Raises:
            ArrayError: the batch has another shape.
        """
        channels = self.recipe.task.channels
        if degraded.ndim != 4 or degraded.shape[1] != channels or 0 in degraded.shape:
            raise ArrayError(f"expected pictures of shape (B, {channels}, H, W), not {tuple(degraded.shape)}")
        condition = self.condition(degraded, label)
        degraded = condition.image
        seeds = range(len(degraded)) if seeds is None else seeds
        denoiser = self.denoiser(on_batch, seeds)
        if hole is not None:
            # a network that was trained to fill holes saw what is known without noise; a generator did not
            filling = isinstance(self.recipe.task, Filling)
            denoiser = Masked(denoiser, degraded[:, :3], hole.to(degraded.device), clean_input=filling)
        yield from (sampler or self.recipe.sampler)(denoiser, condition, self.schedule, SeededNoise(seeds))

    def restore(self, degraded: Tensor, **options: Any) -> Tensor:
        """Return the restored batch, (B, 3, H, W) in [-1, 1]; the options are those of `stream`."""
        x = None
        for step in self.stream(degraded, **options):
            x = step.x_t
            del step  # its x0 is a picture that nobody needs while the next one is made
        assert x is not None
        return x

    @torch.no_grad()
    def posterior(
        self,
        degraded: Tensor,
        *,
        task: str | None = None,
        request: Request | None = None,
        steps: int | None = None,
        samples: int = 1,
        seed: int = 0,
        on_batch: Callable[[int], None] | None = None,
    ) -> Posterior:
        """Return the mean, and the spread where there are several, of `samples` restorations of one picture.

        Args:
            degraded: (3, H, W) in [-1, 1].
            task: one of the recipe's; its first by default. `auto` asks a detector which one, and leaves a clean
                picture as it is; the answer's `decision` says what it found.
            request: what else is asked for: a mask, a scale, a border.
            steps: of the sampler; the recipe's by default.
            samples: how many; held as a running mean, so that memory does not grow with them.
            seed: of the first sample; the others' follow from it.
            on_batch: see `stream`.

        Raises:
            ConfigError: an unknown task, a request that does not fit it, or a number of steps or samples out of range.
            MissingResource: task `auto` has no detector.
        """
        if samples < 1:
            raise ConfigError(f"samples must be at least 1, not {samples}")
        asked, sampler = self.task(task), self.sampler(steps, samples)
        prepared = asked.prepare(degraded[None], request or Request())
        decision = self.detector(degraded) if task == AUTO else None
        if decision is not None and decision.clean:
            return Posterior(degraded.cpu(), torch.zeros_like(degraded.cpu()) if samples > 1 else None, None, decision)
        label = self.recipe.label(task or next(iter(self.recipe.tasks))) if decision is None else self.told(decision)
        moments = self.moments(asked, prepared, label, [seed], samples=samples, sampler=sampler, on_batch=on_batch)
        spread = moments.deviation()[0] if samples > 1 else None
        return Posterior(moments.mean[0], spread, None if prepared.hole is None else prepared.hole[0].cpu(), decision)

    def moments(
        self,
        task: Task,
        prepared: Prepared,
        label: Tensor | int,
        seeds: Sequence[int],
        *,
        samples: int = 1,
        sampler: SamplerSpec | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> Moments:
        """Return mean and spread, (B, 3, H, W) each on the CPU, of `samples` restorations of B prepared pictures.

        Args:
            task: that prepared them.
            prepared: what the network is shown, and where pixels are asked for.
            label: one, or (B,).
            seeds: of each picture's first sample; those of the others follow from it.
            samples: how many of each.
            sampler: the recipe's by default.
            on_batch: see `stream`.
        """
        (image, hole), moments = prepared, Moments()
        for k in range(samples):
            own = list(seeds) if k == 0 else [seed_of(seed, k) for seed in seeds]
            x = self.restore(image, label=label, hole=hole, seeds=own, sampler=sampler, on_batch=on_batch)
            moments.add(task.polish(image.to(x), x).cpu())
        return moments

    def sampler(self, steps: int | None = None, samples: int = 1) -> SamplerSpec:
        """Return the recipe's sampler, with another number of steps where one is given.

        A network that does not see the noise of the last level (`gated`) answers every seed alike in one step, so
        several samples take two steps where nothing else is asked for.

        Raises:
            ConfigError: the schedule or the sampler's spacing has not so many levels, or all samples would be one and
                the same.
        """
        chosen = self.recipe.sampler
        alike = samples > 1 and chosen.start is None and getattr(self.recipe.network, "gated", False)
        if steps is not None and not 1 <= steps <= self.schedule.T:
            raise ConfigError(f"steps must be between 1 and {self.schedule.T}, not {steps}")
        if steps is not None:
            chosen = parse(type(chosen), {**chosen.model_dump(), "steps": steps}, "the sampler")
        elif alike and chosen.steps == 1:
            chosen = chosen.model_copy(update={"steps": 2})
        if alike and chosen.steps == 1:
            raise ConfigError(
                f"in one step this model answers every seed alike: {samples} samples need 2 steps or more"
            )
        chosen.levels(self.schedule)
        return chosen

    def evaluations(self, height: int, width: int, steps: int | None = None, samples: int = 1) -> int:
        """Return how many tiles the network will see for one picture of that size."""
        assert self.patches is not None
        return (
            sum(batches(self.patches, height, width, self.halo))
            * self.sampler(steps, samples).evaluations(self.schedule)
            * samples
            * self.self_ensemble
        )

    def __call__(self, image: Any, *, task: str | None = None, request: Request | None = None, **options: Any) -> Any:
        """Return the restored picture in the kind of what was given, and of its size unless another was asked for.

        Args:
            image: a path (gives a `Picture`, which has `save`), a `Picture`, a PIL image, a NumPy array (H, W),
                (H, W, 3) or (H, W, 4), uint8, uint16 or float in [0, 1], or a tensor (3, H, W) or (B, 3, H, W).
            task: one of the recipe's tasks, or `auto`; its first by default.
            request: what else is asked for; see `restore.tasks.Request`.
            options: `steps`, `samples` and `seed`, as in `posterior`.

        Raises:
            ImageError: the file is not a picture, or is damaged.
            ArrayError: the array has a shape, type or range that cannot be a picture's.
        """
        pictures, form = images.from_any(image)
        request = request or Request()

        def restored(picture: Picture) -> Picture:
            mean = self.posterior(picture.pixels, task=task, request=request, **options).mean
            return self.task(task).finish(picture, mean, request)

        return form.to_same_kind([restored(picture) for picture in pictures])


@dataclass(frozen=True)
class Posterior:
    """What several samples say: (3, H, W) mean and standard deviation in the range [-1, 1] of pixels, on the CPU.

    Attributes:
        mean: the restored picture.
        deviation: how far the samples scatter at each pixel; None for a single sample.
        hole: (1, H, W), 1 where pixels were asked for, where others were kept; None asks for all.
        decision: which weather was found, for task `auto`.
    """

    mean: Tensor
    deviation: Tensor | None
    hole: Tensor | None = None
    decision: Decision | None = None
