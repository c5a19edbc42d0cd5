"""Alibaba Cloud Model Studio: its instance bill by day (tokens and money), its billing trend by key, or a bill's CSV.

The three see the same money in different cuts: a second source of another cut is a check of the first.
Source: BSS OpenAPI 2017-12-14 DescribeInstanceBill; Model Studio 2026-02-10 GetBillingTrend.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from alertd.clients.billing_api import Billing, Pace, Pages, Record, attributed, read_windows, totals
from alertd.clients.cloud_credentials import Call, Credentials, canonical_query, signed_headers
from alertd.clients.file_import import Distinct, EqualRows, FileImport, by_files, look_at_files, reading
from alertd.clients.http_response import HttpProblem, shown_code
from alertd.clients.json_fields import Fields, every_page
from alertd.core.billing.read_plan import Come, ReadWindow, floored, midnight, next_midnight, plan_windows
from alertd.core.money import Money
from alertd.core.usage import BilledCost
from alertd.plugin_options import Secret, SourceOptions, TextList, TextMap, ZoneName, revealed
from alertd.ports import Look, Reading, SourceError
from alertd.sources._alibaba_rows import PROVIDER, BillRowReader, columns, final_before, row_of
from alertd.sources._timed_source import TimedSource

#: Bills of instances are up to two days late; the trend says nothing of its own delay.
PACE: Final = Pace(timedelta(hours=6), timedelta(hours=48), timedelta(hours=24))
_SITES: Final = {
    "international": "https://business.ap-southeast-1.aliyuncs.com",
    "china": "https://business.aliyuncs.com",
}
_PAGE: Final = 300
_REST: Final = "DIMENSION_GROUP_OTHERS_VALUE"
_GROUPS: Final = {"key": "API_KEY_ID", "workspace": "WORKSPACE_ID", "model": "BASE_MODEL"}
_SUCCESS: Final = frozenset({"", "200", "OK", "SUCCESS"})
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = (
    "business.aliyuncs.com, business.ap-southeast-1.aliyuncs.com or modelstudio.REGION.aliyuncs.com "
    "(by `SITE` and `READ`) :443"
)
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Alibaba Cloud Model Studio

Reads one of three cuts of the same money: `bill` (DescribeInstanceBill by day: tokens and money by model, workspace,
channel), `trend` (GetBillingTrend: money by API key, workspace or model), `file` (a bill's CSV, headers in English,
Chinese or as `HEADERS` says). A second cut is a second source with `ROLE=check`.
Least privilege: a RAM user with `bssapi:DescribeInstanceBill` (and `bssapi:QueryAccountBalance` for `BALANCE=true`,
which reads what is left of the account), or the right to read Model Studio's billing. Delay: 24 to 48 h; every day is
read again until its month is final, at noon on the 3rd of the next, China time. Cannot see: keys in the bill; more
than 20 groups in the trend (the rest is nobody's); rows that fit no model keep their money.
```sh
ALERTD_SOURCES__ALI__KIND=alibaba
ALERTD_SOURCES__ALI__ACCESS_KEY_ID=LTAI5t...
ALERTD_SOURCES__ALI__ACCESS_KEY_SECRET_FILE=/run/secrets/alibaba
ALERTD_SOURCES__ALI__SITE=international
ALERTD_SOURCES__ALI__READ=bill
```
"""


class Options(SourceOptions):
    """Alibaba's bill. The RAM user needs bssapi:DescribeInstanceBill, or modelstudio:GetBillingTrend for the trend."""

    read: Literal["bill", "trend", "file"] = Field(
        "bill",
        description="bill: tokens and money by model and workspace; trend: money by API key, workspace or model; file",
    )
    access_key_id: str = Field("", description="The AccessKey ID of a RAM user")
    access_key_secret: Secret | None = Field(None, description="Its secret")
    security_token: Secret | None = Field(None, description="The token of temporary credentials (STS)")
    site: Literal["international", "china"] = Field("international", description="Where the account is")
    region: str = Field("ap-southeast-1", description="For the trend: the region of Model Studio")
    url: str = Field("", description="Another endpoint than that of the site or region")
    group_by: Literal["key", "workspace", "model"] = Field("key", description="For the trend: its one cut")
    products: TextList = Field(
        ["*model studio*", "*百炼*", "*bailian*", "sfm*", "maas*"],
        description="Whose rows without a model are taken, too: patterns of product code, name or detail",
    )
    path: str = Field("", description="For files: a file, a folder of them or a glob")
    equal_rows: EqualRows = Field(
        "ask", description="For files: of equal rows in two of them: once (exports overlap), each, or ask"
    )
    headers: TextMap = Field(
        default_factory=dict, description="For files: further column names, such as Montant=PretaxAmount"
    )
    balance: bool = Field(
        default=False,
        description="For the bill: also read what is left of the account (`balance 50 USD`); needs the right "
        "bssapi:QueryAccountBalance",
    )
    timezone: ZoneName = Field("Asia/Shanghai", description="The zone in which days and months of the bill begin")

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if self.read == "file" and not self.path:
            raise ValueError("name the file by `path`")
        if self.read != "file" and not (self.access_key_id and self.access_key_secret):
            raise ValueError("access_key_id and access_key_secret are needed")
        if self.balance and self.read != "bill":
            raise ValueError("balance is read with the bill alone; set read=bill")
        return self


