"""The daemon's own figures for Prometheus. What is unknown has no sample: absent, never 0; labels are bounded."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from alertd.core.budgets import scope_text
from alertd.core.evaluation.event_builder import projected
from alertd.core.evaluation.state import State
from alertd.core.evaluation.thresholds import thresholds_of
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.web import daemon_metrics
from alertd.web.answers import is_firing, worst_first
from alertd.web.view import Snapshot

#: No more budget scopes than these have series of their own; those nearest their limit come first.
MOST_SCOPES: Final = 2000
_SCOPE: Final = ("budget", "scope")


@dataclass(frozen=True, slots=True, eq=False)
class _MetricsCollector(Collector):
    """Turns one snapshot into metric families."""

    snapshot: Snapshot

    def collect(self) -> Iterable[Metric]:
        yield from _build(self.snapshot)
        yield from _budgets(self.snapshot)
        yield from _sources(self.snapshot)
        yield from daemon_metrics.loops(self.snapshot)
        yield from daemon_metrics.polls(self.snapshot)
        yield from daemon_metrics.deliveries(self.snapshot)
        yield from daemon_metrics.outbox(self.snapshot)
        yield from daemon_metrics.drift(self.snapshot)
        yield from daemon_metrics.actions(self.snapshot)
        yield from daemon_metrics.allowance(self.snapshot)


def registry_of(snapshot: Snapshot) -> CollectorRegistry:
    """A registry of its own for one scrape: the snapshot's figures and the process's."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_MetricsCollector(snapshot))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@dataclass(slots=True)
class _Families:
    """Gauges by name, so that a budget's figures are written in one place and given out one family at a time."""

    labels: Mapping[str, tuple[str, tuple[str, ...]]]
    found: dict[str, GaugeMetricFamily] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (documentation, labels) in self.labels.items():
            self.found[name] = GaugeMetricFamily(name, documentation, labels=labels)

    def add(self, name: str, labels: Sequence[str], value: Decimal | float | None) -> None:
        """None leaves the sample out."""
        if value is not None:
            self.found[name].add_metric(labels, float(value))


_BUDGETS: Final = {
    "alertd_budget_amount": ("The budget of the current period, in its unit.", (*_SCOPE, "unit")),
    "alertd_budget_spent": ("What was spent in the current period; absent while unknown.", (*_SCOPE, "unit")),
    "alertd_budget_projected": (
        "The period's projected total at a quantile; absent while unknown.", (*_SCOPE, "unit", "quantile"),
    ),
    "alertd_budget_probability_over": ("The probability that the period's total exceeds the amount, 0 to 1.", _SCOPE),
    "alertd_budget_threshold_state": (
        "1 while the threshold fires, 0 while it does not; absent while unknown.", (*_SCOPE, "threshold"),
    ),
    "alertd_budget_unknown": ("1 while the status is unknown: no data, or what was not seen could matter.", _SCOPE),
    "alertd_budget_exhausted_timestamp_seconds": ("When the budget is likely used up; absent where it is not.", _SCOPE),
    "alertd_budget_period_end_timestamp_seconds": ("When the current period ends.", _SCOPE),
    "alertd_budget_last_data_timestamp_seconds": ("Up to when the budget's data are complete.", _SCOPE),
    "alertd_budget_unpriced_models": ("Models whose usage in this period has no price and counts nowhere.", _SCOPE),
}  # fmt: skip


def _budgets(snapshot: Snapshot) -> Iterator[Metric]:
    families = _Families(_BUDGETS)
    shown: set[tuple[str, str]] = set()
    for position in worst_first(snapshot.standings.statuses):
        key = (position.budget.name, scope_text(position.scope))
        if key not in shown and len(shown) < MOST_SCOPES:  # two series of the same labels would spoil the whole page
            shown.add(key)
            _budget(families, key, position, snapshot)
    yield from families.found.values()
    omitted = len(snapshot.standings.statuses) - len(shown)
    yield GaugeMetricFamily("alertd_budget_scopes_omitted", "Budget scopes beyond the bound of this page.", omitted)
    if snapshot.standings.evaluated_at is not None:
        yield GaugeMetricFamily(
            "alertd_last_evaluation_timestamp_seconds", "When an evaluation of the budgets was last stored.",
            snapshot.standings.evaluated_at.timestamp(),
        )  # fmt: skip


