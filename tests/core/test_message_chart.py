"""The picture of a message shows spend, range, budget and today, in every state, and invents nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from alertd.core.charts.message_chart import HEIGHT, WIDTH, story
from alertd.core.charts.svg import COLOURS
from alertd.core.events import Event
from alertd.core.messages.samples import NOW, SAMPLES
from alertd.wire.pictures import png
from tests.servers.deliveries import sample

STATES = {
    "on_track": sample("actual"),
    "at_risk": sample("forecast"),
    "over": sample("over"),
    "unknown": sample("forecast", data_until=NOW - timedelta(days=2), status="unknown"),
}


def drawn(event: Event) -> str:
    found = story(event, NOW)
    assert found is not None
    return found.decode()


@pytest.mark.parametrize("expected", STATES)
def test_every_state_has_its_picture(expected: str) -> None:
    svg = drawn(STATES[expected])
    assert STATES[expected].status == expected
    assert f'stroke="{COLOURS[expected]}"' in svg
    assert 'class="spent"' in svg
    assert 'class="limit"' in svg
    assert ('class="range"' in svg) is (expected != "unknown")
    assert ("no data" in svg) is (expected == "unknown")
    assert "500.00 USD" in svg


def test_a_budget_without_history_says_so_and_draws_no_curve() -> None:
    svg = drawn(replace(sample(), spent=Decimal(0), projected={}, details={"daily": []}))
    assert "no spend seen in this period yet" in svg
    assert 'class="spent"' not in svg


def test_what_tells_no_days_has_no_picture() -> None:
    assert story(sample(details={}), NOW) is None
    assert story(sample("source_stale"), NOW) is None


@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_is_drawn_outside_the_picture(kind: str) -> None:
    for event in SAMPLES[kind](NOW):
        found = story(event, NOW)
        for points in re.findall(r'points="([^"]*)"', "" if found is None else found.decode()):
            for x, y in (map(float, point.split(",")) for point in points.split()):
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT


def test_a_picture_survives_the_outbox() -> None:
    event = sample()
    assert story(Event.from_json(event.to_json()), NOW) == story(event, NOW)


def test_an_amount_cannot_bring_mark_up_into_the_picture() -> None:
    assert "<script" not in drawn(sample(currency="<script>"))


def test_a_picture_is_a_small_png() -> None:
    pytest.importorskip("resvg_py", reason="the extra charts is not installed")
    picture = png(story(sample(), NOW))
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000
    assert png(None) == b""
