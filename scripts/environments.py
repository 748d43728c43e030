"""Runs the suite with the newest versions that resolve, and with the lowest that pyproject.toml allows.

    python scripts/environments.py                           # both, in fresh environments in a temporary folder
    python scripts/environments.py lowest --folder envs      # one of them, and keep it: envs/lowest
    python scripts/environments.py lowest --install-only
    python scripts/environments.py newest -- tests/images -x # arguments for pytest

The lowest environment pins each dependency of the package and of its `test` extra to its lower bound; what those need
themselves is the newest that fits. `uv` installs if it is there, else pip. Each environment takes several GB with the
PyTorch that PyPI has for Linux. The exit status is 0 if both suites pass.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("newest", "lowest")


def lower_bounds(pyproject: Path) -> list[str]:
    """Return `name==bound` for each dependency of the package and of its `test` extra.

    Raises:
        ValueError: one has no lower bound, or more than that.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    pins = []
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        match = re.fullmatch(r"([A-Za-z0-9._-]+(?:\[[^]]*\])?)>=([0-9.]+)", requirement.replace(" ", ""))
        if match is None:
            raise ValueError(f"{pyproject}: {requirement!r} must be of the form name>=version")
        pins.append(f"{match[1].split('[')[0]}=={match[2]}")
    return pins


def install(folder: Path, kind: str) -> Path:
    """Return the Python of a fresh environment that holds the package as it is here, with its `test` extra."""
    venv.create(folder, with_pip=True, clear=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pinned = []
    if kind == "lowest":
        constraints = folder / "lowest.txt"
        constraints.write_text("\n".join(lower_bounds(ROOT / "pyproject.toml")) + "\n", encoding="utf-8")
        pinned = ["-c", str(constraints)]
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install", "-q"]
    run([*installer, *pinned, "-e", f"{ROOT}[test]"])
    return python


def run(command: Sequence[str]) -> None:
    """Run a command in the repository, after a line that shows it; a failure is a `CalledProcessError`."""
    print("+", *command, flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environments, run the suites, print a line about each, and return the exit status."""
    parser = argparse.ArgumentParser(description="Runs the suite with the newest and the lowest versions.")
    parser.add_argument("kinds", nargs="*", metavar="newest|lowest", help="which environments [both]")
    parser.add_argument("--folder", type=Path, help="make the environments here, and keep them")
    parser.add_argument("--install-only", action="store_true", help="do not run the suite")
    given = list(sys.argv[1:] if arguments is None else arguments)
    place = given.index("--") if "--" in given else len(given)
    options, tests = parser.parse_args(given[:place]), given[place + 1 :]
    if wrong := sorted(set(options.kinds) - set(KINDS)):
        parser.error(f"{', '.join(wrong)} is not one of {', '.join(KINDS)}")
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in options.kinds or KINDS:
            begun = time.monotonic()
            try:
                python = install((options.folder or Path(scratch)).resolve() / kind, kind)
                if not options.install_only:
                    run([str(python), "-m", "pytest", *tests])
                results[kind] = "good"
            except subprocess.CalledProcessError as error:
                results[kind] = f"failed: exit status {error.returncode} of {' '.join(error.cmd[:4])} ..."
            results[kind] += f" ({time.monotonic() - begun:.0f} s)"
            if options.folder is None:
                shutil.rmtree(Path(scratch) / kind, ignore_errors=True)  # two would need twice the disk
    print("\n".join(f"{kind}: {result}" for kind, result in results.items()))
    return 0 if all(result.startswith("good") for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
