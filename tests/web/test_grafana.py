"""The dashboard and the alert rules ask only for what /metrics has: names, and the labels they select by."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alertd.web.application import Loop, View
from tests.web.house import COMPARED, NOW, Kept, browser, lasted

FOLDER = Path(__file__).parents[2] / "config" / "grafana"
METRIC = re.compile(r"\b(?:alertd|process|python)_[a-z_]+\b")
#: What Prometheus itself adds to whatever it scrapes.
OF_PROMETHEUS = {"job", "instance"}


@pytest.fixture(scope="module")
def known(view: View) -> dict[str, set[str]]:
    """Every sample of a page on which everything happens, with the labels it may have."""
    judge = Loop("evaluate", None, runs=1, durations=lasted(0.1), reasons={"StoreError": 1}, last_end=NOW)
    collect = replace(judge, name="collect gateway", source="gateway")
    kept = Kept(waiting={"ops": (1, NOW - timedelta(minutes=1))}, notes={"comparison": COMPARED})
    standings = view.standings()
    read = replace(standings, sources={"gateway": replace(standings.sources["gateway"], last_ok=NOW)})
    busy = replace(view, loops=lambda: [judge, collect], records=kept, standings=lambda: read)
    text = browser(busy).get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [item["query"]["query"] for item in dashboard["templating"]["list"] if isinstance(item["query"], dict)]
    rules = (FOLDER / "alerts.yml").read_text("utf-8")
    return asked + re.findall(r"^\s*expr: (.*)$", rules, re.MULTILINE)


def test_every_metric_that_is_asked_for_is_there(known: dict[str, set[str]]):
    asked = {name for text in expressions() for name in METRIC.findall(text)}
    assert len(asked) > 15
    assert asked <= set(known)


def test_every_label_that_is_selected_by_is_one_of_that_metric(known: dict[str, set[str]]):
    selections = [found for text in expressions() for found in re.findall(r"([a-z_]+)\{([^}]*)\}", text)]
    assert selections
    for name, inside in selections:
        wanted = set(re.findall(r"([a-z_]+)\s*[=!]~?\s*\"", inside)) - OF_PROMETHEUS
        assert wanted <= known.get(name, wanted if name == "up" else set()), name


def test_every_figure_of_alertd_has_help(view: View):
    text = browser(view).get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.documentation for family in families.values())


def test_panels_do_not_lie_over_one_another():
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    cells = [
        (place["x"] + column, place["y"] + line)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["w"])
        for line in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_prometheus_takes_the_rules_the_expressions_and_the_page(view: View, tmp_path: Path):
    checked = subprocess.run(["promtool", "check", "rules", FOLDER / "alerts.yml"], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout
    rules = [{"record": f"x:{i}", "expr": re.sub(r"\$\w+", "x", text)} for i, text in enumerate(expressions())
             if not text.startswith("label_values")]  # fmt: skip
    (tmp_path / "all.json").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    parsed = subprocess.run(["promtool", "check", "rules", tmp_path / "all.json"], capture_output=True, check=False)
    assert parsed.returncode == 0, parsed.stdout + parsed.stderr
    page = browser(view).get("/metrics").content
    linted = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    complaints = set(linted.stderr.decode().splitlines())
    # A projection has quantiles without being a summary: nothing was observed that could be counted.
    assert complaints <= {'alertd_budget_projected non-summary metrics should not have "quantile" label'}


SERIES = """
- series: 'alertd_messages_total{notifier="ops",outcome="given_up"}'
  values: '0x30 1x90'
- series: 'alertd_messages_total{notifier="ops",outcome="delivered"}'
  values: '0+1x120'
- series: 'alertd_actions{action="stop-research",state="stuck"}'
  values: '0x30 1x90'
- series: 'alertd_actions{action="stop-teams",state="stuck"}'
  values: '0x120'
- series: 'alertd_estimate_drift_ratio{provider="openai",source="bill",unit="USD"}'
  values: '-0.2x500'
- series: 'alertd_estimate_drift_ratio{provider="together",source="bill",unit="USD"}'
  values: '0.05x500'
"""
#: Minute, rule, the labels of those that fire then.
FIRING = [
    ("29m", "AlertdMessagesGivenUp", []),
    ("40m", "AlertdMessagesGivenUp", [{"notifier": "ops", "outcome": "given_up", "severity": "critical"}]),
    ("33m", "AlertdActionStuck", []),
    ("40m", "AlertdActionStuck", [{"action": "stop-research", "severity": "critical"}]),
    ("5h", "AlertdEstimateDrifts", []),
    ("7h", "AlertdEstimateDrifts",
     [{"provider": "openai", "source": "bill", "unit": "USD", "severity": "warning"}]),
]  # fmt: skip


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_the_rules_fire_on_what_they_are_for_and_on_nothing_else(tmp_path: Path):
    expected = [
        {"eval_time": at, "alertname": name, "exp_alerts": [{"exp_labels": labels} for labels in firing]}
        for at, name, firing in FIRING
    ]
    rules = (FOLDER / "alerts.yml").read_text("utf-8")
    # Only which fire is asked: their words may change.
    (tmp_path / "alerts.yml").write_text(re.sub(r"^ +annotations:\n(?:^ {10}.*\n)+", "", rules, flags=re.MULTILINE))
    series = re.sub("^", "    ", SERIES.strip(), flags=re.MULTILINE)
    story = f"""rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
- interval: 1m
  input_series:
{series}
  alert_rule_test: {json.dumps(expected)}
"""
    (tmp_path / "test.yml").write_text(story)
    done = subprocess.run(["promtool", "test", "rules", "test.yml"], capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
