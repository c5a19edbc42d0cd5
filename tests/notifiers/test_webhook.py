"""A machine gets the public contract, signed, under one key for every try."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from alertd.core.events import Event
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.notifiers.webhook import Options, Webhook, signature
from alertd.ports import DeliveryError
from tests.servers.deliveries import delivery, now, receipt, refusal, sample, seen
from tests.servers.recording import RecordingServer, Reply
from tests.servers.webhook import WebhookServer


def webhook(url: str, **options: str) -> Webhook:
    return Webhook("hook", Options(url=url, **options), now=now)


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_kind_of_event_arrives_signed_and_under_its_own_key(kind: str) -> None:
    events = SAMPLES[kind](NOW)
    with WebhookServer(secret="between-us") as server:
        receipt(webhook(f"{server.url}/in", secret="between-us"), delivery(*events))
    assert server.faulty == []
    assert list(server.events) == [event.id for event in events]
    assert {event["event"] for event in server.events.values()} == {events[0].kind}


def test_a_wrong_secret_is_given_up() -> None:
    with WebhookServer(secret="between-us") as server:
        error = refusal(webhook(server.url, secret="someone-else's"))
        assert server.events == {}
    assert error.permanent


def test_the_signature_is_what_the_documentation_says() -> None:
    # The digest is openssl's: printf '1763712300.{"a":1}' | openssl dgst -sha256 -hmac key
    expected = "t=1763712300,v1=4a5b66bee8c282a0e272a9cea51adcd06982754f750c4615c69fbcd102396097"
    assert signature("key", 1763712300, b'{"a":1}') == expected


def test_a_receiver_that_refuses_a_third_has_each_event_once_after_retries() -> None:
    events = SAMPLES["digest"](NOW)
    with WebhookServer(refuse_every=3) as server:
        for event in events:
            tries = 0
            while event.id not in server.events:
                tries += 1
                assert tries < 4
                _sent_or_refused(server, event)
    assert len(server.events) == len(events)
    assert server.refused > 0


def test_a_retry_has_the_same_body_and_key() -> None:
    event = sample()
    with RecordingServer() as server:
        server.faults.append(Reply(503))
        refusal(webhook(server.url), delivery(event))
        receipt(webhook(server.url), delivery(event))
    first, second = server.requests
    assert first.body == second.body
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == event.id


def test_a_redirect_on_the_same_host_keeps_the_post() -> None:
    with RecordingServer() as server:
        server.faults.append(Reply(308, "", {"Location": "/new"}))
        receipt(webhook(f"{server.url}/old", secret="s"))
    assert [request.path for request in server.requests] == ["/old", "/new"]
    assert server.requests[0].body == server.requests[1].body


def test_a_receiver_that_redirects_to_itself_for_ever_is_given_up() -> None:
    with RecordingServer(lambda request: Reply(307, "", {"Location": f"{request.path}x"})) as server:
        assert refusal(webhook(server.url)).permanent
        assert len(server.requests) == 4


def test_check_finds_a_host_without_an_address_and_sends_nothing() -> None:
    with RecordingServer() as server:
        said = seen(webhook(server.url, secret="s"))
        assert server.requests == []
    lost = seen(webhook("http://no-such-host.invalid/in"))
    assert said == f"posts to 127.0.0.1:{server.port}, signed; nothing was sent"
    assert isinstance(lost, DeliveryError)
    assert "no-such-host.invalid" in str(lost)


@pytest.mark.parametrize("url", ["ftp://example.com/x", "example.com", "https://", ""])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="http"):
        Options(url=url)


def _sent_or_refused(server: WebhookServer, event: Event) -> None:
    if len(server.requests) % 3 == 1:
        refusal(webhook(server.url), delivery(event))
    else:
        receipt(webhook(server.url), delivery(event))
