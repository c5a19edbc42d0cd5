"""A person's label value is erased everywhere, sums stay, nothing is announced anew; the audit has that it happened."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from alertd.core.budgets import Amount, Budget, parse_threshold
from alertd.core.counting.samples import Increment
from alertd.core.evaluation.routing import Receiver
from alertd.core.evaluation.state import RAISED, Erasure, RaisedAmount
from alertd.core.periods import PeriodRule
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import Line
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.loops.maintenance import Maintenance
from alertd.ports import Store
from alertd.stores import erasure, retention
from alertd.stores.sql import SqlStore
from tests.databases import Place
from tests.fakes import StoppedClock

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LINE = Line("acme", "plain", "input")
#: Hostile to keys, to LIKE and to JSON.
NAMES = ["ana@example.com", 'an/a,=%_!"\\b', "Jürgen Ж", "a"]


async def used(store: Store, user: str, quantity: int, at: datetime = NOW) -> None:
    start = int(at.timestamp()) // 300 * 300
    row = replace(await store.source("gateway"), until=NOW)
    assert await store.commit_counters(row, [Increment(LINE, {"user": user, "team": "t"}, start, 300, quantity)], {})


def evaluation(store: Store) -> Evaluate:
    """An evaluation of one token budget a user, that tells a chat."""
    thresholds = (parse_threshold("actual 80%"),)
    rule = PeriodRule("month", UTC)
    budget = Budget("users", Amount(Decimal(100), "tokens"), rule, per=("user",), thresholds=thresholds, listed=True)
    receiver = Receiver("chat", people=True, address=lambda _: "#all")
    source: Any = SimpleNamespace(name="gateway", stale_after=HOUR, delay=timedelta(0), interval=timedelta(minutes=1))
    terms = EvaluationConfig([budget], PriceBook(()), exchange_of(Rates()), {"chat": receiver}, {"gateway": source})
    return Evaluate(store, StoppedClock(NOW), terms, lambda: None)


async def everything(store: SqlStore) -> str:
    """All text of the database but the audit."""
    tables = ("series", "alert", "evaluation", "outbox", "conversation", "note")

    def read(tx):
        return [row for table in tables for row in tx.rows(f"SELECT * FROM {table}")]

    return str(await store.database.read(read))


async def erased(store: SqlStore, user: str, pseudonym: str = "erased-0011") -> dict[str, int]:
    record = Erasure(NOW, "officer", "user", pseudonym, "left")
    return await store.database.write(lambda tx: erasure.erase(tx, record, user))


@pytest.mark.parametrize("user", NAMES)
async def test_no_place_but_the_audit_has_the_name_and_sums_stay(durable: Place, user: str) -> None:
    async with durable.open() as store:
        for one, quantity in ((user, 10), ("bob", 20)):
            await used(store, one, quantity)
        first = evaluation(store)
        await first.tick()
        await used(store, user, 95)
        await used(store, "bob", 90)
        assert await first.tick() == 2
        name = (
            first.latest.statuses[0].name
            if user in str(first.latest.statuses[0].scope)
            else first.latest.statuses[1].name
        )
        notes = RAISED.put(RaisedAmount(Decimal(120), "tokens", "bob", NOW), name)
        assert await store.commit_decisions([], [], {key: (value, 0) for key, value in notes.items()})
        shown = await store.database.read(lambda tx: erasure.kept(tx, "user", user))
        assert shown["series"] == 1
        assert shown["alert"] >= 1
        changed = await erased(store, user)
        assert {place: changed[place] for place in ("series", "alert", "note", "outbox")} == {
            place: shown[place] for place in ("series", "alert", "note", "outbox")
        }
        text = await everything(store)
        if len(user) > 1:
            for written in (user, json.dumps(user)[1:-1], user.replace("%", "%25").replace("/", "%2F")):
                assert written not in text
        assert not sum((await store.database.read(lambda tx: erasure.kept(tx, "user", user))).values())
        assert {row.labels["user"] for row in await store.series()} == {"erased-0011", "bob"}
        (step,) = await store.audit(["operation/erased-0011"])
        assert (step.what, step.by, step.reason) == ("erase", "officer", "left")
        assert len(user) == 1 or user not in str(step)


async def test_a_running_evaluation_reads_anew_and_announces_nothing_again(durable: Place) -> None:
    async with durable.open() as store:
        await used(store, "ana", 10)
        running = evaluation(store)
        await running.tick()
        await used(store, "ana", 90)
        assert await running.tick() == 1
        await erased(store, "ana")
        assert await running.tick() == 0
        (status,) = running.latest.statuses
        assert (status.scope, status.spent) == ((("user", "erased-0011"),), 100)
        assert "ana" not in await everything(store)


async def test_usage_under_the_name_afterwards_is_a_series_of_its_own(durable: Place) -> None:
    async with durable.open() as store:
        await used(store, "ana", 10)
        await erased(store, "ana")
        await used(store, "ana", 5)
        assert sorted(row.labels["user"] for row in await store.series()) == ["ana", "erased-0011"]


async def test_a_word_that_another_label_has_is_left_in_sentences(durable: Place) -> None:
    async with durable.open() as store:
        row = await store.source("gateway")
        start = int((NOW - timedelta(hours=1)).timestamp()) // 300 * 300
        labels = [{"user": "research", "team": "a"}, {"user": "bob", "team": "research"}]
        assert await store.commit_counters(row, [Increment(LINE, one, start, 300, 5) for one in labels], {})
        await erased(store, "research")
        assert sorted((row.labels["user"], row.labels["team"]) for row in await store.series()) == [
            ("bob", "research"), ("erased-0011", "a"),
        ]  # fmt: skip


def idle_since(store: Store, days: int, *, period: str = "month", now: datetime = NOW) -> Maintenance:
    running = evaluation(store)
    budgets = [replace(one, period=PeriodRule(period, UTC)) for one in running.terms.budgets]
    running.terms = replace(running.terms, budgets=budgets)
    length = timedelta(days=days)
    return Maintenance(
        store, StoppedClock(now), lambda _: None, lambda at: {"user": running.idle_before(at, length)}
    )  # fmt: skip


async def test_a_value_that_nobody_used_for_its_retention_becomes_a_pseudonym_and_others_stay(durable: Place) -> None:
    async with durable.open() as store:
        await used(store, "ana", 10, NOW - timedelta(days=100))
        await used(store, "ana", 20, NOW - timedelta(days=91))
        await used(store, "bob", 30, NOW - timedelta(days=100))
        await used(store, "bob", 40, NOW - timedelta(days=89))
        await used(store, "eve", 50)
        await idle_since(store, 90).tick()
        named = {row.labels["user"]: row.id for row in await store.series()}
        (pseudonym,) = named.keys() - {"bob", "eve"}
        assert pseudonym.startswith("erased-")
        (step,) = await store.audit([f"operation/{pseudonym}"])
        assert (step.what, step.by, step.reason) == ("erase", "alertd", "unused since 2026-08-23")
        assert "ana" not in await everything(store)
        rows, _ = await store.usage(NOW - timedelta(days=200))
        assert sum(row.quantity for row in rows if row.series == named[pseudonym]) == 30
        before = await store.series()
        await idle_since(store, 90).tick()  # a pseudonym gets no other
        assert await store.series() == before


async def test_nobody_loses_a_name_within_a_period_of_a_budget(durable: Place) -> None:
    async with durable.open() as store:
        await used(store, "ana", 10, NOW - timedelta(days=100))
        await idle_since(store, 90, period="year").tick()
        assert [row.labels["user"] for row in await store.series()] == ["ana"]
        await idle_since(store, 90, period="quarter").tick()
        assert "ana" not in await everything(store)


async def test_usage_that_comes_while_values_are_looked_for_keeps_its_name(durable: Place) -> None:
    async with durable.open() as store:
        await used(store, "ana", 10, NOW - timedelta(days=100))
        newest = (await store.database.read(retention.inventory)).last
        await used(store, "ana", 5)
        record = Erasure(NOW, "alertd", "user", "erased-0011", "")
        assert not await store.database.write(lambda tx: erasure.erase_idle(tx, record, "ana", newest))
        assert [row.labels["user"] for row in await store.series()] == ["ana"]
