"""Every key that is not a plug-in's own: its name, type, default and meaning. Nothing here reads anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, PlainValidator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from alertd.core.billing.commitments import PERS
from alertd.core.budgets import DEFAULT_THRESHOLDS, Amount, Threshold, Where
from alertd.core.periods import KINDS
from alertd.core.quiet import QuietHours
from alertd.options import Duration, Options, Pace, Secret, TextList, TextMap
from alertd.settings import readers

PREFIX: Final = "ALERTD_"
NESTING: Final = "__"

Zone = Annotated[ZoneInfo, PlainValidator(readers.read_zone)]
Address = Annotated[str, PlainValidator(readers.read_address)]


#: A day of some zone, or an instant.
Moment = date | datetime


class BudgetKeys(Options):
    """Every key of a budget; under ALERTD_DEFAULTS they stand for all budgets that do not say otherwise."""

    currency: Annotated[str | None, PlainValidator(readers.read_currency)] = Field(
        None, description="What a bare AMOUNT is in: a currency code, or tokens", examples=["USD"]
    )
    amount: Annotated[Amount | None, PlainValidator(readers.read_amount)] = Field(
        None, description="How much may be used in one period, in money or tokens", examples=["500 USD", "5M tokens"]
    )
    opening: Annotated[Decimal, PlainValidator(readers.read_opening)] = Field(
        Decimal(0), description="What was spent in the current period before the first sample", examples=["212.40"]
    )
    period: Annotated[str, PlainValidator(readers.read_period)] = Field(
        "month", description=f"How often it starts afresh: {', '.join(KINDS)}", examples=["month"]
    )
    timezone: Annotated[ZoneInfo | None, PlainValidator(readers.read_zone)] = Field(
        None, description="The zone that its days begin in; ALERTD_TIMEZONE where absent", examples=["Europe/Berlin"]
    )
    start_day: int = Field(
        1, ge=1, le=31, description="Its first day: of the month (clamped in short ones), or of the week (1 is Monday)"
    )
    where: Annotated[Where, PlainValidator(readers.read_where)] = Field(
        default_factory=Where,
        description="Which usage it covers: patterns by label, as text or JSON; ! excludes; all usage where absent",
        examples=["team=research,model=gpt-*", '{"team":"research","model":["gpt-*","!gpt-4o-mini"]}'],
    )
    per: TextList = Field(
        default_factory=list, description="One budget for every value of these labels", examples=["team"]
    )
    table_file: Path | None = Field(
        None,
        description="A CSV: the labels of PER, then any of amount, channel, owner, notify, thresholds, actions; "
        "values that it does not list take AMOUNT",
        examples=["teams.csv"],
    )
    thresholds: Annotated[tuple[Threshold, ...], PlainValidator(readers.read_budget_thresholds)] = Field(
        DEFAULT_THRESHOLDS, description="When it speaks", examples=['["actual 80%","actual 100%","forecast 100% p70"]']
    )
    notify: Annotated[Mapping[str, tuple[str, ...]], PlainValidator(readers.read_notify)] = Field(
        default_factory=dict,
        description="Who hears it, for all severities or by severity; every notifier where absent",
        examples=["ops", '{"warning":["ops"],"critical":["ops","pager"]}'],
        json_schema_extra={"takes": "list, or a map by severity"},
    )
    actions: Annotated[tuple[str, ...], PlainValidator(readers.read_names)] = Field(
        (), description="What may be done about it, by names of actions", examples=["stop-research"]
    )
    owner: str = Field("", description="Who answers for it; stands in every message", examples=["@ana"])
    runbook_url: Address = Field(
        "", description="What to do when it speaks; stands in every message", examples=["https://wiki.example.com/llm"]
    )
    remind: Duration | None = Field(
        None, description="An alert that nobody acknowledges is told again after so long", examples=["24h"]
    )
    escalate_after: Duration | None = Field(
        None, description="An alert that nobody acknowledges is told to ESCALATE_TO after so long", examples=["30m"]
    )
    escalate_to: Annotated[tuple[str, ...], PlainValidator(readers.read_names)] = Field(
        (), description="Who is told, once, what nobody acknowledges", examples=["pager"]
    )
    channel: str = Field("", description="A channel of its own instead of the notifier's", examples=["#llm-research"])


class BudgetOptions(BudgetKeys):
    """A budget: it has an amount. A `currency` in the context is what a bare amount is in by default."""

    amount: Annotated[Amount, PlainValidator(readers.read_amount)] = Field(
        description="How much may be used in one period, in money or tokens", examples=["500 USD"]
    )


class CommitmentOptions(Options):
    """Money that is certain to be charged and that no source reports: seats, provisioned throughput, a reservation."""

    currency: Annotated[str | None, PlainValidator(readers.read_currency)] = Field(
        None, description="What a bare AMOUNT is in: a currency code", examples=["USD"]
    )
    amount: Annotated[Amount, PlainValidator(readers.read_amount)] = Field(
        description="What is charged for each PER", examples=["1200 USD"]
    )
    per: Annotated[str, PlainValidator(readers.read_per)] = Field(
        description=f"For how long: {', '.join(PERS)}. Minutes and hours are charged as they begin; a longer one by the"
        " hour, and by its share where it begins or ends within",
        examples=["month"],
    )
    labels: TextMap = Field(
        default_factory=dict,
        description="Whose it is, as budgets select it; provider and model may be among them",
        examples=["team=platform"],
    )
    timezone: Annotated[ZoneInfo | None, PlainValidator(readers.read_zone)] = Field(
        None, description="The zone that its days and months begin in; ALERTD_TIMEZONE where absent"
    )
    from_: Annotated[Moment | None, PlainValidator(readers.read_moment)] = Field(
        None, description="Since when: a day or an instant; for long where absent", examples=["2026-11-10"]
    )
    until: Annotated[Moment | None, PlainValidator(readers.read_moment)] = Field(
        None, description="Until when (exclusive); until further notice where absent", examples=["2027-04-01"]
    )


class HttpOptions(Options):
    """The status page, its API, health and metrics."""

    listen: Annotated[tuple[str, int], PlainValidator(readers.read_listen)] = Field(
        ("127.0.0.1", 9480),
        description="Where to listen; port 0 takes a free one",
        examples=["0.0.0.0:9480"],
        json_schema_extra={"takes": "host:port"},
    )
    token: Secret | None = Field(
        None,
        description="What callers show as Bearer token, with the rights of an editor; off loopback everything but the "
        "probes wants one, of at least 24 characters",
    )
    tokens_file: Path | None = Field(
        None,
        description="A TOML file of tokens and users with their roles (viewer, responder, editor, allowance), "
        "re-read on change",
        examples=["tokens.toml"],
    )
    user_header: Annotated[str, PlainValidator(readers.read_header)] = Field(
        "", description="The header in which an authenticating proxy names the user", examples=["X-Forwarded-User"]
    )
    trusted_proxies: Annotated[tuple[readers.Network, ...], PlainValidator(readers.read_networks)] = Field(
        (),
        description="From which addresses USER_HEADER is believed",
        examples=["10.0.0.0/8"],
        json_schema_extra={"takes": "list"},
    )
    open_metrics: bool = Field(default=False, description="Whether /metrics may be read without the token")


class PricesOptions(Options):
    """Prices of one's own."""

    files: list[Path] = Field(
        default_factory=list,
        description="Price files that go before the built-in book; re-read on change",
        examples=['["config/prices.toml"]'],
    )
    list_file: Path | None = Field(
        None,
        description="genai-prices' data (its data.json) as a file that a job refreshes, before what ships with it",
        examples=["/var/lib/alertd/prices.json"],
    )
    update_url: Address = Field(
        "",
        description="Where LIST_FILE is fetched from; nothing is fetched where absent",
        examples=["https://raw.githubusercontent.com/pydantic/genai-prices/main/prices/new_data/v2/data.json"],
    )
    update_interval: Duration = Field(timedelta(days=1), description="How often it is fetched", examples=["1d"])
    second_opinion: str = Field(
        "",
        description="LiteLLM's price table to compare with (a path, or `litellm` for that of the installed package): "
        "where the lists differ by more than 10% it is said",
        examples=["/etc/alertd/model_prices_and_context_window.json"],
        json_schema_extra={"takes": "path"},
    )


