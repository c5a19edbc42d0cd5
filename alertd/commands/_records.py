"""The recorded evaluation, for commands: what the daemon saw, computed and decided last."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape

from alertd.commands._state import with_app
from alertd.core.evaluation.record import StatusRecord, decode_records
from alertd.core.evaluation.state import RAISED, AlertLifecycle, State
from alertd.core.messages.figures import used_of
from alertd.terminal import printable

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
    facts, decisions = await app.evaluation.preview()
    records: list[StatusRecord] = import_module("alertd.web.recorded").record_evaluation(facts, decisions)
    return records


def show_record(
    console: Console,
    record: StatusRecord,
    lifecycles: Mapping[str, AlertLifecycle] | None = None,
    *,
    preview: bool = False,
) -> None:
    """Print a record: what is used, every threshold with its figures and what holds it back, its alerts' history.

    `preview`: nothing of it was announced.
    """

    def line(text: str) -> None:
        console.print(printable(text), markup=False, soft_wrap=True)

    answer = record.answer
    unit, at_least = str(answer["currency"]), answer["spent_at_least"]
    used = "no data yet" if at_least is None else used_of(Decimal(str(at_least)), Decimal(str(answer["amount"])), unit)
    console.print(f"[bold]{escape(printable(record.name))}[/bold]: used {used}", soft_wrap=True)
    until = answer["data_until"] or "never"
    line(f"  evaluated {record.at:%Y-%m-%d %H:%M:%S} UTC, data until {until}, prices {record.price_version}")
    for one in record.thresholds:
        mark = "[bold red]firing[/bold red]    " if one.firing else "not firing"
        told = f"; announced {one.announced_at:%Y-%m-%d %H:%M} UTC" if one.announced_at else ""
        told = "; would be announced now" if preview and one.announced_at == record.at else told
        console.print(f"  {mark}  {escape(printable(f'{one.threshold}: {one.because}{told}'))}", soft_wrap=True)
        for held in one.held:
            line(f"              {held}")
    for note in record.notes:
        line(f"  note        {note}")
    for identity, lifecycle in (lifecycles or {}).items():
        line(f"  alert {identity[:6]} {lifecycle.key}: {lifecycle.state}")
        for step in lifecycle.history:
            why = f": {step.reason}" if step.reason else ""
            line(f"    {step.at:%Y-%m-%d %H:%M} {step.what} by {step.by}{why}")


def say(words: str) -> None:
    """A remark beside the answer."""
    print(words, file=sys.stderr)
