"""The states of counters in blocks of PART counters: a poll writes those that hold what moved, not a row each.

    part 2n        names, kin, starts, and the few states that hold more: written where any of these changed
    part 2n + 1    time and value of each, as columns: written by every poll in which one of them moved

Each is compressed, with a checksum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

from alertd.core.counting.falls import Fall
from alertd.core.counting.samples import CounterState
from alertd.core.ledger.sealed import seal, unseal
from alertd.ports import StoreDamagedError
from alertd.stores.transaction import Transaction, Upsert

if TYPE_CHECKING:
    from alertd.core.counting.state_columns import StateColumns

PART: Final = 4096
_BLOCK: Final = Upsert(
    "counter_block",
    (("source", "text"), ("part", "bigint"), ("states", "bytea")),
    "ON CONFLICT (source, part) DO UPDATE SET states = excluded.states",
)
_NAMES: Final = msgspec.msgpack.Decoder(tuple[list[str], list[str], bytes, dict[int, Fall], dict[int, CounterState]])
_encode: Final = msgspec.msgpack.Encoder().encode
_LEVEL: Final = 1


def counter_states(tx: Transaction, source: str) -> Mapping[str, CounterState]:
    """The state of each raw series of a source. Raises StoreDamagedError for a block that is not as it was written."""
    return _read(tx, source)


def put(tx: Transaction, source: str, states: Mapping[str, CounterState], forgotten: Collection[str] = ()) -> None:
    """Keep these states, and those of other series as they are but for the `forgotten`, which are deleted."""
    if not (states or forgotten):
        return
    np: Any = import_module("numpy")  # most commands need none, and it takes longer to load than they take
    columns = import_module("alertd.core.counting.state_columns")
    if isinstance(states, columns.ChangedStates):
        whole, rows, moved = states.whole, states.rows, states.moved
    else:
        whole = _read(tx, source)
        rows, moved = whole.update(states), np.empty(0, np.int64)
    if forgotten:
        whole = whole.without(forgotten)
        rows = np.arange(len(whole))
        tx.run("DELETE FROM counter_block WHERE source = ?", source)
    named, timed = (np.unique(np.asarray(one, np.int64) // PART).tolist() for one in (rows, np.union1d(rows, moved)))
    blocks = [(source, 2 * part, seal(_encode(whole.named(part * PART, PART)), _LEVEL)) for part in named]
    blocks += [(source, 2 * part + 1, seal(whole.timed(part * PART, PART), _LEVEL)) for part in timed]
    tx.upsert(_BLOCK, blocks)


def _read(tx: Transaction, source: str) -> StateColumns:
    columns = import_module("alertd.core.counting.state_columns")
    found: StateColumns = columns.StateColumns()
    rows = tx.rows("SELECT part, states FROM counter_block WHERE source = ? ORDER BY part", source)
    try:
        blocks = {part: unseal(bytes(block)) for part, block in rows}
        for part in sorted(part for part in blocks if not part % 2):
            found.append(columns.Named._make(_NAMES.decode(blocks[part])), blocks[part + 1])
    except (ValueError, KeyError, msgspec.MsgspecError) as error:
        raise StoreDamagedError(f"{tx.place}: the counters of {source} are damaged: {error}", source) from error
    return found
