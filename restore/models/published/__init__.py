"""Published checkpoints: the ways in from other codebases, and one way to open any file of weights."""

from __future__ import annotations

from restore.models.published.convert import CheckpointWarning, Conversion, Opened, convert, open_checkpoint, source_of

__all__ = ["CheckpointWarning", "Conversion", "Opened", "convert", "open_checkpoint", "source_of"]
