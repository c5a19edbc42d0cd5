"""Every key that belongs to no plug-in: its name, type, default and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from alertd.core.billing.commitments import PERS
from alertd.core.budgets import DEFAULT_THRESHOLDS, Amount, CreditEntry, Threshold, Where
from alertd.core.periods import KINDS, QuietHours
from alertd.plugin_options import Duration, Options, Pace, Secret, TextList, TextMap
from alertd.settings import parsers

PREFIX: Final = "ALERTD_"
NESTING: Final = "__"

Zone = Annotated[ZoneInfo, PlainValidator(parsers.read_zone)]
Address = Annotated[str, PlainValidator(parsers.read_address)]
Page = Annotated[str, PlainValidator(parsers.read_page)]


#: A day of some zone, or an instant.
Moment = date | datetime


class BudgetKeys(Options):
    """Every key of a budget; under ALERTD_DEFAULTS it applies to all budgets that do not set it."""

    currency: Annotated[str | None, PlainValidator(parsers.read_currency)] = Field(
        None, description="The unit of an AMOUNT without one: a currency code, or tokens", examples=["USD"]
    )
    amount: Annotated[Amount | None, PlainValidator(parsers.read_amount)] = Field(
        None, description="The budget for one period, in money or tokens", examples=["500 USD", "5M tokens"]
    )
    amounts: Annotated[tuple[tuple[date, Amount], ...], PlainValidator(parsers.read_amounts)] = Field(
        (),
        description="Other amounts by the day from which they hold: a period has the amount of its first day",
        examples=["2027-01-01=600 USD,2027-04-01=800 USD"],
        json_schema_extra={"takes": "map of days to amounts"},
    )
    carry_over: Annotated[Amount | Decimal, PlainValidator(parsers.read_bound)] = Field(
        Decimal(0),
        description="The most that is carried over of what a period leaves, to the amount of the next one",
        examples=["20%", "100 USD"],
        json_schema_extra={"takes": "percent, or amount"},
    )
    carry_overspent: Annotated[Amount | Decimal, PlainValidator(parsers.read_bound)] = Field(
        Decimal(0),
        description="The most that is taken off the next period's amount of what a period spent above its own",
        examples=["20%", "100 USD"],
        json_schema_extra={"takes": "percent, or amount"},
    )
    opening: Annotated[Decimal, PlainValidator(parsers.read_opening)] = Field(
        Decimal(0),
        description="Spend of the current period before the first sample, which alertd cannot read",
        examples=["212.40"],
    )
    period: Annotated[str, PlainValidator(parsers.read_period)] = Field(
        "month",
        description=f"The length of its period: {', '.join(KINDS)}, rolling 5h or window 5h",
        examples=["month"],
    )
    timezone: Annotated[ZoneInfo | None, PlainValidator(parsers.read_zone)] = Field(
        None, description="The time zone of its days; default: ALERTD_TIMEZONE", examples=["Europe/Berlin"]
    )
    start_day: int = Field(
        1,
        ge=1,
        le=31,
        description="The first day of its period: of the month (the last day in short months), or of the week (1 "
        "is Monday)",
    )
    where: Annotated[Where, PlainValidator(parsers.read_where)] = Field(
        default_factory=Where,
        description="Which usage it covers: patterns by label, as text or JSON; ! excludes. Default: all usage",
        examples=["team=research,model=gpt-*", '{"team":"research","model":["gpt-*","!gpt-4o-mini"]}'],
    )
    per: TextList = Field(
        default_factory=list, description="One budget for every value of these labels", examples=["team"]
    )
    table_file: Path | None = Field(
        None,
        description="A CSV: the labels of PER, then any of amount, channel, owner, notify, thresholds, actions; "
        "values that it does not list have AMOUNT",
        examples=["teams.csv"],
    )
    thresholds: Annotated[tuple[Threshold, ...], PlainValidator(parsers.read_budget_thresholds)] = Field(
        DEFAULT_THRESHOLDS, description="When it alerts", examples=['["actual 80%","actual 100%","forecast 100% p70"]']
    )
    notify: Annotated[Mapping[str, tuple[str, ...]], PlainValidator(parsers.read_notify)] = Field(
        default_factory=dict,
        description="The notifiers that get its alerts, for all severities or by severity. Default: every notifier",
        examples=["ops", '{"warning":["ops"],"critical":["ops","pager"]}'],
        json_schema_extra={"takes": "list, or a map by severity"},
    )
    actions: Annotated[tuple[str, ...], PlainValidator(parsers.read_names)] = Field(
        (), description="The actions that may stop keys for this budget", examples=["stop-research"]
    )
    allowance: Literal["over", "at_risk", "never"] = Field(
        "over",
        description="From which status on /api/v1/allowance answers no; at_risk: also while it runs away or a "
        "forecast fires",
    )
    allowance_mode: Literal["deny", "warn"] = Field(
        "deny", description="warn: the allowance answers yes where it would answer no, with a warning"
    )
    allowance_grace: Annotated[Amount | Decimal, PlainValidator(parsers.read_bound)] = Field(
        Decimal(0),
        description="What may be spent above AMOUNT before the allowance answers no",
        examples=["10%", "20 USD"],
        json_schema_extra={"takes": "percent, or amount"},
    )
    allowance_unknown: Literal["allow", "deny"] = Field(
        "allow", description="What the allowance answers while the status is unknown or too old"
    )
    owner: str = Field("", description="The person responsible; every message shows it", examples=["@ana"])
    runbook_url: Page = Field(
        "",
        description="Instructions for the alert; every message links to it",
        examples=["https://wiki.example.com/llm"],
    )
    remind: Duration | None = Field(
        None, description="Send an alert again that nobody acknowledged in this time", examples=["24h"]
    )
    escalate_after: Duration | None = Field(
        None, description="Send an alert to ESCALATE_TO that nobody acknowledged in this time", examples=["30m"]
    )
    escalate_to: Annotated[tuple[str, ...], PlainValidator(parsers.read_names)] = Field(
        (), description="The notifiers that get an alert, once, that nobody acknowledged", examples=["pager"]
    )
    channel: str = Field("", description="Its channel, instead of the notifier's", examples=["#llm-research"])


class OwnBudgetKeys(BudgetKeys):
    """The keys that are for single budgets only."""

    parent: Annotated[tuple[str, ...], PlainValidator(parsers.read_names)] = Field(
        (),
        description="The budget that it is a part of; of several, the first that counts all usage of a scope",
        examples=["company", "pool,company"],
    )
    credit: Annotated[tuple[CreditEntry, ...], PlainValidator(parsers.read_credit)] = Field(
        (),
        description="What was paid in advance, by day; left: what the provider showed at the start of that day. "
        "CREDIT_FILE: a CSV of days and amounts",
        examples=["2026-11-01=500 USD,2026-12-01=left 412.30 USD"],
        json_schema_extra={"takes": "map of days to amounts"},
    )


class BudgetOptions(OwnBudgetKeys):
    """A budget with its amount. `currency` in the context is the unit of an amount without one."""

    amount: Annotated[Amount, PlainValidator(parsers.read_amount)] = Field(
        description="The budget for one period, in money or tokens", examples=["500 USD"]
    )


class CommitmentOptions(Options):
    """Money that will certainly be charged and that no source reports: seats, provisioned throughput, a reservation."""

    currency: Annotated[str | None, PlainValidator(parsers.read_currency)] = Field(
        None, description="The unit of an AMOUNT without one: a currency code", examples=["USD"]
    )
    amount: Annotated[Amount, PlainValidator(parsers.read_amount)] = Field(
        description="The charge for each PER", examples=["1200 USD"]
    )
    per: Annotated[str, PlainValidator(parsers.read_per)] = Field(
        description=f"The time that one charge is for: {', '.join(PERS)}. Minutes and hours are charged as they "
        "begin; a longer one by the"
        " hour, and by its share where it begins or ends within",
        examples=["month"],
    )
    labels: TextMap = Field(
        default_factory=dict,
        description="Its labels, by which budgets select it; provider and model are allowed",
        examples=["team=platform"],
    )
    timezone: Annotated[ZoneInfo | None, PlainValidator(parsers.read_zone)] = Field(
        None, description="The time zone of its days and months; default: ALERTD_TIMEZONE"
    )
    from_: Annotated[Moment | None, PlainValidator(parsers.read_moment)] = Field(
        None, description="Its start: a day or an instant. Default: before every period", examples=["2026-11-10"]
    )
    until: Annotated[Moment | None, PlainValidator(parsers.read_moment)] = Field(
        None, description="Its end (exclusive). Default: no end", examples=["2027-04-01"]
    )


class HttpOptions(Options):
    """The status page, its API, health and metrics."""

    listen: Annotated[tuple[str, int], PlainValidator(parsers.read_listen)] = Field(
        ("127.0.0.1", 9480),
        description="Where to listen; port 0 takes a free one",
        examples=["0.0.0.0:9480"],
        json_schema_extra={"takes": "host:port"},
    )
    allowance_listen: Annotated[tuple[str, int] | None, PlainValidator(parsers.read_listen)] = Field(
        None,
        description="A second address that answers the allowance alone, by a process of its own: within milliseconds, "
        "also while many series are evaluated",
        examples=["0.0.0.0:9481"],
        json_schema_extra={"takes": "host:port"},
    )
    token: Secret | None = Field(
        None,
        description="The Bearer token of an editor; on any address but loopback everything except the "
        "probes needs a token, of at least 24 characters",
    )
    tokens_file: Path | None = Field(
        None,
        description="A TOML file of tokens and users with their roles (viewer, responder, editor, allowance), "
        "re-read on change",
        examples=["tokens.toml"],
    )
    user_header: Annotated[str, PlainValidator(parsers.read_header)] = Field(
        "", description="The header in which an authenticating proxy names the user", examples=["X-Forwarded-User"]
    )
    trusted_proxies: Annotated[tuple[parsers.Network, ...], PlainValidator(parsers.read_networks)] = Field(
        (),
        description="The addresses from which USER_HEADER is accepted",
        examples=["10.0.0.0/8"],
        json_schema_extra={"takes": "list"},
    )
    mcp: Literal["off", "read", "propose"] = Field(
        "off",
        description="Whether /mcp answers agents (needs alertd[mcp]): read; or propose, which also lets responders "
        "propose changes that a person accepts. A change takes a restart",
    )
    open_metrics: bool = Field(default=False, description="Whether /metrics may be read without the token")


class PricesOptions(Options):
    """Your own prices."""

    files: list[Path] = Field(
        default_factory=list,
        description="Price files that override the built-in prices; re-read on change",
        examples=['["config/prices.toml"]'],
    )
    list_file: Path | None = Field(
        None,
        description="A file with genai-prices' data (its data.json) that a job refreshes; used before the data "
        "shipped with alertd",
        examples=["/var/lib/alertd/prices.json"],
    )
    update_url: Address = Field(
        "",
        description="The address that LIST_FILE is downloaded from. Default: no download",
        examples=["https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/new_data/v2/data.json"],
    )
    update_interval: Duration = Field(timedelta(days=1), description="How often it is downloaded", examples=["1d"])
    rates_file: Path | None = Field(
        None,
        description="A file with the ECB's daily reference rates (its XML) that a job refreshes: for costs in other "
        "currencies than their budget, after ALERTD_FX and [[fx]]",
        examples=["/var/lib/alertd/ecb.xml"],
    )
    rates_url: Address = Field(
        "",
        description="The address that RATES_FILE is downloaded from, every UPDATE_INTERVAL. Default: no download",
        examples=["https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.xml"],
    )
    second_opinion: str = Field(
        "",
        description="A second price list to compare with: a path to LiteLLM's table, or `litellm` for the "
        "installed package; "
        "alertd reports prices that differ by more than 10%",
        examples=["/etc/alertd/model_prices_and_context_window.json"],
        json_schema_extra={"takes": "path"},
    )


class Document(BaseModel):
    """The whole configuration as it is written; the sections of plug-ins hold the options of each kind."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,  # a default is a value, not text
    )

    database: Annotated[str, PlainValidator(parsers.read_database)] = Field(
        "sqlite:////var/lib/alertd/alertd.db",
        description="The database: sqlite:///relative.db, sqlite:////absolute.db or postgresql://...",
        examples=["sqlite:///alertd.db"],
    )
    poll_interval: Pace = Field(
        timedelta(seconds=60), description="How often sources are read and budgets evaluated", examples=["60s"]
    )
    timezone: Zone = Field(
        ZoneInfo("UTC"), description="The time zone of days, periods and quiet hours", examples=["Europe/Berlin"]
    )
    dry_run: bool = Field(
        default=False,
        description="Evaluate everything, but send nothing and act on nothing; these alerts are not announced "
        "later either",
    )
    public_url: Page = Field(
        "", description="The address of the status page, for links in messages", examples=["https://alertd.example.com"]
    )
    heartbeat_url: Address = Field(
        "",
        description="An address that alertd calls after every successful round, so that a monitor notices when "
        "alertd stops",
    )
    metrics_exporter: Literal["none", "otlp"] = Field(
        "none",
        description="otlp: what /metrics shows is also pushed by OTLP, to where OTEL_EXPORTER_OTLP_ENDPOINT and "
        "OpenTelemetry's other variables of the process environment say",
    )
    digest: Literal["weekly", "daily", "off"] = Field("weekly", description="How often a summary is sent")
    correct_estimates: bool = Field(
        default=False,
        description="Correct the prices of days that are not billed yet by the difference between estimate and bill",
    )
    drift_level: Decimal = Field(
        Decimal(10),
        ge=0,
        description="The difference between estimate and bill, in percent of the bill, above which alertd alerts",
    )
    quiet_hours: Annotated[QuietHours | None, PlainValidator(parsers.read_quiet_hours)] = Field(
        None, description="The hours in which only critical alerts are sent at once", examples=["22:00-07:00"]
    )
    retention: Duration | None = Field(
        None,
        description="How long usage is kept, at least what forecasts need (121 days). Default: without a limit",
        examples=["400d"],
    )
    label_retention: Annotated[tuple[tuple[str, timedelta], ...], PlainValidator(parsers.read_durations)] = Field(
        (),
        description="How long a label's value is kept after its last use; then it becomes a random pseudonym",
        examples=["user=90d,end_user=30d"],
        json_schema_extra={"takes": "map of labels to durations"},
    )
    config: Path | None = Field(None, description="A TOML file with the same keys; the environment wins")
    secrets_dir: Path | None = Field(
        None, description="A folder of files that are named like variables and contain one value each"
    )
    http: HttpOptions = Field(HttpOptions(), description="The status page, its API, health and metrics")
    prices: PricesOptions = Field(PricesOptions(), description="Your own prices")
    fx: dict[str, Decimal] = Field(
        default_factory=dict,
        description="An exchange rate: EUR_USD=1.08 means that one EUR is 1.08 USD",
        examples=["1.08"],
        json_schema_extra={"takes": "number"},
    )
    defaults: BudgetKeys = Field(default_factory=BudgetKeys, description="Any key of a budget, for all budgets")
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Where alertd reads usage and cost")
    budgets: dict[str, BudgetOptions] = Field(default_factory=dict, description="The budgets")
    commitments: dict[str, CommitmentOptions] = Field(
        default_factory=dict, description="Money that will certainly be charged and that no source reports"
    )
    notifiers: dict[str, dict[str, Any]] = Field(default_factory=dict, description="How messages are sent")
    actions: dict[str, dict[str, Any]] = Field(default_factory=dict, description="What can be done to a key")


def _depth(annotation: object) -> int:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return 2
    if get_origin(annotation) is dict:
        return 2 if annotation == dict[str, Decimal] else 3
    return 1


#: The depth of the options of a section: `database` 1, `http.listen` 2, `budgets.research.amount` 3.
DEPTHS: Final[Mapping[str, int]] = {name: _depth(field.annotation) for name, field in Document.model_fields.items()}
#: The depth of sections whose second word is a name that the user chose.
NAMED: Final = 3


def written(path: tuple[str, ...], *, toml: bool = False) -> str:
    """A key as the user would write it: `ALERTD_BUDGETS__RESEARCH__AMOUNT`, in TOML `budgets.research.amount`."""
    return ".".join(path) if toml else PREFIX + NESTING.join(path).replace("-", "_").upper()
