"""Everything that one scrape of /metrics shows, taken at once: what is unknown is None, never 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alertd.core.actions.policy import ActionPolicy
from alertd.core.evaluation.state import State
from alertd.web.view import BudgetStatuses, Lane, Loop


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one scrape shows. `outbox` and `notes` are None where the database did not answer."""

    now: datetime
    version: str
    started: datetime
    standings: BudgetStatuses
    loops: Sequence[Loop]
    lanes: Sequence[Lane] = ()
    actions: Sequence[ActionPolicy] = ()
    outbox: Mapping[str, tuple[int, datetime | None]] | None = None
    notes: State | None = None
    book_version: str = ""
    refused: bool = False
    dry_run: bool = False
