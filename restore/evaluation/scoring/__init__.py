"""Evaluation: images restored by models or by others, scored under named protocols, with their uncertainty."""

from __future__ import annotations

from restore.evaluation.scoring.cases import Case, Digests, Loaded, made_cases, paired_cases
from restore.evaluation.scoring.engine import EvaluationPlan, Shown, evaluate_plan, kept_path, show
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
    compare_methods,
    gain_of,
    group,
    scores_by_image,
    summarise_rows,
)

__all__ = [
    "LABEL_CONDITIONS",
    "Case",
    "Comparison",
    "Digests",
    "EvaluationPlan",
    "Journal",
    "LabelCondition",
    "Loaded",
    "Method",
    "ModelMethod",
    "Output",
    "OutputFolder",
    "Provenance",
    "Record",
    "Row",
    "Scoring",
    "Series",
    "SetScores",
    "Shown",
    "Unrestored",
    "compare_methods",
    "distinct_names",
    "evaluate_plan",
    "gain_of",
    "group",
    "kept_path",
    "made_cases",
    "paired_cases",
    "score_all",
    "score_sets",
    "scores_by_image",
    "show",
    "summarise_rows",
    "tasks_for",
]
