"""The results of an evaluation in SQL: alerts, messages and state are written in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import msgspec

from alertd.core.counting.buckets import instant, micros
from alertd.core.events import Event
from alertd.ports import AlertRow, NewMessage, Step
from alertd.stores.outbox import insert
from alertd.stores.transaction import Transaction, Upsert

#: The most actions in one statement: both databases accept this many values.
_AT_ONCE: Final = 500
_EVALUATION: Final = Upsert(
    "evaluation",
    (("name", "text"), ("budget", "text"), ("at", "bigint"), ("record", "text")),
    "ON CONFLICT (name) DO UPDATE SET budget = excluded.budget, at = excluded.at, record = excluded.record",
)


class WrittenFirst(Exception):  # noqa: N818  no fault: it undoes the transaction of a writer that came second
    """Another replica wrote this key or revision first."""


def alerts(tx: Transaction, since: datetime) -> list[AlertRow]:
    """The alerts announced at or after `since`, oldest first."""
    rows = tx.rows("SELECT alert_key, at, event, state FROM alert WHERE at >= ? ORDER BY at, alert_key", micros(since))
    return [AlertRow(key, instant(at), Event.from_json(msgspec.json.decode(event)), state)
            for key, at, event, state in rows]  # fmt: skip


def announced_keys(tx: Transaction) -> dict[str, datetime]:
    """The key of every alert that was ever announced, and when: the events, which are long, stay where they are."""
    return {key: instant(at) for key, at in tx.rows("SELECT alert_key, at FROM alert")}


def notes(tx: Transaction) -> dict[str, tuple[Any, int]]:
    """The evaluation's notes with their revisions."""
    rows = tx.rows("SELECT name, value, revision FROM note")
    return {name: (msgspec.json.decode(value), revision) for name, value, revision in rows}


def commit_decisions(
    tx: Transaction,
    new_alerts: Sequence[AlertRow],
    messages: Sequence[NewMessage],
    changed: Mapping[str, tuple[object, int]],
    steps: Sequence[Step] = (),
) -> None:
    """Write everything, or raise Taken if another replica wrote a key, a revision or a step first.

    Two writers take turns, so that messages of one conversation become visible in the order of their ids.
    """
    tx.run("UPDATE turn SET number = number + 1 WHERE name = 'decisions'")
    for alert in new_alerts:
        if not tx.run(
            "INSERT INTO alert (alert_key, at, event, state) VALUES (?, ?, ?, ?) ON CONFLICT (alert_key) DO NOTHING",
            alert.key, micros(alert.at), _text(alert.event.to_json()), alert.state,
        ):  # fmt: skip
            raise WrittenFirst
    for message in messages:
        if not insert(tx, message, message.events[0].at):
            raise WrittenFirst
    for name, (value, revision) in changed.items():
        if not _write_note(tx, name, value, revision):
            raise WrittenFirst
    for step in steps:
        if not tx.run(
            "INSERT INTO audit (act, number, at, what, state, who, reason, request, evidence)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (act, number) DO NOTHING",
            step.act, step.number, micros(step.at), step.what, step.state, step.by, step.reason, step.request,
            _text(dict(step.evidence)),
        ):  # fmt: skip
            raise WrittenFirst


def record_evaluation(
    tx: Transaction, at: datetime, records: Mapping[str, tuple[str, str]], names: Collection[str]
) -> None:
    """Replace these records, and take away those of statuses that are not among `names` any more."""
    known = {name for (name,) in tx.rows("SELECT name FROM evaluation")}
    for name in known.difference(names):
        tx.run("DELETE FROM evaluation WHERE name = ?", name)
    moment = micros(at)
    tx.upsert(_EVALUATION, [(name, budget, moment, text) for name, (budget, text) in sorted(records.items())])


def evaluation(tx: Transaction, budget: str | None) -> dict[str, tuple[str, datetime]]:
    """The records of a budget, or of all, by status name, and when they were written."""
    columns = "SELECT name, record, at FROM evaluation"
    rows = tx.rows(columns) if budget is None else tx.rows(f"{columns} WHERE budget = ?", budget)
    return {name: (record, instant(at)) for name, record, at in rows}


def audit(tx: Transaction, acts: Collection[str] | None) -> list[Step]:
    """The steps of these acts (or of all, for None), as they were written."""
    named = sorted(set(acts or ()))
    rows = _steps(tx) if acts is None else []
    for place in range(0, len(named), _AT_ONCE):
        rows += _steps(tx, named[place : place + _AT_ONCE])
    rows.sort(key=itemgetter(0))
    return [Step(name, number, instant(at), what, state, who, reason, request, msgspec.json.decode(evidence))
            for _, name, number, at, what, state, who, reason, request, evidence in rows]  # fmt: skip


def _steps(tx: Transaction, acts: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    only = f"WHERE act IN ({', '.join('?' * len(acts))})" if acts else ""
    columns = "id, act, number, at, what, state, who, reason, request, evidence"
    return tx.rows(f"SELECT {columns} FROM audit {only}", *acts)  # noqa: S608  its own names, and places


def _write_note(tx: Transaction, name: str, value: object, revision: int) -> bool:
    if value is None:
        gone = tx.run("DELETE FROM note WHERE name = ? AND revision = ?", name, revision) == 1
        return gone or (revision == 0 and not tx.rows("SELECT 1 FROM note WHERE name = ?", name))
    if revision == 0:
        return tx.run(
            "INSERT INTO note (name, value, revision) VALUES (?, ?, 1) ON CONFLICT (name) DO NOTHING",
            name, _text(value),
        ) == 1  # fmt: skip
    return tx.run(
        "UPDATE note SET value = ?, revision = revision + 1 WHERE name = ? AND revision = ?",
        _text(value), name, revision,
    ) == 1  # fmt: skip


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