class Document(BaseSettings):
    """The whole configuration as it is written; sections of plug-ins hold each kind's own options."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTING,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,  # a default is a value already, not text
    )

    database: Annotated[str, PlainValidator(readers.read_database)] = Field(
        "sqlite:////var/lib/alertd/alertd.db",
        description="Where alertd remembers: sqlite:///relative.db, sqlite:////absolute.db or postgresql://...",
        examples=["sqlite:///alertd.db"],
    )
    poll_interval: Pace = Field(
        timedelta(seconds=60), description="How often sources are read and budgets evaluated", examples=["60s"]
    )
    timezone: Zone = Field(
        ZoneInfo("UTC"), description="The zone of days, periods and quiet hours", examples=["Europe/Berlin"]
    )
    dry_run: bool = Field(
        default=False, description="Evaluate everything, send and act on nothing; it is not announced later either"
    )
    public_url: Address = Field(
        "", description="Where people reach the status page: links in messages", examples=["https://alertd.example.com"]
    )
    heartbeat_url: Address = Field(
        "", description="Called after every good round, so that somebody notices when alertd is gone"
    )
    digest: Literal["weekly", "daily", "off"] = Field("weekly", description="How often a summary is sent")
    correct_estimates: bool = Field(
        default=False, description="Correct the prices of days that are not billed yet by what the bill came to"
    )
    drift_level: Decimal = Field(
        Decimal(10), ge=0, description="By how many percent of the bill an estimate may differ before it is said"
    )
    quiet_hours: Annotated[QuietHours | None, PlainValidator(readers.read_quiet_hours)] = Field(
        None, description="When only what is critical is sent at once", examples=["22:00-07:00"]
    )
    retention: Duration | None = Field(
        None,
        description="How long usage is kept, at least what forecasts need (121 days); for good where absent",
        examples=["400d"],
    )
    config: Path | None = Field(None, description="A TOML file with the same keys; the environment wins")
    secrets_dir: Path | None = Field(None, description="A folder of files named like variables, each holding one value")
    http: HttpOptions = Field(HttpOptions(), description="The status page, its API, health and metrics")
    prices: PricesOptions = Field(PricesOptions(), description="Prices of one's own")
    fx: dict[str, Decimal] = Field(
        default_factory=dict,
        description="A rate: EUR_USD=1.08 says that one EUR is 1.08 USD",
        examples=["1.08"],
        json_schema_extra={"takes": "number"},
    )
    defaults: BudgetKeys = Field(default_factory=BudgetKeys, description="Any key of a budget, for all of them")
    sources: dict[str, dict[str, Any]] = Field(default_factory=dict, description="Where usage and cost are read")
    budgets: dict[str, BudgetOptions] = Field(default_factory=dict, description="The budgets")
    commitments: dict[str, CommitmentOptions] = Field(
        default_factory=dict, description="Money that is certain to be charged and that no source reports"
    )
    notifiers: dict[str, dict[str, Any]] = Field(default_factory=dict, description="How messages leave")
    actions: dict[str, dict[str, Any]] = Field(default_factory=dict, description="What can be done to a key")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' own signature, here and below
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: `layers` has read the environment, so that every value has a place."""
        return (init_settings,)


def _depth(annotation: Any) -> int:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return 2
    if get_origin(annotation) is dict:
        return 2 if annotation == dict[str, Decimal] else 3
    return 1


#: How deep the options of a section lie: `database` 1, `http.listen` 2, `budgets.research.amount` 3.
DEPTHS: Final[Mapping[str, int]] = {name: _depth(field.annotation) for name, field in Document.model_fields.items()}
#: The depth of sections whose second word is a name that the user chose.
NAMED: Final = 3


def written(path: tuple[str, ...], *, toml: bool = False) -> str:
    """A key as its user would write it: `ALERTD_BUDGETS__RESEARCH__AMOUNT`, in TOML `budgets.research.amount`."""
    return ".".join(path) if toml else PREFIX + NESTING.join(path).replace("-", "_").upper()
