"""`restore train`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from restore.cli.console import bar, table
from restore.errors import RestoreError

__all__ = ["train"]


def train(
    config: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or the name of a config that ships: weather, detector, upscale_x2, "
            "upscale_x4, inpaint, jpeg, colorize, uncrop, weatherdiff64. The first two are "
            "trained in parts: weather_first, _second, _third, _fourth, _fifth, _sixth; detector_first, _second."
        ),
    ],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to it.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the output folder; say all else as before.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a model from photographs, pairs or data sets.

    Photographs are degraded on the fly; data sets are read in the layouts that their cards know. Ctrl-C saves first,
    and the same command with --resume continues exactly.

    The output folder holds `model.safetensors`, `log.jsonl` with the loss of each step, `training.png` that draws it,
    and in `validation/` held-out images as they were given, restored and true.

    Examples:

      restore train weather_first 'data.folders=[photographs/]' output=runs/weather

      restore train weather_first 'data.folders=[photographs/]' output=runs/weather --resume

      restore train weather 'data={kind: pairs, input: wet, target: dry, label: rain}' output=mine start_from=weather

      restore train weather 'data={kind: card, card: rain100l, root: data/Rain100L}' output=runs/rain start_from=weather
    """
    from restore.training.config import load_train_config
    from restore.training.trainer import Trainer

    document = load_train_config(config, overrides or [])
    trainer = Trainer(document, resume=resume, device=device)
    if trainer.accelerator.is_main_process:
        typer.echo("\n".join(trainer.batches.report()), err=True)
    stopped: list[int] = []
    figure = _Figure(document.output, document.model.name) if trainer.accelerator.is_main_process else None
    previous = {sign: signal.signal(sign, lambda number, _: stopped.append(number)) for sign in _SIGNALS}
    try:
        with bar(document.steps, "training", "step") as progress:
            progress.update(trainer.step)
            for done in trainer:
                progress.update(1)
                progress.set_postfix(loss=f"{done.loss:.4f}", rate=f"{done.rate:.1e}")
                if done.validation:
                    # of an image that was clean there is nothing to gain: what it keeps is what counts
                    rows = [
                        [name, *(("-", f"{a:.2f}", "-") if b > CLEAN else (f"{b:.2f}", f"{a:.2f}", f"{a - b:+.2f}"))]
                        for name, (b, a) in done.validation.items()
                    ]
                    typer.echo(f"step {done.step}, PSNR in dB on held-out images")
                    typer.echo(table(["degradation", "before", "after", "gain"], rows))
                    if figure is not None:
                        figure.draw()
                if stopped:
                    break
    finally:
        for sign, handler in previous.items():
            signal.signal(sign, handler)
    if stopped:
        trainer.save()
    if figure is not None:
        figure.draw()
    if stopped:
        typer.echo(f"stopped and saved at step {trainer.step} of {document.steps}; --resume continues", err=True)
        raise typer.Exit(128 + stopped[0])
    typer.echo(f"done: {document.output / 'model.safetensors'} after {trainer.step} steps")


CLEAN = 100.0
"""In dB: beyond it two images are the same but for rounding."""


class _Figure:
    """The course of a run, drawn beside its log; an error in that is reported once and never stops the run."""

    def __init__(self, folder: Path, title: str) -> None:
        self.folder, self.title, self.warned = folder, title, False

    def draw(self) -> None:
        """Write `training.png`, if there is a log yet."""
        from restore.evaluation.report.curves import training_figure
        from restore.system.atomic import write_atomically
        from restore.training.trainer import read_log

        log = self.folder / "log.jsonl"
        if not log.exists():
            return
        try:
            write_atomically(self.folder / "training.png", training_figure(read_log(log), self.title).to_png())
        except (RestoreError, OSError) as error:
            if not self.warned:
                typer.echo(f"warning: training.png was not drawn: {error}", err=True)
            self.warned = True


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
