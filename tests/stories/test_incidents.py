"""Public incidents of agents: the first message comes within minutes (all: tests/benchmarks/bench_incidents.py)."""

from __future__ import annotations

import pytest

from tests.stories.incidents import INCIDENTS, false_messages, told


@pytest.mark.parametrize(("number", "share"), [(0, 0.005), (4, 0.005), (6, 0.006)])
def test_an_incident_is_told_before_much_of_the_budget_is_lost(number: int, share: float) -> None:
    found = told(INCIDENTS[number])
    assert found is not None
    assert found.basis == "burn_rate"
    assert found.share < share
    assert found.minutes <= 2


def test_a_quiet_month_of_a_team_is_quiet() -> None:
    assert false_messages(1, days=31) == []
