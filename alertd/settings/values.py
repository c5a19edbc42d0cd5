"""The configuration as values: what `load_settings` gives. Nothing here reads or checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from alertd.core.budgets import Budget
from alertd.core.quiet import QuietHours
from alertd.core.usage import Committed
from alertd.options import Options, Secret
from alertd.web.identity import Network, Person


class Configured(NamedTuple):
    """A plug-in as it is configured: its kind, and its options as that kind's model."""

    kind: str
    options: Options


@dataclass(frozen=True, slots=True)
class Http:
    """Where the status page listens, and who may read it."""

    host: str = "127.0.0.1"
    port: int = 9480
    token: Secret | None = None
    open_metrics: bool = False
    people: tuple[Person, ...] = ()
    user_header: str = ""
    trusted_proxies: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class PriceLists:
    """genai-prices' data as a file and where it is fetched from; and the list that prices are compared with."""

    file: Path | None = None
    update_url: str = field(default="", repr=False)
    update_interval: timedelta = timedelta(days=1)
    second_opinion: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The lists that are read again when they change."""
        named = Path(self.second_opinion) if self.second_opinion not in ("", "litellm") else None
        return tuple(file for file in (self.file, named) if file is not None)


@dataclass(frozen=True, slots=True)
class Settings:
    """A sound configuration. Names have their one spelling: lower case, `-` for `_`. A repr shows no secret."""

    database: str = field(repr=False)
    poll_interval: timedelta
    timezone: ZoneInfo
    dry_run: bool
    http: Http
    public_url: str
    heartbeat_url: str = field(repr=False)
    digest: str
    #: In percent of the bill.
    drift_level: Decimal
    correct_estimates: bool
    quiet_hours: QuietHours | None
    #: How long usage is kept; None for good.
    retention: timedelta | None
    sources: Mapping[str, Configured]
    budgets: Mapping[str, Budget]
    #: What is certain to be charged and no source reports.
    commitments: tuple[Committed, ...]
    notifiers: Mapping[str, Configured]
    actions: Mapping[str, Configured]
    #: Price files, before the built-in book.
    prices: tuple[Path, ...]
    #: The lists below the book.
    price_lists: PriceLists
    #: One unit of the first currency in units of the second.
    fx: Mapping[tuple[str, str], Decimal]
    #: Files that are read again when they change: the configuration itself, secrets, tables and prices.
    watched: tuple[Path, ...]
    #: What a command line needs to find this configuration, as a shell reads it (`--env-file /etc/a.env`); "" for none.
    command_options: str = ""
