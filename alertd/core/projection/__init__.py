"""Project a period's total, with its uncertainty, from hourly or daily spend. Time is an argument."""

from __future__ import annotations

from alertd.core.projection.batch import (
    METHOD,
    Rate,
    project,
    project_batch,
    project_by_line,
    project_each,
    project_lines,
    project_many,
)
from alertd.core.projection.outcome import FAN_LEVELS, LEVELS, Exhaustion, Projection
from alertd.core.projection.series import DAY, HOUR, LARGEST, Commitment, Question, Series

__all__ = [
    "DAY",
    "FAN_LEVELS",
    "HOUR",
    "LARGEST",
    "LEVELS",
    "METHOD",
    "Commitment",
    "Exhaustion",
    "Projection",
    "Question",
    "Rate",
    "Series",
    "project",
    "project_batch",
    "project_by_line",
    "project_each",
    "project_lines",
    "project_many",
]
