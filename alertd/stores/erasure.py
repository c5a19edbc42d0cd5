"""One person's label value, counted and replaced wherever the database has it: usage, alerts, messages, notes.

The value becomes a random pseudonym that nobody can lead back: sums stay, and what was announced stays announced. The
audit of actions only grows: what it says stays, and that something was erased is added to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import msgspec

from alertd.core.actions.state_machine import AUDITED
from alertd.core.budgets import scope_text
from alertd.core.counting.buckets import micros
from alertd.core.evaluation.keys import scope_key
from alertd.core.evaluation.state import ERASED, Erasure
from alertd.core.usage import Line
from alertd.stores.series import digest_of
from alertd.stores.transaction import Transaction
from alertd.stores.usage_blocks import blocks, take_turn

#: What a pseudonym begins with.
PSEUDONYM: Final = "erased-"
#: Seconds: no bucket starts later than this after now.
_AHEAD: Final = 2 * 86_400
#: Shorter values are replaced only beside their label: in a sentence they may be any word.
_WORD: Final = 3
_PAIR: Final = 2
#: What has texts with the value: table, what its rows are found by, its texts, and which are JSON.
_TABLES: Final[Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]]] = (
    ("alert", ("alert_key",), ("alert_key", "event")),
    ("evaluation", ("name",), ("name", "record")),
    ("outbox", ("id",), ("conversation", "events", "reason")),
    ("conversation", ("notifier", "conversation"), ("conversation", "memory")),
    ("note", ("name",), ("name", "value")),
)
#: What people call what a table holds.
PLACES: Final = {
    "series": "series of usage",
    "alert": "alerts",
    "evaluation": "last evaluations",
    "outbox": "messages waiting or kept after sending",
    "conversation": "conversations with a channel",
    "note": "notes of the evaluation (thresholds, lifecycles, raised amounts, silences)",
    "audit": "entries of the audit",
}


class Eraser:
    """Replaces a label's value in JSON values, in keys and in sentences, and counts what it found."""

    def __init__(self, label: str, value: str, pseudonym: str, *, in_sentences: bool = True) -> None:
        """`in_sentences`: also as a word of its own inside any text."""
        self.label, self.value, self.pseudonym = label, value, pseudonym
        self.found = 0
        pairs = [_written(label, one) for one in (value, pseudonym)]
        self._keys = dict(zip(*pairs, strict=True))
        choice = "|".join(map(re.escape, sorted(self._keys, key=len, reverse=True)))
        self._key = re.compile(rf"(?:(?<=^)|(?<=[/,?&= ])|(?<=scope%3D))(?:{choice})(?=$|[/,&; ])")
        word = in_sentences and len(value) >= _WORD
        self._word = re.compile(rf"(?<![\w.@+-]){re.escape(value)}(?![\w@+-]|\.\w)") if word else None

    def text(self, text: str) -> str:
        """A key or a sentence without the value."""
        text, keys = self._key.subn(lambda match: self._keys[match[0]], text)
        words = 0
        if self._word is not None:
            text, words = self._word.subn(lambda _: self.pseudonym, text)
        self.found += keys + words
        return text

    def json(self, value: Any) -> Any:
        """A JSON value without it: beside its label in a map or a pair, and in every text."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            if len(value) == _PAIR and value == [self.label, self.value]:
                self.found += 1
                return [self.label, self.pseudonym]
            return [self.json(one) for one in value]
        if isinstance(value, dict):
            named = value.get("label") == self.label and value.get("value") == self.value
            return {self.text(name): self._own(name, one, named=named) for name, one in value.items()}
        return value

    def _own(self, name: str, value: Any, *, named: bool) -> Any:
        if (name == self.label and value == self.value) or (named and name == "value"):
            self.found += 1
            return self.pseudonym
        if name == self.label and isinstance(value, list) and self.value in value:
            self.found += 1
            return [self.pseudonym if one == self.value else self.json(one) for one in value]
        return self.json(value)

    def document(self, text: str) -> str:
        """A JSON text, or any other, without the value."""
        try:
            return msgspec.json.encode(self.json(msgspec.json.decode(text))).decode()
        except msgspec.DecodeError:
            return self.text(text)


def _written(label: str, value: str) -> tuple[str, ...]:
    """`label=value` as keys, pages and addresses write it."""
    scope = ((label, value),)
    text = scope_text(scope)
    return f"{label}={value}", text, scope_key(scope), quote(text, safe="="), quote(text, safe="")


def kept(tx: Transaction, label: str, value: str) -> dict[str, int]:
    """How many rows of each place have the value; nothing is changed."""
    eraser = Eraser(label, value, value, in_sentences=not _is_shared(tx, label, value))
    found = Counter({"series": sum(1 for _ in _series(tx, label, value))})
    for table, row, _, _ in _rows(tx, eraser):
        found[table] += bool(row)
    found["audit"] = len(_audited(tx, eraser))
    return {place: found[place] for place in PLACES}


def erase(tx: Transaction, erasure: Erasure, value: str) -> dict[str, int]:
    """Replace the value everywhere, and note that it happened, without the value; how many rows of each place."""
    label, pseudonym = erasure.label, erasure.pseudonym
    take_turn(tx)
    tx.run("UPDATE turn SET number = number + 1 WHERE name = 'decisions'")
    eraser = Eraser(label, value, pseudonym, in_sentences=not _is_shared(tx, label, value))
    found: Counter[str] = Counter()
    for number, line, source, labels, billed in list(_series(tx, label, value)):
        new = {**labels, label: pseudonym} if labels.get(label) == value else labels
        account = pseudonym if label == "account" and line.account == value else line.account
        digest = digest_of(source, replace(line, account=account), new, billed)
        text = msgspec.json.encode(dict(sorted(new.items()))).decode()
        tx.run("UPDATE series SET labels = ?, account = ?, digest = ? WHERE id = ?", text, account, digest, number)
        found["series"] += 1
    for table, changed, keys, where in list(_rows(tx, eraser)):
        if not changed:
            continue
        found[table] += 1
        put = ", ".join(f"{name} = ?" for name in changed)
        more = ", revision = revision + 1" if table == "note" else ""
        here = " AND ".join(f"{name} = ?" for name in keys)
        tx.run(f"UPDATE {table} SET {put}{more} WHERE {here}", *changed.values(), *where)  # noqa: S608 - own names
    found["audit"] = len(_audited(tx, eraser))
    _note(tx, erasure, found)
    return {place: found[place] for place in PLACES}


def values_of(tx: Transaction, label: str) -> dict[str, frozenset[int]]:
    """Every value of a label that is no pseudonym, with its series."""
    found: dict[str, set[int]] = {}
    for number, text, account in tx.rows("SELECT id, labels, account FROM series"):
        value = msgspec.json.decode(text, type=dict[str, str]).get(label) or (account if label == "account" else "")
        if value and not value.startswith(PSEUDONYM):
            found.setdefault(value, set()).add(number)
    return {value: frozenset(series) for value, series in found.items()}


def erase_idle(tx: Transaction, erasure: Erasure, value: str, since: int) -> bool:
    """Erase a value unless it was used in buckets that start at or after an instant; whether it was erased."""
    take_turn(tx)
    series = values_of(tx, erasure.label).get(value, frozenset())
    used = {number for (number,) in tx.rows("SELECT DISTINCT series FROM usage WHERE start >= ?", since)}
    for _, held in blocks(tx, since, micros(erasure.at) // 1_000_000 + _AHEAD):
        used.update(held.series[held.starts >= since].tolist())
    if series & used:
        return False
    erase(tx, erasure, value)
    return True


def _note(tx: Transaction, erasure: Erasure, found: Mapping[str, int]) -> None:
    """In the audit, and where a running daemon sees that it has to read anew; caches of series are dropped."""
    tx.run("INSERT INTO turn VALUES ('series', 0) ON CONFLICT (name) DO NOTHING")
    tx.run("UPDATE turn SET number = number + 1 WHERE name = 'series'")
    ((name, record),) = ERASED.put(erasure, erasure.pseudonym).items()
    text = msgspec.json.encode(record).decode()
    tx.run("INSERT INTO note (name, value, revision) VALUES (?, ?, 1)", name, text)
    known = {"label": erasure.label, "pseudonym": erasure.pseudonym, "rows": dict(found)}
    evidence = msgspec.json.encode(known).decode()
    tx.run(
        "INSERT INTO audit (act, number, at, what, state, who, reason, request, evidence)"
        " VALUES (?, 1, ?, 'erase', 'erased', ?, ?, '', ?)",
        f"{AUDITED}{erasure.pseudonym}", micros(erasure.at), erasure.by, erasure.reason, evidence,
    )  # fmt: skip


def _series(tx: Transaction, label: str, value: str) -> Iterator[tuple[int, Line, str, dict[str, str], str]]:
    """The series with the value, as (id, line, source, labels, billed)."""
    columns = "SELECT id, source, provider, model, meter, modifiers, account, labels, billed FROM series"
    for number, source, provider, model, meter, kind, account, text, billed in tx.rows(columns):
        labels = msgspec.json.decode(text, type=dict[str, str])
        if labels.get(label) == value or (label == "account" and account == value):
            modifiers = msgspec.json.decode(kind, type=tuple[tuple[str, str], ...])
            yield number, Line(provider, model, meter, modifiers, account), source, labels, billed


def _is_shared(tx: Transaction, label: str, value: str) -> bool:
    """Whether another label, or a model, has the same value: then sentences may mean that."""
    for labels, model, provider in tx.rows("SELECT DISTINCT labels, model, provider FROM series"):
        if value in (model, provider):
            return True
        named = msgspec.json.decode(labels, type=dict[str, str])
        if any(one == value and name != label for name, one in named.items()):
            return True
    return False


def _rows(tx: Transaction, eraser: Eraser) -> Iterator[tuple[str, dict[str, str], Sequence[str], Sequence[Any]]]:
    """Rows that name the value: table, the columns that change, and what finds the row."""
    for table, keys, texts in _TABLES:
        names = (*keys, *(one for one in texts if one not in keys))
        for row in tx.rows(f"SELECT {', '.join(names)} FROM {table} WHERE {_like(texts)}", *_likes(eraser, texts)):  # noqa: S608
            held = dict(zip(names, row, strict=True))
            before = eraser.found
            new = {name: eraser.document(held[name]) if held[name] else held[name] for name in texts}
            if eraser.found > before:
                yield table, new, keys, [held[name] for name in keys]


def _audited(tx: Transaction, eraser: Eraser) -> list[str]:
    """The acts of the audit that name the value."""
    texts = ("reason", "request", "evidence")
    rows = tx.rows(f"SELECT act, {', '.join(texts)} FROM audit WHERE {_like(texts)}", *_likes(eraser, texts))  # noqa: S608
    found = []
    for act, *held in rows:
        before = eraser.found
        for text in held:
            eraser.document(text or "")
        found += [act] if eraser.found > before else []
    return found


def _like(texts: Iterable[str]) -> str:
    return " OR ".join(f"{name} LIKE ? ESCAPE '!' OR {name} LIKE ? ESCAPE '!'" for name in texts)


def _likes(eraser: Eraser, texts: Sequence[str]) -> list[str]:
    """The value as JSON writes it, and as keys do, as patterns of LIKE."""
    written = (
        msgspec.json.encode(eraser.value).decode()[1:-1],
        scope_key(((eraser.label, eraser.value),)).partition("=")[2],
    )
    escaped = (one.replace("!", "!!").replace("%", "!%").replace("_", "!_") for one in written)
    return [f"%{one}%" for one in escaped] * len(texts)
