"""`restore evaluate` and `restore metrics`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.cli.choosing import (
    NONE,
    card_of,
    images_of,
    label_conditions,
    model_and_tasks,
    refuse_inside,
    severity_of,
)
from restore.cli.console import MOST_SEED, bar, open_model, print_json, table
from restore.cli.data import InvertMask, Mask
from restore.cli.options import PresetOption, SamplerOption, SelfEnsembleOption
from restore.errors import ConfigError, MissingResource

if TYPE_CHECKING:
    from restore.evaluation.report import Result
    from restore.evaluation.scoring import Case, Digests, EvaluationPlan, LabelCondition, Method, Record
    from restore.evaluation.scoring.images import Images

__all__ = ["evaluate", "metrics"]


def evaluate(
    card: Annotated[
        str | None, typer.Argument(metavar="[CARD]", help="A dataset card by name, with --root. [that of the task]")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the card's data set.")] = None,
    split: Annotated[str | None, typer.Option(help="Split of the card; the one that papers score by default.")] = None,
    inputs: Annotated[Path | None, typer.Option("--input", help="Folder of degraded images.")] = None,
    target: Annotated[Path | None, typer.Option(help="Folder of ground truths with the same names.")] = None,
    clean: Annotated[Path | None, typer.Option(help="Folder of clean images that --degradation is put on.")] = None,
    degradation: Annotated[
        list[str] | None, typer.Option(help="rain, snow, haze, bicubic-x4, jpeg-q10, ...; several with commas.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(help="Of the degradation, 0 to 1, or `random`. [0.7 for weather, else its own]")
    ] = None,
    mask: Mask = None,
    invert_mask: InvertMask = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many images.")] = None,
    restored: Annotated[
        list[str] | None, typer.Option(help="Score this folder of finished outputs; several with commas.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Models by name or file; none: the input. [the task's]")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "-t",
            help="Tasks by name, with commas; `auto` takes the label that the detector finds. [the first; for a made "
            "degradation --label true,blind]",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Label that the model is conditioned on, one row each: true (of the made degradation), blind (none), "
            "detected (by the detector); several with commas."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampling steps.")] = None,
    samples: Annotated[
        int,
        typer.Option(min=1, help="Score the mean of so many restorations, and how well their spread is calibrated."),
    ] = 1,
    self_ensemble: SelfEnsembleOption = 1,
    preset: PresetOption = None,
    sampler: SamplerOption = None,
    likelihood: Annotated[
        bool,
        typer.Option(
            "--bits-per-dim", help="Bound the ground truths' likelihood too, over all levels or as many as --steps."
        ),
    ] = False,
    seed: Annotated[list[str] | None, typer.Option(help="Seeds of made weather and of the sampler. [0]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    protocol: Annotated[
        list[str] | None, typer.Option(help="How scores are taken. [the card's, else native,rgb]")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="More metrics, see `restore metrics`. [lpips_alex, if its backbone is in the torch cache]"),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, help="Factor of super-resolution, for the protocol sr. [that of the images]")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images restored together. [8 on CUDA, 1 on the CPU]")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep every restored image in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the scores of every image to this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the whole report to this folder.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the evaluation in the --report folder.")] = False,
) -> None:
    """Score a model or finished outputs against the truth.

    Examples:

      restore evaluate --input rainy/ --target clean/ --task derain --report out/

      restore evaluate --clean photographs/ --degradation rain,snow,haze --label true,blind,detected

      restore evaluate kodak24 --root data/Kodak24 --degradation rain --model weather,mine.safetensors

      restore evaluate --clean photographs/ --degradation mask-file --mask masks/

      restore evaluate set5 --root data/Set5 --degradation bicubic-x4 --model none

      restore evaluate --restored outputs/ --target clean/ --protocol native,weatherdiff
    """
    import torch

    from restore import images
    from restore.data.synthesize import degradations_named
    from restore.evaluation.metrics import get_protocol
    from restore.evaluation.scoring import Digests, EvaluationPlan, Journal, Scoring, score_sets

    if resume and report is None:
        raise ConfigError("--resume continues the evaluation in a report folder: pass --report")
    folders = [Path(folder) for folder in _listed(restored)]
    models, tasks = _listed(model), _listed(task)
    labels = label_conditions(_listed(label), tasks)
    unmodelled = set(models) == {NONE} or (folders and not models)
    if unmodelled and (likelihood or samples > 1 or steps or self_ensemble > 1 or preset or sampler):
        raise ConfigError(
            "--steps, --samples, --self-ensemble, --preset, --sampler and --bits-per-dim are for a model, but none is "
            "evaluated: pass --model"
        )
    if unmodelled and (tasks or labels):
        raise ConfigError("--task and --label are for a model, but none is evaluated: pass --model")
    if csv is not None and csv.is_dir():
        raise ConfigError(f"--csv {csv} is a folder: name the file to write")
    for option, folder in (("--keep", keep), ("--report", report)):
        refuse_inside(option, folder, [inputs, target, clean, root, *folders])
    wanted = _listed(degradation)
    made = degradations_named(wanted, mask, invert_mask)
    strength = severity_of(severity, made)
    if not models and not folders:
        chosen, tasks = model_and_tasks(tasks, labels, made, scale)
        models = [chosen]
    if card is None and root is not None and {inputs, target, clean} == {None}:
        card = card_of(models, tasks)
    masks = mask, invert_mask
    photos = images_of(card, root, split, inputs, target, clean, wanted, strength, masks, folders).first(limit)
    if None not in (scale, photos.scale) and scale != photos.scale:
        raise ConfigError(f"--scale {scale} is not that of the images, which is {photos.scale}: leave it out")
    asked = _listed(metric)
    names, sets, notes = _metrics(asked)
    digests = Digests()
    sampling = (steps, samples, likelihood)
    ways = {"self_ensemble": self_ensemble, "preset": preset, "sampler": sampler}
    jobs, place = _jobs(photos.cases, models, folders, (tasks, labels), sampling, ways, device, dtype, digests)
    protocols = [get_protocol(name) for name in _listed(protocol) or photos.protocols]
    if scale is not None and _listed(model) and all(known.crop != "scale" for known in protocols):
        raise ConfigError("--scale is for protocols that crop by it: pass --protocol sr, or leave --scale out")
    scoring = Scoring(protocols, names, scale or photos.scale, place)
    batch = batch or (8 if place.type == "cuda" else 1)
    plan = EvaluationPlan(jobs, scoring, _seeds(_listed(seed)), batch, keep, digests)
    if sets and keep is None:
        raise ConfigError(f"{' and '.join(sets)} need the restored images: pass --keep")
    if csv is not None:
        images.refuse_inputs([csv], [file for case in photos.cases for file in case.files.values()])
    journal = Journal(None if report is None else report / "journal.jsonl", resume)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    records, stopped = _work(plan, journal)
    scores = {} if stopped else score_sets(plan, records, sets)
    notes += [
        f"{name} could be taken of no image: all are too small for it"
        for name in names
        if not any(name in scores for record in records for scores in record.after.values())
        and any(record.after for record in records)
    ]
    result = _result(photos, plan, records, [*photos.notes, *notes], scores)
    _present(result, as_json, csv, report, plan)
    raise typer.Exit(stopped or _exit_code(records))


def metrics(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the metrics and protocols.

    Which end is better, which range, what for, and where they come from.

    Example:

      restore metrics
    """
    from restore.evaluation.metrics import METRICS, PROTOCOLS

    if as_json:
        kinds = {"metrics": METRICS, "protocols": PROTOCOLS}
        print_json({kind: {k: v.model_dump(mode="json") for k, v in known.items()} for kind, known in kinds.items()})
        return
    rows = [[m.name, f"{m.direction} is better", m.range, m.unit or "-", m.description] for m in METRICS.values()]
    typer.echo(table(["metric", "direction", "range", "unit", "what it is"], rows))
    typer.echo("\nReferences")
    for metric in METRICS.values():
        typer.echo(f"  {metric.name}: {metric.reference}")
    typer.echo("")
    typer.echo(table(["protocol", "what it is"], [[p.name, p.description] for p in PROTOCOLS.values()]))


