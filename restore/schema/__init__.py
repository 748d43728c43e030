"""Typed documents: their base, and how text becomes one within bounds."""

from __future__ import annotations

from restore.schema.documents import Spec, describe, parse
from restore.schema.text import apply_overrides, json_value, read_json_lines, read_text, read_yaml, yaml_value

__all__ = [
    "Spec",
    "apply_overrides",
    "describe",
    "json_value",
    "parse",
    "read_json_lines",
    "read_text",
    "read_yaml",
    "yaml_value",
]
