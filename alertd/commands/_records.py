"""The recorded evaluation, for commands: what the daemon saw, computed and decided last."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Final

from alertd.commands._state import with_app
from alertd.core.evaluation.record import StatusRecord, decode_records
from alertd.core.evaluation.state import RAISED, State

if TYPE_CHECKING:
    from alertd.app import App
    from alertd.ports import Store
    from alertd.settings import Settings

#: A record that is older than this, and than two poll intervals, is of a daemon that does not run.
_CURRENT: Final = timedelta(minutes=2)


async def recorded(store: Store, settings: Settings, budget: str | None = None) -> list[StatusRecord]:
    """The records of a budget, or of all that are configured, the worst first."""
    found = await store.evaluation(budget)
    records = [one for name, (text, _) in found.items() if name in settings.budgets for one in decode_records(text)]
    return sorted(records, key=lambda one: (one.rank, one.name))


async def is_current(store: Store, settings: Settings, records: list[StatusRecord], budget: str | None = None) -> bool:
    """Whether the records speak for the present: young, of every budget asked for, and no amount raised since."""
    now = datetime.now(UTC)
    wanted = set(settings.budgets) if budget is None else {budget}
    if wanted != {one.answer["budget"] for one in records}:
        return False
    oldest = min(one.at for one in records)
    if now - oldest > max(_CURRENT, 2 * settings.poll_interval):
        return False
    return all(raised.at <= oldest for _, raised in RAISED.items(State.of(await store.memory())))


def evaluate_now(settings: Settings) -> list[StatusRecord]:
    """The records of an evaluation of this moment, from the database alone; nothing is written."""
    return with_app(settings, evaluate_with)


async def evaluate_with(app: App) -> list[StatusRecord]:
    """As `evaluate_now`, with components that are there."""
    facts, decisions = await app.judge.preview()
    records: list[StatusRecord] = import_module("alertd.web.recorded").record_evaluation(facts, decisions)
    return records


def say(words: str) -> None:
    """A remark beside the answer."""
    print(words, file=sys.stderr)
