"""OpenRouter: dollars and tokens of finished days (activity, by key and model), today's dollars by key (keys).

Finished days are known for 30 days. Until the activity of a day is available, the keys' last figures are used for it.
Source: OpenRouter's API reference and its SDK 1.3; days are UTC, credits are dollars.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from pydantic import Field

from alertd.clients.billing_api import Billing, Pace, Record, attributed
from alertd.clients.json_fields import Fields
from alertd.core.billing.read_plan import floored, midnight
from alertd.core.messages.format import plural
from alertd.core.money import Money
from alertd.core.usage import BilledCost, Line, Usage
from alertd.plugin_options import Secret, SourceOptions
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource

PROVIDER: Final = "openrouter"
PACE: Final = Pace(timedelta(minutes=5), timedelta(minutes=2), timedelta(hours=1))
_DAY: Final = timedelta(days=1)
_REMEMBERED: Final = timedelta(days=30)
#: Finished days are read again for this time.
_SETTLING: Final = timedelta(days=2)
#: A day without activity this long after its end had none.
_LATE: Final = timedelta(hours=6)
_PAGE: Final = 100
_MOST_PAGES: Final = 1000
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
OpenRouter

Reads: today's dollars by key, finished days by key and model with their tokens. The spend of deleted keys has no key
label. Until the activity of a day is available, alertd uses the keys' last figures for that day. `alertd check` shows
the remaining credit.
Least privilege: a management key (it runs no model). Delay: a minute; two days are read again. Cannot see: today's
models, days more than 30 back, use of your own keys unless `BYOK` is set.
```sh
ALERTD_SOURCES__ROUTER__KIND=openrouter
ALERTD_SOURCES__ROUTER__MANAGEMENT_KEY_FILE=/run/secrets/openrouter
ALERTD_SOURCES__ROUTER__BYOK=false
ALERTD_SOURCES__ROUTER__INTERVAL=5m
ALERTD_SOURCES__ROUTER__WORKSPACE_ID=
```
"""


class Options(SourceOptions):
    """OpenRouter. A management key: it reads everything and cannot run a model."""

    management_key: Secret = Field(description="A management key (formerly provisioning key)")
    byok: bool = Field(default=False, description="Whether use of your own keys counts, too: others bill it")
    workspace_id: str = Field("", description="Another workspace than the default one")
    url: str = Field("https://openrouter.ai/api/v1", description="Where the API is")


@dataclass(slots=True)
class KeyHistory:
    """What a cursor remembers: the last day whose activity was read, and by day what the keys had spent at the end."""

    read: date | None = None
    days: dict[date, dict[str, Decimal]] = field(default_factory=dict)

    @classmethod
    def of(cls, cursor: str | None) -> KeyHistory:
        """The state in a cursor; an empty one if another release wrote it."""
        try:
            known: dict[str, Any] = json.loads(cursor or "{}")
            days = {
                date.fromisoformat(day): {key: Decimal(amount) for key, amount in keys.items()}
                for day, keys in known.get("days", {}).items()
            }
            return cls(date.fromisoformat(known["read"]) if known.get("read") else None, days)
        except (ValueError, TypeError, AttributeError, ArithmeticError):
            return cls()

    def text(self) -> str:
        """The cursor."""
        days = {str(day): {key: str(amount) for key, amount in keys.items()} for day, keys in self.days.items()}
        return json.dumps({"read": str(self.read) if self.read else None, "days": days}, separators=(",", ":"))


def build(name: str, options: Options) -> OpenRouter:
    """Build the source; it makes no request yet."""
    return OpenRouter(name, options)


