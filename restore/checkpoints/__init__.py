"""Checkpoints: the native format, and the ways in from published codebases."""

from __future__ import annotations

from restore.checkpoints.convert import Conversion, Opened, convert, open_checkpoint, source_of
from restore.checkpoints.native import assemble, fill, is_safetensors, load, read_metadata, save

__all__ = [
    "Conversion",
    "Opened",
    "assemble",
    "convert",
    "fill",
    "is_safetensors",
    "load",
    "open_checkpoint",
    "read_metadata",
    "save",
    "source_of",
]
