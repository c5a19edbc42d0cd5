"""How a command reads and changes what the daemon remembers: through the database, whether it runs or not."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from alertd.app import App
from alertd.core.budgets import Budget, Scope
from alertd.core.faults import Fault, SettingsError, one_of
from alertd.ports import StoreError
from alertd.settings import Settings, canonical

Answer = TypeVar("Answer")


def with_app(settings: Settings, work: Callable[[App], Awaitable[Answer]]) -> Answer:
    """What `work` answers, with the store open and nothing running.

    Raises SettingsError where the database does not answer: its place is told like that of any other fault.
    """

    async def opened() -> Answer:
        app = App(settings, lambda: settings)
        await app.store.open()
        try:
            return await work(app)
        finally:
            await app.parts.close()
            await app.store.close()

    try:
        return asyncio.run(opened())
    except StoreError as error:
        raise unanswered(error) from error


def unanswered(error: StoreError) -> SettingsError:
    """A database that does not answer, as a fault: its text is `place: problem; remedy` already."""
    place, _, said = str(error).partition(": ")
    problem, _, remedy = said.partition("; ")
    return refusal(place, problem, remedy)


async def change_note(app: App, name: str, change: Callable[[Any], Any]) -> Any:
    """Replace one note by what `change` makes of it (None: there was none); the new value. Tried again on a race."""
    while True:
        value, revision = (await app.store.memory()).get(name, (None, 0))
        after = change(value)
        if await app.store.commit_decisions([], [], {name: (after, revision)}):
            return after


def refusal(place: str, problem: str, remedy: str) -> SettingsError:
    """A wrong word on the command line, told like a fault of the configuration."""
    return SettingsError([Fault(place, problem, remedy)])


def who() -> str:
    """The name of whoever types, for the audit; a container may run under a number that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def budget_of(settings: Settings, name: str) -> Budget:
    """The budget of a name as people write it. Raises SettingsError with the known ones."""
    found = settings.budgets.get(canonical(name))
    if found is None:
        raise refusal(name, "no such budget", one_of(name, settings.budgets))
    return found


def scope_of(budget: Budget, words: list[str]) -> Scope:
    """The scope that `--scope team=a` names. Raises SettingsError where a label is missing or not among `per`."""
    given = dict(word.partition("=")[::2] for word in words)
    if set(given) != set(budget.per):
        wanted = " ".join(f"--scope {label}=..." for label in budget.per) or "no --scope"
        raise refusal(
            "--scope", f"{budget.name} is told apart by {', '.join(budget.per) or 'nothing'}", f"give {wanted}"
        )
    return tuple((label, given[label] or None) for label in budget.per)
