"""`Restorer`: a model that restores images. The one straight path from an image to the network and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from restore import images
from restore.contracts import Codec, Condition, Denoiser
from restore.denoisers.latent import decoded, encoded, shrunk_mask
from restore.denoisers.parameterization import Parameterization
from restore.denoisers.stack import Guidance, Known, stacked
from restore.denoisers.threshold import NoThreshold
from restore.denoisers.tiles import Capacity, Tiles, batches, compiled, in_tiles, thumbnail
from restore.diffusion.schedule import Schedule
from restore.errors import ArrayError, ConfigError
from restore.models import native, published
from restore.models.find import find_weights
from restore.models.recipe import Recipe
from restore.restoration.detector import AUTO
from restore.restoration.settings import Settings
from restore.samplers import Moments, Posterior, SamplerSpec, SeededNoise, Step
from restore.schema import parse
from restore.system.devices import fast_dtype, home_of, pick_device, placed
from restore.system.seeds import seed_of, seeds_of
from restore.tasks import Prepared, Task

__all__ = ["Posterior", "Restorer"]

OnTiles = Callable[[int], None]
"""Called with the number of tiles after each evaluation of the network."""


@dataclass(frozen=True, eq=False)
class Restorer:
    """A model, ready to restore; it keeps nothing between calls, and threads may share it.

    Attributes:
        recipe: everything about the model but its weights.
        network: with its weights.
        device: where it runs.
        dtype: the type it runs in.
        assumed: what the file of weights could not say of the model, in one line; mostly empty.
        capacity: how many tiles have turned out to fit into the device's memory; it changes no result.
    """

    recipe: Recipe
    network: nn.Module
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    assumed: str = ""
    capacity: Capacity = field(default_factory=Capacity, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", placed(self.device))
        network = self.network
        if any(x.device != self.device or x.dtype != self.dtype for x in network.parameters()):
            network = deepcopy(network)  # another restorer may share it
        network = network.to(self.device, self.dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        object.__setattr__(self, "network", network)

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
            config: the config of a published codebase, for what its checkpoint does not hold.
            overrides: `key=value`, in the words of that config.
            preset: another way to make images, `published` for instance, if the model has it.

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
        built = {
            name: native.assemble(spec.build, opened.components.get(name, {}), str(path))
            for name, spec in recipe.components.items()
        }
        dtype = dtype or fast_dtype(place)
        return cls(recipe, built["network"].to(place, dtype), place, dtype, opened.assumed)

    @cached_property
    def parameterization(self) -> Parameterization:
        """What the network was trained to predict, and how it is conditioned on the noise level."""
        return self.recipe.parameterization()

    @cached_property
    def schedule(self) -> Schedule:
        """The schedule that images are made with."""
        sampled = self.recipe.sampling_schedule
        return sampled.build() if sampled else self.parameterization.schedule

    @cached_property
    def codec(self) -> Codec:
        """What leads from images to states and back."""
        return self.recipe.codec.build()

    @property
    def halo(self) -> int | None:
        """The network's receptive field around a tile, in pixels; None where there is no bound."""
        return self.recipe.network.capabilities.halo

    def compiled(self, tiles: Tiles | None = None) -> Restorer:
        """Return the model with its network compiled, and all tiles of one size: each other is a minute or more.

        Args:
            tiles: how images will be cut; the recipe's by default.

        Raises:
            ConfigError: there is no compiler here, or the grid has no tiles of one size.
        """
        own = tiles or self.recipe.tiles
        if own.grid == "whole":
            raise ConfigError("the parts of the whole grid have many sizes: compile the network for another --grid")
        recipe = self.recipe.model_copy(update={"tiles": own.model_copy(update={"fixed": True})})
        return replace(self, network=compiled(self.network, own.batch), recipe=recipe)

    # what the settings mean for this model

    def task(self, name: str | None = None) -> Task:
        """Return the task of a name, the recipe's first by default.

        Raises:
            ConfigError: the model does not know it.
        """
        if name == AUTO:
            raise ConfigError("task 'auto' is a pipeline, a detector before the model: Pipeline.auto(model)(image)")
        name = name or next(iter(self.recipe.tasks))
        self.recipe.label(name)
        return self.recipe.task.variant(name)

    def tiles(self, settings: Settings = Settings()) -> Tiles:
        """Return how images are cut."""
        return settings.tiles or self.recipe.tiles

    def label(self, settings: Settings = Settings()) -> int:
        """Return the number of the degradation label that the network is conditioned on.

        Raises:
            ConfigError: the model does not know the task, or the label.
        """
        if settings.label is None:
            return self.recipe.label(settings.task or next(iter(self.recipe.tasks)))
        if settings.label not in self.recipe.labels:
            known = ", ".join(self.recipe.labels)
            raise ConfigError(f"model {self.recipe.name!r} has no label {settings.label!r}; it has {known}")
        return self.recipe.labels.index(settings.label)

    def sampler(self, settings: Settings = Settings()) -> SamplerSpec:
        """Return the sampler, with the requested number of steps.

        A network that does not see the noise of the last level (`gated`) gives one and the same result for every seed
        in one step, so several samples take two steps where the settings give no number.

        Raises:
            ConfigError: the schedule or the sampler's spacing has not so many levels, or all samples would be one and
                the same.
        """
        chosen, steps = settings.sampler or self.recipe.sampler, settings.steps
        alike = settings.samples > 1 and chosen.start is None and self.recipe.network.capabilities.gated
        if steps is not None and not 1 <= steps <= self.schedule.T:
            raise ConfigError(f"steps must be between 1 and {self.schedule.T}, not {steps}")
        if steps is not None:
            chosen = parse(type(chosen), {**chosen.model_dump(), "steps": steps}, "the sampler")
        elif alike and settings.sampler is None and chosen.steps == 1:
            chosen = chosen.model_copy(update={"steps": 2})
        if alike and chosen.steps == 1:
            raise ConfigError(
                f"in one step this model answers every seed alike: {settings.samples} samples need 2 steps or more"
            )
        chosen.levels(self.schedule)
        return chosen

    def check(self, settings: Settings) -> None:
        """Raise ConfigError if these settings can never work with this model, whatever the image."""
        self.task(settings.task).check(settings.request)
        self.label(settings)
        self.sampler(settings)
        self.denoiser(settings)

    def evaluations(self, height: int, width: int, settings: Settings = Settings()) -> int:
        """Return how many tiles the network will see for one image of that size."""
        rows, columns = (math.ceil(side / self.codec.factor) for side in (height, width))
        tiles = sum(batches(self.tiles(settings), rows, columns, self.halo))
        return tiles * self.sampler(settings).evaluations(self.schedule) * settings.samples * settings.self_ensemble

    # from images to denoisers

    def denoiser(
        self,
        settings: Settings = Settings(),
        *,
        seeds: Sequence[int] = (),
        on_tiles: OnTiles | None = None,
        clipped: bool = True,
        known: Known | None = None,
    ) -> Denoiser:
        """Return the whole stack (`restore.denoisers.stack`) for some settings.

        Args:
            settings: see `Settings`.
            seeds: one per image, for what the tiles draw; 0 for all where it is empty.
            on_tiles: called with the number of tiles after each evaluation of the network.
            clipped: off for what cannot work with clipped estimates: following an image up to its noise.
            known: pixels that are kept.
        """
        tiles = partial(
            in_tiles,
            tiles=self.tiles(settings),
            halo=self.halo,
            seeds=tuple(seeds),
            device=self.device,
            capacity=self.capacity,
            on_tiles=on_tiles,
        )
        overview = partial(self.overview, settings=settings)
        guided = settings.guidance != 1
        return stacked(
            self.parameterization.denoiser(self.network, self.dtype),
            tiles,
            guidance=Guidance(
                settings.guidance, self.recipe.dropped, self._gray_features(settings) if guided else None
            ),
            guide=settings.guide,
            orientations=settings.self_ensemble,
            overview=overview,
            aligned=self.recipe.task.aligned,
            threshold=self.recipe.threshold if clipped and self.codec.bounded else NoThreshold(),
            known=known,
        )

    def overview(self, condition: Condition, settings: Settings = Settings()) -> Condition:
        """Return a condition with the overview of its whole image for every tile: made once, not for each tile."""
        side = self.tiles(settings).context
        if not side:
            return condition
        small = thumbnail(condition.image, side).to(self.device)
        if not self.recipe.network.capabilities.encodes:
            return condition.replaced(thumbnail=small.to(condition.image.device))
        return condition.replaced(features=self.network.encode(small).to(condition.image.device))

    def _gray_features(self, settings: Settings) -> Tensor | None:
        """Return the (1, ...) features of an image that is nothing but mid-gray, as training shows a dropped one."""
        side = max(self.tiles(settings).context, 1)
        return self.overview(Condition(torch.zeros(1, 3, side, side, device=self.device)), settings).features

    def condition(self, image: Tensor, label: Tensor | int, settings: Settings = Settings()) -> Condition:
        """Return the condition of (B, C, H, W) degraded images, where they stay; one label, or (B,).

        Its image is a state: encoded, and continued by its edges to a multiple of the codec's factor.
        """
        home = home_of(image, self.device)
        image = image.to(home, torch.float32)
        if not isinstance(label, Tensor):
            label = torch.full((len(image),), label, dtype=torch.int64)
        condition = self.overview(Condition(image, label.to(home)), settings)
        return condition.replaced(image=encoded(self.codec, image))

    # restoring

    def stream(
        self,
        prepared: Prepared,
        settings: Settings = Settings(),
        *,
        labels: Tensor | int | None = None,
        seeds: Sequence[int] | None = None,
        on_tiles: OnTiles | None = None,
    ) -> Iterator[Step]:
        """Return an iterator over the sampler's steps for a batch of prepared images of one size.

        Args:
            prepared: the network's condition, and where pixels are to be restored.
            settings: see `Settings`.
            labels: degradation labels, one for all or (B,); that of the settings by default.
            seeds: one per image; 0, 1, 2, ... by default.
            on_tiles: called with the number of tiles after each evaluation of the network.

        Raises:
            ArrayError: the batch has another shape.
        """
        channels, (image, hole) = self.recipe.task.channels, prepared
        if image.ndim != 4 or image.shape[1] != channels or 0 in image.shape:
            raise ArrayError(f"expected images of shape (B, {channels}, H, W), not {tuple(image.shape)}")
        condition = self.condition(image, self.label(settings) if labels is None else labels, settings)
        state = condition.image[:, : self.codec.state_channels]
        seeds = range(len(image)) if seeds is None else seeds
        known = None
        if hole is not None:
            known = Known(state, shrunk_mask(hole.to(state.device), state), self.recipe.task.clean_known)
        denoiser = self.denoiser(settings, seeds=seeds, on_tiles=on_tiles, known=known)
        return self.sampler(settings)(denoiser, condition, self.schedule, SeededNoise(seeds), state)

    def batch(
        self,
        prepared: Prepared,
        settings: Settings = Settings(),
        *,
        labels: Tensor | int | None = None,
        seeds: Sequence[int] | None = None,
        on_tiles: OnTiles | None = None,
    ) -> Posterior:
        """Return the mean, and the spread where there are several samples, of a batch of prepared images of one size.

        Args:
            prepared: as `restore.tasks.Task.prepare` made it, or several of these together.
            settings: see `Settings`.
            labels: degradation labels, one for all or (B,); that of the settings by default.
            seeds: of each image's first sample, those of the others follow from it; see `seeds_of`.
            on_tiles: called with the number of tiles after each evaluation of the network.

        Raises:
            ArrayError: the batch has another shape.
            ConfigError: the settings do not fit the model.
        """
        seeds = seeds_of(settings.seed, len(prepared.image)) if seeds is None else seeds
        task, moments, x = self.task(settings.task), Moments(), None
        with torch.set_grad_enabled(settings.gradients):
            for k in range(settings.samples):
                own = list(seeds) if k == 0 else [seed_of(seed, k) for seed in seeds]
                for step in self.stream(prepared, settings, labels=labels, seeds=own, on_tiles=on_tiles):
                    x = step.x_t
                    del step  # its x0 is an image that nobody needs while the next one is made
                assert x is not None
                x = decoded(self.codec, x, prepared.image)
                moments.add(task.polish(prepared.image.to(x), x).cpu())
        hole = None if prepared.hole is None else prepared.hole.cpu()
        return Posterior(moments.mean, moments.deviation() if settings.samples > 1 else None, hole)

    def posterior(
        self, image: Tensor, settings: Settings = Settings(), *, on_tiles: OnTiles | None = None
    ) -> Posterior:
        """Return the mean, and the spread where there are several samples, of restorations of one image.

        Args:
            image: (3, H, W) in [-1, 1].
            settings: see `Settings`.
            on_tiles: called with the number of tiles after each evaluation of the network.

        Raises:
            ConfigError: an unknown task, a request that does not fit it, or a number of steps out of range.
        """
        prepared = self.task(settings.task).prepare(image[None], settings.request)
        return self.batch(prepared, settings, seeds=[settings.seed], on_tiles=on_tiles)[0]

    def __call__(self, image: Any, settings: Settings = Settings(), **changes: Any) -> Any:
        """Return the restored image in the kind of the given one, and of its size unless another was requested.

        Args:
            image: a path (gives a `Photo`, which has `save`), a `Photo`, a PIL image, a NumPy array (H, W),
                (H, W, 3) or (H, W, 4), uint8, uint16 or float in [0, 1], or a tensor (3, H, W) or (B, 3, H, W), whose
                images are restored together.
            settings: see `Settings`.
            changes: of the settings, by their names: `task="derain", steps=4`.

        Raises:
            ImageError: the file is not an image, or is damaged.
            ArrayError: the array has a shape, type or range that cannot be an image's.
            ConfigError: the settings do not fit the model, or one of them is unknown.
        """
        settings = settings.changed(**changes)
        given, form = images.from_any(image)
        task = self.task(settings.task)
        task.check(settings.request)
        together = task.prepare(torch.stack([one.pixels for one in given]), settings.request)
        means = self.batch(together, settings).mean
        finished = [task.finish(one, mean, settings.request) for one, mean in zip(given, means, strict=True)]
        return form.to_same_kind(finished)
