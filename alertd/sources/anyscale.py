"""Anyscale: what clouds cost a day by the platform's usage, or a CSV of tokens or costs. Tokens come from counters.

The platform's paths are those of its own command line, no promised interface: what they answer otherwise is an error.
Token counters of vLLM under Ray Serve are read by the kind `prometheus`, preset vllm_ray.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from alertd.clients.billing_api import Billing, Pace, Pages, Record, ago, attributed, read_windows
from alertd.clients.file_import import by_files, look_at_files
from alertd.clients.json_fields import Fields, every_page
from alertd.clients.usage_files import Defaults, FileOptions, own_files
from alertd.core.billing.read_plan import ReadWindow, midnight, plan_windows
from alertd.core.pricing.source_roles import CHARGE
from alertd.core.usage import BilledCost
from alertd.plugin_options import Secret, revealed
from alertd.ports import Look, Reading, SourceError
from alertd.sources._timed_source import TimedSource

PROVIDER: Final = "anyscale"
#: How late a day's usage is, nobody says [not promised].
PACE: Final = Pace(timedelta(hours=1), timedelta(hours=24), timedelta(hours=24))
#: Days that may still change.
_SETTLING: Final = timedelta(days=3)
_LISTS: Final = ("results", "result")
#: A page of what is cut; the interface takes up to 1,000.
_PAGE: Final = 1_000
#: The path of a cut that is called otherwise there.
_CUTS: Final = {"service": "cluster"}
_LABELS: Final = {
    "service": ("service_name", "service_id"),
    "job": ("job_name", "job_id", "job_queue_name", "job_queue_id"),
    "workspace": ("workspace_name", "workspace_id"),
    "project": ("project_name", "project_id"),
    "user_email": ("user_email", "user_id"),
    "cloud": ("cloud_name", "cloud_id"),
    "cluster_type": ("cluster_type",),
    "instance_type": ("instance_type",),
}
_JSON: Final = {"Content-Type": "application/json"}
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Anyscale

Reads: dollars of compute a day, by the paths of Anyscale's own command line (no promised interface), or a CSV of
tokens or costs (`READ=file`, columns as for `csv`). `GROUP_BY=service` cuts the days by service, job and workspace
(also `project`, `user`, ...), so that a model served by vLLM has its compute. Its tokens come from vLLM's counters by
kind `prometheus`, preset `vllm_ray`; they cost nothing beside it ([rating](rating.md)).
Least privilege: the token of a user who may see the organization's usage. Delay: taken as a day; three days are read
again. Cannot see: tokens, models, keys.
```sh
ALERTD_SOURCES__RAY__KIND=anyscale
ALERTD_SOURCES__RAY__CLI_TOKEN_FILE=/run/secrets/anyscale
ALERTD_SOURCES__RAY__READ=usage
ALERTD_SOURCES__RAY__DELAY=24h
ALERTD_SOURCES__RAY__LABELS=team=platform
```
"""


class Options(FileOptions):
    """Anyscale. The token is that of `anyscale login` of a user who may see the organization's usage."""

    read: Literal["usage", "file"] = Field("usage", description="usage: dollars a day of compute; file: a CSV")
    cli_token: Secret | None = Field(None, description="The token of Anyscale's command line")
    group_by: Literal["", "service", "cluster", "cluster_type", "project", "user", "cloud", "instance_type"] = Field(
        "",
        description="For usage: by what its days are cut; service: what each service (vLLM under Ray), "
        "job or workspace costs",
    )
    name_contains: str = Field("", description="For usage that is cut: only what has this in its name")
    url: str = Field("https://console.anyscale.com", description="Where the console is")
    path: str = Field("", description="For files: a CSV (also in a zip), a folder or a glob; columns as for kind csv")

    @model_validator(mode="after")
    def _complete(self) -> Options:
        if self.read == "file" and not self.path:
            raise ValueError("name the file by `path`")
        if self.read == "usage" and self.cli_token is None:
            raise ValueError("cli_token is needed")
        if self.name_contains and not self.group_by:
            raise ValueError("name_contains needs a group_by")
        return self


def build(name: str, options: Options) -> Anyscale:
    """Build the source; it makes no request yet."""
    return Anyscale(name, options)


