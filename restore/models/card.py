"""A model's card: what a person should know of it, and where its weights are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from restore.models.auxiliary import ClassifierRecipe, DetectorRecipe
from restore.models.recipe import Recipe
from restore.schema import Spec

__all__ = ["AnyRecipe", "ModelCard", "Original", "Score"]


class Original(Spec):
    """Where a published model comes from.

    Attributes:
        family: which codebase made its file; an adapter of `restore.models.published`.
        file: what its authors call it.
        size: of the file in bytes, or None where it is not known.
        settings: what does not follow from the shapes of its tensors, in the words of its config.
    """

    family: Literal["weather_diffusion", "palette", "sr3", "guided_diffusion"]
    file: str
    size: int | None = Field(None, ge=1, le=2**50)
    settings: dict[str, Any] = Field(default_factory=dict)


class Score(Spec):
    """One measured number: what, on which images, before and after, and the command that measures it again.

    Attributes:
        data: images that were restored.
        task: that was used.
        metric: and its protocol.
        before: value for the degraded images.
        after: value for the restored images.
        command: that measures it again.
    """

    data: str
    task: str
    metric: str
    before: float
    after: float
    command: str


def _recipe_kind(document: Any) -> str:
    kind = document.get("kind") if isinstance(document, dict) else getattr(document, "kind", None)
    return kind if kind in {"classifier", "detector"} else "model"


AnyRecipe = Annotated[
    Annotated[Recipe, Tag("model")]
    | Annotated[ClassifierRecipe, Tag("classifier")]
    | Annotated[DetectorRecipe, Tag("detector")],
    Discriminator(_recipe_kind),
]


class ModelCard(Spec):
    """What a person should know of a model before using it, and where its weights are.

    Attributes:
        recipe: of the model.
        summary: in one sentence.
        weights: the file that ships; empty for a published model, whose file its authors distribute.
        sha256: of the file, or `unknown`.
        licence: of the weights.
        data: what it was trained on.
        command: how it was trained, or how its file becomes one of ours.
        cost: of the training.
        url: where the authors publish it; empty where they do not.
        original: the published file, for a model that does not ship.
        protocol: how its authors measure; of our own models, how `scores` were measured.
        scores: measured by us.
        limits: what it is bad at.
        image: of that, a file of the repository: given, restored, true; empty where there is none.
    """

    recipe: AnyRecipe
    summary: str
    weights: str = ""
    sha256: str
    licence: str
    data: str
    command: str
    cost: str = "unknown"
    url: str = ""
    original: Original | None = None
    protocol: str = "unknown"
    scores: tuple[Score, ...] = ()
    limits: tuple[str, ...] = ()
    image: str = ""

    @model_validator(mode="after")
    def _check(self) -> ModelCard:
        if not self.weights and self.original is None:
            raise ValueError("a model either ships (weights) or is published by others (original)")
        return self
