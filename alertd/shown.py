"""What pages, metrics and probes show of the loops: their rounds, the queues of messages, the last evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from alertd.loops.collect import Collect
from alertd.loops.deliver import Deliver
from alertd.loops.evaluate import Evaluate
from alertd.loops.runner import Rounds, Runner
from alertd.timetable import Timetable
from alertd.web.view import BudgetStatuses, Lane, Loop

#: The name of the round that reads a source begins so.
COLLECT: Final = "collect "
#: A loop that has not ended a round for five intervals, and at least this, is stuck.
_STUCK_AFTER: Final = timedelta(minutes=10)
#: One round of a source that still reads the past may take so long.
_BACKFILL: Final = timedelta(hours=6)


def loops_of(runner: Runner, timetable: Timetable, collects: Mapping[str, Collect]) -> list[Loop]:
    """Every loop that has run a round, by name."""
    return [_loop(name, seen, timetable, collects) for name, seen in sorted(runner.rounds.items())]


def lanes_of(deliver: Deliver) -> list[Lane]:
    """Every notifier's way out, by name."""
    return [
        Lane(
            notifier=name,
            delivered=lane.totals.delivered,
            retried=lane.totals.retried,
            given_up=lane.totals.given_up,
            overtaken=lane.totals.overtaken,
            failures=lane.failures,
            durations=lane.durations,
            last_error=lane.last_error,
        )
        for name, lane in sorted(deliver.lanes.items())
    ]


def budget_statuses_of(evaluation: Evaluate) -> BudgetStatuses:
    """Where everything stood at the last evaluation; nothing before the first."""
    latest = evaluation.latest
    return (
        BudgetStatuses()
        if latest is None
        else BudgetStatuses(evaluation.evaluated_at, latest.positions, evaluation.views)
    )


def _loop(name: str, seen: Rounds, timetable: Timetable, collects: Mapping[str, Collect]) -> Loop:
    pace = timetable.pace_of(name)
    source = name.removeprefix(COLLECT) if name.startswith(COLLECT) else ""
    collect = collects.get(source)
    catching_up = collect is not None and collect.catching_up
    return Loop(
        name=name,
        allowed=None if pace is None else max(pace * 5, _BACKFILL if catching_up else _STUCK_AFTER),
        runs=seen.runs,
        skipped=seen.skipped,
        failures=seen.failures,
        durations=seen.durations,
        last_seconds=seen.last_seconds,
        last_end=datetime.fromtimestamp(seen.last_end, UTC) if seen.last_end else None,
        last_error=seen.last_error,
        reasons=seen.reasons,
        source=source,
    )
