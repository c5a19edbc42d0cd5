"""What a period will cost in all, and how sure that is, from hourly or daily spend; nothing here reads a clock."""

from __future__ import annotations

from alertd.core.projection.batch import project_batch
from alertd.core.projection.lines import Rate, project_by_line, project_lines
from alertd.core.projection.method import METHOD, project, project_each, project_many
from alertd.core.projection.mix import at_todays_mix, unit_prices
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
    "at_todays_mix",
    "project",
    "project_batch",
    "project_by_line",
    "project_each",
    "project_lines",
    "project_many",
    "unit_prices",
]
