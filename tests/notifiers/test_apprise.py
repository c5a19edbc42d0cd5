"""Apprise hands plain text to its services, says what it knows of a failure, and shows no address."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

pytest.importorskip("apprise", reason="the extra apprise is not installed")

from alertd.notifiers.apprise import Apprise, Options
from alertd.ports import DeliveryError
from tests.servers.deliveries import delivery, now, receipt, refusal, sample, seen
from tests.servers.hanging_server import DEEDS, HangingServer
from tests.servers.recording import RecordingServer, Reply

SECRET = "S3CR3T-path"


def chat(server: Any, **options: Any) -> Apprise:
    return Apprise("far", Options(url=f"json://127.0.0.1:{server.port}/{SECRET}", **options), now=now)


@pytest.mark.parametrize(
    ("kind", "told"), [("forecast", "warning"), ("over", "failure"), ("actual", "info"), ("recovered", "success")]
)
def test_a_message_arrives_whole_with_how_grave_it_is(kind: str, told: str) -> None:
    with RecordingServer() as server:
        said = receipt(chat(server), delivery(sample(kind)))
    (body,) = [request.json for request in server.requests]
    assert "research" in body["title"]
    assert "of $500" in body["message"]
    assert body["type"] == told
    assert said.said == "taken by Apprise for JSON"


def test_a_refusal_is_tried_again_and_says_what_apprise_knows_without_the_address() -> None:
    with RecordingServer(lambda _: Reply(503)) as server:
        error = refusal(chat(server))
    assert not error.permanent
    assert "503" in str(error)
    assert SECRET not in str(error)


def test_a_service_that_never_answers_is_given_up_in_time_as_uncertain() -> None:
    with HangingServer(DEEDS["hangs"]) as hanging:
        error = refusal(Apprise("far", Options(url=f"json://127.0.0.1:{hanging.url.rpartition(':')[2]}/{SECRET}?rto=9",
                                               timeout="2s"), now=now))  # fmt: skip
    assert (error.permanent, error.uncertain) == (False, True)


def test_check_names_the_service_and_sends_nothing() -> None:
    with RecordingServer() as server:
        assert seen(chat(server)) == "JSON by Apprise; to try it: alertd test-notify far"
        assert server.requests == []


@pytest.mark.parametrize(
    ("options", "said"),
    [({"url": "nosuch://x"}, "appriseit.com"), ({"url": "json://h/x", "proxy": "http://p:1"}, "HTTPS_PROXY")],
)
def test_what_cannot_work_is_refused_with_the_remedy(options: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as refused:
        Options(**options)
    assert "nosuch" not in str(refused.value)


def test_an_outcome_is_never_silent() -> None:
    with RecordingServer(lambda _: Reply(400)) as server:
        assert isinstance(refusal(chat(server)), DeliveryError)
