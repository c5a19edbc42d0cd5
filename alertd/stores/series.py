"""The series of the ledger in SQL: what usage is attributed by, written once and known by a short number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from alertd.core.counting.buckets import Identity
from alertd.core.usage import Labels, Line
from alertd.ports import SeriesRow
from alertd.stores.transaction import Transaction, Upsert


class SeriesIds(NamedTuple):
    """The ids of series by digest: all that were committed up to the newest among them, and deleted up to an epoch."""

    epoch: int = 0
    ids: Mapping[str, int] = {}


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


def identify(
    tx: Transaction, known: SeriesIds, wanted: AbstractSet[str], identity_of: Callable[[str], Identity]
) -> SeriesIds:
    """The ids with those of the digests that were not known, written where nobody did.

    The ledger's turn is held: ids appear in order, and none goes away meanwhile. What was known before series were
    deleted is learnt anew.
    """
    epochs = tx.rows("SELECT number FROM turn WHERE name = 'series'")
    epoch = epochs[0][0] if epochs else 0
    ids = known.ids if epoch == known.epoch else {}
    missing = wanted - ids.keys()
    if not missing:
        return SeriesIds(epoch, ids)
    newest = max(ids.values(), default=0)
    fresh = dict(tx.rows("SELECT digest, id FROM series WHERE id > ?", newest))
    unseen = sorted(missing - fresh.keys())
    if unseen:
        tx.upsert(_INSERT, [_row(digest, identity_of(digest)) for digest in unseen])
        fresh = dict(tx.rows("SELECT digest, id FROM series WHERE id > ?", newest))
    return SeriesIds(epoch, {**ids, **fresh})


def newer(one: SeriesIds, other: SeriesIds) -> SeriesIds:
    """What two transactions learnt: of the later epoch, the one that knows more (ids appear in order)."""
    return max(one, other, key=lambda known: (known.epoch, len(known.ids)))


def _row(digest: str, of: Identity) -> tuple[str, ...]:
    line = of.line
    modifiers, labels = _encode(line.modifiers).decode(), _encode(dict(of.labels)).decode()
    return (digest, of.source, line.provider, line.model, line.meter, modifiers, line.account, labels, of.billed)
