"""The outbox in SQL: messages are leased for sending, in the order of their conversation, critical ones first.

A fence refuses a process that records too late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from alertd.core.counting.buckets import instant, micros
from alertd.core.delivery import OVERTAKE, is_critical
from alertd.core.events import Event
from alertd.ports import Delivery, NewMessage, OutboxRow, Receipt, SentMessage
from alertd.stores.transaction import Transaction

#: Delivered messages are kept for this time, to answer "was this sent?"; the alert itself is kept for good.
KEEP_DELIVERED: Final = timedelta(days=35)
#: What was given up, and what a conversation remembers, outlive a yearly budget.
KEEP_REST: Final = timedelta(days=400)
#: Until when a row is leased, from an instant and the lengths of `_lengths`.
_LEASE: Final = "? + CASE WHEN critical = 1 THEN ? ELSE ? END"
#: No try is put off for longer, in microseconds.
_LONGEST: Final = 2 * 3600 * 10**6


def insert(tx: Transaction, message: NewMessage, at: datetime) -> bool:
    """Write a message to be sent from `at` on; False where its key was written for this notifier before."""
    events = msgspec.json.encode([event.to_json() for event in message.events]).decode()
    return tx.run(
        "INSERT INTO outbox (message_key, notifier, conversation, events, created, not_before, critical)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (message_key, notifier) DO NOTHING",
        message.key, message.notifier, message.conversation, events, micros(at),
        0 if message.not_before is None else micros(message.not_before), int(is_critical(message.events)),
    ) == 1  # fmt: skip


def release(tx: Transaction) -> int:
    """End every lease: the messages are due and uncertain. Returns how many."""
    return tx.run("UPDATE outbox SET lease_until = 0 WHERE state = 'leased' AND done_at IS NULL")


def claim(
    tx: Transaction,
    now: datetime,
    lease: timedelta,
    notifiers: Sequence[str],
    limit: int,
    *,
    critical_only: bool = False,
) -> list[OutboxRow]:
    """Lease what is due for these notifiers: what is critical, then the oldest; `Store.claim` gives the order.

    A row whose lease ran out is due again and uncertain: the previous holder may have sent it. So is one whose lease or
    next try is further away than either can be: the clock was set back since.
    """
    if not notifiers:
        return []
    at, places = micros(now), ", ".join("?" * len(notifiers))
    due = tx.rows(
        "SELECT id FROM outbox AS waiting WHERE done_at IS NULL"  # noqa: S608  question marks only
        f" AND notifier IN ({places}) AND (not_before <= ? OR (attempts > 0 AND not_before > ?))"
        " AND (lease_until IS NULL OR lease_until <= ? OR lease_until > ?) AND critical >= ?"
        # In a CASE, so that rows are looked at in order, by the index, until there are enough: no join of all with all.
        " AND CASE WHEN EXISTS (SELECT 1 FROM outbox AS other WHERE other.notifier = waiting.notifier"
        " AND other.conversation = waiting.conversation AND other.done_at IS NULL AND CASE WHEN waiting.critical = 0"
        " THEN (other.id < waiting.id OR other.critical = 1) AND (other.attempts > 0 OR other.not_before <= ?)"
        " ELSE other.id < waiting.id AND ((other.critical = 1 AND other.attempts = 0 AND other.not_before <= ?)"
        " OR (other.lease_until > ? AND other.first_tried > ? AND other.first_tried <= ?)) END) THEN 0 ELSE 1 END = 1"
        f" ORDER BY critical DESC, id LIMIT ? {tx.skip_locked}",
        *notifiers, at, at + _LONGEST, at, at + 2 * micros_of(lease), int(critical_only), at,
        at, at, at - micros_of(OVERTAKE), at, limit,
    )  # fmt: skip
    if not due:
        return []
    claimed = tx.rows(
        "UPDATE outbox SET uncertain = CASE WHEN lease_until IS NULL THEN uncertain ELSE 1 END,"  # noqa: S608  as above
        f" state = 'leased', lease_until = {_LEASE}, fence = fence + 1, attempts = attempts + 1,"
        f" first_tried = COALESCE(first_tried, ?) WHERE id IN ({', '.join('?' * len(due))})"
        " RETURNING id, fence, message_key, notifier, conversation, events, attempts, uncertain, created, lease_until,"
        " first_tried,"
        " (SELECT memory FROM conversation AS known"
        " WHERE known.notifier = outbox.notifier AND known.conversation = outbox.conversation)",
        at, *_lengths(lease), at, *(number for (number,) in due),
    )  # fmt: skip
    return sorted((_row(found) for found in claimed), key=lambda row: (not row.is_critical, row.id))


def renew(tx: Transaction, row: OutboxRow, now: datetime, lease: timedelta) -> datetime | None:
    """Extend the lease of a row; its new end, or None if another holds the row or it is done."""
    found = tx.rows(
        f"UPDATE outbox SET lease_until = {_LEASE} WHERE id = ? AND fence = ? AND done_at IS NULL"  # noqa: S608  a constant
        " RETURNING lease_until",
        micros(now), *_lengths(lease), row.id, row.fence,
    )  # fmt: skip
    return instant(found[0][0]) if found else None


def delivered(tx: Transaction, row: OutboxRow, at: datetime, receipt: Receipt) -> bool:
    """Mark a message as delivered, and store what the receiver wants remembered for the conversation."""
    if not _finish(tx, row, at, "delivered", receipt.said):
        return False
    if receipt.memory:
        memory = {**row.delivery.memory, **receipt.memory}
        tx.run(
            "INSERT INTO conversation (notifier, conversation, memory, at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (notifier, conversation) DO UPDATE SET memory = excluded.memory, at = excluded.at",
            row.delivery.notifier, row.delivery.conversation, msgspec.json.encode(memory).decode(), micros(at),
        )  # fmt: skip
    return True


def retry_later(tx: Transaction, row: OutboxRow, at: datetime, reason: str, *, uncertain: bool) -> bool:
    """Try again from `at` on. What was uncertain once stays so: the earlier try may still have arrived."""
    return tx.run(
        "UPDATE outbox SET state = 'waiting', lease_until = NULL, not_before = ?, reason = ?,"
        " uncertain = CASE WHEN ? = 1 THEN 1 ELSE uncertain END WHERE id = ? AND fence = ? AND done_at IS NULL",
        micros(at), reason, int(uncertain), row.id, row.fence,
    ) == 1  # fmt: skip


def give_up(tx: Transaction, row: OutboxRow, at: datetime, reason: str, fallback: NewMessage | None) -> bool:
    """Mark a message as given up, and write the fallback's message in the same transaction."""
    if not _finish(tx, row, at, "given up", reason):
        return False
    if fallback is not None:
        insert(tx, fallback, at)
    return True


