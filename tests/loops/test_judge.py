"""The judge on a stopped clock: what a judgement may conclude from the moment at which it read the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from alertd.core.judgement.restored import NOTE
from alertd.core.pricing.fx import Rates
from alertd.core.pricing.prices import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.loops.judge import Judge, Terms
from alertd.stores.memory import MemoryStore
from tests.fakes import StoppedClock


class CaughtUpMeanwhile(MemoryStore):
    """A source catches up just after the judge has read the ledger."""

    behind = frozenset({"gateway"})

    async def memory(self) -> Mapping[str, tuple[Any, int]]:
        self.behind = frozenset()
        return await super().memory()


async def test_a_restored_database_stays_quiet_until_a_judgement_has_the_spend_since_the_backup_in_its_ledger() -> None:
    store, clock = CaughtUpMeanwhile(), StoppedClock()
    await store.commit_decisions([], [], {NOTE: (datetime(2026, 3, 1, tzinfo=UTC).isoformat(), 0)})
    terms = Terms([], PriceBook(()), exchange_of(Rates()), {}, catching_up=lambda: store.behind)
    judge = Judge(store, clock, terms, lambda: None)
    await judge.tick()
    assert NOTE in await store.memory(), "what it judged was read before the source had caught up"
    await judge.tick()
    assert NOTE not in await store.memory()
