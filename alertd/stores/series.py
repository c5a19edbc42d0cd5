"""The series of the ledger in SQL: what usage is attributed by, written once and known by a short number."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from alertd.core.counting.buckets import Identity
from alertd.core.usage import Labels, Line
from alertd.ports import SeriesRow
from alertd.stores.transaction import Transaction, Upsert

#: The ids of series by digest: all that were committed up to the newest among them.
SeriesIds = dict[str, int]

_COLUMNS: Final = ("digest", "source", "provider", "model", "meter", "modifiers", "account", "labels", "billed")
_INSERT: Final = Upsert("series", tuple((name, "text") for name in _COLUMNS), "ON CONFLICT (digest) DO NOTHING")
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_MODIFIERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


def digest_of(source: str, line: Line, labels: Labels | tuple[tuple[str, str], ...], billed: str = "") -> str:
    """What a series is found by: the same for the same labels in any order."""
    named = labels if type(labels) is dict else dict(labels)
    return blake2b(_encode((source, line, named, billed)), digest_size=16).hexdigest()


def series(tx: Transaction, after: int) -> list[SeriesRow]:
    """The series with an id above `after`, in the order in which they appeared."""
    rows = tx.rows(
        "SELECT id, source, provider, model, meter, modifiers, account, labels, billed FROM series"
        " WHERE id > ? ORDER BY id",
        after,
    )
    return [
        SeriesRow(
            number, source, provider, model, meter, _MODIFIERS.decode(kind), account, _LABELS.decode(labels), billed
        )
        for number, source, provider, model, meter, kind, account, labels, billed in rows
    ]


def identify(tx: Transaction, known: SeriesIds, wanted: Mapping[str, Identity]) -> SeriesIds:
    """The ids that are not known, written where nobody did. The ledger's turn is held, so ids appear in order."""
    missing = wanted.keys() - known.keys()
    if not missing:
        return {}
    newest = max(known.values(), default=0)
    fresh: SeriesIds = dict(tx.rows("SELECT digest, id FROM series WHERE id > ?", newest))
    unseen = sorted(missing - fresh.keys())
    if unseen:
        tx.upsert(_INSERT, [_row(digest, wanted[digest]) for digest in unseen])
        fresh = dict(tx.rows("SELECT digest, id FROM series WHERE id > ?", newest))
    return fresh


def _row(digest: str, of: Identity) -> tuple[str, ...]:
    line = of.line
    modifiers, labels = _encode(line.modifiers).decode(), _encode(dict(of.labels)).decode()
    return (digest, of.source, line.provider, line.model, line.meter, modifiers, line.account, labels, of.billed)
