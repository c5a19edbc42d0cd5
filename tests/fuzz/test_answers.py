"""Whatever a provider or a receiver answers, and whatever Slack says was pressed, is taken or refused by name, soon.

Good conversations are had over and over; each answer in them is broken in bytes or in structure. `make test` runs a
seeded slice; `make chaos` runs FUZZ_EXAMPLES (20,000) conversations of each kind and prints how long they took.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest

from alertd.clients.http import Http
from alertd.notifiers._buttons import ButtonSigner, parse_interaction
from alertd.ports import DeliveryError, Receipt, SourceError
from alertd.registry import load
from tests.contracts import test_notifiers, test_sources
from tests.fuzz.test_parsers import HOSTILE, LONG, SECONDS, SLICE
from tests.memory_store import MemoryStore
from tests.servers import recording
from tests.servers.billing import Asked, Reply
from tests.servers.deliveries import delivery, outcome
from tests.servers.recording import Received, RecordingServer
from tests.sources import (
    test_alibaba,
    test_anthropic,
    test_anyscale,
    test_claude_code,
    test_github_copilot,
    test_litellm,
    test_openai,
    test_openrouter,
    test_scaleway,
    test_together,
)

NOW: Final = datetime(2026, 11, 20, 10, tzinfo=UTC)
SINCE: Final = datetime(2026, 11, 14, tzinfo=UTC)
#: What may stand where something else is expected.
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1e308, -1e308, 10**30, -(10**30), 0.1, "", "NaN", "Infinity", "-1", "1e400", "0x10",
    "9" * 400, [], {}, [[]], [None], {"": None}, [{}], "a" * 5000, "\u202e\x00\ud7ff", "2026-02-30", 1e-320, 2**63,
    "0000-00-00T00:00:00Z", "9999-12-31T23:59:59+14:00", "2026-11-19", "USD", "tokens", {"value": None}, "null",
)  # fmt: skip


def open_ai() -> Callable[[Asked], Reply]:
    return test_openai.Organization(test_openai.usage(), costs=(test_openai.cost(),))


def anthropic() -> Callable[[Asked], Reply]:
    return test_anthropic.Organization(test_anthropic.usage(), costs=(test_anthropic.cost(test_anthropic.line()),))


def open_router() -> Callable[[Asked], Reply]:
    there = test_openrouter.Account(test_openrouter.key())
    there.did(test_openrouter.used())
    return there


def together() -> Callable[[Asked], Reply]:
    there = test_together.Cloud([test_together.job()])
    there.endpoints, there.replicas = [test_together.endpoint()], 1
    return there


#: A good conversation with each provider, with the credentials that its server wants.
PROVIDERS: Final[dict[str, tuple[Callable[[], Callable[[Asked], Reply]], dict[str, Any]]]] = {
    "openai": (open_ai, {"admin_key": "sk-admin-secret", "url": "http://fuzz/v1"}),
    "anthropic": (anthropic, {"admin_key": "sk-ant-admin-x", "url": "http://fuzz"}),
    "litellm": (
        lambda: test_litellm.pages([test_litellm.day(gpt=test_litellm.model(test_litellm.metrics()))]),
        {"api_key": "sk-master", "url": "http://fuzz"},
    ),
    "openrouter": (open_router, {"management_key": "sk-or-secret", "url": "http://fuzz/api/v1"}),
    "scaleway": (
        lambda: test_scaleway.paged(test_scaleway.bill([test_scaleway.line(2, 700)], "2026-11-20T04:12:33Z")),
        {"secret_key": "very-secret", "organization_id": "org-1", "url": "http://fuzz"},
    ),
    "alibaba": (
        lambda: test_alibaba.Bss(d2026_11_19=[test_alibaba.row()]),
        {"access_key_id": "LTAI-id", "access_key_secret": test_alibaba.SECRET, "url": "http://fuzz"},
    ),
    "claude_code": (
        lambda: test_claude_code.Organization(d19=[test_claude_code.row()]),
        {"admin_key": "sk-ant-admin-x", "url": "http://fuzz"},
    ),
    "github_copilot": (
        lambda: test_github_copilot.Github(d19=[test_github_copilot.item()]),
        {"token": "ghp-secret", "organization": "acme", "url": "http://fuzz"},
    ),
    "together": (together, {"api_key": "tg-secret", "url": "http://fuzz"}),
    "anyscale": (
        lambda: lambda _: Reply({"results": test_anyscale.days(d18=41.37)}),
        {"cli_token": "aks-secret", "url": "http://fuzz"},
    ),
}


def broken(body: bytes, chance: random.Random) -> bytes:
    """A good answer with something in it replaced, cut, doubled; in its structure or in its bytes."""
    if chance.random() < 0.7:
        with suppress(ValueError):
            value = json.loads(body)
            for _ in range(chance.randint(1, 3)):
                value = elsewhere(value, chance)
            return json.dumps(value).encode()
    found = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        begin = chance.randint(0, len(found))
        end = min(len(found), begin + chance.choice((0, 1, 2, 5, 20, 200)))
        found[begin:end] = chance.choice([chance.choice(HOSTILE), b"", bytes(found[begin:end]) * 2])
    return bytes(found)


def elsewhere(value: Any, chance: random.Random) -> Any:
    """The value with one thing in it changed: at some depth another value, one missing, one twice."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(sorted(value))
        changed = dict(value)
        if chance.random() < 0.1:
            del changed[name]
        else:
            changed[name] = elsewhere(value[name], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        part = [elsewhere(value[place], chance)] * chance.choice((0, 1, 1, 1, 2))
        return [*value[:place], *part, *value[place + 1 :]]
    return deepcopy(chance.choice(VALUES))


def answered(found: list[Http], answer: Callable[[Asked], Reply], chance: random.Random | None) -> None:
    """Let a function be the server of these; where a die is given, half of its answers are broken."""

    def respond(request: httpx.Request) -> httpx.Response:
        query: dict[str, list[str]] = {}
        for name, value in request.url.params.multi_items():
            query.setdefault(name, []).append(value)
        raw = request.url.query.decode()
        asked = Asked(request.method, request.url.path, query, dict(request.headers), request.content, raw)
        try:
            reply = answer(asked)
        except (LookupError, ValueError):  # a broken answer led to a place that the server does not have
            assert chance is not None
            reply = Reply({"error": "not found"}, 404)
        body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        content = body.encode()
        if chance is not None and chance.random() < 0.5:
            content = broken(content, chance)
        headers = {"Content-Type": "application/json", **reply.headers}
        return httpx.Response(reply.status, stream=httpx.ByteStream(content), headers=headers)

    assert found
    for http in found:
        http._client = http._open()
        http._client._transport = httpx.MockTransport(respond)


def conversations_of(thing: Any, seen: set[int] | None = None) -> list[Http]:
    """Every Http that a plug-in holds."""
    seen = set() if seen is None else seen
    if isinstance(thing, Http):
        return [thing]
    if id(thing) in seen or type(thing).__module__.partition(".")[0] != "alertd":
        return []
    seen.add(id(thing))
    names = getattr(thing, "__dict__", {})
    return [http for value in names.values() for http in conversations_of(value, seen)]


async def talk(kind: str, chance: random.Random | None) -> list[Any]:
    """One source's two rounds against a server that breaks what it says; a store takes what is read."""
    good, options = PROVIDERS[kind]
    plugin = load("sources", kind)
    source = plugin.build("fuzz", plugin.Options.model_validate(options))
    answered(conversations_of(source), good(), chance)
    store, readings = MemoryStore(), []
    for _ in range(2):
        try:
            row = await store.source("fuzz")
            async for reading in source.read(row.cursor, SINCE, NOW):
                readings.append(reading)
                assert await store.commit_records(await store.source("fuzz"), reading)
        except SourceError as error:
            assert str(error), "a refusal says why"  # noqa: PT017 - most are not refused
            if chance is None:
                raise
    await source.close()
    return readings


def conversations(kind: str, count: int, first: int) -> float:
    """So many broken conversations by seeds from `first` on; the seconds of CPU that they took."""
    begun = time.process_time()
    for seed in range(first, first + count):
        one = time.process_time()
        try:
            asyncio.run(talk(kind, random.Random(seed)))
        except BaseException:
            print(f"{kind}: seed {seed}")
            raise
        assert time.process_time() - one < SECONDS, f"seed {seed} takes long"
    return time.process_time() - begun


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_good_conversation_is_had(kind: str) -> None:
    assert asyncio.run(talk(kind, None))


def test_every_provider_is_asked() -> None:
    # The clouds' conversations have servers of their own, which are not broken here.
    clouds = {"azure_openai", "bedrock", "vertex", "aws_costs", "azure_costs", "bigquery"}
    assert PROVIDERS.keys() == set(test_sources.BILLS) - clouds


@pytest.mark.parametrize("kind", PROVIDERS)
def test_whatever_a_provider_answers_is_a_reading_or_a_named_error(kind: str) -> None:
    conversations(kind, SLICE, 0)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", PROVIDERS)
def test_thousands_of_broken_conversations(kind: str) -> None:
    logging.disable(logging.WARNING)
    took = conversations(kind, LONG, 1_000_000)
    print(f"{kind}: {LONG:,} conversations in {took:.0f} s of CPU")


#: What a receiver says when it took a message, where that is not an empty text.
TAKEN: Final[dict[str, Any]] = {
    "discord": {"id": "1"},
    "google_chat": {"name": "spaces/A/messages/1"},
    "mattermost": "ok",
    "pagerduty": {"status": "success", "message": "Event processed", "dedup_key": "k"},
}
#: Slack's own client carries its conversations.
RECEIVERS: Final = sorted(kind for kind in test_notifiers.STAGES if not kind.startswith("slack"))


async def tell(kind: str, chance: random.Random) -> None:
    """One message to a receiver that answers as it likes: taken, or a DeliveryError."""
    name = kind.partition(" ")[0]
    plugin = load("notifiers", name)
    notifier = plugin.build("ops", plugin.Options.model_validate(test_notifiers.STAGES[kind]("http://fuzz")))
    status = chance.choice((200, 200, 202, 204, 400, 401, 404, 429, 500, 503))
    headers = {"Retry-After": chance.choice(("5", "-1", "x", "9" * 99, "Wed, 21 Oct 2099 07:28:00 GMT", ""))}
    answered(conversations_of(notifier), lambda _: Reply(TAKEN.get(kind, ""), status, headers), chance)
    try:
        await notifier.send(delivery())
    except DeliveryError as error:
        assert str(error)  # noqa: PT017 - some are taken
        assert test_notifiers.SECRET not in str(error)  # noqa: PT017 - as above
    finally:
        await notifier.close()


@pytest.mark.parametrize("kind", RECEIVERS)
def test_whatever_a_receiver_answers_is_a_receipt_or_a_delivery_error(kind: str) -> None:
    for seed in range(SLICE):
        asyncio.run(tell(kind, random.Random(seed)))


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", RECEIVERS)
def test_thousands_of_odd_receivers(kind: str) -> None:
    begun = time.process_time()
    for seed in range(LONG // 4):
        asyncio.run(tell(kind, random.Random(seed)))
    print(f"{kind}: {LONG // 4:,} deliveries in {time.process_time() - begun:.0f} s of CPU")


@pytest.mark.parametrize("kind", ["slack", "slack by webhook"])
def test_whatever_slack_answers_is_a_receipt_or_a_delivery_error(kind: str) -> None:
    chance = random.Random(20261121)
    good = json.dumps({"ok": True, "channel": "C1", "ts": "1795168800.000100", "message": {"ts": "1795168800.000100"}})

    def odd(_: Received) -> recording.Reply:
        body = broken(good.encode(), chance).decode(errors="replace")
        return recording.Reply(chance.choice((200, 200, 200, 400, 403, 404, 429, 500, 503)), body, {"Retry-After": "1"})

    with RecordingServer(odd) as server:
        for _ in range(SLICE):
            plugin = load("notifiers", "slack")
            options = plugin.Options.model_validate(test_notifiers.STAGES[kind](server.url))
            found = outcome(plugin.build("ops", options))
            assert isinstance(found, Receipt | DeliveryError)
            assert test_notifiers.SECRET not in str(found)
    assert len(server.requests) >= SLICE


SEAL: Final = ButtonSigner.of("xoxb-of-the-test")
PRESS: Final = {
    "type": "block_actions",
    "user": {"id": "U1", "username": "ana", "name": "ana"},
    "api_app_id": "A1",
    "container": {"type": "message", "message_ts": "1795168800.000100", "channel_id": "C1"},
    "channel": {"id": "C1", "name": "ops"},
    "message": {"ts": "1795168800.000100", "thread_ts": "1795168800.000100"},
    "actions": [{"action_id": "alertd.ack", "action_ts": "1795168900.5", "value": SEAL.signed("ack..4f2.1795200000")}],
}


def presses(count: int, first: int) -> int:
    """So many broken payloads; how many of them were believed to be presses: all of what alertd itself had sealed."""
    believed = 0
    for seed in range(first, first + count):
        chance = random.Random(seed)
        payload: Any = PRESS
        for _ in range(chance.randint(1, 3)):
            payload = elsewhere(payload, chance)
        if isinstance(payload, dict):
            press = parse_interaction(payload, SEAL)
            believed += press is not None
            assert press is None or (press.what, press.on) == ("acknowledge", ("4f2",)), f"seed {seed}: a forgery"
    return believed


def test_a_payload_of_slack_is_the_press_that_was_sealed_or_nothing() -> None:
    good = parse_interaction(PRESS, SEAL)
    assert good is not None
    assert good.what == "acknowledge"
    assert 0 < presses(SLICE * 10, 0) < SLICE * 10


@pytest.mark.chaos
def test_thousands_of_broken_presses() -> None:
    begun = time.process_time()
    believed = presses(LONG * 5, 1_000_000)
    print(
        f"presses: {LONG * 5:,} payloads, {believed:,} of them still good, {time.process_time() - begun:.0f} s of CPU"
    )