def depth(tx: Transaction) -> dict[str, tuple[int, datetime | None]]:
    """The number of waiting messages and when the oldest was created, by notifier."""
    rows = tx.rows("SELECT notifier, count(*), min(created) FROM outbox WHERE done_at IS NULL GROUP BY notifier")
    return {notifier: (count, instant(oldest)) for notifier, count, oldest in rows}


class _EventId(msgspec.Struct):
    id: str


def messages(tx: Transaction, begin: datetime, end: datetime) -> list[SentMessage]:
    """The results of messages that were written in an interval, the oldest first."""
    rows = tx.rows(
        "SELECT notifier, events, created, state, attempts, done_at, not_before, reason FROM outbox"
        " WHERE created BETWEEN ? AND ? ORDER BY id",
        micros(begin), micros(end),
    )  # fmt: skip
    found = []
    for notifier, events, created, state, attempts, done, later, reason in rows:
        alerts = tuple(one.id for one in msgspec.json.decode(events, type=list[_EventId]))
        ended = None if done is None else instant(done)
        again = instant(later) if ended is None and later else None
        words = "waiting" if state == "leased" else state
        found.append(SentMessage(notifier, alerts, instant(created), words, attempts, ended, again, reason))
    return found


def conversations(tx: Transaction, notifier: str) -> dict[str, dict[str, str]]:
    """The stored values of each conversation of one notifier."""
    rows = tx.rows("SELECT conversation, memory FROM conversation WHERE notifier = ?", notifier)
    return {conversation: msgspec.json.decode(memory) for conversation, memory in rows}


def remember(
    tx: Transaction,
    notifier: str,
    conversation: str,
    *,
    before: Mapping[str, str],
    after: Mapping[str, str],
    at: datetime,
) -> bool:
    """Replace a conversation's values; False if they are no longer `before`."""
    old, new = (msgspec.json.encode(dict(memory)).decode() for memory in (before, after))
    return tx.run(
        "UPDATE conversation SET memory = ?, at = ? WHERE notifier = ? AND conversation = ? AND memory = ?",
        new, micros(at), notifier, conversation, old,
    ) == 1  # fmt: skip


def prune(tx: Transaction, now: datetime) -> int:
    """Delete old delivered messages and expired sessions; the number of rows. Alerts and usage stay."""
    gone = tx.run("DELETE FROM outbox WHERE state = 'delivered' AND done_at < ?", micros(now - KEEP_DELIVERED))
    gone += tx.run("DELETE FROM outbox WHERE done_at < ?", micros(now - KEEP_REST))
    gone += tx.run("DELETE FROM ended_session WHERE until < ?", micros(now))
    return gone + tx.run("DELETE FROM conversation WHERE at < ?", micros(now - KEEP_REST))


def _lengths(lease: timedelta) -> tuple[int, int]:
    """How long a critical row is leased, and any other: another replica takes the critical one over sooner."""
    return micros_of(lease) // 2, micros_of(lease)


def micros_of(length: timedelta) -> int:
    """A length of time in whole microseconds."""
    return length // timedelta(microseconds=1)


def _finish(tx: Transaction, row: OutboxRow, at: datetime, state: str, reason: str) -> bool:
    return tx.run(
        "UPDATE outbox SET state = ?, reason = ?, done_at = ?, lease_until = NULL"
        " WHERE id = ? AND fence = ? AND done_at IS NULL",
        state, reason, micros(at), row.id, row.fence,
    ) == 1  # fmt: skip


def _row(found: tuple[Any, ...]) -> OutboxRow:
    number, fence, key, notifier, conversation, events, attempts, uncertain, created, lease, tried, memory = found
    decoded = tuple(Event.from_json(event) for event in msgspec.json.decode(events))
    remembered = {} if memory is None else msgspec.json.decode(memory)
    delivery = Delivery(key, notifier, conversation, decoded, attempts, bool(uncertain), remembered)
    return OutboxRow(number, fence, delivery, instant(created), instant(lease), instant(tried))
