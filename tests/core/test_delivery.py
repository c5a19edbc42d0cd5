"""When a message is tried again, when it is given up, and when a receiver is left in peace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.delivery import (
    FAILURES_TO_OPEN,
    FIRST_WAIT,
    KEEP_TRYING,
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    MACHINE_BATCH,
    Circuit,
    Failure,
    after_try,
    free_slots,
    retry_at,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DOWN = Failure("503")
BAD = Failure("404", permanent=True)
BROKEN = Failure("KeyError", unexpected=True)
EVEN = 0.5  # the jitter that changes nothing

jitters = st.floats(0, 1, exclude_max=True)
failures = st.builds(
    Failure,
    st.just("why"),
    permanent=st.booleans(),
    uncertain=st.booleans(),
    unexpected=st.booleans(),
    retry_after=st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=30)),
)


@pytest.mark.parametrize(
    ("failure", "attempt", "tried_for", "waits"),
    [
        (DOWN, 1, "0s", "5s"),
        (DOWN, 2, "5s", "10s"),
        (DOWN, 3, "15s", "20s"),
        (DOWN, 8, "600s", "640s"),
        (DOWN, 9, "1300s", "900s"),
        (DOWN, 500, "80000s", "900s"),
        (DOWN, 500, "86399s", "900s"),
        (DOWN, 500, "86400s", "given up"),
        (DOWN, 1, "90000s", "given up"),
        (BAD, 1, "0s", "given up"),
        (BROKEN, 1, "0s", "5s"),
        (BROKEN, 2, "5s", "10s"),
        (BROKEN, 3, "15s", "given up"),
        (Failure("429", retry_after=timedelta(seconds=30)), 9, "60s", "33.75s"),
        (Failure("429", retry_after=timedelta(0)), 9, "60s", "1.125s"),
        (Failure("429", retry_after=timedelta(days=7)), 1, "0s", "4050s"),
        (Failure("reset", uncertain=True), 1, "0s", "5s"),
    ],
)
def test_the_table_of_retries(failure: Failure, attempt: int, tried_for: str, waits: str) -> None:
    first = NOON - timedelta(seconds=float(tried_for[:-1]))
    at = retry_at(failure, attempt, first, NOON, EVEN)
    assert ("given up" if at is None else f"{(at - NOON).total_seconds():g}s") == waits


@given(failures, st.integers(1, 10**6), st.timedeltas(timedelta(0), timedelta(days=2)), jitters)
def test_a_retry_lies_ahead_within_bounds_and_never_before_what_was_asked_for(
    failure: Failure, attempt: int, tried_for: timedelta, jitter: float
) -> None:
    at = retry_at(failure, attempt, NOON - tried_for, NOON, jitter)
    if at is None:
        assert failure.permanent or failure.unexpected or tried_for >= KEEP_TRYING
        return
    assert at - NOON >= FIRST_WAIT * 0.75 or failure.retry_after is not None
    assert timedelta(0) < at - NOON <= max(LONGEST_WAIT, LONGEST_RETRY_AFTER) * 1.25
    if failure.retry_after is not None:
        assert at - NOON >= min(failure.retry_after, LONGEST_RETRY_AFTER)


@given(jitters)
def test_a_message_that_nobody_takes_is_given_up_after_a_day_and_some_hundred_tries(jitter: float) -> None:
    now, attempt = NOON, 1
    while (at := retry_at(DOWN, attempt, NOON, now, jitter)) is not None:
        now, attempt = at, attempt + 1
    assert KEEP_TRYING <= now - NOON <= KEEP_TRYING + LONGEST_WAIT * 1.25
    assert 70 < attempt < 150


def test_a_receiver_that_fails_three_times_in_a_row_is_left_in_peace_and_then_asked_with_one_message() -> None:
    circuit = Circuit()
    for _ in range(FAILURES_TO_OPEN - 1):
        circuit = after_try(circuit, DOWN, NOON, EVEN)
        assert free_slots(circuit, NOON, people=False) == 1
    circuit = after_try(circuit, DOWN, NOON, EVEN)
    assert free_slots(circuit, NOON + timedelta(seconds=4), people=False) == 0
    assert free_slots(circuit, NOON + timedelta(seconds=5), people=False) == 1
    circuit = after_try(circuit, DOWN, NOON + timedelta(seconds=5), EVEN)
    assert free_slots(circuit, NOON + timedelta(seconds=14), people=False) == 0
    assert free_slots(circuit, NOON + timedelta(seconds=15), people=False) == 1
    assert free_slots(after_try(circuit, None, NOON, EVEN), NOON, people=False) > 1


def test_a_receiver_that_asks_for_a_wait_gets_it_at_once() -> None:
    asked = Failure("429", retry_after=timedelta(seconds=60))
    circuit = after_try(Circuit(), asked, NOON, 0.0)
    assert free_slots(circuit, NOON + timedelta(seconds=59), people=True) == 0
    assert free_slots(circuit, NOON + timedelta(seconds=60), people=True) == 1


@pytest.mark.parametrize("failure", [BAD, BROKEN])
def test_a_bad_message_says_nothing_about_its_receiver(failure: Failure) -> None:
    circuit = Circuit()
    for _ in range(50):
        circuit = after_try(circuit, failure, NOON, EVEN)
    assert circuit == Circuit()


def test_people_get_one_message_at_a_time_and_machines_many() -> None:
    assert free_slots(Circuit(), NOON, people=True) == 1
    assert free_slots(Circuit(), NOON, people=False) == MACHINE_BATCH


@given(st.lists(failures | st.none(), max_size=30), jitters)
def test_a_circuit_is_open_for_an_hour_and_a_quarter_at_most_and_closes_with_one_success(
    story: list[Failure | None], jitter: float
) -> None:
    circuit = Circuit()
    for failure in story:
        circuit = after_try(circuit, failure, NOON, jitter)
        assert (circuit.open_until or NOON) - NOON <= LONGEST_RETRY_AFTER * 1.25
    assert after_try(circuit, None, NOON, jitter) == Circuit()
