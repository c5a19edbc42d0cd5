"""What alertd has to say, as values: an event is the whole of one alert, before any channel's words or mark-up.

`Event.details` holds what only some kinds have. Money and shares are Decimal (or their text: after the outbox they
are text), instants are datetime (or their ISO text), windows are text as people write them (`1h`). A key that does not
apply is left out: the message then leaves the sentence out.

==============  ======================================================================================================
any kind        late: [[source, its newest data]] that lag behind · seen_until: the newest data of any source ·
                handle: what `alertd ack HANDLE` takes · repeat: "reminder" | "escalation" | "snooze over", and
                first_told: instant · daily: [[ISO day, spent on that day]] of the period so far, for the chart
threshold       found_late: "down" (alertd was not running when it was crossed) | "correction" (late data), and
                found_late_since: since when it was down, or the instant the level was really crossed
 burn_rate      window: "1h" · window_spent · window_usual · factor: times even pace · rising: true | false ·
                since: instant · top_contributor: {label, value} · main: {label, value, share: 0 to 1} ·
                requests, requests_usual: in the window · readings: [instants] · proposed: {what, handle, expires,
                reversible: true | false}
 anomaly        window: "1d" · window_spent · usual_low, usual_high · top_contributor: {label, value}
 balance        balance: what is left of the credit (`amount` is the level of the threshold)
source_stale    source · since: last data · error · retry_every: "1m" · budgets: how many are unknown ·
                nearest: {budget, scope: [[label, value]], spent, amount, currency} · actions_paused: true | false
recovered       of a source: source · since: blind from · until: blind to · missed: {currency: amount} caught up ·
                crossed: how many levels were crossed meanwhile. Else `basis` says which alert has ended,
                since: when it began · either: fired: the severity with which it was told
unpriced        field `unpriced`; share: of all tokens of the period, 0 to 1
unmatched       wanted: {label: pattern text} · nearest: {label, value} · known: [values of that label], or,
                with no budget, uncovered: {currency: amount}, uncovered_by: [{label, value, spent}] largest first
summary         summary: "first_start" | "period_closed" | "digest" (one event for every budget and scope) |
                "live" (what a live message shows; core/evaluation/live_message.py says its details) ·
                previous: what the period before came to · since: digest covers
                from · alerts: how many were told in the period
action          action: its name · state: proposed | approved | refused | executed | verified | failed | expired |
                restored | rehearsed (dry run) | held (by a guard: error says why) | drifted | not_effective |
                not_restored · what: "block this key" · target: the alias · reversible · handle · expires: instant ·
                by: who · error · restore: the command that undoes it · impact: what stops with it
test            notifier: its name
==============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from alertd.core.budgets import Scope

#: The kinds of the public webhook contract.
KINDS: Final = ("threshold", "recovered", "source_stale", "unpriced", "unmatched", "summary", "action", "test")


@dataclass(frozen=True, slots=True)
class Contributor:
    """A part of the spend: who or what (`key ci`, `model gpt-5`), how much in the period, and how its pace changed.

    `pace_before` and `pace_now` are money (or tokens) a day; None where there is no earlier stretch to compare with.
    """

    label: str
    value: str
    spent: Decimal
    pace_now: Decimal | None = None
    pace_before: Decimal | None = None
    #: How many times more tokens a day than before; the price stayed where this equals the change of pace.
    volume_change: float | None = None


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Usage that no price list knows: its quantity counts in no figure."""

    provider: str
    model: str
    meter: str
    quantity: int
    reason: str
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to be said about one budget, scope and period (or about a source), complete with its evidence.

    Amounts are in `currency` ("tokens" for a budget of tokens). `projected` holds the quantiles 0.1, 0.5, 0.9 of the
    period's total. Instants are aware. Fields that do not apply are None or empty: absent, never zero.
    """

    id: str
    kind: str
    severity: str
    at: datetime
    budget: str = ""
    scope: Scope = ()
    period_start: datetime | None = None
    period_end: datetime | None = None
    zone: str = "UTC"
    basis: str = ""
    level: Decimal | None = None
    levels: tuple[Decimal, ...] = ()
    threshold: str = ""
    #: Where the budget stands: a status and its flags (`core/evaluation/status.py`); "" for what is of none.
    status: str = ""
    flags: tuple[str, ...] = ()
    amount: Decimal | None = None
    currency: str = ""
    spent: Decimal | None = None
    projected: Mapping[str, Decimal] = field(default_factory=dict)
    probability_over: float | None = None
    exhausted_low: datetime | None = None
    exhausted_at: datetime | None = None
    exhausted_high: datetime | None = None
    #: Money (tokens) a day: of the last seven days, and what would just stay inside the budget.
    pace: Decimal | None = None
    pace_allowed: Decimal | None = None
    contributors: tuple[Contributor, ...] = ()
    contributor_count: int = 0
    data_until: datetime | None = None
    #: Figures are complete from here; None where they are complete from the period's start.
    complete_from: datetime | None = None
    unpriced: tuple[Unpriced, ...] = ()
    assumed_prices: tuple[str, ...] = ()
    owner: str = ""
    runbook_url: str = ""
    channel: str = ""
    details_url: str = ""
    #: One sentence: why this was said now.
    reason: str = ""
    #: What only some kinds have: burn rate figures, the source and its error, rows of a summary, an action's state.
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for the outbox; `from_json` gives the same event back."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """The event that `to_json` wrote. A newer version's fields are left out, so that a roll-back still sends."""
        return msgspec.convert(data, cls, strict=False)

    def contract(self) -> dict[str, Any]:
        """The body of the public webhook contract, version 1."""
        return {
            "version": 1,
            "id": self.id,
            "event": self.kind,
            "severity": self.severity,
            "budget": self.budget,
            "scope": dict(self.scope),
            "period": {"start": _plain(self.period_start), "end": _plain(self.period_end)},
            "status": self.status or None,
            "flags": list(self.flags),
            "basis": self.basis,
            "level": None if self.level is None else _number(self.level),
            "levels": [_number(level) for level in self.levels],
            "amount": _plain(self.amount),
            "currency": self.currency,
            "spent": _plain(self.spent),
            "projected": {name: _plain(value) for name, value in self.projected.items()},
            "exhausted_at": _plain(self.exhausted_at),
            "data_until": _plain(self.data_until),
            "unpriced": [_plain(item) for item in self.unpriced],
            "reason": self.reason,
        }


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case Decimal():
            return f"{value:f}"
        case Contributor() | Unpriced():
            return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def with_command_options(event: Event, options: str) -> Event:
    """The event with what the commands in its message end with (`--env-file /etc/a.env`): they work as printed."""
    return replace(event, details={**event.details, "command_options": options}) if options else event
