"""What a restoration will cost, and the best one that a budget allows.

`cost` counts operations and bytes without computing anything, `speed` times this machine for two seconds, and
`choice` puts both together.
"""

from __future__ import annotations

from restore.restoration.plan.choice import Plan, calibrated, choose, predict, survey
from restore.restoration.plan.cost import Cost, cost
from restore.restoration.plan.speed import Speed, calibrate
from restore.restoration.plan.units import parse_bytes, parse_seconds, show_bytes, show_seconds

__all__ = [
    "Cost",
    "Plan",
    "Speed",
    "calibrate",
    "calibrated",
    "choose",
    "cost",
    "parse_bytes",
    "parse_seconds",
    "predict",
    "show_bytes",
    "show_seconds",
    "survey",
]
