"""A machine gets the public contract, signed, under one key for every try."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from alertd.clients.webhook import is_signed, signed_headers
from alertd.core.events import Event
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.notifiers.webhook import Options, Webhook
from alertd.ports import DeliveryError
from tests.servers.deliveries import delivery, now, receipt, refusal, sample, seen
from tests.servers.recording import RecordingServer, Reply
from tests.servers.webhook import WebhookServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(url: str, **options: str) -> Webhook:
    return Webhook("hook", Options(url=url, **options), now=now)


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_kind_of_event_arrives_signed_and_under_its_own_key(kind: str) -> None:
    events = SAMPLES[kind](NOW)
    with WebhookServer(secret=SECRET) as server:
        receipt(webhook(f"{server.url}/in", secret=SECRET), delivery(*events))
    assert server.faulty == []
    assert list(server.events) == [event.id for event in events]
    assert {event["event"] for event in server.events.values()} == {events[0].kind}


def test_a_wrong_secret_is_given_up() -> None:
    with WebhookServer(secret=SECRET) as server:
        error = refusal(webhook(server.url, secret="a secret of someone else"))
        assert server.events == {}
    assert error.permanent


def test_the_signature_is_that_of_the_specification() -> None:
    # The vector of the specification's own libraries.
    secret, identity, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    headers = signed_headers(secret, identity, at, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": identity, "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True), ({"webhook-signature": "v1,AAAA v2,x"}, False), ({"webhook-signature": "garbage"}, False),
        ({"webhook-id": "other"}, False), ({"webhook-timestamp": "1614265631"}, False),
        ({"webhook-timestamp": "²"}, False),
        ({"webhook-timestamp": ""}, False),
    ],
)  # fmt: skip
def test_a_signature_holds_for_its_own_id_time_and_body_only(change: dict[str, str], holds: object) -> None:
    headers = {**signed_headers(SECRET, "id-1", 1614265330, b"{}"), **change}
    assert is_signed(SECRET, headers, "id-1", b"{}", 1614265330) is holds
    assert not is_signed(SECRET, headers, "id-1", b"{} ", 1614265330)
    assert not is_signed(SECRET, headers, "id-1", b"{}", 1614265330 + 301)


def test_a_list_of_signatures_holds_where_one_does() -> None:
    headers = signed_headers(SECRET, "id-1", 1614265330, b"{}")
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    assert is_signed(SECRET, headers, "id-1", b"{}", 1614265330)


@pytest.mark.parametrize("secret", ["quick", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "-_" * 20, "whsec_not base64!"])
def test_a_secret_that_is_weak_or_no_base64_is_refused_with_how_to_make_one(secret: str) -> None:
    with pytest.raises(ValidationError, match="openssl rand -base64 32") as refused:
        Options(url="http://127.0.0.1/x", secret=secret)
    assert secret not in str(refused.value).replace("whsec_$(", "")


def test_an_event_is_a_cloud_event_where_that_is_asked_for() -> None:
    event = sample()
    with WebhookServer(secret=SECRET) as server:
        receipt(webhook(server.url, secret=SECRET, format="cloudevents"), delivery(event))
    (request,) = server.requests
    found = {name: value for name, value in request.headers.items() if name.startswith("ce-")}
    assert found.pop("ce-time").endswith("Z")
    assert found == {
        "ce-specversion": "1.0", "ce-id": event.id, "ce-source": "/alertd", "ce-type": f"alertd.{event.kind}",
        "ce-subject": event.budget,
    }  # fmt: skip
    assert server.faulty == []


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
        receipt(webhook(f"{server.url}/old", secret="s" * 16))
    assert [request.path for request in server.requests] == ["/old", "/new"]
    assert server.requests[0].body == server.requests[1].body


def test_a_receiver_that_redirects_to_itself_for_ever_is_given_up() -> None:
    with RecordingServer(lambda request: Reply(307, "", {"Location": f"{request.path}x"})) as server:
        assert refusal(webhook(server.url)).permanent
        assert len(server.requests) == 4


def test_check_finds_a_host_without_an_address_and_sends_nothing() -> None:
    with RecordingServer() as server:
        said = seen(webhook(server.url, secret="s" * 16))
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
