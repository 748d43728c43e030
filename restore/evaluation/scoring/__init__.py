"""Evaluation: pictures restored by models or by others, scored under named protocols, with their uncertainty."""

from __future__ import annotations

from restore.evaluation.scoring.cases import Case, Digests, Loaded, made_cases, paired_cases
from restore.evaluation.scoring.engine import Plan, Shown, evaluate, kept_path, show
from restore.evaluation.scoring.methods import (
    LABEL_CONDITIONS,
    LabelCondition,
    Method,
    ModelMethod,
    Output,
    OutputFolder,
    Unrestored,
    distinct_names,
    tasks_for,
)
from restore.evaluation.scoring.provenance import Provenance
from restore.evaluation.scoring.records import Journal, Record
from restore.evaluation.scoring.scoring import Scoring, score_all
from restore.evaluation.scoring.sets import SetScores, score_sets
from restore.evaluation.scoring.summary import (
    Comparison,
    Row,
    Series,
    compare,
    gain_of,
    group,
    per_picture,
    summarise_rows,
)

__all__ = [
    "LABEL_CONDITIONS",
    "Case",
    "Comparison",
    "Digests",
    "Journal",
    "LabelCondition",
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
    "distinct_names",
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
]
