"""Deliver on a stopped clock: what arrives, how often, in which order, and who says what could not be delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from alertd.core.events import Event
from alertd.loops.deliver import Deliver, Sent
from alertd.ports import Delivery, DeliveryError, NewMessage, Store
from tests.databases import Place
from tests.fakes import Channel, Hanging, Interrupted, Slow, StoppedClock
from tests.memory_store import MemoryStore

DOWN = DeliveryError("ops: 503")


class Outbox:
    """A store, a clock and channels, with Deliver between them; the jitter stands in the middle."""

    def __init__(
        self, *channels: Channel, store: Store | None = None, fallbacks: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        self.clock = StoppedClock()
        self.store = store or MemoryStore()
        self.channels = {channel.name: channel for channel in channels}
        self.deliver = Deliver(self.store, self.channels, self.clock, fallbacks or {}, jitter=lambda: 0.5, **more)

    async def write(
        self, *keys: str, notifier: str = "ops", conversation: str | None = None, severity: str = "warning"
    ) -> None:
        for key in keys:
            event = Event(key, "threshold", severity, self.clock.now())
            message = NewMessage(key, notifier, conversation or key, (event,))
            assert await self.store.commit_decisions([], [message], {})

    async def rounds(self, number: int, **step: float) -> Sent:
        """So many rounds, the clock moved after each."""
        total = Sent()
        for _ in range(number):
            total += await self.deliver.tick()
            self.clock.move(**step)
        return total


async def test_what_waits_is_delivered_once(place: Place) -> None:
    async with place.open() as store:
        ops = Channel()
        outbox = Outbox(ops, store=store)
        await outbox.write("a", "b", "c")
        assert await outbox.rounds(3, seconds=60) == Sent(delivered=3)
        assert sorted(ops.keys) == ["a", "b", "c"]
        assert await store.outbox_depth() == {}


async def test_an_outage_delays_a_message_and_keeps_its_key_and_order(place: Place) -> None:
    async with place.open() as store:
        ops = Channel(story=[DOWN, DOWN])
        outbox = Outbox(ops, store=store)
        await outbox.write("first", "second", conversation="research")
        assert await outbox.rounds(20, seconds=5) == Sent(delivered=2, retried=2)
        assert ops.keys == ["first", "second"]
        assert [(d.key, d.attempt) for d in ops.tried] == [("first", 1), ("first", 2), ("first", 3), ("second", 1)]


async def test_a_retry_comes_when_its_wait_is_over_and_not_before() -> None:
    ops = Channel(story=[DOWN])
    outbox = Outbox(ops)
    await outbox.write("a")
    await outbox.rounds(1, seconds=4.999)
    await outbox.rounds(1, seconds=0.001)
    assert ops.keys == []
    await outbox.rounds(1)
    assert ops.keys == ["a"]


async def test_a_message_that_is_refused_for_good_is_said_by_the_fallback_at_once() -> None:
    ops, mail = Channel(story=[DeliveryError("ops: no such channel", permanent=True)]), Channel("mail", people=True)
    outbox = Outbox(ops, mail, fallbacks={"ops": "mail"})
    await outbox.write("a")
    assert await outbox.rounds(2, seconds=2) == Sent(delivered=1, given_up=1)
    assert (ops.keys, mail.keys) == ([], ["a"])


async def test_a_receiver_that_is_dead_for_a_day_hands_its_messages_to_the_fallback() -> None:
    ops, mail = Channel(story=[DOWN] * 10_000), Channel("mail", people=True)
    outbox = Outbox(ops, mail, fallbacks={"ops": "mail"})
    await outbox.write("a", "b")
    await outbox.rounds(24 * 60 - 1, minutes=1)
    assert mail.keys == []
    await outbox.rounds(120, minutes=1)
    assert sorted(mail.keys) == ["a", "b"]
    assert await outbox.store.outbox_depth() == {}


async def test_two_fallbacks_that_name_each_other_end() -> None:
    refused = [DeliveryError("no", permanent=True)] * 9
    outbox = Outbox(Channel(story=refused), Channel("mail", story=refused), fallbacks={"ops": "mail", "mail": "ops"})
    await outbox.write("a")
    assert await outbox.rounds(9, minutes=1) == Sent(given_up=2)
    assert await outbox.store.outbox_depth() == {}


async def test_a_message_without_a_fallback_is_not_given_up_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(Channel(story=[DeliveryError("ops: no such channel", permanent=True)]))
    await outbox.write("a")
    assert await outbox.rounds(1) == Sent(given_up=1)
    assert "gave up after 1 try; it has no fallback: NOBODY WAS NOTIFIED: ops: no such channel" in caplog.text
    assert outbox.deliver.queues["ops"].totals.given_up == 1


async def test_a_send_that_hangs_is_cut_and_tried_again_as_uncertain() -> None:
    ops = Hanging()
    outbox = Outbox(ops, send=timedelta(milliseconds=20), lease=timedelta(seconds=1))
    await outbox.write("a")
    assert await outbox.rounds(1, seconds=5) == Sent(retried=1)
    assert ops.cut == 1
    ops.let_go.set()
    assert await outbox.rounds(1) == Sent(delivered=1)
    assert [(d.attempt, d.uncertain) for d in ops.taken] == [(1, False), (2, True)]


async def test_a_notifier_that_breaks_costs_its_message_three_tries_and_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ops, mail = Channel(story=[KeyError("budget")] * 3), Channel("mail")
    outbox = Outbox(ops, mail, fallbacks={"ops": "mail"})
    await outbox.write("bad", "good", conversation="one")
    await outbox.write("other", notifier="mail")
    await outbox.rounds(6, seconds=30)
    assert ops.keys == ["good"]
    assert sorted(mail.keys) == ["bad", "other"]
    assert "KeyError" in caplog.text
    assert "Traceback" in caplog.text


async def test_a_receiver_that_asks_for_a_minute_is_left_alone_for_a_minute() -> None:
    ops = Channel(story=[DeliveryError("429", retry_after=timedelta(seconds=60))])
    outbox = Outbox(ops)
    await outbox.write("a")
    await outbox.rounds(1)
    await outbox.write("b")
    await outbox.rounds(60, seconds=1)
    assert len(ops.tried) == 1
    await outbox.rounds(12, seconds=1)
    assert sorted(ops.keys) == ["a", "b"]


async def test_a_dead_receiver_is_asked_by_single_messages_and_the_rest_keep_their_day() -> None:
    ops = Channel(story=[DOWN] * 22)
    outbox = Outbox(ops)
    await outbox.write(*(f"{n}" for n in range(200)))
    await outbox.rounds(1, seconds=1)  # the first batch finds it down
    assert len(ops.tried) == 16
    await outbox.rounds(600, seconds=1)
    assert len(ops.tried) < 16 + 8
    await outbox.rounds(600, seconds=5)
    assert sorted(ops.keys, key=int) == [f"{n}" for n in range(200)]


async def test_people_are_told_one_message_a_second() -> None:
    ops = Channel(people=True)
    outbox = Outbox(ops)
    await outbox.write(*"abcdef")
    await outbox.rounds(40, seconds=0.125)
    assert ops.keys == list("abcde")


async def test_what_a_channel_said_comes_with_the_next_message_of_the_conversation() -> None:
    ops = Channel(story=[{"ts": "1"}])
    outbox = Outbox(ops)
    await outbox.write("a", "b", conversation="research")
    await outbox.rounds(2)
    assert [d.memory for d in ops.taken] == [{}, {"ts": "1"}]


async def test_one_that_slept_beyond_its_lease_is_refused_and_another_has_sent_it(place: Place) -> None:
    """A process that is stopped in the middle of a send, after the receiver took it: the key is the same both times."""
    async with place.open() as store, place.open() as second:
        ops = Interrupted()
        sleeper, other = Outbox(ops, store=store), Outbox(ops, store=second)
        await sleeper.write("a")

        async def sleep_through() -> None:
            ops.meanwhile = None
            other.clock.move(minutes=2)
            assert await other.deliver.tick() == Sent(delivered=1)

        ops.meanwhile = sleep_through
        assert await sleeper.deliver.tick() == Sent(overtaken=1)
        assert [(d.key, d.attempt, d.uncertain) for d in ops.taken] == [("a", 1, False), ("a", 2, True)]
        assert await store.outbox_depth() == {}


async def test_one_that_wakes_with_its_lease_gone_sends_nothing() -> None:
    ops = Channel()
    outbox = Outbox(ops)
    await outbox.write("a")
    (row,) = await outbox.store.claim(outbox.clock.now(), timedelta(minutes=2), ["ops"], 9)
    outbox.clock.move(minutes=2)
    assert await outbox.deliver._one(outbox.deliver._queue("ops"), ops, row) == Sent(overtaken=1)
    assert ops.tried == []
    assert await outbox.rounds(1) == Sent(delivered=1)
    assert [d.uncertain for d in ops.taken] == [True]


async def test_one_that_is_paused_on_the_way_to_its_post_posts_nothing_and_another_does(place: Place) -> None:
    async with place.open() as store, place.open() as second:
        ops = Slow()
        sleeper, other = Outbox(ops, store=store), Outbox(Channel(), store=second)
        await sleeper.write("a")

        async def pause(_: Delivery) -> None:
            for one in (sleeper, other):
                one.clock.move(seconds=30)
            assert await other.deliver.tick() == Sent(delivered=1)

        ops.meanwhile = pause
        assert await sleeper.deliver.tick() == Sent(overtaken=1)
        assert (ops.keys, other.channels["ops"].keys) == ([], ["a"])


async def test_a_lease_is_renewed_while_its_send_is_under_way(place: Place) -> None:
    async with place.open() as store, place.open() as second:
        ops = Slow()
        lease = timedelta(milliseconds=60)
        one, other = Outbox(ops, store=store, lease=lease), Outbox(Channel(), store=second)
        await one.write("a")

        async def outlast_the_lease(delivery: Delivery) -> None:
            for outbox in (one, other):
                outbox.clock.move(seconds=1)
            async with asyncio.timeout(60):
                while not delivery.is_leased():  # noqa: ASYNC110  a renewal tells nobody
                    await asyncio.sleep(0.01)
            assert await other.deliver.tick() == Sent()

        ops.meanwhile = outlast_the_lease
        assert await one.deliver.tick() == Sent(delivered=1)
        assert other.channels["ops"].keys == []


async def test_what_is_critical_passes_a_receiver_that_hangs_over_another_message() -> None:
    ops, stop, let_go, begun = Slow(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    outbox = Outbox(ops, look=timedelta(milliseconds=20))

    async def hang_over_warnings(delivery: Delivery) -> None:
        if delivery.key == "slow":
            begun.set()
            await let_go.wait()
        if delivery.key == "elsewhere":
            let_go.set()

    ops.meanwhile = hang_over_warnings
    await outbox.write("slow", "later", conversation="research")
    running = asyncio.create_task(outbox.deliver.run(stop))
    async with asyncio.timeout(60):
        await begun.wait()
        outbox.clock.move(seconds=5)
        await outbox.write("limit", conversation="research", severity="critical")
        await outbox.write("elsewhere", severity="critical")
        outbox.deliver.wake()
        await let_go.wait()
    stop.set()
    outbox.deliver.wake()
    await running
    assert set(ops.keys[:2]) == {"limit", "elsewhere"}
    assert ops.keys[2] == "slow"


async def test_what_is_critical_asks_a_receiver_that_is_left_in_peace_but_not_one_that_asked_for_it() -> None:
    for refusal, tries in ((DOWN, 4), (DeliveryError("429", retry_after=timedelta(minutes=10)), 3)):
        ops = Channel(story=[refusal] * 3)
        outbox = Outbox(ops)
        await outbox.write("a", "b", "c")
        await outbox.rounds(1)
        await outbox.write("limit", severity="critical")
        await outbox.rounds(1)
        assert (len(ops.tried), "limit" in ops.keys) == (tries, tries == 4)


async def test_a_critical_message_is_retried_within_seconds_and_then_once_a_minute() -> None:
    ops = Channel(story=[DOWN] * 12)
    outbox = Outbox(ops)
    await outbox.write("limit", severity="critical")
    waits, before = [], outbox.clock.now()
    while not ops.taken:
        tried = len(ops.tried)
        await outbox.deliver.tick()
        if len(ops.tried) > tried:
            waits.append((outbox.clock.now() - before).total_seconds())
            before = outbox.clock.now()
        outbox.clock.move(seconds=1)
    assert waits == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60]


async def test_two_replicas_deliver_every_message_once(place: Place) -> None:
    async with place.open() as store, place.open() as second:
        ops = Channel()
        one, other = Outbox(ops, store=store), Outbox(ops, store=second)
        await one.write(*(f"{n}" for n in range(100)))
        for _ in range(4):
            await asyncio.gather(one.deliver.tick(), other.deliver.tick())
        assert sorted(ops.keys, key=int) == [f"{n}" for n in range(100)]


async def test_messages_of_a_notifier_that_is_gone_wait_a_while_and_then_go_to_people() -> None:
    hook, mail = Channel("hook"), Channel("mail", people=True)
    outbox = Outbox(hook, mail)
    await outbox.write("a", notifier="renamed")
    await outbox.rounds(9, minutes=1)
    assert await outbox.store.outbox_depth() == {"renamed": (1, outbox.clock.now() - timedelta(minutes=9))}
    await outbox.rounds(3, minutes=1)
    assert (hook.keys, mail.keys) == ([], ["a"])


async def test_after_a_reload_what_waits_goes_to_the_fallback_that_was_named() -> None:
    ops, pager, mail = Channel(story=[DOWN] * 99), Channel("pager"), Channel("mail", people=True)
    outbox = Outbox(ops, pager, mail, fallbacks={"ops": "pager"})
    await outbox.write("a")
    await outbox.rounds(1, minutes=1)
    outbox.deliver.replace({"pager": pager, "mail": mail}, {})
    await outbox.rounds(15, minutes=1)
    assert (pager.keys, mail.keys) == (["a"], [])


async def test_without_any_notifier_messages_wait() -> None:
    outbox = Outbox()
    await outbox.write("a")
    await outbox.rounds(30, minutes=1)
    assert (await outbox.store.outbox_depth())["ops"][0] == 1


async def test_a_fresh_message_leaves_at_once_when_deliver_is_woken() -> None:
    ops = Interrupted()
    outbox = Outbox(ops, look=timedelta(hours=1))
    arrived, stop = asyncio.Event(), asyncio.Event()

    async def tell() -> None:
        arrived.set()

    ops.meanwhile = tell
    await outbox.write("a")
    running = asyncio.create_task(outbox.deliver.run(stop))
    async with asyncio.timeout(60):
        await arrived.wait()
        arrived.clear()
        await outbox.write("b")
        outbox.deliver.wake()
        await arrived.wait()
    stop.set()
    outbox.deliver.wake()
    await running
    assert ops.keys == ["a", "b"]


async def sending(ops: Hanging, outbox: Outbox, stop: asyncio.Event) -> asyncio.Task[None]:
    """Deliver, in the middle of its first send."""
    await outbox.write("a")
    running = asyncio.create_task(outbox.deliver.run(stop))
    async with asyncio.timeout(60):
        await ops.begun.wait()
    return running


async def test_what_is_being_sent_when_the_daemon_stops_is_finished_and_recorded() -> None:
    ops, stop = Hanging(), asyncio.Event()
    outbox = Outbox(ops)
    running = await sending(ops, outbox, stop)
    stop.set()
    asyncio.get_running_loop().call_later(0.05, ops.let_go.set)
    await running
    assert (ops.cut, await outbox.store.outbox_depth()) == (0, {})


async def test_what_is_cut_by_the_end_of_the_daemon_is_tried_at_once_by_the_next_as_uncertain() -> None:
    ops, stop = Hanging(), asyncio.Event()
    outbox = Outbox(ops)
    running = await sending(ops, outbox, stop)
    running.cancel()
    await asyncio.wait([running])
    assert ops.cut == 1
    ops.let_go.set()
    assert await outbox.rounds(1) == Sent(delivered=1)
    assert [(d.key, d.uncertain) for d in ops.taken] == [("a", False), ("a", True)]


async def test_every_try_is_counted_with_how_long_it_took_and_why_it_failed() -> None:
    gone = DeliveryError("ops: no such channel", permanent=True)
    outbox = Outbox(Channel(story=[DOWN, DeliveryError("ops: no answer", uncertain=True), gone]))
    await outbox.write("a", "b")
    await outbox.rounds(20, seconds=30)
    queue = outbox.deliver.queues["ops"]
    assert queue.totals == Sent(delivered=1, retried=2, given_up=1)
    assert queue.failures == {"unavailable": 1, "uncertain": 1, "refused": 1}
    assert queue.durations.count == 4
