"""Typed documents: their base, how text becomes one within bounds, and kinds that other packages add."""

from __future__ import annotations

from restore.schema.documents import Spec, describe, parse
from restore.schema.extensions import Extended, ExtensionWarning, extensions
from restore.schema.kinds import Kinds
from restore.schema.text import (
    apply_overrides,
    json_value,
    read_json_lines,
    read_text,
    read_yaml,
    shortened,
    whole_number,
    yaml_value,
)

__all__ = [
    "Extended",
    "ExtensionWarning",
    "Kinds",
    "Spec",
    "apply_overrides",
    "describe",
    "extensions",
    "json_value",
    "parse",
    "read_json_lines",
    "read_text",
    "read_yaml",
    "shortened",
    "whole_number",
    "yaml_value",
]
