"""What `restore evaluate` works on, from its options: images, the strength of what is made, models, their cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from restore.cli.console import model_for
from restore.errors import ConfigError

if TYPE_CHECKING:
    from restore.degradations import Degradation
    from restore.evaluation.scoring import LabelCondition
    from restore.evaluation.scoring.cases import SeveritySetting
    from restore.evaluation.scoring.images import Images

__all__ = ["NONE", "card_of", "images_of", "label_conditions", "model_and_tasks", "refuse_inside", "severity_of"]

NONE = "none"
"""The name of no model at all."""

UNDONE_BY = {
    "resolution": "upscale",
    "blind-resolution": "upscale",
    "jpeg": "jpeg",
    "hole": "inpaint",
    "crop": "uncrop",
    "grayscale": "colorize",
}
"""The tasks that undo degradations, weather aside: its models know all of it."""


def severity_of(text: str | None, made: Mapping[str, Degradation]) -> SeveritySetting:
    """Return how strong made degradations are; None draws it for weather, and is the full strength of all else.

    Where nothing is said, weather has a strength of its own, whatever else is made beside it.

    Raises:
        ConfigError: neither a number nor `random`.
    """
    from restore.degradations import LABELS

    if text is None:
        # a fixed strength for weather: among random ones, nearly clean images would rule the mean
        weather = {*LABELS, "rain+snow"}
        own = {name: 0.7 if degradation.kind in weather else None for name, degradation in made.items()}
        return own if len(set(own.values())) > 1 else next(iter(own.values()), None)
    if not made:
        raise ConfigError("--severity is of a --degradation, and none is made")
    if text == "random":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--severity takes a number from 0 to 1, or random, not {text!r}") from None


def refuse_inside(option: str, folder: Path | None, read: Sequence[Path | None]) -> None:
    """Raise ConfigError if a folder that is written to lies in one whose images are evaluated.

    Raises:
        ConfigError: what is written there would be evaluated, too, the next time.
    """
    for other in read:
        if folder is not None and other is not None and folder.resolve().is_relative_to(other.resolve()):
            raise ConfigError(f"{option} {folder} lies in {other}, whose images are evaluated: choose another folder")


def label_conditions(labels: Sequence[str], tasks: Sequence[str]) -> list[LabelCondition]:
    """Return what `--label` names.

    Raises:
        ConfigError: an unknown condition, or a task in its old spelling.
    """
    from restore.evaluation.scoring import LABEL_CONDITIONS

    if "told" in tasks:
        raise ConfigError("--task told is now --label true: the model is given the label of the made degradation")
    wrong = [label for label in labels if label not in LABEL_CONDITIONS]
    if wrong:
        raise ConfigError(f"--label takes {', '.join(LABEL_CONDITIONS)}, not {', '.join(wrong)}; a task is a --task")
    return [known for label in labels for known in LABEL_CONDITIONS if known == label]


def model_and_tasks(
    tasks: list[str], labels: Sequence[str], made: Mapping[str, Degradation], scale: int | None
) -> tuple[str, list[str]]:
    """Return the model that is evaluated where none was named, and the tasks that it is evaluated on.

    Args:
        tasks: that were named; without any, and without labels, what undoes the degradations.
        labels: conditions that stand for a task of each degradation.
        made: degradations by their names.
        scale: the factor of super-resolution, where it was given.

    Raises:
        ConfigError: the degradations are undone by different models, or no model that ships knows the task.
    """
    kinds = made.values()
    needs = {(UNDONE_BY.get(kind.kind), getattr(kind, "scale", None)) for kind in kinds} or {(None, None)}
    factors = {factor for _, factor in needs}
    if len(needs) > 1 and not (tasks and len(factors) == 1):
        raise ConfigError(f"{', '.join(made)} are undone by different models: evaluate one, or pass --model")
    task, factor = next(iter(needs))[0], factors.pop()
    model = model_for(next(iter(tasks), task), scale or factor)
    return model, tasks or ([task] if task is not None and not labels else [])


def card_of(models: Sequence[str], tasks: Sequence[str]) -> str:
    """Return the dataset card that the task of a model is evaluated on.

    Raises:
        ConfigError: there is not one model, or it does not know the task.
    """
    from restore.models import published
    from restore.models.find import find_weights
    from restore.models.recipe import Recipe
    from restore.restoration.detector import AUTO
    from restore.schema import parse

    if len(models) != 1 or models[0] == NONE:
        raise ConfigError("--root without a dataset card takes that of the model's task: name a card, or one --model")
    recipe = parse(Recipe, published.open_checkpoint(find_weights(models[0])).recipe, models[0])
    named = next(iter(tasks or recipe.tasks))
    if named == AUTO:
        return recipe.task.card
    recipe.label(named)
    return recipe.task.variant(named).card


def images_of(
    card: str | None,
    root: Path | None,
    split: str | None,
    inputs: Path | None,
    target: Path | None,
    clean: Path | None,
    degradations: list[str],
    severity: SeveritySetting,
    masks: tuple[Path | None, bool],
    restored: list[Path],
) -> Images:
    """Return the images of exactly one of the forms of use.

    Raises:
        ConfigError: none or several are chosen, or an option is missing or does not belong.
    """
    from restore.evaluation.scoring import images

    forms = [card is not None, clean is not None, target is not None]
    if sum(forms) != 1:
        raise ConfigError(
            "name the images in one way: --input DIR --target DIR, --restored DIR --target DIR, "
            "--clean DIR --degradation KIND, or a dataset card with --root DIR"
        )
    if (root is not None) != (card is not None) or (split is not None and card is None):
        raise ConfigError("a dataset card and --root belong together, and --split to them")
    if inputs is not None and target is None:
        raise ConfigError("--input needs --target, the folder of ground truths")
    if target is not None and degradations:
        raise ConfigError("--degradation is put on clean images: pass --clean instead of --target")
    if card is not None and root is not None:
        return images.from_card(card, root, split, degradations, severity, *masks)
    if clean is not None:
        return images.from_clean(clean, degradations, severity, *masks)
    assert target is not None
    if inputs is not None:
        return images.from_folders(inputs, target)
    if not restored:
        raise ConfigError("--target needs --input (images to restore) or --restored (finished outputs)")
    return images.from_outputs(restored[0], target)
