"""What Prometheus scrapes: names and units of the field, absence for the unknown, a bounded number of series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from alertd.core.loop_stats import DeliveryStats, LoopStats, Sent
from alertd.web.metrics import MOST_SCOPES
from alertd.web.server import BudgetStatuses, View
from tests.web.dashboard_client import HOSTILE, NOW, StoredRows, browser, lasted

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(view: View) -> Samples:
    text = browser(view).get("/metrics").text
    return {(s.name, frozenset(s.labels.items())): s.value for f in read_text(text) for s in f.samples}


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def of(samples: Samples, name: str, budget: str) -> Mapping[frozenset[tuple[str, str]], float]:
    return {
        labels: found for (named, labels), found in samples.items() if named == name and ("budget", budget) in labels
    }


def test_a_budget_shows_what_was_spent_what_is_projected_and_how_likely_it_is_exceeded(view: View):
    samples = scraped(view)
    research = {"budget": "research", "scope": ""}
    spent = value(samples, "alertd_budget_spent", **research, unit="USD")
    assert value(samples, "alertd_budget_amount", **research, unit="USD") == 500
    assert 300 < spent < 310
    low, likely, high = (
        value(samples, "alertd_budget_projected", **research, unit="USD", quantile=q) for q in ("0.1", "0.5", "0.9")
    )
    assert spent < low < likely < high
    assert 0.5 < value(samples, "alertd_budget_probability_over", **research) < 1
    assert value(samples, "alertd_budget_threshold_state", **research, threshold="actual 50%") == 1
    assert value(samples, "alertd_budget_threshold_state", **research, threshold="actual 100%") == 0
    assert value(samples, "alertd_budget_exhausted_timestamp_seconds", **research) > NOW.timestamp()


def test_a_hostile_scope_is_one_escaped_label(view: View):
    assert value(scraped(view), "alertd_budget_spent", budget="teams", scope=f"team={HOSTILE}", unit="USD") == 68


def test_the_unknown_has_no_sample_rather_than_0(view: View):
    samples = scraped(view)
    for name in ("spent", "projected", "probability_over", "threshold_state"):
        assert not of(samples, f"alertd_budget_{name}", "marketing")
    assert value(samples, "alertd_budget_unknown", budget="marketing", scope="") == 1


def test_what_a_silent_source_had_shown_stays_a_lower_bound(blind: View):
    samples = scraped(blind)
    assert value(samples, "alertd_budget_spent", budget="research", scope="", unit="USD") == 304.02
    stands = of(samples, "alertd_budget_threshold_state", "research")
    assert {dict(labels)["threshold"]: found for labels, found in stands.items()}["actual 50%"] == 1


def test_a_silent_source_is_down_stale_and_says_how_old_its_data_are(blind: View, view: View):
    samples = scraped(blind)
    assert value(samples, "alertd_source_up", source="gateway") == 0
    assert value(samples, "alertd_source_stale", source="gateway") == 1
    assert value(samples, "alertd_source_lag_seconds", source="gateway") == 42 * 60
    assert value(samples, "alertd_source_last_data_timestamp_seconds", source="gateway") == NOW.timestamp() - 42 * 60
    assert value(scraped(view), "alertd_source_stale", source="gateway") == 0


def test_loops_show_durations_and_errors_by_reason(view: View):
    took = lasted(0.3, 0.3, 0.3, 0.6)
    loop = LoopStats("collect gateway", None, runs=4, skipped=1, failures=2, durations=took, reasons={"SourceError": 2})
    samples = scraped(replace(view, loops=lambda: [loop]))
    name = {"loop": "collect gateway"}
    assert value(samples, "alertd_loop_duration_seconds_sum", **name) == 1.5
    assert value(samples, "alertd_loop_duration_seconds_count", **name) == 4
    assert value(samples, "alertd_loop_rounds_skipped_total", **name) == 1
    assert value(samples, "alertd_errors_total", **name, reason="SourceError") == 2


def test_polls_show_their_durations_by_source_in_buckets_and_their_failures_by_reason(view: View):
    took = lasted(0.3, 0.3, 4, 400)
    loop = LoopStats("collect gateway", None, durations=took, reasons={"SourceError": 2}, source="gateway")
    samples = scraped(replace(view, loops=lambda: [loop, LoopStats("evaluate", None, durations=lasted(1))]))
    buckets = {le: value(samples, "alertd_poll_duration_seconds_bucket", source="gateway", le=le)
               for le in ("0.25", "0.5", "5.0", "300.0", "+Inf")}  # fmt: skip
    assert buckets == {"0.25": 0, "0.5": 2, "5.0": 3, "300.0": 3, "+Inf": 4}
    assert value(samples, "alertd_poll_duration_seconds_sum", source="gateway") == pytest.approx(404.6)
    assert value(samples, "alertd_polls_failed_total", source="gateway", reason="SourceError") == 2
    sources = {dict(labels)["source"] for name, labels in samples if name == "alertd_poll_duration_seconds_count"}
    assert sources == {"gateway"}


def test_notifiers_show_what_became_of_messages_how_long_it_took_and_why_it_failed(view: View):
    stats = DeliveryStats(
        "ops", Sent(7, 3, 1), failures=Counter({"refused": 1, "unavailable": 3}), durations=lasted(0.2, 12)
    )
    samples = scraped(replace(view, delivery_stats=lambda: [stats]))
    outcomes = {one: value(samples, "alertd_messages_total", notifier="ops", outcome=one)
                for one in ("delivered", "retried", "given_up", "overtaken")}  # fmt: skip
    assert outcomes == {"delivered": 7, "retried": 3, "given_up": 1, "overtaken": 0}
    assert value(samples, "alertd_deliveries_failed_total", notifier="ops", reason="refused") == 1
    assert value(samples, "alertd_delivery_duration_seconds_bucket", notifier="ops", le="10.0") == 1
    assert value(samples, "alertd_delivery_duration_seconds_count", notifier="ops") == 2


def test_acts_are_counted_by_action_and_state_the_empty_ones_too(view: View):
    samples = scraped(view)
    states = {one: value(samples, "alertd_actions", action="stop-research", state=one)
              for one in ("verified", "awaiting", "stuck")}  # fmt: skip
    assert states == {"verified": 1, "awaiting": 0, "stuck": 0}
    assert value(samples, "alertd_actions", action="stop-teams", state="awaiting") == 1
    assert value(samples, "alertd_actions_paused") == 0
    dead = scraped(replace(view, records=StoredRows(dead=True)))
    assert not [name for name, _ in dead if name == "alertd_actions"]


def test_the_drift_of_each_estimate_from_its_bill_is_told_by_source(view: View):
    samples = scraped(view)
    of = {"provider": "openai", "source": "bill", "unit": "USD"}
    assert value(samples, "alertd_estimate_drift_ratio", **of) == 0.25
    assert value(samples, "alertd_reconciled_estimated", **of) == 412.5
    assert value(samples, "alertd_reconciled_billed", **of) == 330


def test_the_outbox_shows_its_depth_and_the_age_of_its_oldest_message(view: View):
    kept = StoredRows(waiting={"ops": (3, NOW - timedelta(minutes=5))})
    samples = scraped(replace(view, records=kept))
    assert value(samples, "alertd_outbox_messages", notifier="ops") == 3
    assert value(samples, "alertd_outbox_oldest_age_seconds", notifier="ops") == 300


def test_a_dead_database_is_a_figure_and_takes_no_other_one_away(view: View):
    samples = scraped(replace(view, records=StoredRows(dead=True)))
    assert value(samples, "alertd_database_up") == 0
    assert value(samples, "alertd_budget_amount", budget="research", scope="", unit="USD") == 500
    assert value(scraped(view), "alertd_database_up") == 1


def test_the_build_and_the_process_are_told(view: View):
    samples = scraped(view)
    assert any(name == "alertd_build_info" and ("version", "0.1.0") in labels for name, labels in samples)
    assert value(samples, "process_resident_memory_bytes") > 0


def test_the_number_of_series_is_bounded_whatever_labels_usage_brings(view: View):
    (position,) = [p for p in view.standings().statuses if p.budget.name == "platform"]
    many = [replace(position, scope=(("team", str(number)),)) for number in range(MOST_SCOPES + 500)]
    samples = scraped(replace(view, standings=lambda: BudgetStatuses(NOW, many, {})))
    assert len(of(samples, "alertd_budget_amount", "platform")) == MOST_SCOPES
    assert value(samples, "alertd_budget_scopes_omitted") == 500


def test_two_scopes_that_read_alike_do_not_spoil_the_page(view: View):
    (position,) = [p for p in view.standings().statuses if p.budget.name == "platform"]
    alike = [replace(position, scope=(("team", None),)), replace(position, scope=(("team", ""),))]
    text = browser(replace(view, standings=lambda: BudgetStatuses(NOW, alike, {}))).get("/metrics").text
    assert text.count("alertd_budget_amount{") == 1


def test_openmetrics_is_spoken_where_it_is_asked_for(view: View):
    for accept in ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text;version=x;q=0.5"):
        answer = browser(view).get("/metrics", headers={"accept": accept})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert {family.name for family in read_openmetrics(answer.text)} >= {"alertd_budget_spent", "alertd_build"}


def test_before_the_first_evaluation_there_are_no_figures_of_budgets(view: View):
    samples = scraped(replace(view, standings=BudgetStatuses))
    assert not [name for name, _ in samples if name == "alertd_budget_spent"]
    assert value(samples, "alertd_last_evaluation_timestamp_seconds") is None
