"""When to retry a message (backoff), when to give up, when to pause a receiver (circuit breaker). Sends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from alertd.core.events import Event

#: The first wait after a failure; each further one doubles it. Most outages are a deploy or a lost packet.
FIRST_WAIT: Final = timedelta(seconds=5)
#: The same for what is critical. At a receiver that refuses three of ten, 99 of 100 arrive within 7 s of retries.
FIRST_WAIT_CRITICAL: Final = timedelta(seconds=1)
LONGEST_WAIT_CRITICAL: Final = timedelta(minutes=1)
#: The longest wait: when a receiver is back after hours, its messages come within a quarter of an hour.
LONGEST_WAIT: Final = timedelta(minutes=15)
#: A receiver that asks for more (a maintenance page that says a day) would hide an alert for as long.
LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
#: The time for which a message is tried: an outage at night and a morning to repair it. Then the fallback hears of it.
KEEP_TRYING: Final = timedelta(hours=24)
#: A notifier that breaks over a message will break again; a few tries, as it may be the network's doing.
UNEXPECTED_TRIES: Final = 3
#: After this many failures in a row the receiver counts as down: single messages see whether it is back.
FAILURES_TO_OPEN: Final = 3
#: What people's channels bear: Slack takes one message a second and channel, mail servers count by the minute.
PEOPLE_INTERVAL: Final = timedelta(seconds=1)
#: How many messages are under way to a machine at once: more make an HTTP client slower, not faster (measured).
MACHINE_BATCH: Final = 16
#: Places for critical messages beside these: a receiver that hangs over others does not keep them waiting.
CRITICAL_PLACES: Final = 4
#: The time a critical message waits for an earlier one of its conversation that is being sent for the first time.
OVERTAKE: Final = timedelta(seconds=5)
#: A message to a notifier that the configuration no longer has waits this long for another replica that has it.
ORPHANED_AFTER: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not taken. `unexpected`: the notifier broke; `uncertain`: it may have arrived all the same."""

    reason: str
    permanent: bool = False
    uncertain: bool = False
    unexpected: bool = False
    retry_after: timedelta | None = None

    @property
    def word(self) -> str:
        """What kind of failure, for counting: broken, refused, uncertain or unavailable."""
        kinds = (("broken", self.unexpected), ("refused", self.permanent), ("uncertain", self.uncertain))
        return next((word for word, holds in kinds if holds), "unavailable")


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is known of a receiver: failures in a row, and until when it is left in peace."""

    failures: int = 0
    open_until: datetime | None = None
    #: The receiver asked for this wait: it holds for what is critical, too.
    asked: bool = False


def is_critical(events: Sequence[Event]) -> bool:
    """Whether a message of these events is critical: it overtakes, and is retried sooner."""
    return any(event.severity == "critical" for event in events)


def retry_at(
    failure: Failure,
    attempt: int,
    first_tried: datetime | None,
    now: datetime,
    jitter: float,
    *,
    critical: bool = False,
) -> datetime | None:
    """When to try again after the attempt (1 for the first), or None: give up.

    permanent           give up at once
    unexpected          3 tries
    asks for a wait     that wait, at most an hour, then as below
    anything else       5 s, 10 s, 20 s ... 15 min (critical: 1 s, 2 s, 4 s ... 1 min), for 24 h since the first try

    `jitter` in [0, 1) spreads a wait by a quarter to both sides, so that many messages do not come back as one.
    """
    tried_for = now - (first_tried or now)
    if failure.permanent or (failure.unexpected and attempt >= UNEXPECTED_TRIES) or tried_for >= KEEP_TRYING:
        return None
    return now + wait(failure, attempt, jitter, critical=critical)


def wait(failure: Failure, failures: int, jitter: float, *, critical: bool = False) -> timedelta:
    """The wait after this number of failures in a row; what the receiver asks for is never undercut."""
    if failure.retry_after is not None:
        asked = min(max(failure.retry_after, timedelta(seconds=1)), LONGEST_RETRY_AFTER)
        return asked * (1 + jitter / 4)
    doublings = min(max(failures, 1) - 1, 20)
    first, longest = (FIRST_WAIT_CRITICAL, LONGEST_WAIT_CRITICAL) if critical else (FIRST_WAIT, LONGEST_WAIT)
    return min(first * (1 << doublings), longest) * (0.75 + jitter / 2)


def after_try(circuit: Circuit, failure: Failure | None, now: datetime, jitter: float) -> Circuit:
    """The circuit after one try.

    taken                                   closed
    permanent, or the notifier broke        as it was: this message is bad, the receiver may be well
    asks for a wait                         open for that wait
    third failure in a row, and further     open for 5 s, 10 s ... 15 min
    while it is open                        as it was: messages that were under way together fail together
    """
    if failure is None:
        return Circuit()
    is_open = circuit.open_until is not None and now < circuit.open_until
    if failure.permanent or failure.unexpected or (is_open and failure.retry_after is None):
        return circuit
    failures = circuit.failures + 1
    if failure.retry_after is None and failures < FAILURES_TO_OPEN:
        return Circuit(failures, circuit.open_until)
    until = now + wait(failure, failures - FAILURES_TO_OPEN + 1, jitter)
    return Circuit(failures, max(until, circuit.open_until or until), failure.retry_after is not None)


def free_slots(circuit: Circuit, now: datetime, *, people: bool) -> int:
    """How many messages may be sent at once: none while the circuit is open, one to look whether it is back."""
    if circuit.open_until is not None and now < circuit.open_until:
        return 0
    return 1 if people or circuit.failures else MACHINE_BATCH


def slots_for_critical(circuit: Circuit, now: datetime) -> int:
    """How many critical messages may be sent beside others: an open circuit holds them only where a wait was asked for.

    Each keeps its own waits, so a receiver that is down is asked by a few messages, a minute apart each.
    """
    is_held = circuit.asked and circuit.open_until is not None and now < circuit.open_until
    return 0 if is_held else CRITICAL_PLACES
