"""One list of scenarios over every store: what holds for memory holds for SQLite and for PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from alertd.core.counting.samples import CounterState, Increment
from alertd.core.delivery import OVERTAKE
from alertd.core.events import Contributor, Event, NotEvaluated, UnpricedUsage
from alertd.core.money import Money
from alertd.core.usage import BilledCost, Line, Usage, cost_line
from alertd.ports import AlertRow, NewMessage, Reading, Receipt, SourceRow, Step, Store, StoreError, UsageRow
from tests.databases import Place

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = 3600
AT = int(NOON.timestamp())
LINE = Line("openai", "gpt-5", "input")
STRANGE = [
    "",
    "ü–日本🙂",
    "a\x00b",
    "\x01\x02\x00\x01",
    "'; DROP TABLE usage; --",
    "%s ? $1 {}",
    'a"b\\c',
    "\r\n\t",
    "x" * 5000,
]


def used(quantity: int, *, start: int = AT, width: int = HOUR, line: Line = LINE, **labels: str) -> Increment:
    return Increment(line, labels, start, width, quantity)


def record(quantity: int, *, hours: int = 0, width: int = 1, line: Line = LINE, **labels: str) -> Usage:
    start = NOON + timedelta(hours=hours)
    return Usage(line, start, start + timedelta(hours=width), quantity, labels)


def reading(*records: Usage | BilledCost, hours: tuple[int, int] = (0, 24), warnings: tuple[str, ...] = ()) -> Reading:
    window = NOON + timedelta(hours=hours[0]), NOON + timedelta(hours=hours[1])
    return Reading("c", NOON, records=records, window=window, warnings=warnings)


def event(name: str = "e", at: datetime = NOON) -> Event:
    return Event(name, "threshold", "warning", at)


def critical(key: str, conversation: str = "c", not_before: datetime | None = None) -> NewMessage:
    limit = replace(event(key, NOON), severity="critical")
    return NewMessage(key, "ops", conversation, (limit,), not_before)


def message(key: str = "m", notifier: str = "ops", conversation: str = "c", at: datetime = NOON) -> NewMessage:
    return NewMessage(key, notifier, conversation, (event(key, at),))


async def count(store: Store, *increments: Increment, source: str = "gateway") -> None:
    assert await store.commit_counters(await store.source(source), increments, {})


async def read(store: Store, *readings: Reading, source: str = "bills") -> None:
    for one in readings:
        assert await store.commit_records(await store.source(source), one)


async def held(store: Store) -> dict[tuple[str, int], int]:
    """What the ledger holds, by model and hour after noon; zeros left out."""
    rows, _ = await store.usage(NOON - timedelta(days=400))
    models = {row.id: row.model for row in await store.series()}
    return {(models[row.series], (row.start - AT) // HOUR): row.quantity for row in rows if row.quantity}


async def written(store: Store, *messages: NewMessage) -> None:
    assert await store.commit_decisions([], messages, {})


# --- collect ---


async def test_what_an_evaluation_came_to_is_kept_a_status_each_until_the_status_is_gone(place: Place) -> None:
    async with place.open() as store:
        later = NOON + timedelta(minutes=1)
        await store.record_evaluation(NOON, {"a/x": ("a", '["ü"]'), "b/x": ("b", "[]")}, {"a/x", "b/x"})
        await store.record_evaluation(later, {"b/x": ("b", "[1]"), "b/y": ("b", "[2]")}, {"a/x", "b/x", "b/y"})
        assert await store.evaluation("b") == {"b/x": ("[1]", later), "b/y": ("[2]", later)}
        assert await store.evaluation() == {"a/x": ('["ü"]', NOON), **await store.evaluation("b")}
        await store.record_evaluation(later, {}, {"a/x"})
        assert set(await store.evaluation()) == {"a/x"}


async def test_a_source_nobody_wrote_is_an_empty_row(place: Place) -> None:
    async with place.open() as store:
        assert await store.source("gateway") == SourceRow("gateway")
        assert await store.sources() == []


async def test_the_cursor_comes_back_with_its_times_to_the_microsecond(place: Place) -> None:
    berlin = datetime(2026, 10, 25, 2, 30, 0, 123457, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    row = SourceRow("gateway", cursor="page\x002 – 🙂", until=berlin, complete_from=NOON)
    async with place.open() as store:
        assert await store.commit_counters(row, [], {})
        found = await store.source("gateway")
        assert (found.revision, found.cursor, found.complete_from) == (1, row.cursor, NOON)
        assert found.until == datetime(2026, 10, 25, 1, 30, 0, 123457, tzinfo=UTC)
        assert found.until.utcoffset() == timedelta(0)


async def test_of_two_replicas_that_read_one_cursor_the_second_writes_nothing(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        row = await one.source("gateway")
        assert await one.commit_counters(replace(row, cursor="first"), [used(5)], {"a": CounterState(1, 5)})
        assert not await other.commit_counters(replace(row, cursor="second"), [used(7)], {"a": CounterState(2, 7)})
        assert not await other.commit_records(replace(row, cursor="second"), reading(record(9)))
        assert (await other.source("gateway")).cursor == "first"
        assert await other.counter_states("gateway") == {"a": CounterState(1, 5)}
        assert await held(other) == {("gpt-5", 0): 5}


async def test_replicas_that_race_for_a_cursor_count_every_reading_once(place: Place) -> None:
    async def collect(store: Store, won: list[int]) -> None:
        for _ in range(15):
            row = await store.source("gateway")
            if await store.commit_counters(replace(row, cursor=f"{row.revision}"), [used(1)], {}):
                won.append(row.revision)

    async with place.open() as one, place.open() as other:
        won: list[int] = []
        await asyncio.gather(collect(one, won), collect(other, won))
        assert sorted(won) == list(range(len(won)))
        assert await held(one) == {("gpt-5", 0): len(won)}


async def test_increments_add_up_in_their_bucket_also_within_one_commit(place: Place) -> None:
    async with place.open() as store:
        await count(store, used(1, team="a"), used(2, team="a"), used(4, start=AT + HOUR, team="a"))
        await count(store, used(8, team="a"))
        rows, _ = await store.usage(NOON)
        assert sorted((row.start - AT, row.quantity) for row in rows) == [(0, 11), (HOUR, 4)]


async def test_counted_money_is_a_billed_series_of_its_currency(place: Place) -> None:
    async with place.open() as store:
        euros, dollars = (cost_line("openai", "gpt-5", code, "acct") for code in ("EUR", "USD"))
        for _ in range(2):
            await count(store, used(1, team="a"), used(2, line=euros, team="a"), used(4, line=dollars, team="a"))
        rows = {row.id: (row.meter, row.billed, row.modifiers, row.account) for row in await store.series()}
        found, _ = await store.usage(NOON)
        assert {rows[row.series]: row.quantity for row in found} == {
            ("input", "", (), ""): 2, ("", "EUR", (), "acct"): 4, ("", "USD", (), "acct"): 8,
        }  # fmt: skip


async def test_counter_states_are_kept_per_source_and_the_last_one_counts(place: Place) -> None:
    async with place.open() as store:
        for at, value in ((1.5, 10), (2.25, 7)):
            row = await store.source("gateway")
            assert await store.commit_counters(
                row, [], {"x\x00": CounterState(at, value, 0.125), f"{value}": CounterState(at, 0)}
            )
        assert await store.counter_states("other") == {}
        assert await store.counter_states("gateway") == {
            "x\x00": CounterState(2.25, 7, 0.125),
            "10": CounterState(1.5, 0),
            "7": CounterState(2.25, 0),
        }


async def test_a_sources_health_leaves_its_cursor_alone(place: Place) -> None:
    async with place.open() as store:
        stale = await store.source("gateway")
        assert await store.commit_counters(replace(stale, cursor="c", until=NOON), [], {})
        await store.source_health(replace(stale, failing_since=NOON, error="503 – später", degraded="partial"))
        row = await store.source("gateway")
        assert (row.revision, row.cursor, row.until) == (1, "c", NOON)
        assert (row.failing_since, row.error, row.degraded, row.last_ok) == (NOON, "503 – später", "partial", None)
        await store.source_health(replace(row, failing_since=None, error="", last_ok=NOON))
        assert [(r.error, r.failing_since, r.last_ok) for r in await store.sources()] == [("", None, NOON)]


async def test_any_text_comes_back_as_it_went_in(place: Place) -> None:
    async with place.open() as store:
        for number, text in enumerate(STRANGE):
            line = Line("p" + text, "m" + text, "input", (("tier", text),), text)
            await count(store, used(1, line=line, team=text, **{"k" + text: "v"}))
            (row,) = await store.series(number)
            assert (row.line, row.labels) == (line, {"team": text, "k" + text: "v"})
            alert = AlertRow(f"key/{text}", NOON + timedelta(seconds=number), event(text))
            note = {f"note/{text}": ({"said": text}, 0)}
            assert await store.commit_decisions([alert], [message(f"m{text}", conversation=text)], note)
            assert (await store.alerts(alert.at))[-1] == alert
            assert (await store.memory())[f"note/{text}"] == ({"said": text}, 1)
            (claim,) = await store.claim(NOON, timedelta(minutes=1), ["ops"], 9)
            assert (claim.delivery.key, claim.delivery.conversation) == (f"m{text}", text)


async def test_labels_in_another_order_are_the_same_series_and_anything_else_is_another(place: Place) -> None:
    async with place.open() as store, place.open() as other:
        await count(store, Increment(LINE, {"a": "1", "b": "2"}, AT, HOUR, 1))
        await count(other, Increment(LINE, {"b": "2", "a": "1"}, AT, HOUR, 1))
        assert len(await store.series()) == 1
        await count(store, used(1, a="1", b="2"), source="another source")
        await count(other, used(1, a="1", b="3"))
        await count(store, used(1, line=replace(LINE, account="second"), a="1", b="2"))
        assert [row.id for row in await other.series(1)] == sorted(row.id for row in await other.series(1))
        assert len(await other.series(1)) == 3


async def test_quantities_up_to_two_to_the_62_are_exact(place: Place) -> None:
    big = 2**62
    async with place.open() as store:
        row = await store.source("gateway")
        assert await store.commit_counters(row, [used(big - 1), used(1)], {"a": CounterState(AT, big + 1)})
        await count(store, used(-1))
        assert await held(store) == {("gpt-5", 0): big - 1}
        assert (await store.counter_states("gateway"))["a"].value == big + 1


@pytest.mark.parametrize("quantity", [2**63, 2**64, -(2**63) - 1])
async def test_a_quantity_beyond_64_bits_is_refused_and_nothing_of_the_commit_is_kept(
    durable: Place, quantity: int
) -> None:
    async with durable.open() as store:
        await count(store, used(1))
        row = await store.source("gateway")
        with pytest.raises(StoreError):
            await store.commit_counters(replace(row, cursor="x"), [used(5, start=AT + HOUR), used(quantity)], {})
        assert await held(store) == {("gpt-5", 0): 1}
        assert await store.source("gateway") == row


async def test_a_sum_beyond_64_bits_is_refused_and_does_not_become_a_float(durable: Place) -> None:
    async with durable.open() as store:
        await count(store, used(2**62), used(2**62 - 1))
        row = await store.source("gateway")
        with pytest.raises(StoreError):
            await store.commit_counters(row, [used(1)], {})
        assert await held(store) == {("gpt-5", 0): 2**63 - 1}
        await count(store, used(-1))  # and the store goes on
        assert await held(store) == {("gpt-5", 0): 2**63 - 2}


# --- records ---


async def test_reading_a_window_twice_changes_nothing(place: Place) -> None:
    bill = reading(record(5), record(7, hours=1), record(9, hours=1, team="b"))
    async with place.open() as store:
        await read(store, bill)
        before, revision = await store.usage(NOON)
        await read(store, bill)
        assert sorted((await store.usage(NOON))[0]) == sorted(before)
        assert (await store.usage(NOON, revision))[0] == []


async def test_a_window_read_again_replaces_what_it_held_and_nothing_else(place: Place) -> None:
    other = replace(LINE, model="other")
    async with place.open() as store:
        await count(store, used(100, line=replace(LINE, model="counted")))
        await read(store, reading(record(4, hours=30), hours=(24, 48)))
        await read(store, reading(record(5), record(7, hours=1), record(9, hours=2, line=other)))
        await read(store, reading(record(3), record(8, hours=5)))
        assert await held(store) == {("counted", 0): 100, ("gpt-5", 30): 4, ("gpt-5", 0): 3, ("gpt-5", 5): 8}


async def test_a_row_that_vanished_is_told_as_zero_to_a_reader_that_goes_on(place: Place) -> None:
    async with place.open() as store:
        await read(store, reading(record(5), record(7, hours=1)))
        _, revision = await store.usage(NOON)
        await read(store, reading(record(5)))
        changed, _ = await store.usage(NOON, revision)
        assert [(row.start - AT, row.quantity) for row in changed] == [(HOUR, 0)]


async def test_the_window_is_half_open(place: Place) -> None:
    async with place.open() as store:
        await read(store, reading(record(1, hours=-1), record(2), record(3, hours=2), hours=(-1, 3)))
        await read(store, reading(hours=(0, 2)))
        assert await held(store) == {("gpt-5", -1): 1, ("gpt-5", 2): 3}


async def test_a_partial_reading_raises_and_adds_but_never_lowers(place: Place) -> None:
    async with place.open() as store:
        await read(store, reading(record(5), record(7, hours=1), record(2, hours=2)))
        await read(store, reading(record(4), record(9, hours=1), record(1, hours=3), warnings=("a shard is down",)))
        assert await held(store) == {("gpt-5", 0): 5, ("gpt-5", 1): 9, ("gpt-5", 2): 2, ("gpt-5", 3): 1}
        await read(store, reading(record(-5, hours=4), warnings=("a shard is down",)))
        assert ("gpt-5", 4) not in await held(store)


async def test_records_of_one_bucket_add_up_and_a_correction_may_be_negative(place: Place) -> None:
    async with place.open() as store:
        await read(store, reading(record(5), record(6), record(-2), record(-3, hours=1)))
        assert await held(store) == {("gpt-5", 0): 9, ("gpt-5", 1): -3}


async def test_a_day_that_comes_by_the_hour_the_next_time_is_not_counted_twice(place: Place) -> None:
    async with place.open() as store:
        await read(store, reading(record(24, width=24)))
        await read(store, reading(*(record(1, hours=hour) for hour in range(24))))
        assert sum((await held(store)).values()) == 24


async def test_billed_money_is_kept_in_nanos_apart_from_usage_and_from_other_currencies(place: Place) -> None:
    def bill(amount: str, currency: str) -> BilledCost:
        return BilledCost(
            "openai", NOON, NOON + timedelta(days=1), Money(Decimal(amount), currency), {"team": "a"}, "m"
        )

    async with place.open() as store:
        bills = [bill("12.345678901", "USD"), bill("0.000000001", "USD"), bill("9", "EUR"), bill("-1.5", "GBP")]
        await read(store, reading(*bills, record(7)))
        found = {row.id: row.billed for row in await store.series()}
        rows, _ = await store.usage(NOON)
        assert {found[row.series]: row.quantity for row in rows} == {
            "USD": 12_345_678_902,
            "EUR": 9_000_000_000,
            "GBP": -1_500_000_000,
            "": 7,
        }


@pytest.mark.parametrize(("amount", "nanos"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.00000000051", 1)])
async def test_billed_money_finer_than_a_nano_is_rounded_half_to_even(place: Place, amount: str, nanos: int) -> None:
    cost = BilledCost("openai", NOON, NOON + timedelta(days=1), Money(Decimal(amount), "USD"))
    async with place.open() as store:
        await read(store, reading(cost))
        assert sum((await held(store)).values()) == nanos


async def test_a_window_in_another_zone_is_the_same_window(place: Place) -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    async with place.open() as store:
        await read(store, reading(record(5)))
        local = Usage(LINE, NOON.astimezone(kathmandu), (NOON + timedelta(hours=1)).astimezone(kathmandu), 6)
        await read(store, reading(local))
        assert await held(store) == {("gpt-5", 0): 6}


# --- reading on ---


async def test_a_reader_sees_what_reaches_into_its_period_and_nothing_older(place: Place) -> None:
    async with place.open() as store:
        await read(
            store,
            reading(
                record(1, hours=-2),
                record(2, hours=-1, width=2),
                record(4, hours=-20 * 24, width=31 * 24),
                record(8, hours=-50 * 24, width=31 * 24),
                record(16, hours=5),
                hours=(-60 * 24, 24),
            ),
        )
        rows, revision = await store.usage(NOON)
        assert sorted(row.quantity for row in rows) == [2, 4, 16]
        again, _ = await store.usage(NOON, revision - 1)
        assert sorted(row.quantity for row in again) == [2, 4, 16]


async def test_a_reader_that_goes_on_from_revisions_has_what_a_new_reader_has(place: Place) -> None:
    async def write(store: Store, source: str) -> None:
        for step in range(20):
            await count(store, used(step, start=AT + step % 4 * HOUR, source=source), source=source)

    async with place.open() as one, place.open() as other, place.open() as reader:
        writing = [asyncio.create_task(write(one, "a")), asyncio.create_task(write(other, "b"))]
        seen: dict[tuple[int, int], UsageRow] = {}
        revision = 0
        while True:
            await asyncio.sleep(0)  # memory never waits: let the writers have their turn
            finished = all(task.done() for task in writing)
            rows, revision = await reader.usage(NOON, revision)
            seen |= {(row.series, row.start): row for row in rows}
            if finished:
                break
        await asyncio.gather(*writing)
        assert sorted(seen.values()) == sorted((await reader.usage(NOON))[0])


# --- evaluate ---


async def test_alerts_messages_and_notes_are_written_together(place: Place) -> None:
    async with place.open() as store:
        assert await store.commit_decisions([AlertRow("k", NOON, event())], [message()], {"n": ({"x": [1, None]}, 0)})
        assert [(a.key, a.at, a.state) for a in await store.alerts(NOON)] == [("k", NOON, "firing")]
        assert await store.announced_keys() == {"k": NOON}
        assert await store.memory() == {"n": ({"x": [1, None]}, 1)}
        assert (await store.outbox_depth()) == {"ops": (1, NOON)}


TAKEN = {
    "the alert's key": ([AlertRow("k", NOON, event())], [message("new")], {"new": (1, 0)}),
    "one of two alerts' keys": ([AlertRow("k2", NOON, event()), AlertRow("k", NOON, event())], [], {}),
    "the message's key": ([AlertRow("k2", NOON, event())], [message("other"), message("m")], {"new": (1, 0)}),
    "a note read before it was changed": (
        [AlertRow("k2", NOON, event())],
        [message("new")],
        {"new": (1, 0), "n": (2, 0)},
    ),
    "a note read at another revision": ([], [message("new")], {"n": (2, 7)}),
    "a note to take away, at another revision": ([AlertRow("k2", NOON, event())], [], {"n": (None, 7)}),
    "a note that is gone": ([AlertRow("k2", NOON, event())], [], {"gone": (3, 1)}),
}


@pytest.mark.parametrize("what", TAKEN)
async def test_where_one_thing_was_taken_nothing_is_written(place: Place, what: str) -> None:
    alerts, messages, notes = TAKEN[what]
    async with place.open() as store:
        assert await store.commit_decisions([AlertRow("k", NOON, event())], [message()], {"n": (1, 0)})
        assert not await store.commit_decisions(alerts, messages, notes)
        assert [a.key for a in await store.alerts(NOON)] == ["k"]
        assert await store.memory() == {"n": (1, 1)}
        assert await store.outbox_depth() == {"ops": (1, NOON)}


async def test_of_replicas_that_judge_alike_one_announces(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        for step in range(20):
            answers = await asyncio.gather(
                *(
                    store.commit_decisions([AlertRow(f"k{step}", NOON, event())], [message(f"m{step}")], {})
                    for store in (one, other)
                )
            )
            assert sorted(answers) == [False, True]
        assert await one.outbox_depth() == {"ops": (20, NOON)}


async def test_a_note_has_the_next_revision_and_goes_with_none(place: Place) -> None:
    async with place.open() as store:
        for revision, value in enumerate(["a", {"b": 1.5}, [], False, 0]):
            assert await store.commit_decisions([], [], {"n": (value, revision)})
            assert await store.memory() == {"n": (value, revision + 1)}
        assert await store.commit_decisions([], [], {"n": (None, 5), "never was": (None, 0)})
        assert await store.memory() == {}


async def test_alerts_are_asked_for_by_when_they_were_announced(place: Place) -> None:
    async with place.open() as store:
        rows = [AlertRow(f"k{hour}", NOON + timedelta(hours=hour), event(), "dry_run") for hour in (2, 0, 1)]
        assert await store.commit_decisions(rows, [], {})
        assert [a.key for a in await store.alerts(NOON + timedelta(hours=1))] == ["k1", "k2"]
        assert {a.state for a in await store.alerts(NOON)} == {"dry_run"}


async def test_an_event_comes_back_whole(place: Place) -> None:
    full = Event(
        "id", "threshold", "critical", NOON, "research", (("team", None), ("key", "a")), NOON, NOON + timedelta(days=9),
        "Europe/Berlin", "actual", Decimal("80.5"), (Decimal(50), Decimal("80.5")), "actual 80.5%", "over",
        ("runaway", "late"), Decimal("1E+3"), currency="USD",
        spent=Decimal("805.000000001"), projected={"0.5": Decimal("900.10")}, probability_over=0.25,
        contributors=(Contributor("model", "gpt-5", Decimal("1.5"), Decimal(2)),), contributor_count=3,
        unpriced=(UnpricedUsage("acme", "new", "input", 2**62, "no price"),),
        details=NotEvaluated("a\u2028b 🙂", scopes=2),
    )  # fmt: skip
    async with place.open() as store:
        assert await store.commit_decisions(
            [AlertRow("k", NOON, full)], [NewMessage("m", "ops", "c", (full, full))], {}
        )
        assert (await store.alerts(NOON))[0].event == full
        assert (await store.claim(NOON, timedelta(minutes=1), ["ops"], 1))[0].delivery.events == (full, full)


# --- deliver ---

LEASE = timedelta(minutes=2)


async def claimed(
    store: Store, at: datetime = NOON, limit: int = 99, notifiers: tuple[str, ...] = ("ops",)
) -> list[str]:
    return [row.delivery.key for row in await store.claim(at, LEASE, notifiers, limit)]


async def test_a_conversation_is_told_in_order_and_holds_up_no_other(place: Place) -> None:
    async with place.open() as store:
        await written(
            store, message("1a", conversation="1"), message("1b", conversation="1"), message("2a", conversation="2")
        )
        await written(store, message("1m", notifier="mail", conversation="1"))
        first, other = await store.claim(NOON, LEASE, ["ops"], 99)
        assert (first.delivery.key, other.delivery.key) == ("1a", "2a")
        assert await claimed(store) == []
        assert await store.retry_later(first, NOON + timedelta(seconds=30), "503", uncertain=False)
        assert await claimed(store, NOON + timedelta(seconds=29)) == []
        (again,) = await store.claim(NOON + timedelta(seconds=30), LEASE, ["ops"], 99)
        assert again.delivery.key == "1a"
        assert await store.delivered(again, NOON, Receipt("ok"))
        assert await claimed(store) == ["1b"]
        assert await claimed(store, notifiers=("mail",)) == ["1m"]
        assert await claimed(store, notifiers=()) == []


async def test_what_is_held_back_holds_up_nothing_and_once_tried_keeps_its_place(place: Place) -> None:
    async with place.open() as store:
        morning = NOON + timedelta(hours=19)
        await written(store, replace(message("held"), not_before=morning), message("now"), message("later"))
        (first,) = await store.claim(NOON, LEASE, ["ops"], 9)
        assert first.delivery.key == "now"
        assert await claimed(store) == []
        assert await store.delivered(first, NOON, Receipt("ok"))
        assert await claimed(store, morning - timedelta(seconds=1)) == ["later"]
        (held_back,) = await store.claim(morning, LEASE, ["ops"], 9)
        assert held_back.delivery.key == "held"
        assert await store.retry_later(held_back, morning + timedelta(hours=1), "503", uncertain=False)
        assert await claimed(store, morning + timedelta(minutes=30)) == []
        assert await claimed(store, morning + timedelta(hours=1)) == ["held"]


async def test_what_is_critical_goes_first_and_overtakes_what_was_tried_or_is_not(place: Place) -> None:
    async with place.open() as store:
        await written(store, message("warning"), critical("limit"), critical("runaway"), message("after"))
        await written(store, message("other", conversation="2"))
        assert await claimed(store) == ["limit", "other"], "of one conversation one at a time, and before the warning"
        soon, later = NOON + OVERTAKE - timedelta(microseconds=1), NOON + OVERTAKE
        assert await claimed(store, soon) == []
        assert await claimed(store, later) == ["runaway"], "another replica may hold the first for longer"
        await written(store, critical("held", not_before=later + timedelta(hours=1)), critical("third"))
        assert await claimed(store, later) == []
        assert await claimed(store, later + OVERTAKE) == ["third"]


async def test_a_critical_message_that_was_refused_holds_up_no_other_and_only_these_are_asked_for(place: Place) -> None:
    async with place.open() as store:
        await written(store, critical("limit"), critical("runaway"), message("warning", conversation="2"))
        (first,) = await store.claim(NOON, LEASE, ["ops"], 9, critical_only=True)
        assert await store.retry_later(first, NOON + timedelta(seconds=1), "503", uncertain=False)
        (second,) = await store.claim(NOON, LEASE, ["ops"], 9, critical_only=True)
        assert (first.delivery.key, second.delivery.key) == ("limit", "runaway")
        assert await claimed(store) == ["warning"]


async def test_a_critical_lease_is_half_as_long_and_whoever_holds_it_renews_it(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await written(one, critical("limit"), message("warning", conversation="2"))
        held = await one.claim(NOON, LEASE, ["ops"], 9)
        assert [row.lease_until - NOON for row in held] == [LEASE / 2, LEASE]
        later = NOON + LEASE / 4
        assert [await one.renew(row, later, LEASE) for row in held] == [later + LEASE / 2, later + LEASE]
        assert await claimed(other, later + LEASE / 2 - timedelta(microseconds=1)) == []
        assert await claimed(other, later + LEASE / 2) == ["limit"]
        assert [await one.renew(row, later, LEASE) for row in held] == [None, later + LEASE]
        assert await one.delivered(held[1], later, Receipt("ok"))
        assert await one.renew(held[1], later, LEASE) is None


async def test_a_claim_takes_the_oldest_first_and_no_more_than_asked_for(place: Place) -> None:
    async with place.open() as store:
        await written(store, *(message(f"{n}", conversation=f"{n}") for n in range(5)))
        assert await claimed(store, limit=2) == ["0", "1"]
        assert await claimed(store, limit=2) == ["2", "3"]


async def test_a_lease_that_ran_out_is_taken_over_as_uncertain_and_its_holder_refused(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await written(one, message())
        (held_by_one,) = await one.claim(NOON, LEASE, ["ops"], 9)
        assert (held_by_one.delivery.attempt, held_by_one.delivery.uncertain, held_by_one.first_tried) == (
            1,
            False,
            NOON,
        )
        assert await claimed(other, NOON + LEASE - timedelta(microseconds=1)) == []
        (taken,) = await other.claim(NOON + LEASE, LEASE, ["ops"], 9)
        assert (taken.delivery.key, taken.delivery.attempt, taken.delivery.uncertain) == ("m", 2, True)
        assert (taken.first_tried, taken.created) == (NOON, NOON)
        assert taken.fence > held_by_one.fence
        assert not await one.delivered(held_by_one, NOON, Receipt("ok", {"ts": "1"}))
        assert not await one.retry_later(held_by_one, NOON, "503", uncertain=False)
        assert not await one.give_up(held_by_one, NOON, "400", message("said elsewhere", "mail"))
        assert await other.delivered(taken, NOON, Receipt("ok"))
        assert not await other.delivered(taken, NOON, Receipt("ok"))
        assert await other.outbox_depth() == {}


async def test_a_send_that_was_uncertain_once_stays_uncertain(place: Place) -> None:
    async with place.open() as store:
        await written(store, message())
        seen = []
        for uncertain in (False, True, False):
            (row,) = await store.claim(NOON, LEASE, ["ops"], 9)
            seen.append(row.delivery.uncertain)
            assert await store.retry_later(row, NOON, "reset", uncertain=uncertain)
        (row,) = await store.claim(NOON, LEASE, ["ops"], 9)
        assert [*seen, row.delivery.uncertain, row.delivery.attempt] == [False, False, True, True, 4]


async def test_what_is_given_up_is_said_by_the_fallback_once(place: Place) -> None:
    async with place.open() as store:
        await written(store, message("m"), message("m2", conversation="d"), message("m2", "mail", "d"))
        first, second = await store.claim(NOON, LEASE, ["ops"], 9)
        later = NOON + timedelta(hours=1)
        assert await store.give_up(first, later, "404", message("m", "mail"))
        assert await store.give_up(second, later, "404", message("m2", "mail", "d"))  # mail says that already
        assert await store.outbox_depth() == {"mail": (2, NOON)}
        became = {(one.notifier, one.state, one.attempts, one.reason) for one in await store.messages(NOON, later)}
        assert became == {("ops", "given up", 1, "404"), ("mail", "waiting", 0, "")}
        assert [one.created for one in await store.messages(later, later)] == [later]
        rows = await store.claim(later, LEASE, ["ops", "mail"], 9)
        assert sorted((row.delivery.notifier, row.delivery.key) for row in rows) == [("mail", "m"), ("mail", "m2")]


async def test_what_a_channel_said_is_remembered_for_its_conversation_only(place: Place) -> None:
    async with place.open() as store:
        await written(store, message("1"), message("2"), message("3", conversation="d"), message("4", "mail"))
        for key, receipt, known in (("1", {"ts": "1", "ch": "ü"}, {}), ("2", {"ts": "2"}, {"ts": "1", "ch": "ü"})):
            row = next(r for r in await store.claim(NOON, LEASE, ["ops"], 9) if r.delivery.conversation == "c")
            assert (row.delivery.key, row.delivery.memory) == (key, known)
            assert await store.delivered(row, NOON, Receipt("ok", receipt))
        await written(store, message("5"))
        rows = await store.claim(NOON + LEASE, LEASE, ["ops", "mail"], 9)
        assert {row.delivery.key: row.delivery.memory for row in rows} == {
            "3": {},
            "4": {},
            "5": {"ts": "2", "ch": "ü"},
        }


async def test_what_a_conversation_remembers_is_replaced_only_as_it_was_read(place: Place) -> None:
    async with place.open() as store:
        await written(store, message("1"), message("2", "mail"))
        for row in await store.claim(NOON, LEASE, ["ops", "mail"], 9):
            assert await store.delivered(row, NOON, Receipt("ok", {"ts": "1", "ch": "ü"}))
        ((name, before),) = (await store.conversations("ops")).items()
        assert (name, before) == ("c", {"ts": "1", "ch": "ü"})
        assert await store.remember("ops", name, before, {**before, "shown": "x"}, NOON)
        assert not await store.remember("ops", name, before, {**before, "shown": "y"}, NOON)
        assert not await store.remember("ops", "another", {}, {"shown": "y"}, NOON)
        assert await store.conversations("ops") == {"c": {**before, "shown": "x"}}
        assert await store.conversations("mail") == {"c": before}


async def test_claimers_that_race_get_each_message_once(place: Place) -> None:
    async def take(store: Store, got: list[str]) -> None:
        while rows := await store.claim(NOON, LEASE, ["ops"], 7):
            got.extend(row.delivery.key for row in rows)
            await asyncio.gather(*(store.delivered(row, NOON, Receipt("ok")) for row in rows))

    async with place.open() as one, place.open() as other:
        await written(one, *(message(f"{n}", conversation=f"{n % 60}") for n in range(120)))
        got: list[str] = []
        for _ in range(3):  # a claimer that finds only locked rows stops early; the next one goes on
            await asyncio.gather(take(one, got), take(other, got), take(one, got), take(other, got))
        assert sorted(got, key=int) == [f"{n}" for n in range(120)]


async def test_a_session_that_was_signed_out_is_known_to_every_replica_until_it_would_have_ended(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        until = NOON + timedelta(hours=12)
        for _ in range(2):
            await one.end_session("a", until)
        assert [await store.has_ended("a") for store in (one, other)] == [True, True]
        assert not await one.has_ended("b")
        await one.prune(until)
        assert await one.has_ended("a")
        await one.prune(until + timedelta(seconds=1))
        assert not await one.has_ended("a")


async def test_the_depth_tells_how_many_wait_and_since_when(place: Place) -> None:
    async with place.open() as store:
        early = NOON - timedelta(hours=3)
        await written(store, message("1"), message("2", at=early), message("3", "mail"))
        (row,) = await store.claim(NOON, LEASE, ["mail"], 1)
        assert await store.outbox_depth() == {"ops": (2, early), "mail": (1, NOON)}
        assert await store.delivered(row, NOON, Receipt("ok"))
        assert await store.outbox_depth() == {"ops": (2, early)}


async def test_delivered_messages_go_after_35_days_and_nothing_else_does(place: Place) -> None:
    async with place.open() as store:
        await count(store, used(5))
        assert await store.commit_decisions([AlertRow("k", NOON, event())], [], {"n": (1, 0)})
        await written(store, *(message(name, conversation=name) for name in ("delivered", "given up", "waiting")))
        done, lost, _ = await store.claim(NOON, LEASE, ["ops"], 9)
        assert await store.delivered(done, NOON, Receipt("ok", {"ts": "1"}))
        assert await store.give_up(lost, NOON, "404", None)
        assert await store.prune(NOON + timedelta(days=35)) == 0
        assert not await store.commit_decisions([], [message("delivered")], {})
        assert await store.prune(NOON + timedelta(days=36)) == 1
        await written(store, message("delivered", conversation="delivered"))
        assert not await store.commit_decisions([], [message("given up")], {})
        assert (await store.outbox_depth())["ops"][0] == 2
        assert len(await store.alerts(NOON)) == len(await store.memory()) == len(await held(store)) == 1
        rows = await store.claim(NOON + timedelta(days=36), LEASE, ["ops"], 9)
        assert {row.delivery.key: row.delivery.memory for row in rows} == {"waiting": {}, "delivered": {"ts": "1"}}


# --- life ---


async def test_what_was_committed_is_there_after_a_restart(durable: Place) -> None:
    async with durable.open() as store:
        await count(store, used(5, team="a"))
        await store.source_health(SourceRow("gateway", last_ok=NOON))
        assert await store.commit_decisions([AlertRow("k", NOON, event())], [message()], {"n": (1, 0)})
    async with durable.open() as store:
        assert await held(store) == {("gpt-5", 0): 5}
        assert (await store.source("gateway")).last_ok == NOON
        assert [a.key for a in await store.alerts(NOON)] == ["k"]
        assert await store.memory() == {"n": (1, 1)}
        assert await claimed(store) == ["m"]
        await count(store, used(6, team="a"), used(1, team="b"))
        assert len(await store.series()) == 2


async def test_the_probe_writes(place: Place) -> None:
    async with place.open() as store:
        await store.writable()


def step(number: int, act: str = "a1", what: str = "propose") -> Step:
    return Step(act, number, NOON, what, "proposed", "ana", "why", "req_1", {"share": "0.98"})


async def test_the_steps_of_the_audit_are_read_as_they_were_written(place):
    async with place.open() as store:
        assert await store.commit_decisions([], [], {}, [step(1), step(2), step(1, "a2")])
        assert await store.audit(["a1"]) == [step(1), step(2)]
        assert await store.audit() == [step(1), step(2), step(1, "a2")]
        assert await store.audit([]) == []


async def test_the_audit_of_several_acts_comes_in_the_order_in_which_it_was_written(place):
    ids = [f"a{number}" for number in range(1200)]
    async with place.open() as store:
        assert await store.commit_decisions([], [], {}, [step(1, act) for act in reversed(ids)])
        assert await store.commit_decisions([], [], {}, [step(2, "a7")])
        assert await store.audit(["a7", "a9", "a1199"]) == [
            step(1, "a1199"),
            step(1, "a9"),
            step(1, "a7"),
            step(2, "a7"),
        ]
        assert await store.audit(ids[1:]) == [step(1, act) for act in reversed(ids[1:])] + [step(2, "a7")]


async def test_a_step_whose_number_is_taken_undoes_all_that_comes_with_it(place):
    async with place.open() as store:
        assert await store.commit_decisions([], [], {}, [step(1)])
        assert not await store.commit_decisions([], [message()], {"n": (1, 0)}, [step(2), step(1)])
        assert (await store.audit(), await store.memory(), await store.outbox_depth()) == ([step(1)], {}, {})


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"])
async def test_the_database_itself_refuses_to_change_the_audit(durable, statement):
    async with durable.open() as store:
        await store.commit_decisions([], [], {}, [step(1)])
        with pytest.raises(StoreError, match="only added to"):
            await store._database.write(lambda tx: tx.run(statement))
        assert await store.audit() == [step(1)]
