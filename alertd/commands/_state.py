"""How a command reads and changes what the daemon remembers: through the database, whether it runs or not."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from alertd.core.budgets import Budget, Scope, scope_text
from alertd.core.evaluation.state import Record, State, Table
from alertd.core.faults import Fault, SettingsError, one_of
from alertd.core.messages.spans import command, text_of
from alertd.core.usage import SeriesRow
from alertd.ports import Store, StoreError
from alertd.stores.volume import unmounted

if TYPE_CHECKING:
    from alertd.app import App
    from alertd.settings import Settings

Answer = TypeVar("Answer")
#: How many scopes are named where a command asks which one is meant.
_NAMED = 6


def with_store(settings: Settings, work: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """What `work` answers, with the store open and nothing else: no source, no notifier.

    Raises SettingsError where the database does not answer: with its place, as for any other fault.
    """

    async def opened() -> Answer:
        # Only here, as below: `--help` opens nothing.
        store: Store = import_module("alertd.registry").store(settings.database)
        await store.open()
        try:
            return await work(store)
        finally:
            await store.close()

    return _run(opened)


def build_app(settings: Settings, load: Callable[[], Settings], **more: Callable[..., None]) -> App:
    """The daemon with all its components, nothing opened or running.

    It is imported here only: what opens the store alone, and every `--help`, does not wait for what the daemon imports.
    """
    app: App = import_module("alertd.app").App(settings, load, **more)
    return app


def with_app(settings: Settings, work: Callable[[App], Awaitable[Answer]]) -> Answer:
    """What `work` answers, with all components built, the store open and nothing running. Raises SettingsError."""

    async def opened() -> Answer:
        app = build_app(settings, lambda: settings)
        await app.store.open()
        try:
            return await work(app)
        finally:
            await app.parts.close()
            await app.store.close()

    return _run(opened)


def _run(opened: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    try:
        return asyncio.run(opened())
    except StoreError as error:
        raise unanswered(error) from error


def unanswered(error: StoreError) -> SettingsError:
    """A database that does not answer, as a fault: its text is `place: problem; remedy` already."""
    place, _, said = str(error).partition(": ")
    problem, _, remedy = said.partition("; ")
    return refusal(place, problem, remedy)


async def change_record(
    store: Store, table: Table[Record], key: str, change: Callable[[Record | None], Record | None]
) -> Record | None:
    """Replace one record by what `change` makes of it (None: there is none); the new one. Tried again on a race."""
    while True:
        state = State.of(await store.memory())
        after = change(table.get(state, key))
        if await store.commit_decisions([], [], state.revised(table.put(after, key))):
            return after


async def change_note(app: App, name: str, change: Callable[[Any], Any]) -> Any:
    """Replace one record by its name, as JSON; the new value. Tried again on a race."""
    while True:
        value, revision = (await app.store.memory()).get(name, (None, 0))
        after = change(value)
        if await app.store.commit_decisions([], [], {name: (after, revision)}):
            return after


def refusal(place: str, problem: str, remedy: str) -> SettingsError:
    """A wrong word on the command line, shown like a fault of the configuration."""
    return SettingsError([Fault(place, problem, remedy)])


def who() -> str:
    """The name of whoever types, for the audit; a container may run under a number that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def budget_of(settings: Settings, name: str) -> Budget:
    """The budget of a name as people write it. Raises SettingsError with the known ones."""
    found = settings.budgets.get(name.strip().lower().replace("-", "_")) or settings.budgets.get(name)
    if found is None:
        raise refusal(name, "no such budget", one_of(name, settings.budgets))
    return found


def find_scope(budget: Budget, words: Sequence[str], series: Sequence[SeriesRow]) -> Scope:
    """The scope that `--scope team=a --scope key=b` (or `team=a,key=b`) names, else the only known one that has them.

    An empty value is usage without the label. Blanks around a value are left out unless the scope has them. Raises
    SettingsError with the known scopes where none or several are meant.
    """
    given, known = _given(budget, words), known_scopes(budget, series)
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


def _given(budget: Budget, words: Sequence[str]) -> dict[str, str]:
    """The values by label, as they were typed. Raises SettingsError for a label that the budget has not."""
    given: dict[str, str] = {}
    labels = [word.partition("=")[0].strip() for word in words]
    # A label each, as messages print it: then a comma is part of a value.
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
    """The scopes of a budget's table and of the usage that it covers, sorted."""
    rows = [tuple(value or None for value in values) for values in budget.table]
    for one in series:
        labels = one.all_labels()
        if budget.where.matches(labels):
            rows.append(tuple(labels.get(label) for label in budget.per))
    found: set[Scope] = {tuple(zip(budget.per, values, strict=True)) for values in rows}
    return sorted(found, key=scope_text)


def _pairs(word: str, per: Sequence[str]) -> list[str]:
    """`team=a,key=b` as its pairs where each part names a label of the budget, else the word as it is."""
    parts = word.split(",")
    split = len(parts) > 1 and all(part.partition("=")[0].strip() in per and "=" in part for part in parts)
    return parts if split else [word]


def database_warning(settings: Settings) -> str | None:
    """What to say where a container's database would be gone with it."""
    if (folder := unmounted(settings.database)) is None:
        return None
    return f"{folder} is not on a volume: what alertd remembers is gone with this container; mount one there"
