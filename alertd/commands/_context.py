"""What commands share: the database, the daemon's components, the recorded evaluation, and how errors are printed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from alertd.core.budgets import Budget, Scope, scope_text
from alertd.core.config_errors import Fault, SettingsError, one_of
from alertd.core.evaluation.state import RAISED, STORED_BUDGETS, AlertLifecycle, State, StatusRecord, decode_record
from alertd.core.messages.rich_text import command, text_of
from alertd.core.usage import SeriesRow
from alertd.operations.values import OperationError
from alertd.ports import Step, Store, StoreError
from alertd.stores.urls import unmounted

if TYPE_CHECKING:
    from alertd.daemon import Daemon
    from alertd.operations.changes import Operations
    from alertd.settings import Settings
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape

from alertd.core.messages.format import used_of
from alertd.terminal import printable

if TYPE_CHECKING:
    from alertd.daemon import Daemon
    from alertd.ports import Store
    from alertd.settings import Settings

Answer = TypeVar("Answer")
#: How many scopes are named where a command asks which one is meant.
_NAMED = 6


def with_store(settings: Settings, work: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """Call `work` with the open store, without sources and notifiers, and return its result.

    SettingsError, with its place, if the database does not answer.
    """

    async def opened() -> Answer:
        # Imported here, so that `--help` starts fast.
        store: Store = import_module("alertd.registry").store(settings.database)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return _run(opened)


def build_daemon(settings: Settings, load: Callable[[], Settings], **more: Callable[..., None]) -> Daemon:
    """The daemon with all its components, nothing opened or running.

    Imported here, so that `--help` and commands that only open the store start fast.
    """
    daemon: Daemon = import_module("alertd.daemon").Daemon(settings, load, **more)
    return daemon


def with_daemon(settings: Settings, work: Callable[[Daemon], Awaitable[Answer]]) -> Answer:
    """Call `work` with all components built, the store open and nothing running, and return its result.

    SettingsError.
    """

    async def opened() -> Answer:
        daemon = build_daemon(settings, lambda: settings)
        await daemon.store.open()
        try:
            return await work(daemon)
        finally:
            await daemon.components.close()
            await daemon.store.close()

    return _run(opened)


def _run(opened: Callable[[], Coroutine[object, object, Answer]]) -> Answer:
    try:
        return asyncio.run(opened())
    except StoreError as error:
        raise unanswered(error) from error


def unanswered(error: StoreError) -> SettingsError:
    """A database that does not answer, as a fault; the error's text already is `place: problem; remedy`."""
    place, _, said = str(error).partition(": ")
    problem, _, remedy = said.partition("; ")
    return refusal(place, problem, remedy)


def operations_of(store: Store, settings: Settings) -> Operations:
    """Operations directly on the database, with or without a running daemon."""

    async def write(_: object, steps: Sequence[Step], notes: Mapping[str, tuple[Any, int]]) -> bool:
        return await store.commit_decisions([], [], notes, steps)

    # Imported here, so that `--help` starts fast.
    made: Operations = import_module("alertd.operations.changes").Operations(
        store, _UtcClock(), write, budgets=lambda: settings.budgets
    )
    return made


class _UtcClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def refused(place: str, error: OperationError) -> SettingsError:
    """An operation that was refused, printed like a fault of the configuration."""
    return refusal(place, error.problem, error.remedy)


def refusal(place: str, problem: str, remedy: str) -> SettingsError:
    """A wrong argument of the command line, printed like a fault of the configuration."""
    return SettingsError([Fault(place, problem, remedy)])


def budget_of(settings: Settings, name: str) -> Budget:
    """The budget with a name as people write it. SettingsError lists the known ones."""
    found = settings.budgets.get(name.strip().lower().replace("-", "_")) or settings.budgets.get(name)
    if found is None:
        raise refusal(name, "no such budget", one_of(name, settings.budgets))
    return found


def find_scope(budget: Budget, words: Sequence[str], series: Sequence[SeriesRow]) -> Scope:
    """The scope that `--scope team=a --scope key=b` (or `team=a,key=b`) names, or the only known scope that fits.

    An empty value means usage without the label. Blanks around a value are removed unless the scope has them.
    SettingsError lists the known scopes if none or several match.
    """
    given, known = given_labels(budget, words), known_scopes(budget, series)
    if set(given) == set(budget.per):
        exact = tuple((label, given[label] or None) for label in budget.per)
        return exact if exact in known else tuple((label, given[label].strip() or None) for label in budget.per)
    meant = [
        scope
        for scope in known
        if all((dict(scope)[label] or "") in (value, value.strip()) for label, value in given.items())
    ]
    if len(meant) == 1:
        return meant[0]
    some = [_printed(scope) for scope in meant[:_NAMED]]
    more = f" and {len(meant) - _NAMED} more" if len(meant) > _NAMED else ""
    wanted = " ".join(f"--scope {name}=..." for name in budget.per)
    remedy = f"give one of: {'; '.join(some)}{more}" if some else f"give {wanted}"
    raise refusal("--scope", f"{budget.name} has one budget per {' and '.join(budget.per)}", remedy)


