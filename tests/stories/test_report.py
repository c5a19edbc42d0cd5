"""A team's monthly report: its figures are those of the statuses, its page shows them, and nothing in it can run."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from alertd.core.budgets import CarryOver
from alertd.core.evaluation.report import ReportedStep, ReportQuery, TeamReport, report, values_of
from alertd.core.evaluation.state import LIFECYCLES
from alertd.web.report_page import report_page
from tests.scenario import Scenario, budget

ZONE, NOVEMBER = ZoneInfo("UTC"), date(2026, 11, 1)
HOSTILE = "<script>alert(1)</script>"


def world() -> Scenario:
    """October and November, by the budgets as they are."""
    return copy.deepcopy(two_months())


@cache
def two_months(**more: Any) -> Scenario:
    """October and November: a team of two keys that overspends in November, and another one."""
    thresholds = ["actual 80%", "actual 100%", "forecast 100%"]
    found = Scenario(
        budget("teams", "300 USD", per=("team",), thresholds=thresholds, listed=True, **more),
        budget("keys", "200 USD", per=("team", "key"), thresholds=["actual 100%"]),
        at=datetime(2026, 10, 1, 9, tzinfo=UTC),
    )  # fmt: skip
    while found.now < datetime(2026, 12, 1, 12, tzinfo=UTC):
        more_now = 1.5 if found.now.month == 11 else 1.0
        found.spend(round(6 * more_now, 2), at=found.now - timedelta(hours=6), team="search", key="ci")
        found.spend(2, at=found.now - timedelta(hours=6), team="search", key="dev")
        found.spend(1, at=found.now - timedelta(hours=6), team=HOSTILE, key=HOSTILE)
        found.tick()
        found.pass_time(days=1)
    return found


def reported(
    found: Scenario, team: str = "search", month: date = NOVEMBER, done: Sequence[tuple[str, ReportedStep]] = ()
) -> TeamReport:
    events = {alert.event.id: alert.event for alert in found.alerts}
    return report(found.facts(), ReportQuery("team", team, month, ZONE), events.values(), done)


def words(found: TeamReport, now: datetime) -> str:
    return report_page(found, now).decode()


def test_the_parts_of_every_split_add_up_to_what_was_spent() -> None:
    found = reported(world())
    assert found.position.spent == 30 * 11
    assert found.complete
    assert [(one.label, one.spent) for one in found.breakdowns] == [
        ("model", found.position.spent), ("key", found.position.spent), ("provider", found.position.spent),
    ]  # fmt: skip
    assert [one.spent for one in found.past][:1] == [31 * 8]


def test_forecasts_alerts_and_what_was_done_are_those_of_the_month_and_the_team() -> None:
    year = world()
    raised = (
        "teams/team=search/2026-11-01",
        ReportedStep(datetime(2026, 11, 20, tzinfo=UTC), "raise", "ana", "400 USD"),
    )
    other = ("teams/team=ops/2026-11-01", ReportedStep(datetime(2026, 11, 20, tzinfo=UTC), "raise", "bob", "900 USD"))
    late = ("teams/team=search/2026-11-01", ReportedStep(datetime(2026, 12, 20, tzinfo=UTC), "raise", "eve", "900 USD"))
    found = reported(year, done=[raised, other, late])
    assert [one.day for one in found.forecasts] == [3, 7, 14, 21]
    assert {event.budget for event, _ in found.alerts} == {"teams", "keys"}
    assert all(("team", "search") in event.scope for event, _ in found.alerts)
    assert [step.by for step in found.done] == ["ana"]
    text = words(found, year.now)
    for said in (
        "team search: November 2026",
        "$330",
        "of $300",
        "110%",
        "+33%",
        "Day 14",
        "raise: 400 USD",
        "by ana",
    ):
        assert said in text, said


def test_what_people_answered_stands_beside_its_alert() -> None:
    year = world()
    alert = next(a for a in year.alerts if ("team", "search") in a.event.scope and a.event.severity == "critical")
    life = LIFECYCLES.get(year.state, alert.event.id)
    assert life is not None
    if life.state == "firing":
        life = life.after("acknowledge", year.now, "ana", "known")
        year.state = year.state.after(LIFECYCLES.put(life, alert.event.id))
        assert "acknowledge by ana: known" in words(reported(year), year.now)
    else:
        assert "over: its period has ended" in words(reported(year), year.now)


def test_next_months_proposal_comes_from_the_spend_that_is_known() -> None:
    found = reported(world())
    assert found.proposal is not None
    assert found.proposal.days >= 60
    assert 300 <= found.proposal.amount <= 480


def test_a_month_that_runs_is_said_to_run_and_shows_no_outcome() -> None:
    year = world()
    year.now = datetime(2026, 11, 16, 12, tzinfo=UTC)
    found = reported(year)
    assert not found.complete
    assert "the month is not over" in words(found, year.now)


def test_a_team_without_a_budget_has_its_spend_and_no_share() -> None:
    year = world()
    year.budgets = (budget("all", "5000 USD"),)
    found = reported(year)
    assert not found.has_budget
    assert found.position.spent == 330
    assert "no budget of its own" in words(found, year.now)


def test_a_team_that_spent_nothing_has_a_report_of_nothing() -> None:
    found = reported(world(), "nobody")
    assert (found.position.spent, found.proposal) == (Decimal(0), None)
    assert b"Nothing was announced" in report_page(found, datetime(2026, 12, 1, tzinfo=UTC))


def test_what_was_carried_into_the_month_is_said() -> None:
    found = reported(two_months(carry_over=CarryOver(Decimal(10))))
    assert found.position.amount.value == 330
    assert "$30 carried over into it" in words(found, datetime(2026, 12, 1, 12, tzinfo=UTC))


def test_nothing_of_a_label_is_markup_and_nothing_is_loaded() -> None:
    year = world()
    assert values_of(year.facts(), "team") == sorted([HOSTILE, "search"])
    text = words(reported(year, HOSTILE), year.now)
    assert "<script" not in text
    for loads in ("<link", "src=", "url(", "@import"):
        assert loads not in text.replace("url(#", "")


@pytest.mark.parametrize("month", [date(2026, 10, 1), date(2026, 11, 1)])
def test_each_month_is_its_own(month: date) -> None:
    found = reported(world(), month=month)
    assert found.position.period.start.month == month.month
    assert found.alerts
    assert all(event.period_start == found.position.period.start for event, _ in found.alerts)
