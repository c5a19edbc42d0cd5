"""What was judged, in SQL: alerts, their messages and the judge's notes are written together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from alertd.core.buckets import instant, micros
from alertd.core.events import Event
from alertd.ports import AlertRow, NewMessage
from alertd.stores.outbox import insert
from alertd.stores.transaction import Transaction


class Taken(Exception):  # noqa: N818  no fault: it undoes the transaction of a writer that came second
    """A key or a revision that another replica took first."""


def alerts(tx: Transaction, since: datetime) -> list[AlertRow]:
    """The alerts announced at or after `since`, oldest first."""
    rows = tx.rows("SELECT alert_key, at, event, state FROM alert WHERE at >= ? ORDER BY at, alert_key", micros(since))
    return [AlertRow(key, instant(at), Event.from_json(msgspec.json.decode(event)), state)
            for key, at, event, state in rows]  # fmt: skip


def notes(tx: Transaction) -> dict[str, tuple[Any, int]]:
    """The judge's notes with their revisions."""
    rows = tx.rows("SELECT name, value, revision FROM note")
    return {name: (msgspec.json.decode(value), revision) for name, value, revision in rows}


def commit_decisions(
    tx: Transaction,
    new_alerts: Sequence[AlertRow],
    messages: Sequence[NewMessage],
    changed: Mapping[str, tuple[Any, int]],
) -> None:
    """Write all of it, or raise Taken: an alert's key, a message's key or a note's revision was another's.

    Two writers take turns, so that messages of one conversation become visible in the order of their ids.
    """
    tx.run("UPDATE turn SET number = number + 1 WHERE name = 'decisions'")
    for alert in new_alerts:
        if not tx.run(
            "INSERT INTO alert (alert_key, at, event, state) VALUES (?, ?, ?, ?) ON CONFLICT (alert_key) DO NOTHING",
            alert.key, micros(alert.at), _text(alert.event.to_json()), alert.state,
        ):  # fmt: skip
            raise Taken
    for message in messages:
        if not insert(tx, message, message.events[0].at):
            raise Taken
    for name, (value, revision) in changed.items():
        if not _write_note(tx, name, value, revision):
            raise Taken


def _write_note(tx: Transaction, name: str, value: Any, revision: int) -> bool:
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


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