def _printed(scope: Scope) -> str:
    return text_of(command([word for name, value in scope for word in ("--scope", f"{name}={value or ''}")]))


def given_labels(budget: Budget, words: Sequence[str]) -> dict[str, str]:
    """The values by label, as they were typed. SettingsError for a label that the budget does not have."""
    given: dict[str, str] = {}
    labels = [word.partition("=")[0].strip() for word in words]
    # One label per option, as messages print it: then a comma is part of the value.
    pairs = list(words) if set(labels) == set(budget.per) and len(labels) == len(budget.per) else [
        pair for word in words for pair in _pairs(word, budget.per)
    ]  # fmt: skip
    for pair in pairs:
        label, equals, value = pair.partition("=")
        if not equals or label.strip() not in budget.per:
            wanted = " ".join(f"--scope {name}=..." for name in budget.per) or "no --scope"
            problem = f"{budget.name} has one budget per {' and '.join(budget.per)}" if budget.per else (
                f"{budget.name} is one budget, without scopes"
            )  # fmt: skip
            raise refusal("--scope", problem, f"give {wanted}")
        given[label.strip()] = value
    return given


def known_scopes(budget: Budget, series: Sequence[SeriesRow]) -> list[Scope]:
    """The scopes of a budget, from its table and from its usage, sorted."""
    rows = [tuple(value or None for value in values) for values in budget.table]
    for one in series:
        labels = one.all_labels()
        if budget.where.matches(labels):
            rows.append(tuple(labels.get(label) for label in budget.per))
    found: set[Scope] = {tuple(zip(budget.per, values, strict=True)) for values in rows}
    return sorted(found, key=scope_text)


def _pairs(word: str, per: Sequence[str]) -> list[str]:
    """Split `team=a,key=b` if each part names a label of the budget; otherwise keep the text."""
    parts = word.split(",")
    split = len(parts) > 1 and all(part.partition("=")[0].strip() in per and "=" in part for part in parts)
    return parts if split else [word]


def database_warning(settings: Settings) -> str | None:
    """A warning if the database would be deleted with the container; otherwise ""."""
    if (folder := unmounted(settings.database)) is None:
        return None
    return f"{folder} is not on a volume: the database will be deleted with this container; mount a volume there"


#: Where the newest record is older than this, and than two poll intervals, no daemon runs.
_CURRENT: Final = timedelta(minutes=2)
#: What has not changed is recorded again after this at most, unless there are tens of thousands of budget statuses.
_IN_TURN: Final = timedelta(minutes=15)


async def recorded(store: Store, settings: Settings, budget: str | None = None) -> list[StatusRecord]:
    """The records of one budget, or of all configured budgets, the worst first."""
    found = await store.evaluation(budget)
    records = [decode_record(text) for text, _ in found.values()]
    names = await _names(store, settings)
    known = (one for one in records if one.answer["budget"] in names)
    return sorted(known, key=lambda one: (one.rank, one.name))


async def _names(store: Store, settings: Settings) -> set[str]:
    """The budgets of the configuration, and those in the database."""
    return {*settings.budgets, *(name for name, _ in STORED_BUDGETS.items(State.of(await store.memory())))}


async def is_current(store: Store, settings: Settings, records: list[StatusRecord], budget: str | None = None) -> bool:
    """Whether the records are current: recent, complete for the requested budgets, and no amount was raised since."""
    now = datetime.now(UTC)
    wanted = await _names(store, settings) if budget is None else {budget}
    if wanted != {one.answer["budget"] for one in records}:
        return False
    oldest, newest = min(one.at for one in records), max(one.at for one in records)
    interval = 2 * settings.poll_interval
    if now - newest > max(_CURRENT, interval) or now - oldest > max(_IN_TURN, interval):
        return False
    return all(raised.at <= oldest for _, raised in RAISED.items(State.of(await store.memory())))


def evaluate_now(settings: Settings) -> list[StatusRecord]:
    """Evaluate now from the database alone and return the records; writes nothing."""
    return with_daemon(settings, evaluate_with)


async def evaluate_with(daemon: Daemon) -> list[StatusRecord]:
    """As `evaluate_now`, with existing components."""
    facts, decisions = await daemon.evaluation.preview()
    records: list[StatusRecord] = import_module("alertd.web.answers").record_evaluation(facts, decisions)
    return records


def show_record(
    console: Console,
    record: StatusRecord,
    lifecycles: Mapping[str, AlertLifecycle] | None = None,
    *,
    preview: bool = False,
) -> None:
    """Print a record: the spend, every threshold with its figures and reason, and the history of its alerts.

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
        announced = f"; announced {one.announced_at:%Y-%m-%d %H:%M} UTC" if one.announced_at else ""
        announced = "; would be announced now" if preview and one.announced_at == record.at else announced
        console.print(f"  {mark}  {escape(printable(f'{one.threshold}: {one.because}{announced}'))}", soft_wrap=True)
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
    """Print a remark to standard error."""
    print(words, file=sys.stderr)
