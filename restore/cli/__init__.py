"""The command line: `restore run | demo | plan | train | evaluate | metrics | interpolate | models | data | env`.

Results go to stdout, progress and explanations to stderr. Exit codes: 0 all good, 1 failed, 2 a usage or config error,
3 some files failed, 130 and 143 on Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import io
import signal
import sys
import warnings
from typing import NoReturn

import typer

from restore.cli import data, demonstration, environment, evaluation, interpolation, models, planning, running, training
from restore.cli.options import Panels
from restore.errors import RestoreError

__all__ = ["app", "main"]

app = typer.Typer(
    name="restore",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Restore photographs: rain, snow, haze, raindrops, holes, low resolution, JPEG, lost colours. Train and "
    "evaluate such models.\n\n"
    "Example:  restore run photo.jpg -o restored.png",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", cls=Panels)(running.run)
app.command("demo")(demonstration.demo)
app.command("train")(training.train)
app.command("evaluate")(evaluation.evaluate)
app.command("plan")(planning.plan)
app.command("interpolate")(interpolation.interpolate)
app.command("metrics")(evaluation.metrics)
app.command("env")(environment.env)
app.add_typer(models.app, name="models")
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        from restore.system.versions import version_of

        typer.echo(version_of("restore"))
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_version
    ),
) -> None:
    return


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)


def _show_warning(message: Warning | str, *_: object) -> None:
    """Print our own warnings as one line; other packages' are of no use to someone who restores a photograph."""
    if type(message).__module__.startswith("restore."):
        typer.echo(f"warning: {message}", err=True)


def main() -> None:
    """Run the command line; errors raised on purpose, and those of the disk, become one line and an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    for stream in (sys.stdout, sys.stderr):
        # a name that is no text in the terminal's encoding is shown with its bytes escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except RestoreError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        from restore.images.probe import reason

        where = f"{error.filename}: " if error.filename is not None else ""
        typer.echo(f"error: {where}{reason(error)}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
