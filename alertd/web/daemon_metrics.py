"""The daemon's own work as metrics: rounds, polls, deliveries, what waits, acts on keys, estimates against bills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import isinf

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from alertd.core.actions.state_machine import PAUSED, STATES, acts
from alertd.core.evaluation.coverage import comparisons
from alertd.core.evaluation.state import State
from alertd.core.loop_stats import Durations
from alertd.web.view import Snapshot


def loops(snapshot: Snapshot) -> Iterator[Metric]:
    """The rounds of every loop: how long they took, which failed and why, which were left out."""
    duration = SummaryMetricFamily(
        "alertd_loop_duration_seconds", "How long the rounds of a loop took: polls, evaluations, deliveries.",
        labels=("loop",),
    )  # fmt: skip
    skipped = CounterMetricFamily(
        "alertd_loop_rounds_skipped", "Rounds left out because one was under way.", labels=("loop",)
    )
    errors = CounterMetricFamily("alertd_errors", "Rounds that failed, by reason.", labels=("loop", "reason"))
    last = GaugeMetricFamily("alertd_loop_last_round_timestamp_seconds", "When the last round ended.", labels=("loop",))
    for loop in snapshot.loops:
        duration.add_metric((loop.name,), loop.durations.count, loop.durations.seconds)
        skipped.add_metric((loop.name,), loop.skipped)
        for reason, count in (loop.reasons or {"failed": loop.failures}).items():
            errors.add_metric((loop.name, reason), count)
        if loop.last_end is not None:
            last.add_metric((loop.name,), loop.last_end.timestamp())
    yield from (duration, skipped, errors, last)


def polls(snapshot: Snapshot) -> Iterator[Metric]:
    """Reading the sources: how long it took, and which tries failed."""
    duration = HistogramMetricFamily(
        "alertd_poll_duration_seconds", "How long it took to read what a source had since the last time.",
        labels=("source",),
    )  # fmt: skip
    failed = CounterMetricFamily(
        "alertd_polls_failed", "Tries to read a source that failed, by reason.", labels=("source", "reason")
    )
    for loop in snapshot.loops:
        if loop.source:
            _observed(duration, loop.source, loop.durations)
            for reason, count in loop.reasons.items():
                failed.add_metric((loop.source, reason), count)
    yield from (duration, failed)


def deliveries(snapshot: Snapshot) -> Iterator[Metric]:
    """Sending: what became of messages by notifier, how long it took, and why tries failed."""
    duration = HistogramMetricFamily(
        "alertd_delivery_duration_seconds", "How long the tries to send a message took.", labels=("notifier",)
    )
    messages = CounterMetricFamily(
        "alertd_messages",
        "What became of tries to send: delivered, retried (to be tried again), given_up (the fallback sends it), "
        "overtaken (recorded too late: another replica had it).",
        labels=("notifier", "outcome"),
    )
    failed = CounterMetricFamily(
        "alertd_deliveries_failed",
        "Tries that failed: refused (for good), unavailable, uncertain (it may have arrived), broken (the notifier).",
        labels=("notifier", "reason"),
    )
    for one in snapshot.delivery_stats:
        _observed(duration, one.notifier, one.durations)
        for outcome in ("delivered", "retried", "given_up", "overtaken"):
            messages.add_metric((one.notifier, outcome), getattr(one.totals, outcome))
        for reason, count in one.failures.items():
            failed.add_metric((one.notifier, reason), count)
    yield from (duration, messages, failed)


def _observed(family: HistogramMetricFamily, label: str, durations: Durations) -> None:
    buckets = [(_bound(bound), count) for bound, count in durations.cumulative()]
    family.add_metric((label,), buckets, durations.seconds)


def _bound(seconds: float) -> str:
    """As Prometheus writes it: `0.05`, `60.0`, `+Inf`."""
    return "+Inf" if isinf(seconds) else str(seconds)


def drift(snapshot: Snapshot) -> Iterator[Metric]:
    """The last comparison of estimates with bills."""
    labels = ("provider", "source", "unit")
    families = {
        "estimated": GaugeMetricFamily(
            "alertd_reconciled_estimated", "What was estimated for the days that are billed for good.", labels=labels
        ),
        "billed": GaugeMetricFamily("alertd_reconciled_billed", "What was billed for the same days.", labels=labels),
        "drift": GaugeMetricFamily(
            "alertd_estimate_drift_ratio",
            "By which part of the bill the estimate is above it; absent where nothing was billed.",
            labels=labels,
        ),
    }
    for one in comparisons(snapshot.notes or State()):
        if one["against"] != "bill":
            continue
        key = (one["provider"], ",".join(one["billed_by"]), one["currency"])
        families["estimated"].add_metric(key, float(one["estimated"]))
        families["billed"].add_metric(key, float(one["billed"]))
        if one["drift_percent"] is not None:
            families["drift"].add_metric(key, float(one["drift_percent"]) / 100)
    yield from families.values()


def actions(snapshot: Snapshot) -> Iterator[Metric]:
    """Acts on keys by state, empty states too, so that a first one is a change; absent without a database."""
    if snapshot.notes is None:
        return
    counted: dict[str, Counter[str]] = {terms.name: Counter() for terms in snapshot.actions}
    for act in acts(snapshot.notes.records).values():
        counted.setdefault(act.action, Counter())[act.state] += 1
    family = GaugeMetricFamily(
        "alertd_actions", "Acts on keys that are remembered, by the state that they are in.", labels=("action", "state")
    )
    for action, states in sorted(counted.items()):
        for state in STATES:
            family.add_metric((action, state), states[state])
    yield family
    yield GaugeMetricFamily(
        "alertd_actions_paused", "1 while a person has paused all actions.", PAUSED in snapshot.notes.records
    )


def outbox(snapshot: Snapshot) -> Iterator[Metric]:
    """What waits to be sent; only that the database does not answer where it does not."""
    up = snapshot.outbox is not None
    yield GaugeMetricFamily("alertd_database_up", "1 where the database answered this scrape.", up)
    if snapshot.outbox is None:
        return
    depth = GaugeMetricFamily("alertd_outbox_messages", "Messages that wait to be delivered.", labels=("notifier",))
    oldest = GaugeMetricFamily(
        "alertd_outbox_oldest_age_seconds", "How long the oldest of them has waited.", labels=("notifier",)
    )
    for notifier, (count, since) in snapshot.outbox.items():
        depth.add_metric((notifier,), count)
        age = 0.0 if since is None else max(0.0, (snapshot.now - since).total_seconds())
        oldest.add_metric((notifier,), age)
    yield from (depth, oldest)


def allowance(snapshot: Snapshot) -> Iterator[Metric]:
    """What /api/v1/allowance answered, by the deciding budget; of questions that no budget covers the budget is ""."""
    family = CounterMetricFamily(
        "alertd_allowance_answers",
        "Answers of the allowance: allowed, warned, denied, or unknown (allowed, as nobody could say).",
        labels=("budget", "answer"),
    )
    for (budget, answer), count in sorted(snapshot.allowance.answers.items()):
        family.add_metric((budget, answer), count)
    yield family