def build(name: str, options: Options) -> Alibaba:
    """Build the source; it makes no request yet."""
    return Alibaba(name, options)


class Alibaba(TimedSource):
    """One account's Model Studio costs, in one of three cuts."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        self._zone = ZoneInfo(options.timezone)
        known = self._credentials()
        self._billing = Billing(name, options, hidden=[known.secret, known.security_token])

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Read every day that is not final, each replaced as a whole; files when they change."""
        if self._options.read == "file":
            files = by_files(self._options.path, lambda paths: self._import(paths, now), cursor=cursor, since=since,
                             zone=self._zone, noticed=self._billing.once)  # fmt: skip
            async for step in files:
                yield step
            return
        pages = self._bill_pages if self._options.read == "bill" else self._trend_pages
        plan = self._plan(cursor, since, now)
        balance = await self._known_balance(now) if self._options.balance else None
        async for step in read_windows(
            plan, lambda window: pages(window, now), cursor=cursor, now=now, delay=self.delay
        ):
            yield replace(step, balance=balance)

    async def look(self, now: datetime) -> Look:
        """Read the last days once and describe them."""
        if self._options.read == "file":
            return await look_at_files(self._options.path, lambda paths: self._import(paths, now), now)
        start = floored(now - timedelta(days=4), self._zone)
        found: list[Record] = []
        latest: datetime | None = None
        async for step in self.read(None, start, now):
            found.extend(step.records)
        money = [record for record in found if isinstance(record, BilledCost)]
        latest = max((record.end for record in money), default=None)
        billed = totals(money)
        said = f"{len(money)} lines of money in the last 4 days: {billed or 'nothing'}"
        remarks = () if money else ("no line of Model Studio in 4 days; bills are up to 2 days late",)
        if self._options.balance:
            said += f"; {await self._balance(now)} left of the account"
        labels = {"model": sorted({record.model for record in money if record.model}),
                  "workspace": sorted({record.labels.get("workspace", "") for record in money} - {""})}  # fmt: skip
        return Look(said, latest, labels=labels, remarks=remarks)

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    def _plan(self, cursor: str | None, since: datetime, now: datetime) -> tuple[ReadWindow, ...]:
        come = Come.of(cursor)
        back = max(timedelta(0), come.read - final_before(now, self._zone)) if come else timedelta(0)
        days = 1 if self._options.read == "bill" else 31
        return plan_windows(cursor, since, now, zone=self._zone, reach_back=back, days=days)

    async def _bill_pages(self, window: ReadWindow, now: datetime) -> Pages:
        """One day of the instance bill. Rows of the same kind add up, so each has a key of its own."""
        reader = self._reader(now)
        day = window.start.astimezone(self._zone).date()
        numbers = count()
        total = arrived = 0

        async def ask(token: str) -> Fields:
            next_page = {"NextToken": token} if token else {}
            query = {"BillingCycle": f"{day:%Y-%m}", "Granularity": "DAILY", "BillingDate": str(day),
                     "IsBillingItem": "true", "MaxResults": str(_PAGE), **next_page}  # fmt: skip
            return (await self._ask("POST", "/", "DescribeInstanceBill", query, now)).child("Data")

        async for page in every_page(ask, lambda page: page.text("NextToken"), self.name):
            rows = page.items("Items", required=page.text("TotalCount") != "0")
            total, arrived = max(total, page.whole("TotalCount")), arrived + len(rows)
            yield {next(numbers): record for row in rows for record in reader.records(row, window.start, window.end)}
        self._log_remarks(reader)
        if arrived < total:
            raise SourceError(f"{self.name}: {arrived} of {total} lines of {day} arrived; a page is missing")

    async def _trend_pages(self, window: ReadWindow, now: datetime) -> Pages:
        """The days of the billing trend by group; the rest of a day's total has no label."""
        last = (min(window.end, next_midnight(now, self._zone)) - timedelta(hours=1)).astimezone(self._zone).date()
        begin = window.start.astimezone(self._zone).date()
        query = {"granularity": "DAY", "timePeriod": _compact({"start": str(begin), "end": str(last)}),
                 "groupBy": _compact([{"code": _GROUPS[self._options.group_by]}]), "topNum": "20"}  # fmt: skip
        answer = await self._ask("GET", "/modelstudio/billing/trend", "GetBillingTrend", query, now)
        found: dict[Any, Record] = {}
        for period in answer.child("data").items("resultByTime"):
            start = midnight(period.day("period"), self._zone)
            if window.start <= start < window.end:
                for who, money in self._groups(period):
                    day = (start, next_midnight(start, self._zone))
                    found[start, who] = self._trend_record(day, who, money, now)
        yield found

    async def _known_balance(self, now: datetime) -> Money | None:
        """The balance; None, with a logged warning, if it cannot be read."""
        try:
            return await self._balance(now)
        except SourceError as error:
            self._billing.once(f"the balance of the account cannot be read: {error}")
            return None

    async def _balance(self, now: datetime) -> Money:
        """What the account can still spend: its cash and its credit line (QueryAccountBalance: AvailableAmount)."""
        answer = (await self._ask("POST", "/", "QueryAccountBalance", {}, now)).child("Data")
        text = answer.text("AvailableAmount").replace(",", "")
        try:
            return Money(Decimal(text), answer.text("Currency") or "USD")
        except (ArithmeticError, ValueError) as error:
            raise SourceError(f"{self.name}: the balance of the account is no number") from error

    def _groups(self, period: Fields) -> list[tuple[str, Money]]:
        total = period.child("total")
        currency = total.text("currency") or ("CNY" if self._options.site == "china" else "USD")
        field = "pretaxAmount" if "pretaxAmount" in total else "amount"
        groups = [
            (row.text("name") or row.text("key"), row.money(field if field in row else "amount", currency))
            for row in period.items("periodDetails", required=False)
            if row.text("key") != _REST
        ]
        named = sum((money.amount for _, money in groups), start=total.money(field, currency).amount * 0)
        rest = total.money(field, currency).amount - named
        return [*groups, ("", Money(rest, currency))] if rest else groups

    def _trend_record(self, window: tuple[datetime, datetime], who: str, money: Money, now: datetime) -> BilledCost:
        group = self._options.group_by
        labels = attributed(self._options, {} if group == "model" else {group: who})
        final = window[1] <= final_before(now, self._zone)
        return BilledCost(PROVIDER, *window, money, labels, who if group == "model" else "", self.name, final=final)

    async def _ask(self, method: str, path: str, action: str, query: Mapping[str, str], now: datetime) -> Fields:
        """A signed request. An answer of 200 that says it failed is a failure."""
        bill = self._options.read == "bill"
        base = self._options.url or (
            _SITES[self._options.site] if bill else f"https://modelstudio.{self._options.region}.aliyuncs.com"
        )
        version = "2017-12-14" if bill else "2026-02-10"
        pairs = tuple(query.items())
        host = base.partition("://")[2].rstrip("/")
        call = Call(method, host, path, action, version, now, token_hex(16), pairs)
        url = f"{base.rstrip('/')}{path}?{canonical_query(pairs)}"
        try:
            answer = await self._billing.send(method, url, headers=signed_headers(call, self._credentials()))
        except HttpProblem as problem:
            if "InvalidTimeStamp" not in problem.text:
                raise
            raise SourceError(f"{problem}; set this machine's clock: it is too far off") from problem
        failed = [answer.flag(name) is False for name in ("Success", "success")]
        code = answer.text("Code") or answer.text("code")
        if any(failed) or code.upper() not in _SUCCESS:
            raise SourceError(f"{self.name}: {action} failed: {shown_code(code)}")
        return answer

    def _credentials(self) -> Credentials:
        known = self._options
        return Credentials(known.access_key_id, revealed(known.access_key_secret), revealed(known.security_token))

    def _reader(self, now: datetime) -> BillRowReader:
        known, zone = self._options, self._zone
        return BillRowReader(self.name, known, known.products, zone, final_before(now, zone))

    def _log_remarks(self, reader: BillRowReader) -> None:
        if reader.left_out:
            self._billing.once(f"other products of the bill are left out: {', '.join(sorted(reader.left_out))}")

    def _import(self, paths: Sequence[Path], now: datetime) -> FileImport:
        reader = self._reader(now)
        distinct = Distinct(self._options.equal_rows)
        records: list[Record] = []
        for path in paths:
            distinct.next_file()
            with reading(path) as file:
                at = columns(file.header, self._options.headers, file.name)
                for number, cells in file.rows:
                    if distinct.is_new(cells):
                        row = row_of(cells, at, f"{file.name} line {number}")
                        records.extend(reader.records(row, *reader.window(row)))
        self._log_remarks(reader)
        return FileImport(records, distinct.notes(), distinct.questions())


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
