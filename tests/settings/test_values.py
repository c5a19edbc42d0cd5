"""What is written means what people mean by it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_plugins import Load

from alertd.core.budgets import DEFAULT_THRESHOLDS, SEVERITIES, Budget
from alertd.core.periods import QuietHours

B = "ALERTD_BUDGETS__RESEARCH__"
NOTIFIERS = {"ALERTD_NOTIFIERS__OPS__KIND": "echo", "ALERTD_NOTIFIERS__PAGER__KIND": "echo"}


def research(load: Load, **keys: str) -> Budget:
    env = {B + key: value for key, value in keys.items()}
    return load({**NOTIFIERS, B + "AMOUNT": "500 USD", **env}).budgets["research"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"AMOUNT": "500 USD"}, "500 USD"),
        ({"AMOUNT": "500", "CURRENCY": "USD"}, "500 USD"),
        ({"AMOUNT": "500 EUR", "CURRENCY": "eur"}, "500 EUR"),
        ({"AMOUNT": "1,500.50 GBP"}, "1,500.5 GBP"),
        ({"AMOUNT": "5M tokens"}, "5,000,000 tokens"),
        ({"AMOUNT": "5M", "CURRENCY": "tokens"}, "5,000,000 tokens"),
    ],
)
def test_an_amount_has_its_unit_with_it_or_beside_it(load: Load, written: dict[str, str], meant: str) -> None:
    assert str(research(load, **written).amount) == meant


def test_a_budget_of_one_line_has_the_defaults_of_the_contract(load: Load) -> None:
    budget = research(load)
    assert (budget.period.kind, budget.period.start_day, str(budget.period.zone)) == ("month", 1, "UTC")
    assert budget.thresholds == DEFAULT_THRESHOLDS
    assert (budget.notify, budget.actions, budget.per, budget.table) == ({}, (), (), {})
    assert budget.where.matches({})


@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("team=research,model=gpt-*", {"team": "research", "model": "gpt-5"}, {"team": "research", "model": "claude"}),
        ('{"team":"research"}', {"team": "research"}, {"team": "Research"}),
        ('{"model":["gpt-*","!gpt-4o-mini"]}', {"model": "gpt-5"}, {"model": "gpt-4o-mini"}),
        ("model=gpt-*,model=!gpt-4o-mini", {"model": "gpt-5"}, {"model": "gpt-4o-mini"}),
        ("team=a,team=b", {"team": "b"}, {"team": "c"}),
        ("team=!*", {}, {"team": "a"}),
        ("key=a=b", {"key": "a=b"}, {"key": "a"}),
    ],
)
def test_a_scope_is_written_as_text_or_json(
    load: Load, written: str, inside: dict[str, str], outside: dict[str, str]
) -> None:
    where = research(load, WHERE=written).where
    assert where.matches(inside)
    assert not where.matches(outside)


@pytest.mark.parametrize(
    "written",
    [
        '["actual 80%","burn_rate 10x over 1h and 5m above 1,000 USD"]',
        "actual 80%, burn_rate 10x over 1h and 5m above 1,000 USD",
        "actual 80%,actual 80%;burn_rate 10x over 1h and 5m above 1,000 USD",
    ],
)
def test_thresholds_are_a_json_list_or_between_commas(load: Load, written: str) -> None:
    assert list(map(str, research(load, THRESHOLDS=written).thresholds)) == [
        "actual 80%",
        "burn_rate 10x over 1h and 5m above 1,000 USD",
    ]


def test_notify_is_for_every_severity_or_by_severity(load: Load) -> None:
    assert research(load, NOTIFY="ops").notify == dict.fromkeys(SEVERITIES, ("ops",))
    assert research(load, NOTIFY='["ops","pager"]').notify == dict.fromkeys(SEVERITIES, ("ops", "pager"))
    assert research(load, NOTIFY='{"warning":"ops","critical":["ops","pager"]}').notify == {
        "warning": ("ops",),
        "critical": ("ops", "pager"),
    }
    assert research(load, NOTIFY="[]").notify == dict.fromkeys(SEVERITIES, ())


def test_days_begin_in_the_budgets_zone_or_in_that_of_all(load: Load) -> None:
    env = {"ALERTD_TIMEZONE": "Asia/Tokyo", B + "AMOUNT": "5 USD", "ALERTD_BUDGETS__B__AMOUNT": "5 USD"}
    budgets = load({**env, "ALERTD_BUDGETS__B__TIMEZONE": "America/New_York"}).budgets
    now = datetime(2026, 11, 1, 2, tzinfo=UTC)
    assert budgets["research"].period.containing(now).key == "2026-11-01"
    assert budgets["b"].period.containing(now).key == "2026-10-01"


def test_the_opening_is_in_the_unit_of_the_amount(load: Load) -> None:
    assert research(load, OPENING="212.40").opening == Decimal("212.40")
    assert research(load, OPENING="212.40 USD").opening == Decimal("212.40")
    assert research(load, AMOUNT="5M tokens", OPENING="1.5M").opening == 1_500_000


def test_any_key_of_a_budget_may_have_a_default_and_a_budgets_own_wins(load: Load) -> None:
    defaults = {
        "CURRENCY": "EUR", "AMOUNT": "100", "PERIOD": "week", "START_DAY": "3", "OWNER": "@ana", "NOTIFY": "ops",
        "THRESHOLDS": "actual 50%", "WHERE": "env=prod", "PER": "team", "CHANNEL": "#llm", "TIMEZONE": "Europe/Berlin",
    }  # fmt: skip
    env = {f"ALERTD_DEFAULTS__{key}": value for key, value in defaults.items()}
    env |= {
        "ALERTD_BUDGETS__A__OWNER": "@bo",
        "ALERTD_BUDGETS__B__AMOUNT": "7 USD",
        "ALERTD_BUDGETS__C__AMOUNT": "5M tokens",
    }
    env |= {"ALERTD_BUDGETS__D__AMOUNT": "9"}
    budgets = load({**NOTIFIERS, **env}).budgets
    assert {name: str(budget.amount) for name, budget in budgets.items()} == {
        "a": "100 EUR", "b": "7 USD", "c": "5,000,000 tokens", "d": "9 EUR",
    }  # fmt: skip
    assert (budgets["a"].owner, budgets["b"].owner) == ("@bo", "@ana")
    for budget in budgets.values():
        assert (budget.period.kind, budget.period.start_day, str(budget.period.zone)) == ("week", 3, "Europe/Berlin")
        assert (budget.per, budget.channel, list(map(str, budget.thresholds))) == (("team",), "#llm", ["actual 50%"])
        assert budget.notify["critical"] == ("ops",)
        assert not budget.where.matches({"env": "dev"})


def test_the_daemons_own_keys(load: Load, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").touch()
    settings = load(
        {
            "ALERTD_DATABASE": "postgresql://alertd:pw@db/alertd",
            "ALERTD_POLL_INTERVAL": "1m30s",
            "ALERTD_DRY_RUN": "TRUE",
            "ALERTD_HTTP__LISTEN": "0.0.0.0:0",
            "ALERTD_HTTP__OPEN_METRICS": "yes",
            "ALERTD_PUBLIC_URL": "https://alertd.example.com/",
            "ALERTD_HEARTBEAT_URL": "http://127.0.0.1:8000/ping/1",
            "ALERTD_DIGEST": "off",
            "ALERTD_QUIET_HOURS": "22:00-07:00",
            "ALERTD_PRICES__FILES": f'["{tmp_path / "prices.toml"}"]',
            "ALERTD_FX__EUR_USD": "1.08",
            "ALERTD_FX__USD_CNY": "7.1",
        }
    )
    assert settings.database == "postgresql://alertd:pw@db/alertd"
    assert (settings.poll_interval, settings.dry_run) == (timedelta(seconds=90), True)
    assert (settings.http.host, settings.http.port, settings.http.open_metrics) == ("0.0.0.0", 0, True)
    assert (settings.public_url, settings.heartbeat_url) == (
        "https://alertd.example.com",
        "http://127.0.0.1:8000/ping/1",
    )
    assert (settings.digest, settings.quiet_hours) == ("off", QuietHours(time(22), time(7)))
    assert settings.prices == settings.watched == (tmp_path / "prices.toml",)
    assert settings.fx == {("EUR", "USD"): Decimal("1.08"), ("USD", "CNY"): Decimal("7.1")}


def test_a_plug_ins_options_are_its_own_model(load: Load) -> None:
    settings = load(
        {
            "ALERTD_SOURCES__GATEWAY__KIND": "tap",
            "ALERTD_SOURCES__GATEWAY__URL": "http://tap:9090",
            "ALERTD_SOURCES__GATEWAY__MATCHERS": '{job="gateway"}',
            "ALERTD_SOURCES__GATEWAY__DELAY": "2m",
            "ALERTD_SOURCES__GATEWAY__DROP_LABELS": "end_user, session",
            "ALERTD_SOURCES__GATEWAY__LABELS": "team=search,env=prod",
            "ALERTD_NOTIFIERS__OPS__KIND": "post",
            "ALERTD_NOTIFIERS__OPS__CHANNEL": "#llm-{team}",
            "ALERTD_NOTIFIERS__OPS__TO": '["a@example.com","b@example.com"]',
            "ALERTD_NOTIFIERS__OPS__HEADERS": '{"X-Team": "a,b=c"}',
            "ALERTD_ACTIONS__STOP_RESEARCH__KIND": "stop",
            "ALERTD_ACTIONS__STOP_RESEARCH__APPROVERS": "@ana,@bo",
            "ALERTD_ACTIONS__STOP_RESEARCH__PROTECT": '["prod-*"]',
        }
    )
    kind, tap = settings.sources["gateway"]
    assert (kind, tap.model_dump(include={"url", "matchers", "delay", "drop_labels", "labels"})) == (
        "tap",
        {
            "url": "http://tap:9090",
            "matchers": '{job="gateway"}',
            "delay": timedelta(minutes=2),
            "drop_labels": ["end_user", "session"],
            "labels": {"team": "search", "env": "prod"},
        },
    )
    assert settings.notifiers["ops"].options.model_dump(include={"channel", "to", "headers"}) == {
        "channel": "#llm-{team}",
        "to": ["a@example.com", "b@example.com"],
        "headers": {"X-Team": "a,b=c"},
    }
    action = settings.actions["stop-research"].options.model_dump()
    assert {key: action[key] for key in ("mode", "approvers", "protect", "max_per_hour", "token")} == {
        "mode": "dry_run",
        "approvers": ["@ana", "@bo"],
        "protect": ["prod-*"],
        "max_per_hour": 1,
        "token": None,
    }


@given(start=st.times(), end=st.times(), instant=st.times())
def test_an_instant_is_in_quiet_hours_or_in_those_the_other_way_round(start: time, end: time, instant: time) -> None:
    if start == end:
        with pytest.raises(ValueError, match="end when they start"):
            QuietHours(start, end)
        return
    assert (instant in QuietHours(start, end)) != (instant in QuietHours(end, start))


def test_quiet_hours_pass_midnight_and_end_on_the_minute() -> None:
    night = QuietHours.parse("22:00-07:00")
    assert [time(hour) in night for hour in (21, 22, 0, 6, 7)] == [False, True, True, True, False]
    assert str(night) == "22:00-07:00"