class Anyscale(TimedSource):
    """One organization's compute, or a file of its tokens."""

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, options, PACE, "bill")
        self._options = options
        token = revealed(options.cli_token)
        headers = {"Cookie": f"cli_token={token}"} if token else {}
        self._billing = Billing(name, options, headers=headers, hidden=[token])
        self._import = own_files(Defaults(name, options, PROVIDER), options.equal_rows)

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Days of dollars, the last ones again each time; files when they change."""
        steps = (
            by_files(self._options.path, self._import, cursor=cursor, since=since, noticed=self._billing.once)
            if self._options.read == "file"
            else read_windows(
                plan_windows(cursor, since, now, reach_back=_SETTLING),
                self._cut_pages if self._options.group_by else self._pages, cursor=cursor, now=now, delay=self.delay,
            )
        )  # fmt: skip
        async for step in steps:
            yield step

    async def look(self, now: datetime) -> Look:
        """What the last week cost, or what the files hold."""
        if self._options.read == "file":
            return await look_at_files(self._options.path, self._import, now)
        rows = _rows(await self._usage(now - timedelta(days=7), now))
        days = sorted(row.day("date") for row in rows)
        latest = midnight(days[-1], UTC) if days else None
        total = sum(row.number("dollar_value") for row in rows)
        age = f", the newest of {ago(latest, now)} ago" if latest else ""
        return Look(f"{total:.2f} USD of compute in {len(days)} of the last 7 days{age}", latest)

    async def close(self) -> None:
        """Close the connections."""
        await self._billing.close()

    async def _usage(self, start: datetime, end: datetime) -> Fields:
        url = f"{self._options.url.rstrip('/')}/api/v2/aggregated_instance_usage/"
        return await self._billing.get(url, {"start_date": f"{start:%Y-%m-%d}", "end_date": f"{end:%Y-%m-%d}"})

    async def _cut_pages(self, window: ReadWindow) -> Pages:
        """Days of what each service, project or user costs; rows of one day and name add up."""
        wanted = self._options.group_by
        url = f"{self._options.url.rstrip('/')}/api/v2/aggregated_instance_usage/{_CUTS.get(wanted, wanted)}"
        query = {"start_date": f"{window.start:%Y-%m-%d}", "end_date": f"{window.end - timedelta(days=1):%Y-%m-%d}",
                 "group_by_date": True, "asc": True}  # fmt: skip
        if self._options.name_contains:
            query["name_contains"] = self._options.name_contains
        content = json.dumps(query).encode()
        numbers = count()

        async def ask(token: str) -> Fields:
            more = f"&paging_token={quote(token, safe='')}" if token else ""
            return await self._billing.send("POST", f"{url}?count={_PAGE}{more}", headers=_JSON, content=content)

        async for page in every_page(ask, lambda page: page.child("metadata").text("next_paging_token"), self.name):
            self._billing.expect(page, (*_LISTS, "metadata"))
            yield {next(numbers): self._cut_record(row) for row in _rows(page)}

    def _cut_record(self, row: Fields) -> BilledCost:
        day = midnight(row.day("date"), UTC)
        names = {label: next((row.text(key) for key in keys if row.text(key)), "") for label, keys in _LABELS.items()}
        labels = attributed(self._options, {CHARGE: "compute", **names})
        return BilledCost(
            PROVIDER, day, day + timedelta(days=1), row.money("dollar_value", "USD"), labels, "", self.name
        )

    async def _pages(self, window: ReadWindow) -> Pages:
        answer = await self._usage(window.start, window.end - timedelta(days=1))
        if answer.child("metadata").text("next_paging_token"):
            raise SourceError(f"{self.name}: the usage comes in pages, which this path is not known to do")
        self._billing.expect(answer, (*_LISTS, "metadata"))
        found: dict[Any, Record] = {}
        for row in _rows(answer):
            self._billing.expect(row, ("date", "dollar_value", "anyscale_credits"))
            day = midnight(row.day("date"), UTC)
            if day in found:
                self._billing.once(f"{row.day('date')} comes twice; the later row counts")
            labels = attributed(self._options, {CHARGE: "compute"})
            cost = row.money("dollar_value", "USD")
            found[day] = BilledCost(PROVIDER, day, day + timedelta(days=1), cost, labels, "", self.name)
        yield found


def _rows(answer: Fields) -> list[Fields]:
    """The list of days, which has one of two names."""
    name = next((name for name in _LISTS if name in answer), _LISTS[0])
    return answer.items(name)