def _listed(values: Sequence[str] | None) -> list[str]:
    """Return what was given by repeating an option, by commas, or both, each once."""
    parts = [part.strip() for value in values or () for part in value.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def _seeds(values: Sequence[str]) -> tuple[int, ...]:
    from restore.schema import whole_number

    seeds = [whole_number(value, MOST_SEED) for value in values]
    if None in seeds:
        raise ConfigError(f"--seed takes whole numbers from 0 to {MOST_SEED}, got {', '.join(values)[:200]}")
    return tuple(seed for seed in seeds if seed is not None) or (0,)


def _metrics(named: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Return metrics of images beside those of the protocols, metrics of sets, and notes on what is absent.

    Raises:
        ConfigError: an unknown metric.
        MissingResource: a metric that was named lacks its weights.
    """
    from restore.evaluation.metrics import METRICS, get_metric

    chosen = [get_metric(name) for name in named] or [metric for metric in METRICS.values() if metric.usual]
    single, sets, notes = [], [], []
    for metric in chosen:
        try:
            if metric.needs is not None:
                metric.needs()
        except MissingResource as missing:
            if named:
                raise
            notes.append(f"{metric.label} is absent: {missing}")
        else:
            (sets if metric.per == "set" else single).append(metric.name)
    return single, sets, notes


def _jobs(
    cases: Sequence[Case],
    models: list[str],
    folders: list[Path],
    conditions: tuple[list[str], list[LabelCondition]],
    sampling: tuple[int | None, int, bool],
    ways: Mapping[str, Any],
    device: str,
    dtype: str,
    digests: Digests,
):  # type: ignore[no-untyped-def]
    """Return each case with its methods, and the device of the scores."""
    from restore.evaluation.scoring import ModelMethod, OutputFolder, Unrestored, distinct_names, tasks_for
    from restore.models import published
    from restore.models.find import find_weights
    from restore.system.devices import pick_device

    methods: dict[tuple[str, str], Method] = {}
    steps, samples, likelihood = sampling
    paths = {model: find_weights(model).resolve() for model in models if model != NONE}
    ends = dict(zip(paths, distinct_names([path.with_suffix("") for path in paths.values()]), strict=True))
    opened = {given: open_model(given, device, dtype, **ways) for given in paths}
    known = Counter(restorer.recipe.name for restorer, _ in opened.values())
    restorers = {}
    for given, (restorer, own_settings) in opened.items():
        own = restorer.recipe.name
        # runs of one config have one name, and one name of their file
        name = own if known[own] == 1 or own in (given, ends[given]) else f"{own} ({ends[given]})"
        settings = own_settings.changed(steps=own_settings.steps if steps is None else steps, samples=samples)
        restorers[name] = (restorer, settings, digests(published.source_of(paths[given])))
    names = distinct_names([folder.resolve() for folder in folders], {NONE, *restorers})
    outputs: list[Method] = [OutputFolder(folder, digests, name) for folder, name in zip(folders, names, strict=True)]
    outputs = [Unrestored(), *outputs] if NONE in models else outputs

    def method(name: str, task: str) -> Method:
        restorer, settings, sha256 = restorers[name]
        return methods.setdefault((name, task), ModelMethod(name, task, restorer, sha256, settings, likelihood))

    def asked_of(label: str | None) -> list[Method]:
        asked = [
            (name, task)
            for name, (restorer, _, _) in restorers.items()
            for task in tasks_for(restorer, label, *conditions)
        ]
        return [*(method(name, task) for name, task in asked), *outputs]

    by_label = {label: asked_of(label) for label in dict.fromkeys(case.label for case in cases)}
    return [(case, by_label[case.label]) for case in cases], pick_device(device)


def _work(plan: EvaluationPlan, journal) -> tuple[list[Record], int]:  # type: ignore[no-untyped-def]
    """Return the records, and the exit code of the signal that stopped the work, 0 if none did."""
    from restore.evaluation.scoring import evaluate_plan

    records: list[Record] = []
    with bar(len(plan), "evaluating", "image") as progress:
        try:
            for record in evaluate_plan(plan, journal.done):
                records.append(record)  # first, so that a signal during the writing does not lose it from the report
                journal.add(record)
                progress.update(1)
                progress.set_postfix_str(f"{record.data} {record.name}"[-30:])
                if record.failed:
                    progress.write(f"failed: {record.data}/{record.name}: {record.failure}", file=sys.stderr)
        except KeyboardInterrupt:
            return records, 130
        except SystemExit as stop:
            return records, int(stop.code or 0) if isinstance(stop.code, int) else 143
    return records, 0


def _result(photos: Images, plan: EvaluationPlan, records: list[Record], notes: list[str], sets) -> Result:  # type: ignore[no-untyped-def]
    import torch

    from restore.evaluation.report import Result
    from restore.evaluation.scoring import Provenance

    provenance = Provenance.gather(plan, records, photos.facts, torch.device(plan.scoring.device))
    models = dict.fromkeys(method.model for method in plan.methods)
    return Result(
        f"{', '.join(models)} on {photos.title}",
        records,
        len(plan),
        provenance,
        notes,
        photos.card,
        photos.split,
        sets,
    )


def _present(result: Result, as_json: bool, csv: Path | None, report: Path | None, plan: EvaluationPlan) -> None:
    """Print the table, or everything as JSON, and write the requested files."""
    from restore.evaluation.report import count_images, csv_text, write_report
    from restore.system.atomic import write_atomically

    try:
        _print(result, as_json)
    finally:  # neither a table that nobody reads nor a file that cannot be written costs the other
        if csv is not None:
            write_atomically(csv, csv_text(result))
        if report is not None:
            with bar(count_images(result), "drawing", "image") as progress:
                write_report(result, report, plan, progress.update)
    if report is not None and not as_json:
        typer.echo(f"wrote {report / 'index.html'}")


def _print(result: Result, as_json: bool) -> None:
    from restore.evaluation.report import (
        calibration_table,
        comparison_table,
        likelihood_table,
        reported_table,
        summary_table,
    )

    if as_json:
        print_json(result.to_json())
        return
    if result.rows:
        typer.echo(table(*summary_table(result)))
    for title, (header, cells) in (
        ("Paired comparison on the same images", comparison_table(result)),
        ("Spread of the samples", calibration_table(result)),
        ("Likelihood of the ground truths", likelihood_table(result)),
        ("From papers, as reported, not measured here", reported_table(result)),
    ):
        if cells:
            typer.echo(f"\n{title}")
            typer.echo(table(header, cells))
    for note in result.remarks:
        typer.echo(f"note: {note}", err=True)
    if not result.complete:
        typer.echo(f"partial: {len(result.records)} of {result.expected} restorations were done", err=True)


def _exit_code(records: Sequence[Record]) -> int:
    failed = sum(record.failed for record in records)
    if not failed:
        return 0
    typer.echo(f"{failed} of {len(records)} restorations failed", err=True)
    return 1 if failed == len(records) else 3
