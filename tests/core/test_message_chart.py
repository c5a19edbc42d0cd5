"""The picture of a message shows spend, range, budget and today, in every state, and invents nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

import pytest

from alertd.clients.png import png
from alertd.core.addresses import event_of, picture_key, picture_url
from alertd.core.charts.html import COLOURS
from alertd.core.charts.message_chart import DARK, HEIGHT, LIGHT, WIDTH, Theme, story
from alertd.core.events import Event
from alertd.core.messages import compose, text_of
from alertd.core.messages.rich_text import facts_line
from alertd.core.messages.samples import NOW, SAMPLES
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
    assert all(f">{said}<" in svg for said in ("$0", "$250", "$500", "budget", "1 Nov", "30 Nov", "now"))
    assert "data to " in svg


@pytest.mark.parametrize(("chance", "said"), [(0.3, "may"), (0.93, "will probably"), (0.995, "will almost certainly")])
def test_its_title_is_as_sure_as_the_message(chance: float, said: str) -> None:
    event = sample("forecast", probability_over=chance)
    assert f">research {said} go over: $564 of $500<" in drawn(event)
    assert f" {said} go over: $564 of $500" in compose([event], NOW).subject


def test_its_title_names_no_likely_total_while_the_message_says_that_it_is_too_early() -> None:
    event = sample("forecast", projected={"0.1": Decimal(337), "0.5": Decimal(1190), "0.9": Decimal(3140)})
    svg = drawn(event)
    assert ">research will probably go over: $323.60 of $500 so far<" in svg
    assert "1,190" not in svg
    assert "3,140" not in svg
    assert "too early to say" in text_of(facts_line(compose([event], NOW).facts)[0])


def test_a_budget_without_history_says_so_and_draws_no_curve() -> None:
    svg = drawn(replace(sample(), spent=Decimal(0), projected={}, daily=()))
    assert "no spend seen in this period yet" in svg
    assert 'class="spent"' not in svg


def test_a_range_far_beyond_the_budget_is_cut_and_written_and_does_not_flatten_the_month() -> None:
    svg = drawn(sample("burn_rate"))
    assert "↑ $2,400" in svg
    height = {name: float(found) for name, found in re.findall(r'class="(limit|spent)" points="[^"]*,([0-9.]+)"', svg)}
    assert HEIGHT - height["limit"] > 0.35 * HEIGHT, "the budget's line is no lower than a third"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_mails_picture_has_no_ground_and_no_title(theme: Theme) -> None:
    svg = story(sample(), NOW, theme)
    assert svg is not None
    assert b'class="ground"' not in svg
    assert b"data to" not in svg
    assert b"$323.60" in svg


def test_what_tells_no_days_has_no_picture() -> None:
    assert story(replace(sample(), daily=None), NOW) is None
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


# --- signed addresses of pictures ---

KEY: Final = picture_key("a-token-of-the-page")
PAGE: Final = "https://alertd.example.com"


@pytest.mark.parametrize("kind", ["forecast", "actual", "over", "burn_rate", "ahead"])
def test_a_signed_address_holds_what_is_drawn(kind: str) -> None:
    event = sample(kind)
    url = picture_url(PAGE, KEY, event)
    assert url.startswith(f"{PAGE}/pictures/")
    assert len(url) <= 2000
    found = event_of(url.rpartition("/")[2], KEY)
    assert found is not None
    assert re.findall(">([^<]+)<", drawn(found)) == re.findall(">([^<]+)<", drawn(event))
    assert found.daily is not None
    assert [day for day, _ in found.daily] == [day for day, _ in event.daily or ()]


def test_a_year_of_days_is_thinned_and_keeps_its_sum() -> None:
    daily = tuple(((date(2026, 1, 1) + timedelta(days=n)).isoformat(), Decimal(n % 7)) for n in range(300))
    begin, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2027))
    spent = sum((value for _, value in daily), Decimal(0))
    year = sample(daily=daily, spent=spent, period_start=begin, period_end=end)
    found = event_of(picture_url(PAGE, KEY, year).rpartition("/")[2], KEY)
    assert found is not None
    assert found.daily is not None
    assert len(found.daily) <= 62
    assert sum(value for _, value in found.daily) == year.spent


def test_what_alertd_did_not_sign_is_no_picture() -> None:
    name = picture_url(PAGE, KEY, sample()).rpartition("/")[2]
    other = picture_url(PAGE, picture_key("another-token-of-a-page"), sample()).rpartition("/")[2]
    for forged in (other, "x", "", name[:-10] + "AAAAAA.png", name[:40] + name[41:]):
        assert event_of(forged, KEY) is None, forged
    assert event_of(name, b"") is None


def test_there_is_no_picture_without_a_key_https_or_days() -> None:
    assert picture_url(PAGE, b"", sample()) == ""
    assert picture_url("http://alertd.example.com", KEY, sample()) == ""
    assert picture_url(PAGE, KEY, sample("source_stale")) == ""
