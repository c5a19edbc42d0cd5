"""The series of the ledger in SQL: the labels of usage, stored once under a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache, partial
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from alertd.core.counting.buckets import Identity, counted_identity
from alertd.core.usage import Labels, Line
from alertd.ports import SeriesRow
from alertd.stores.transaction import Transaction, Upsert

if TYPE_CHECKING:
    from alertd.core.counting.columns import Increments, LedgerSeries


class SeriesIds(NamedTuple):
    """The ids of series by digest: all that were committed up to the newest among them, and deleted up to an epoch."""

    epoch: int = 0
    ids: Mapping[str, int] = {}


#: Series written by one statement: all of a first reading would be 150 MB of text.
_AT_ONCE: Final = 4096
_COLUMNS: Final = ("digest", "source", "provider", "model", "meter", "modifiers", "account", "labels", "billed")
_INSERT: Final = Upsert("series", tuple((name, "text") for name in _COLUMNS), "ON CONFLICT (digest) DO NOTHING")
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_MODIFIERS: Final = msgspec.json.Decoder(tuple[tuple[str, str], ...])
_LABELS: Final = msgspec.json.Decoder(dict[str, str])


def digest_of(source: str, line: Line, labels: Labels | tuple[tuple[str, str], ...], billed: str = "") -> str:
    """The digest that identifies a series; the order of labels does not matter."""
    named = labels if type(labels) is dict else dict(labels)
    return blake2b(_encode((source, line, named, billed)), digest_size=16).hexdigest()


class SeriesNumbers:
    """The ids of the ledger series that a source's table numbers: a digest of each is slow, and made once."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[LedgerSeries, tuple[int, str, Any]] = WeakKeyDictionary()

    def ids(self, tx: Transaction, known: SeriesIds, source: str, given: Increments) -> tuple[Any, SeriesIds]:
        """The ids by number, 0 of those that no increment names; and all that are known, as `identify` says."""
        np = import_module("numpy")
        table = given.series
        epoch, whose, ids = self._known.get(table, (known.epoch, source, None))
        grown = np.zeros(len(table.known), np.int64)
        if ids is not None and (epoch, whose) == (known.epoch, source):
            grown[: len(ids)] = ids
        missing = np.unique(given.numbers[grown[given.numbers] == 0]).tolist()
        found, fresh = known, []
        for part in (missing[place : place + _AT_ONCE] for place in range(0, len(missing), _AT_ONCE)):
            named = {number: counted_identity(source, *table.known[number]) for number in part}
            digests = {number: digest_of(*one) for number, one in named.items()}
            identities = {digests[number]: one for number, one in named.items()}
            found = identify(tx, found, identities.keys(), identities.__getitem__)
            grown[part] = [found.ids[digest] for digest in digests.values()]
            fresh += [number for number, digest in digests.items() if digest not in known.ids]
        # Only what was committed before is remembered: what this transaction writes may be undone.
        kept = grown.copy()
        kept[fresh] = 0
        self._known[table] = known.epoch, source, kept
        return grown, found


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
    """The known ids, empty if series were deleted since they were read."""
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
    """The newer of two states of knowledge: the later epoch, then the higher id."""
    return max(one, other, key=lambda known: (known.epoch, len(known.ids)))


def _row(digest: str, of: Identity) -> tuple[str, ...]:
    line = of.line
    modifiers, labels = _encode(line.modifiers).decode(), _encode(dict(of.labels)).decode()
    return (digest, of.source, line.provider, line.model, line.meter, modifiers, line.account, labels, of.billed)
