"""The boards and the alert rules ask only for what /metrics has: names, and the labels they select by."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from alertd.core.loop_stats import LoopStats
from alertd.web.server import View, build
from alertd.web.view import AllowanceCounts
from tests.system.backfilled import prometheus
from tests.system.daemon import wait_for
from tests.web.dashboard_client import COMPARED, NOW, StoredRows, browser, lasted
from tests.web.serving import serving

FOLDER = Path(__file__).parents[2] / "config" / "grafana"
METRIC = re.compile(r"\b(?:alertd|process|python)_[a-z_]+\b")
#: What Prometheus itself adds to whatever it scrapes.
OF_PROMETHEUS = {"job", "instance"}


def incidents(view: View) -> View:
    """What a demonstration does not have: failing rounds, a bill that differs, actions, the allowance asked."""
    reasons, lasting = {"StoreError": 1}, lasted(0.1)
    evaluate = LoopStats("evaluate", None, runs=9, skipped=1, durations=lasting, reasons=reasons, last_end=NOW)
    collect = replace(evaluate, name="collect gateway", source="gateway")
    notes = {**with_notes(view), "comparison": COMPARED}
    kept = StoredRows(waiting={"ops": (1, NOW - timedelta(minutes=1))}, notes=notes)
    standings = view.standings()
    read = replace(standings, sources={"gateway": replace(standings.sources["gateway"], last_ok=NOW)})
    allowance = AllowanceCounts(answers=Counter({("research", "allowed"): 3}))
    return replace(
        view, loops=lambda: [evaluate, collect], records=kept, standings=lambda: read, allowance=allowance,
        faults=lambda: ["budgets.research.amount: required"],
    )  # fmt: skip


def with_notes(view: View) -> dict[str, Any]:
    """What the rows of the view remember: open alerts and actions."""
    rows = view.records
    assert isinstance(rows, StoredRows)
    return dict(rows.notes)


@pytest.fixture(scope="module")
def known(view: View) -> dict[str, set[str]]:
    """Every sample of a page on which everything happens, with the labels it may have."""
    busy = incidents(view)
    text = browser(busy).get("/metrics").text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


BOARDS = ("finance.json", "operations.json")


def board(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return found


def drawn(name: str) -> list[str]:
    """Every expression that a board draws: of its panels and its annotations."""
    found = board(name)
    marks = [one["expr"] for one in found["annotations"]["list"]]
    return [target["expr"] for panel in found["panels"] for target in panel["targets"]] + marks


def expressions() -> list[str]:
    asked = [text for name in BOARDS for text in drawn(name)]
    asked += [one["query"]["query"] for name in BOARDS for one in board(name)["templating"]["list"]
              if isinstance(one["query"], dict)]  # fmt: skip
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


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_lie_over_one_another(name: str):
    panels = board(name)["panels"]
    cells = [
        (place["x"] + column, place["y"] + line)
        for place in (panel["gridPos"] for panel in panels)
        for column in range(place["w"])
        for line in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def filled(text: str) -> str:
    """An expression as Grafana asks it: everything is chosen, and the range is what a rate needs."""
    return re.sub(r"\$\w+", ".*", text.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize("name", BOARDS)
def test_links_lead_to_alertd_and_to_the_other_board(name: str):
    found = board(name)
    (page, other) = found["links"]
    assert page["url"] == "${alertd}"
    assert other["url"].removeprefix("/d/") in {board(one)["uid"] for one in BOARDS} - {found["uid"]}


def test_a_row_of_the_table_of_budgets_opens_its_page():
    (table,) = (panel for panel in board("finance.json")["panels"] if panel["type"] == "table")
    (link,) = (one["value"][0]["url"] for rule in table["fieldConfig"]["overrides"] for one in rule["properties"]
               if one["id"] == "links")  # fmt: skip
    assert link.startswith("${alertd}/budgets/${__data.fields[")
    named = set(table["transformations"][1]["options"]["renameByName"].values())
    assert {"Budget rule", "Scope", "Spent", "Likely", "Chance of going over", "Runs out"} <= named
    assert board("finance.json")["time"] == {"from": "now/M", "to": "now"}, "the month so far"


def test_the_compose_file_mounts_what_there_is():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    assert {"./finance.json", "./operations.json", "./provisioning", "./prometheus.yml", "./alerts.yml"} == set(mounted)
    assert all((FOLDER / one).exists() for one in mounted)
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))
    source = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "prometheus.yml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus: apt-get install prometheus")
def test_every_expression_of_the_boards_returns_data_in_prometheus_over_a_real_alertd(view: View, tmp_path: Path):
    """It scrapes the demonstration's daemon, and a console on which what the demonstration lacks has happened."""
    busy = build(incidents(view), token=None, open_metrics=True, loopback=True)
    with serving({"busy": busy}) as addresses, demonstration() as daemon:
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [address.removeprefix("http://")]}]}
            for name, address in (("alertd", daemon), ("busy", addresses["busy"]))
        ]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(json.dumps(config), "utf-8")
        process, url = prometheus(tmp_path / "prometheus.yml", tmp_path / "data")
        try:
            asked = [text for name in BOARDS for text in drawn(name)]
            assert len(asked) > 40
            empty = asked
            deadline = time.monotonic() + 150
            while empty and time.monotonic() < deadline:
                empty = still_empty(url, empty)
            assert empty == []
        finally:
            process.kill()
            process.wait(30)


def still_empty(url: str, asked: Sequence[str]) -> list[str]:
    """The expressions that return nothing; an error of Prometheus fails."""
    found = []
    for text in asked:
        query = filled(text)
        answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False, timeout=60).json()
        assert answer["status"] == "success", (text, answer)
        if not answer["data"]["result"]:
            found.append(text)
    return found


@contextmanager
def demonstration() -> Iterator[str]:
    """`alertd demo` on a free port: its address."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALERTD_")}
    command = [sys.executable, "-m", "alertd", "demo"]
    with subprocess.Popen(
        command, env={**clean, "ALERTD_HTTP__LISTEN": "127.0.0.1:0"}, stdout=subprocess.PIPE, text=True
    ) as process:
        said: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
        reader.start()
        try:
            wait_for("the page", lambda: any(line.startswith("Page: ") for line in said))
            yield next(line.split()[1].rstrip("/") for line in said if line.startswith("Page: "))
        finally:
            process.kill()


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_prometheus_takes_the_rules_the_expressions_and_the_page(view: View, tmp_path: Path):
    checked = subprocess.run(["promtool", "check", "rules", FOLDER / "alerts.yml"], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout
    rules = [{"record": f"x:{i}", "expr": filled(text)} for i, text in enumerate(expressions())
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
