"""The first summary and every alert wait for the whole of a back-fill: no figure of half a ledger is announced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from alertd.core.evaluation.values import Alert
from alertd.core.money import Money
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import BilledCost
from alertd.loops.collect import Collect
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import Look, Reading, SourceError
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import NOVEMBER, budget

NOW = NOVEMBER + timedelta(days=27)
DAY = timedelta(days=1)


class Paged:
    """A bill of a dollar a day for 27 days, read a day at a time; it may fail before one of them, once."""

    interval, delay, stale_after = timedelta(hours=1), DAY, DAY
    standing = SourceRole("auto", "bill")

    def __init__(self, name: str, fails_at: int | None) -> None:
        self.name, self.fails_at = name, fails_at

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        for day in range(int(cursor or 0), 27):
            if day == self.fails_at:
                self.fails_at = None
                raise SourceError(f"{self.name}: it answers 503")
            start = NOVEMBER + day * DAY
            cost = BilledCost("acme", start, start + DAY, Money(Decimal(1), "USD"), {}, "", self.name)
            yield Reading(str(day + 1), min(start + DAY, now), records=(cost,), window=(start, start + DAY),
                          progress=(day + 1) / 27, complete_from=NOVEMBER)  # fmt: skip

    async def look(self, now: datetime) -> Look:
        return Look("a fake")

    async def close(self) -> None: ...


class Watched(MemoryStore):
    """Evaluates after every reading that is committed, as the loops do beside one another."""

    evaluator: Evaluate
    announced: list[Alert]

    async def commit_records(self, row: object, reading: Reading) -> bool:
        taken = await super().commit_records(row, reading)  # type: ignore[arg-type]
        await self.evaluate()
        return taken

    async def evaluate(self) -> None:
        await self.evaluator.tick()
        assert self.evaluator.latest is not None
        self.announced += self.evaluator.latest.alerts


@pytest.mark.parametrize("fails_at", [None, 0, 1, 14], ids=["answers", "down at first", "fails early", "fails late"])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another source"])
async def test_a_budget_is_first_seen_with_all_of_its_period(fails_at: int | None, others: int) -> None:
    store, clock = Watched(), StoppedClock(NOW)
    sources = {name: Paged(name, fails_at if name == "bill" else None) for name in ("bill", "other")[: others + 1]}
    collects = {name: Collect(source, store, clock, lambda _: NOVEMBER) for name, source in sources.items()}
    terms = EvaluationConfig(
        [budget("all", "20 USD"), budget("own", "20 USD", where={"source": "bill"})],
        PriceBook(()), exchange_of(Rates()),
        {}, sources=sources,
        catching_up=lambda: frozenset(name for name, one in collects.items() if one.catching_up),
        failing=lambda: frozenset(name for name, one in collects.items() if one.failing),
    )  # fmt: skip
    store.evaluator, store.announced = Evaluate(store, clock, terms, lambda: None), []
    await store.evaluate()
    for name in reversed(sources):
        if sources[name].fails_at is not None:
            with pytest.raises(SourceError):
                await collects[name].tick()
        await collects[name].tick()
    await store.evaluate()
    whole = {"all": Decimal(27 * len(sources)), "own": Decimal(27)}
    about = [alert.event for alert in store.announced if alert.event.budget]
    assert {event.budget for event in about if event.kind == "summary"} == {"all", "own"}
    assert [event for event in about if event.spent != whole[event.budget]] == []