def _budget(families: _Families, key: tuple[str, str], position: BudgetStatus, snapshot: Snapshot) -> None:
    unit, known = position.amount.unit, position.status != "unknown"
    families.add("alertd_budget_amount", (*key, unit), position.amount.value)
    families.add("alertd_budget_spent", (*key, unit), position.spent if position.seen and position.matched else None)
    families.add("alertd_budget_unknown", key, 0 if known else 1)
    families.add("alertd_budget_period_end_timestamp_seconds", key, position.period.end.timestamp())
    families.add("alertd_budget_last_data_timestamp_seconds", key, _timestamp(position.data_until))
    families.add("alertd_budget_unpriced_models", key, len({item.model for item in position.unpriced}))
    for threshold in thresholds_of(position):
        stood = is_firing(position, threshold, snapshot.notes or State(), snapshot.now)
        families.add("alertd_budget_threshold_state", (*key, str(threshold)), stood)
    if position.projection is None or not known:
        return
    amount = float(position.amount.value)
    for quantile, value in projected(position).items():
        families.add("alertd_budget_projected", (*key, unit, quantile), value)
    families.add("alertd_budget_probability_over", key, position.projection.probability_over(amount))
    exhausted = position.projection.exhausted_at(amount)
    likely = None if exhausted is None else exhausted.likely
    families.add("alertd_budget_exhausted_timestamp_seconds", key, _timestamp(likely))


_SOURCES: Final = {
    "alertd_source_up": ("1 where the last try to read the source succeeded.", ("source",)),
    "alertd_source_stale": ("1 where its newest data are too old to speak for the present.", ("source",)),
    "alertd_source_degraded": ("1 where its last answer was in part.", ("source",)),
    "alertd_source_last_data_timestamp_seconds": ("Up to when the source's data are complete.", ("source",)),
    "alertd_source_lag_seconds": ("How old the source's newest data are.", ("source",)),
}


def _sources(snapshot: Snapshot) -> Iterator[Metric]:
    families = _Families(_SOURCES)
    for name, source in snapshot.standings.sources.items():
        families.add("alertd_source_up", (name,), _up(source))
        families.add("alertd_source_stale", (name,), source.stale(snapshot.now))
        families.add("alertd_source_degraded", (name,), bool(source.degraded))
        families.add("alertd_source_last_data_timestamp_seconds", (name,), _timestamp(source.until))
        lag = None if source.until is None else (snapshot.now - source.until).total_seconds()
        families.add("alertd_source_lag_seconds", (name,), lag)
    yield from families.found.values()


def _up(source: SourceView) -> bool | None:
    """None before the first try has ended."""
    if source.last_ok is None and source.failing_since is None:
        return None
    return source.failing_since is None


def _build(snapshot: Snapshot) -> Iterator[Metric]:
    info = {"version": snapshot.version, "python": platform.python_version()}
    yield InfoMetricFamily("alertd_build", "The version that runs.", info)
    if snapshot.book_version:
        yield InfoMetricFamily("alertd_price_book", "The prices in force.", {"version": snapshot.book_version})
    yield GaugeMetricFamily(
        "alertd_start_time_seconds", "When the daemon started, in Unix time.", snapshot.started.timestamp()
    )
    yield GaugeMetricFamily(
        "alertd_configuration_refused", "1 while a changed configuration is refused and the old one kept.",
        snapshot.refused,
    )  # fmt: skip
    yield GaugeMetricFamily("alertd_dry_run", "1 where nothing is sent or done.", snapshot.dry_run)


def _timestamp(instant: datetime | None) -> float | None:
    return None if instant is None else instant.timestamp()
