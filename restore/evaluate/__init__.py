"""Evaluation: pictures restored by models or by others, scored under named protocols, with their uncertainty."""

from __future__ import annotations

from restore.evaluate.cases import Case, Digests, Loaded, made_cases, paired_cases
from restore.evaluate.engine import Plan, Shown, evaluate, kept_path, show
from restore.evaluate.methods import TOLD, Method, ModelMethod, Output, OutputFolder, Unrestored, tasks_for, told_apart
from restore.evaluate.provenance import Provenance
from restore.evaluate.records import Journal, Record
from restore.evaluate.scoring import Scoring, score_all
from restore.evaluate.sets import SetScores, score_sets
from restore.evaluate.summary import Comparison, Row, Series, compare, gain_of, group, per_picture, summarise_rows

__all__ = [
    "TOLD",
    "Case",
    "Comparison",
    "Digests",
    "Journal",
    "Loaded",
    "Method",
    "ModelMethod",
    "Output",
    "OutputFolder",
    "Plan",
    "Provenance",
    "Record",
    "Row",
    "Scoring",
    "Series",
    "SetScores",
    "Shown",
    "Unrestored",
    "compare",
    "evaluate",
    "gain_of",
    "group",
    "kept_path",
    "made_cases",
    "paired_cases",
    "per_picture",
    "score_all",
    "score_sets",
    "show",
    "summarise_rows",
    "tasks_for",
    "told_apart",
]
