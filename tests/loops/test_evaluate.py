"""The evaluation on a stopped clock: what an evaluation may conclude from the moment at which it read the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from alertd.core.counting.samples import Increment
from alertd.core.evaluation.health import caught_up
from alertd.core.evaluation.state import RESTORED, State
from alertd.core.evaluation.values import SourceView
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import Line
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import SeriesRow, StoreError, UsageRow
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import budget

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class CaughtUpMeanwhile(MemoryStore):
    """A source catches up just after the evaluation has read the ledger."""

    behind = frozenset({"gateway"})

    async def memory(self) -> Mapping[str, tuple[Any, int]]:
        self.behind = frozenset()
        return await super().memory()


async def test_a_restored_database_stays_quiet_until_an_evaluation_has_the_spend_since_the_backup_in_its_ledger() -> (
    None
):
    store, clock = CaughtUpMeanwhile(), StoppedClock()
    await store.commit_decisions([], [], {RESTORED.prefix: (datetime(2026, 3, 1, tzinfo=UTC).isoformat(), 0)})
    terms = EvaluationConfig([], PriceBook(()), exchange_of(Rates()), {}, catching_up=lambda: store.behind)
    evaluation = Evaluate(store, clock, terms, lambda: None)
    await evaluation.tick()
    assert RESTORED.prefix in await store.memory(), "what it evaluated was read before the source had caught up"
    await evaluation.tick()
    assert RESTORED.prefix not in await store.memory()


class NewSeriesMeanwhile(MemoryStore):
    """A new series is committed just after the evaluation has asked which there are."""

    async def series(self, after: int = 0) -> list[SeriesRow]:
        found = await super().series(after)
        if not self._series:
            start = int(NOW.timestamp()) - 3600
            increments = [Increment(Line("acme", "plain", "input"), {"team": "new"}, start, 300, 7)]
            row = replace(await self.source("gateway"), until=NOW)
            assert await self.commit_counters(row, increments, {})
        return found


async def test_usage_of_a_series_that_appears_while_the_ledger_is_read_is_in_the_next_evaluation() -> None:
    book = PriceBook(())
    terms = EvaluationConfig((), book, exchange_of(Rates()), {})
    evaluation = Evaluate(NewSeriesMeanwhile(), StoppedClock(NOW), terms, lambda: None)
    for _ in range(2):
        await evaluation.tick()
    assert [row.labels["team"] for row in evaluation.ledger.series] == ["new"]
    assert evaluation.ledger.sum_between(0, 0, NOW.timestamp()) == 7


class AwayMeanwhile(MemoryStore):
    """The database is away for a moment, just after it has told what changed."""

    breaks = False
    read = False

    async def usage(self, *asked: Any) -> tuple[list[UsageRow], int]:
        found = await super().usage(*asked)
        self.read = bool(found[0])
        return found

    async def series(self, after: int = 0) -> list[SeriesRow]:
        if self.breaks and self.read:
            self.breaks = False
            raise StoreError("it is away")
        return await super().series(after)


async def test_usage_that_was_read_just_before_the_database_went_away_is_in_the_next_evaluation() -> None:
    store = AwayMeanwhile()
    evaluation = Evaluate(
        store, StoppedClock(NOW), EvaluationConfig((), PriceBook(()), exchange_of(Rates()), {}), lambda: None
    )
    line, start = Line("acme", "plain", "input"), int(NOW.timestamp()) - 3600
    for count in (1, 2):
        increments = [Increment(line, {"team": "a"}, start + 300 * count, 300, 7)]
        assert await store.commit_counters(await store.source("gateway"), increments, {})
        await evaluation.tick() if count == 1 else None
    store.breaks, store.read = True, False
    with pytest.raises(StoreError):
        await evaluation.tick()
    await evaluation.tick()
    assert evaluation.ledger.sum_between(0, 0, NOW.timestamp()) == 14


@pytest.mark.parametrize(
    ("keep", "period", "first_kept"),
    [
        (timedelta(days=400), "month", date(2025, 10, 17)),
        (timedelta(days=7), "month", date(2026, 7, 21)),
        (timedelta(days=7), "year", date(2024, 12, 30)),
    ],
    ids=["as long as it says", "what a forecast learns from", "the period before the current"],
)
def test_nothing_is_deleted_that_an_evaluation_reads(keep: timedelta, period: str, first_kept: date) -> None:
    terms = EvaluationConfig((budget(period=PeriodRule(period, UTC)),), PriceBook(()), exchange_of(Rates()), {})
    evaluation = Evaluate(MemoryStore(), StoppedClock(NOW), terms, lambda: None)
    before = evaluation.obsolete_before(NOW, keep)
    assert before.date() == first_kept
    assert before <= evaluation.reach(NOW)


@pytest.mark.parametrize(
    ("notes", "behind", "error", "over"),
    [
        ({}, [], "", False),
        ({RESTORED.prefix: NOW.isoformat()}, [], "", True),
        ({RESTORED.prefix: NOW.isoformat()}, ["gateway"], "", False),
        ({RESTORED.prefix: NOW.isoformat()}, ["gateway"], "it answers 503", True),
        ({RESTORED.prefix: NOW.isoformat()}, ["gone"], "", False),
    ],
)
def test_after_a_restore_only_a_source_that_fails_is_not_waited_for(notes, behind, error, over):
    views = {"gateway": SourceView("gateway", None, timedelta(minutes=15), error=error)}
    assert caught_up(State(notes), behind, views) is over
