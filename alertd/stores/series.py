"""The series of the ledger in SQL: what usage is attributed by, written once and known by a short number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from alertd.core.counting.buckets import Identity, counted_identity
from alertd.core.counting.counters import Increment
from alertd.core.usage import Labels, Line
from alertd.ports import SeriesRow
from alertd.stores.transaction import Transaction, Upsert


class SeriesIds(NamedTuple):
    """The ids of series by digest: all that were committed up to the newest among them, and deleted up to an epoch."""

    epoch: int = 0
    ids: Mapping[str, int] = {}


#: Sets of labels that are known by identity; a source that makes new ones in every reading fills it for nothing.
_MOST_OBJECTS: Final = 200_000
_COLUMNS: Final = ("digest", "source", "provider", "model", "meter", "modifiers", "account", "labels", "billed")
_INSERT: Final = Upsert("series", tuple((name, "text") for name in _COLUMNS), "ON CONFLICT (digest) DO NOTHING")
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_MODIFIERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


def digest_of(source: str, line: Line, labels: Labels | tuple[tuple[str, str], ...], billed: str = "") -> str:
    """What a series is found by: the same for the same labels in any order."""
    named = labels if type(labels) is dict else dict(labels)
    return blake2b(_encode((source, line, named, billed)), digest_size=16).hexdigest()


class SeriesObjects:
    """Ids by the very objects that a source hands out for a series in every reading: a digest costs more than a row.

    It holds what it knows, so that no other object can have the same identity.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._lines: dict[int, Line] = {}
        self._known: dict[int, tuple[Labels, str, dict[int, int]]] = {}

    def turn_to(self, epoch: int) -> None:
        """Forget what was known before series were deleted, or where it has become too much."""
        if epoch != self._epoch or len(self._known) > _MOST_OBJECTS:
            self._epoch = epoch
            self._known.clear()
            self._lines.clear()

    def ids_of(self, source: str, increments: Sequence[Increment]) -> list[int]:
        """The ids of increments' series; 0 where the objects are not known."""
        lines, known = self._lines, self._known
        none: tuple[Labels, str, dict[int, int]] = {}, "", {}
        ids: list[int] = []
        for line, labels, _, _, _ in increments:
            of, whose, numbers = known.get(id(labels), none)
            familiar = of is labels and whose == source and lines.get(id(line)) is line
            ids.append(numbers.get(id(line), 0) if familiar else 0)
        return ids

    def keep(self, source: str, line: Line, labels: Labels, number: int) -> None:
        """Know a series, and forget what another source hands out as the same objects."""
        if self._lines.setdefault(id(line), line) is not line:
            return
        found = self._known.get(id(labels))
        if found is None or found[1] != source:
            found = self._known[id(labels)] = labels, source, {}
        found[2][id(line)] = number


def known_digests(
    objects: SeriesObjects, known: SeriesIds, source: str, increments: Sequence[Increment]
) -> tuple[list[int], dict[str, list[int]]]:
    """The ids of increments' series, 0 where one is not committed; the digests of these, with their places."""
    unknown: dict[str, list[int]] = {}
    objects.turn_to(known.epoch)
    ids = objects.ids_of(source, increments)
    for place in [place for place, number in enumerate(ids) if not number]:
        line, labels = increments[place].line, increments[place].labels
        digest = digest_of(*counted_identity(source, line, labels))
        number = ids[place] = known.ids.get(digest, 0)
        if number:
            objects.keep(source, line, labels, number)
        else:
            unknown.setdefault(digest, []).append(place)
    return ids, unknown


def series(tx: Transaction, after: int) -> list[SeriesRow]:
    """The series with an id above `after`, in the order in which they appeared."""
    rows = tx.rows(
        "SELECT id, source, provider, model, meter, modifiers, account, labels, billed FROM series"
        " WHERE id > ? ORDER BY id",
        after,
    )
    shared: dict[str, str] = {}
    modifiers = lru_cache(maxsize=None)(_MODIFIERS.decode)
    labelled = lru_cache(maxsize=None)(partial(_labels, shared))

    def same(text: str) -> str:
        return shared.setdefault(text, text)

    return [
        SeriesRow(
            number,
            same(source),
            same(provider),
            same(model),
            same(meter),
            modifiers(kind),
            same(account),
            labelled(labels),
            same(billed),
        )
        for number, source, provider, model, meter, kind, account, labels, billed in rows
    ]


def _labels(shared: dict[str, str], text: str) -> Labels:
    """Series of one key have the same labels: one dictionary serves them all, and one text each value."""
    return {shared.setdefault(n, n): shared.setdefault(v, v) for n, v in _LABELS.decode(text).items()}


def current(tx: Transaction, known: SeriesIds) -> SeriesIds:
    """What is still so of what was known: nothing, where series were deleted since."""
    epochs = tx.rows("SELECT number FROM turn WHERE name = 'series'")
    epoch = epochs[0][0] if epochs else 0
    return known if epoch == known.epoch else SeriesIds(epoch)


def identify(
    tx: Transaction, known: SeriesIds, wanted: AbstractSet[str], identity_of: Callable[[str], Identity]
) -> SeriesIds:
    """The ids with those of the digests that were not known, written where nobody did.

    The ledger's turn is held: ids appear in order, and none goes away meanwhile. What was known before series were
    deleted is learnt anew.
    """
    epoch, ids = current(tx, known)
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
