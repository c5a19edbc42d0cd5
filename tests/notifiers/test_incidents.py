"""PagerDuty and Alertmanager hear of what someone must act on; an alert and its end have one key."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from alertd.core.messages.samples import NOW, SAMPLES
from alertd.notifiers import alertmanager, pagerduty
from alertd.plugin_options import Secret
from tests.servers.deliveries import delivery, now, receipt, refusal, sample
from tests.servers.recording import RecordingServer, Reply


def pager(url: str, **options: Any) -> pagerduty.PagerDuty:
    return pagerduty.PagerDuty("pager", pagerduty.Options(routing_key=Secret("R" * 32), url=url, **options), now=now)


def manager(*urls: str, **options: Any) -> alertmanager.Alertmanager:
    return alertmanager.Alertmanager("am", alertmanager.Options(urls=list(urls), **options), now=now)


def test_an_alert_triggers_and_its_end_resolves_the_same_incident() -> None:
    with RecordingServer(lambda _: Reply(202)) as server:
        receipt(pager(server.url), delivery(sample("forecast")))
        receipt(pager(server.url), delivery(sample("recovered")))
    begun, ended = (request.json for request in server.requests)
    assert (begun["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert begun["dedup_key"] == ended["dedup_key"] == "alertd/research/2026-11-01/forecast"
    assert {request.path for request in server.requests} == {"/v2/enqueue"}


def test_blindness_and_its_end_are_one_incident() -> None:
    with RecordingServer(lambda _: Reply(202)) as server:
        receipt(pager(server.url), delivery(sample("source_stale")))
        receipt(pager(server.url), delivery(sample("source_back")))
    assert [request.json["dedup_key"] for request in server.requests] == ["alertd/source/gateway"] * 2


@pytest.mark.parametrize("kind", SAMPLES)
def test_pagerduty_takes_every_kind_within_its_limits(kind: str) -> None:
    for event in SAMPLES[kind](NOW):
        long = replace(event, scope=(("team", "x" * 300),) if event.budget else ())
        body = pagerduty.render(long, "R" * 32, NOW)
        assert len(body["dedup_key"]) <= 255
        if body["event_action"] == "trigger":
            assert len(body["payload"]["summary"]) <= 1024
            assert body["payload"]["severity"] in {"critical", "error", "warning", "info"}


@pytest.mark.parametrize(("kind", "heard"), [("actual", False), ("digest", False), ("forecast", True), ("over", True),
                                             ("recovered", True), ("test", False)])  # fmt: skip
def test_nobody_is_woken_for_information(kind: str, heard: bool) -> None:  # noqa: FBT001 - a table
    with RecordingServer(lambda _: Reply(202)) as server:
        told = receipt(pager(server.url), delivery(*SAMPLES[kind](NOW)))
        posted = len(server.requests)
    assert bool(posted) is heard
    assert told.said.startswith("taken" if heard else "left out")


def test_the_least_severity_is_a_choice() -> None:
    with RecordingServer(lambda _: Reply(202)) as server:
        receipt(pager(server.url, least="critical"), delivery(sample("forecast")))
        receipt(pager(server.url, least="critical"), delivery(sample("over")))
    assert len(server.requests) == 1


def test_alertmanager_is_told_the_end_under_the_labels_of_the_beginning() -> None:
    pairs = {"forecast": "recovered", "source_stale": "source_back"}
    for begun, ended in pairs.items():
        first = alertmanager.render(sample(begun), NOW, timedelta(days=1))
        last = alertmanager.render(sample(ended), NOW, timedelta(days=1))
        assert first["labels"] == last["labels"]
        assert datetime.fromisoformat(first["endsAt"]) == NOW + timedelta(days=1)
        assert datetime.fromisoformat(last["endsAt"]) == NOW


def test_an_end_carries_the_severity_that_fired_whatever_its_basis() -> None:
    ended = sample("recovered", basis="forecast", fired="critical")
    assert alertmanager.render(ended, NOW, timedelta(days=1))["labels"]["severity"] == "critical"


def test_figures_that_change_are_in_no_label() -> None:
    less, more = sample(), sample(spent=sample().spent + 10, probability_over=0.97)
    rendered = [alertmanager.render(event, NOW, timedelta(days=1)) for event in (less, more)]
    assert rendered[0]["labels"] == rendered[1]["labels"]
    assert rendered[0]["annotations"] != rendered[1]["annotations"]


def test_scopes_are_labels_with_names_that_alertmanager_takes() -> None:
    labels = alertmanager.render(sample(scope=(("cost-center", "a b"), ("team", None))), NOW, timedelta(days=1))[
        "labels"
    ]
    assert labels["scope_cost_center"] == "a b"
    assert "scope_team" not in labels
    assert all(labels.values())


def test_every_member_is_told_and_one_is_enough() -> None:
    with RecordingServer() as one, RecordingServer(lambda _: Reply(503)) as other:
        told = receipt(manager(one.url, other.url, token=Secret("let-me-in")), delivery(sample()))
    assert len(one.requests) == len(other.requests) == 1
    assert one.requests[0].headers["authorization"] == "Bearer let-me-in"
    assert told.said.startswith("taken by 1 of 2 members; not by 1")


def test_no_member_is_a_retry_as_long_as_one_may_come_back() -> None:
    with RecordingServer(lambda _: Reply(400, "bad")) as bad, RecordingServer(lambda _: Reply(503)) as busy:
        assert not refusal(manager(bad.url, busy.url), delivery(sample())).permanent
        assert refusal(manager(bad.url), delivery(sample())).permanent
