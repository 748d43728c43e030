"""Images that stand side by side in one file, written to two folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from restore import images
from restore.data.joined import Half, read_file
from restore.data.pairs import Pair
from restore.errors import ConfigError, DataError, RestoreError

__all__ = ["Unjoined", "unjoin"]


@dataclass(frozen=True)
class Unjoined:
    """One file that was taken apart, or the reason why it was not."""

    name: str
    error: str = ""


def unjoin(pairs: Sequence[Pair], output: Path) -> Iterator[Unjoined]:
    """Yield each pair after it was written to `output/input` and `output/target`, as PNG of equal names.

    PNG keeps every value, so that nothing is compressed a second time. A pair that cannot be written is reported and
    the others go on; of it, neither image appears.

    Raises:
        DataError: the pairs lie in files of their own already.
        ConfigError: `output` holds something.
    """
    if not all(isinstance(pair.input, Half) and isinstance(pair.target, Half) for pair in pairs):
        raise DataError("the pairs lie in files of their own already: there is nothing to take apart")
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output} is not empty: unjoined pairs go to a new folder")
    for pair in pairs:
        try:
            assert pair.input is not None
            halves = {"input": read_file(pair.input), "target": read_file(pair.target)}
            for side, image in halves.items():
                images.write(image, output / side / f"{pair.name}.png")
        except RestoreError as error:
            (output / "input" / f"{pair.name}.png").unlink(missing_ok=True)
            yield Unjoined(pair.name, str(error))
            continue
        yield Unjoined(pair.name)
