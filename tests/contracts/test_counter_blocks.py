"""The states of counters in blocks: each as it was put, others as they were; a damaged block is named."""

from __future__ import annotations

import pytest

from alertd.core.counting.falls import Fall
from alertd.core.counting.samples import CounterState
from alertd.ports import StoreDamagedError
from alertd.stores.sql import SqlStore
from tests.databases import Place

FIRST = {
    "plain": CounterState(1.5, 5),
    "known": CounterState(2.0, 2**63 - 1, 1.25, 7, None, "ab" * 12, ""),
    "fell": CounterState(3.0, 8, None, 0, Fall(2.5, 3.0, low=4, peak=9, mixed=True, doubt="why"), "", "heir"),
    "naïve\u2028": CounterState(0.0, 0),
}
MANY = {f"series {n}": CounterState(4.0, n, 0.5 * n) for n in range(5000)}


async def test_what_was_put_last_is_what_is_read_and_what_is_forgotten_is_gone(place: Place) -> None:
    async with place.open() as store:
        for put, forgotten in (FIRST, ()), (MANY, ("fell",)), ({"plain": CounterState(9.0, 6)}, ("series 7", "none")):
            assert await store.commit_counters(await store.source("gateway"), (), put, forgotten)
        expected = {**FIRST, **MANY, "plain": CounterState(9.0, 6)}
        assert await store.counter_states("gateway") == {
            name: one for name, one in expected.items() if name not in {"fell", "series 7"}
        }
        assert await store.counter_states("other") == {}


@pytest.mark.parametrize("which", [0, 1])
async def test_a_damaged_block_is_named_with_its_source(durable: Place, which: int) -> None:
    async with durable.open() as store:
        assert isinstance(store, SqlStore)
        await store.commit_counters(await store.source("gateway"), (), {"a": CounterState(1, 5)})
        rows = await store.database.read(lambda tx: tx.rows("SELECT part, states FROM counter_block ORDER BY part"))
        part, block = rows[which][0], bytes(rows[which][1])
        torn = block[:-1] + bytes([block[-1] ^ 1])
        await store.database.write(lambda tx: tx.run("UPDATE counter_block SET states = ? WHERE part = ?", torn, part))
        with pytest.raises(StoreDamagedError, match="the counters of gateway are damaged"):
            await store.counter_states("gateway")