class OpenRouter(TimedSource):
    """One account's keys."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        self._url = options.url.rstrip("/")
        self._billing = Billing(name, options, bearer=options.management_key.get_secret_value())

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Today by keys each time; finished days by activity until the last one is there."""
        state, today = KeyHistory.of(cursor), now.astimezone(UTC).date()
        keys = await self._keys()
        state.days[today] = {row.text("hash"): self._spent(row, "usage_daily") for row in keys}
        names = {row.text("hash"): row.text("name") or row.text("label") for row in keys}
        first = max(floored(since, UTC), floored(now - _REMEMBERED, UTC))
        start = first if state.read is None else max(first, midnight(state.read, UTC) - _SETTLING)
        found: dict[tuple[date, str], list[Record]] = {}
        finished = today - _DAY
        whole = await self._rows({}) if state.read is None or state.read < finished else []
        there = any(row.day("date") == finished for row in whole) or now - midnight(today, UTC) > _LATE
        if state.read is None or (state.read < finished and there):
            found = await self._activity(names, whole)
            state.read = finished if there else finished - _DAY
        else:
            start = midnight(today, UTC)
        records = [record for (day, _), part in found.items() if midnight(day, UTC) >= start for record in part]
        records.extend(self._by_keys(state, found, names, start))
        state.days = {day: said for day, said in state.days.items() if day >= today - _SETTLING - _DAY}
        window = (start, midnight(today + _DAY, UTC))
        yield Reading(
            state.text(),
            now - self.delay,
            records=tuple(records),
            window=window,
            complete_from=first,
            balance=Money(await self._left(), "USD"),
        )

    async def _left(self) -> Decimal:
        """The remaining credit, in dollars."""
        credit = (await self._billing.get(f"{self._url}/credits")).child("data")
        return credit.number("total_credits") - credit.number("total_usage")

    async def look(self, now: datetime) -> Look:
        """The credit that is left, the spend of the keys this month, and a check of the total."""
        keys = await self._keys()
        left = await self._left()
        month = sum((self._spent(row, "usage_monthly") for row in keys), Decimal(0))
        day = sum((self._spent(row, "usage_daily") for row in keys), Decimal(0))
        remarks = ("no key is seen in this workspace; name another by workspace_id",) if not keys else ()
        said = (
            f"{left:.2f} USD of credit left{self._lasts(keys, left, now)};"
            f" {plural(len(keys), 'key')} spent {month:.2f} USD this month, {day:.2f} today"
        )
        labels = {"key": sorted(row.text("name") or row.text("label") for row in keys)}
        return Look(said, now, labels=labels, remarks=remarks)

    def _lasts(self, keys: Sequence[Fields], left: Decimal, now: datetime) -> str:
        """Until when the credit lasts at the pace of this week, which begins on Monday."""
        monday = floored(now - timedelta(days=now.astimezone(UTC).weekday()), UTC)
        week = sum((self._spent(row, "usage_weekly") for row in keys), Decimal(0))
        if week <= 0 or left <= 0:
            return ""
        days = left / week * Decimal((now - monday) / _DAY)
        return f", which lasts about {days:.0f} days at this week's pace"

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    async def _keys(self) -> list[Fields]:
        """Every key, disabled and expired ones too: they may have spent. A page that is not full is the last."""
        found: dict[str, Fields] = {}
        for _ in range(_MOST_PAGES):
            query = {"offset": str(len(found)), "include_disabled": "true", "include_expired": "true"}
            if self._options.workspace_id:
                query["workspace_id"] = self._options.workspace_id
            rows = (await self._billing.get(f"{self._url}/keys", query)).items("data")
            before = len(found)
            found |= {row.text("hash"): row for row in rows}
            if len(rows) < _PAGE:
                return list(found.values())
            if len(found) == before:
                raise SourceError(f"{self.name}: the pages of keys repeat themselves")
        raise SourceError(f"{self.name}: more than {_MOST_PAGES} pages of keys")

    def _spent(self, row: Fields, what: str) -> Decimal:
        """A key's dollars; those of use with own keys where they are asked for."""
        own = row.number(f"byok_{what}") if self._options.byok and f"byok_{what}" in row else Decimal(0)
        return row.number(what) + own

    async def _activity(
        self, names: Mapping[str, str], account: Sequence[Fields]
    ) -> dict[tuple[date, str], list[Record]]:
        """Records of finished days by day and key; spend of deleted keys has no key."""
        found: dict[tuple[date, str], list[Record]] = {}
        known: dict[tuple[date, str, str], dict[str, Decimal]] = {}
        for key, name in names.items():
            for row in await self._rows({"api_key_hash": key}):
                counts = self._counts(row)
                line = (row.day("date"), row.text("model"), row.text("provider_name"))
                known[line] = _sum(known.get(line, {}), counts)
                found.setdefault((line[0], key), []).extend(self._records(line, counts, name))
        whole: dict[tuple[date, str, str], dict[str, Decimal]] = {}
        for row in account:
            line = (row.day("date"), row.text("model"), row.text("provider_name"))
            whole[line] = _sum(whole.get(line, {}), self._counts(row))
        for line, counts in whole.items():
            if known.get(line, counts)[""] > counts[""]:
                raise SourceError(f"{self.name}: its keys spent more on {line[1]} than the account on {line[0]}")
            rest = {what: max(Decimal(0), n - known.get(line, {}).get(what, Decimal(0))) for what, n in counts.items()}
            found.setdefault((line[0], ""), []).extend(self._records(line, rest, ""))
        return found

    async def _rows(self, query: Mapping[str, str]) -> list[Fields]:
        whose = {"workspace_id": self._options.workspace_id} if self._options.workspace_id else {}
        return (await self._billing.get(f"{self._url}/activity", {**query, **whose})).items("data")

    def _counts(self, row: Fields) -> dict[str, Decimal]:
        """Dollars and disjoint tokens of one row: prompts hold cached tokens, completions the reasoning."""
        cached = min(row.whole("cached_tokens"), row.whole("prompt_tokens"))
        own = row.number("byok_usage_inference") if self._options.byok and "byok_usage_inference" in row else Decimal(0)
        return {
            "": row.number("usage") + own,
            "input": Decimal(row.whole("prompt_tokens") - cached),
            "cached_input": Decimal(cached),
            "output": Decimal(row.whole("completion_tokens")),
        }

    def _records(self, line: tuple[date, str, str], counts: Mapping[str, Decimal], name: str) -> Iterator[Record]:
        day, model, upstream = line
        labels = attributed(self._options, {"key": name, "upstream": upstream})
        window = midnight(day, UTC), midnight(day + _DAY, UTC)
        for what, count in counts.items():
            if what and count:
                priced = Line(PROVIDER, model, what, (), self._options.account)
                yield Usage(priced, *window, int(count), labels, self.name)
            elif count:
                yield BilledCost(PROVIDER, *window, Money(count, "USD"), labels, model, self.name, final=True)

    def _by_keys(
        self,
        state: KeyHistory,
        found: Mapping[tuple[date, str], list[Record]],
        names: Mapping[str, str],
        start: datetime,
    ) -> Iterator[BilledCost]:
        """A day's spend by key beyond its activity: all of today, and days that are not finished."""
        for day, said in state.days.items():
            window = midnight(day, UTC), midnight(day + _DAY, UTC)
            for key, amount in said.items() if window[0] >= start else ():
                held = (record.cost.amount for record in found.get((day, key), ()) if isinstance(record, BilledCost))
                missing = amount - sum(held, Decimal(0))
                if missing > 0:
                    labels = attributed(self._options, {"key": names.get(key, key[:8])})
                    yield BilledCost(PROVIDER, *window, Money(missing, "USD"), labels, "", self.name)


def _sum(one: Mapping[str, Decimal], other: Mapping[str, Decimal]) -> dict[str, Decimal]:
    return {what: one.get(what, Decimal(0)) + n for what, n in other.items()}
