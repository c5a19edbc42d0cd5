"""Sample events of budgets: every basis of a threshold, and the end of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from alertd.core.events import (
    AnomalyReached,
    BalanceReached,
    BurnRateReached,
    CommittedItem,
    CommittedMoney,
    Event,
    ForecastReached,
    Live,
    NovelUsed,
    OpenAction,
    OpenAlert,
    TopContributor,
)
from alertd.core.messages.samples.figures import left, part, sample


def actual(now: datetime) -> Event:
    """Half is used, on track."""
    return sample(
        now,
        "threshold",
        "info",
        basis="actual",
        level=Decimal(50),
        levels=(Decimal(50),),
        threshold="actual 50%",
        spent=Decimal("251.40"),
        pace=Decimal("15.90"),
        pace_allowed=Decimal("26.16"),
        probability_over=0.24,
        projected={"0.1": Decimal(412), "0.5": Decimal(452), "0.9": Decimal(507)},
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        contributors=(
            part("model", "claude-sonnet", "148.10", "8.70 9.10", 1.05),
            part("model", "gpt-5", "71.90", "4.90 4.60", 0.94),
        ),
    )


def ahead(now: datetime) -> Event:
    """80% is used, ahead of pace."""
    return sample(
        now,
        "threshold",
        "warning",
        basis="actual",
        level=Decimal(80),
        levels=(Decimal(50), Decimal(80)),
        threshold="actual 80%",
        spent=Decimal("406.20"),
        pace_allowed=Decimal("9.53"),
        probability_over=0.99,
        projected={"0.1": Decimal(571), "0.5": Decimal(640), "0.9": Decimal(742)},
        exhausted_low=left(now, 0.2),
        exhausted_at=left(now, 0.3),
        exhausted_high=left(now, 0.5),
    )


def over(now: datetime) -> Event:
    """The budget is used up."""
    return sample(
        now,
        "threshold",
        "critical",
        basis="actual",
        level=Decimal(100),
        levels=(Decimal(100),),
        threshold="actual 100%",
        spent=Decimal("503.20"),
        pace_allowed=Decimal(0),
        probability_over=1.0,
        projected={"0.1": Decimal(690), "0.5": Decimal(748), "0.9": Decimal(851)},
        exhausted_low=None,
        exhausted_at=now - timedelta(minutes=25),
        exhausted_high=None,
    )


def forecast(now: datetime) -> Event:
    """The forecast breaks the budget."""
    return sample(now, "threshold", "warning", basis="forecast", level=Decimal(100), threshold="forecast 100%")


def certain(now: datetime) -> Event:
    """An endpoint that nobody stops breaks the budget."""
    plain = sample(now, "threshold", "warning")
    end = plain.period_end or now
    hours = Decimal((end - now) // timedelta(hours=1))
    cost = round(Decimal("750.75") / max(hours, Decimal(1)), 2)
    ahead = hours * cost
    item = CommittedItem("acme/llama", ahead, cost, "hour")
    spent = Decimal("103.60")
    out = now + timedelta(hours=float((Decimal(500) - spent) / cost))
    total = spent + ahead
    return sample(
        now,
        "threshold",
        "warning",
        basis="forecast",
        level=Decimal(100),
        threshold="forecast 100%",
        spent=spent,
        contributors=(
            part("key", "rag-indexer", "61.20", "2.90 3.10", 1.1),
            part("key", "notebooks", "28.10", "1.30 1.20", 0.9),
        ),
        probability_over=1.0,
        projected={"0.1": total, "0.5": total + 90, "0.9": total + 210},
        exhausted_low=None,
        exhausted_at=out,
        exhausted_high=None,
        handle="4f3",
        committed=CommittedMoney(total, ahead, (item,), out),
        details=ForecastReached(certain=True),
    )


def burn_rate(now: datetime) -> Event:
    """A key runs away."""
    return sample(
        now,
        "threshold",
        "critical",
        basis="burn_rate",
        level=Decimal(10),
        spent=Decimal("424.50"),
        threshold="burn_rate 10x over 1h and 5m above 20 USD",
        probability_over=0.99,
        projected={"0.1": Decimal(505), "0.5": Decimal(890), "0.9": Decimal(2400)},
        pace=Decimal("19.80"),
        pace_allowed=Decimal("7.72"),
        exhausted_low=None,
        exhausted_at=now + timedelta(minutes=107),
        exhausted_high=None,
        contributors=(
            part("key", "rag-indexer", "189.40", "2.10 44.10", 21),
            part("key", "evals-nightly", "102.20", "8.00 8.20", 1.0),
            part("key", "notebooks", "48.90", "4.10 3.90", 0.97),
        ),
        handle="b81",
        since=now - timedelta(minutes=60),
        details=BurnRateReached(
            window="1h",
            window_spent=Decimal("41.30"),
            window_usual=Decimal("0.30"),
            factor=59,
            rate_window="5m",
            rising=True,
            readings=(now - timedelta(minutes=7), now - timedelta(minutes=2)),
            top_contributor=TopContributor("key", "rag-indexer", Decimal("40.10"), 0.97),
            main=TopContributor("model", "gpt-5", share=0.98),
            requests=1840,
            requests_usual=12,
            proposed=OpenAction("block this key", "a7f", reversible=True, expires=now + timedelta(minutes=60)),
        ),
    )


def anomaly(now: datetime) -> Event:
    """A day unlike the others."""
    return sample(
        now,
        "threshold",
        "warning",
        basis="anomaly",
        level=Decimal(99),
        threshold="anomaly p99",
        spent=Decimal("212.40"),
        probability_over=0.31,
        pace=Decimal("11.20"),
        pace_allowed=Decimal("29.42"),
        projected={"0.1": Decimal(331), "0.5": Decimal(402), "0.9": Decimal(566)},
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        handle="c07",
        details=AnomalyReached("1d", Decimal("41.30"), Decimal("2.10"), Decimal("9.40")),
    )


def balance(now: datetime) -> Event:
    """A prepaid credit runs low."""
    return sample(
        now,
        "threshold",
        "warning",
        basis="balance",
        level=Decimal(50),
        amount=Decimal(50),
        threshold="balance 50 USD",
        budget="openrouter-credit",
        projected={},
        probability_over=None,
        pace=Decimal("8.60"),
        pace_allowed=None,
        exhausted_low=now + timedelta(days=4),
        exhausted_at=now + timedelta(days=5),
        exhausted_high=now + timedelta(days=7),
        handle="d11",
        details=BalanceReached(Decimal("42.10")),
    )


def novel(now: datetime) -> Event:
    """A model that nobody used before."""
    return sample(
        now,
        "threshold",
        "warning",
        basis="novel",
        threshold="novel model above 5 USD",
        spent=Decimal("251.40"),
        pace=Decimal("15.90"),
        pace_allowed=Decimal("26.16"),
        probability_over=0.24,
        projected={"0.1": Decimal(412), "0.5": Decimal(452), "0.9": Decimal(507)},
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        handle="e52",
        details=NovelUsed("model", "gpt-image-9", Decimal("8.20")),
    )


def window(now: datetime) -> Event:
    """The last five hours are used up."""
    return sample(
        now,
        "threshold",
        "critical",
        basis="actual",
        level=Decimal(100),
        levels=(Decimal(100),),
        threshold="actual 100%",
        budget="agents",
        amount=Decimal(20),
        spent=Decimal("21.30"),
        period_start=now - timedelta(hours=5),
        period_end=now,
        window=timedelta(hours=5),
        frees_at=now + timedelta(minutes=70),
        projected={},
        probability_over=None,
        pace=None,
        pace_allowed=None,
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        contributors=(),
        daily=(),
        handle="f04",
    )


def opened_window(now: datetime) -> Event:
    """A window that first use opened two hours ago is full before it closes."""
    return replace(
        window(now),
        severity="warning",
        level=Decimal(80),
        levels=(Decimal(80),),
        threshold="actual 80%",
        budget="sessions",
        scope=(("user", "ana"),),
        spent=Decimal("16.40"),
        status="at_risk",
        period_start=now - timedelta(hours=2),
        period_end=now + timedelta(hours=3),
        anchored=True,
        frees_at=None,
        exhausted_at=now + timedelta(minutes=26),
        handle="f05",
    )


def recovered(now: datetime) -> Event:
    """The forecast is within the budget again."""
    return sample(
        now,
        "recovered",
        "info",
        basis="forecast",
        level=Decimal(100),
        probability_over=0.22,
        projected={"0.1": Decimal(421), "0.5": Decimal(463), "0.9": Decimal(515)},
        pace=Decimal("14.20"),
        exhausted_low=None,
        exhausted_at=None,
        exhausted_high=None,
        handle="",
        since=now - timedelta(days=3),
    )


def live_message(now: datetime) -> Event:
    """The live message some hours after the forecast: acknowledged by somebody, a proposal waiting."""
    return sample(
        now,
        "summary",
        "critical",
        spent=Decimal("338.90"),
        handle="",
        details=Live(
            (
                OpenAlert("b81" + "0" * 21, "runaway, 10× the budgeted rate", "critical", "firing", "alertd",
                          now - timedelta(minutes=9)),
                OpenAlert("4f2" + "0" * 21, "forecast above 100%", "warning", "acknowledged", "ana",
                          now - timedelta(hours=2)),
            ),
            (
                OpenAction("block this key", "a7f000", "rag-indexer", reversible=True,
                           expires=now + timedelta(minutes=51), id="a7f" + "0" * 21),
            ),
        ),
    )  # fmt: skip
