"""Checkpoints: the native format, and the ways in from others."""

from __future__ import annotations

from restore.checkpoints.native import fill, is_safetensors, load, read_metadata, save

__all__ = ["fill", "is_safetensors", "load", "read_metadata", "save"]
