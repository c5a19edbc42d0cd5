"""Lines of a cloud's bill: which model one is for, and a base for sources that ask a cloud for its bill by day.

Source: Bedrock user guide on CUR data, Azure retail prices and Google SKUs as users publish them. A line that fits no
pattern keeps its money and has no model.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatch
from typing import Final, NamedTuple

from pydantic import Field

from alertd.clients.billing_api import Noticed, Pace, Pages, attributed, look_at_reports, read_windows
from alertd.core.billing.read_plan import Come, ReadWindow, midnight, plan_windows
from alertd.core.money import Money
from alertd.core.pricing.source_roles import CHARGE
from alertd.core.usage import BilledCost
from alertd.plugin_options import SourceOptions, TextList
from alertd.ports import Look, Reading
from alertd.sources._timed_source import TimedSource

_EDITION: Final = re.compile(r"(?P<model>.+) \(Amazon Bedrock Edition\)\Z", re.IGNORECASE)
#: USE1-Claude4.6Sonnet-input-tokens, USW2-anthropic.claude-opus-4-8-mantle-cache-write-tokens-global-standard.
_REGION: Final = re.compile(r"\A[A-Z]{2,4}\d-(?:MP:)?")
_CLAUDE: Final = re.compile(r"Claude-?(?P<version>\d+(?:\.\d+)?)(?P<family>Sonnet|Opus|Haiku)", re.IGNORECASE)
_NAMED: Final = re.compile(
    r"(?P<model>[\w.:]+?(?:-[\w.:]+?)*?)-(?:mantle|input|output|cache-read|cache-write|batch)\b.*\btokens?\b",
    re.IGNORECASE,
)
_NOVA: Final = re.compile(
    r"Nova(?P<version>\d(?:\.\d)?)?(?P<size>Micro|Lite|Pro|Premier|Canvas|Reel|Sonic)", re.IGNORECASE
)
#: Words of Azure's meters and Google's SKUs that follow a model's name.
_AFTER: Final = re.compile(
    r"\s+(?:inp|inpt|input|outp|opt|outpt|output|cchd|cached|cd|ch|wr|batch|pp|glbl|gl|dzone|rgnl|regnl|global|text"
    r"|image|audio|video|thinking|caching|cache|priority|flex|regional)\b.*",
    re.IGNORECASE,
)
#: What a line is for that is no use of a model by tokens, by words of its usage type or meter.
_CHARGES: Final = (
    (re.compile(r"guardrail", re.IGNORECASE), "guardrails"),
    (re.compile(r"knowledge-?base|vector", re.IGNORECASE), "knowledge"),
    (re.compile(r"provisioned|model-?units|\bPTU\b|\bGSU\b", re.IGNORECASE), "provisioned"),
    (re.compile(r"custom-?model|hosting", re.IGNORECASE), "custom_models"),
    (re.compile(r"agent-?core", re.IGNORECASE), "agents"),
    (re.compile(r"train|fine-?tun", re.IGNORECASE), "training"),
)


def model_of(provider: str, service: str, meter: str) -> str:
    """The model, as usage names it; "" where the line does not say."""
    if provider == "aws":
        return _of_bedrock(service, meter)
    if not re.search(r"openai|foundry|vertex|cognitive|gemini|claude", service, re.IGNORECASE):
        return ""
    name = _AFTER.sub("", f"{meter} ").strip().lower()
    if name == meter.strip().lower() or not re.search(r"[a-z]", name) or "/" in name:
        return ""
    return re.sub(r"\s+", "-", name)


def charge_of(category: str, meter: str) -> str:
    """What a line is for beside the use of models: a tax, provisioned units, guardrails; "" for the use of models."""
    if category.lower() == "tax":
        return "tax"
    return next((charge for pattern, charge in _CHARGES if pattern.search(meter)), "")


def _of_bedrock(service: str, meter: str) -> str:
    if edition := _EDITION.match(service):
        return re.sub(r"[\s.]+", "-", edition["model"].lower())
    if "bedrock" not in service.lower():
        return ""
    if claude := _CLAUDE.search(meter):
        return f"claude-{claude['family']}-{claude['version'].replace('.', '-')}".lower()
    if nova := _NOVA.search(meter):
        return "-".join(
            filter(None, ("nova", (nova["version"] or "").removesuffix(".0").replace(".", "-"), nova["size"].lower()))
        )
    if named := _NAMED.match(_REGION.sub("", meter)):
        return named["model"].rpartition("anthropic.")[2].lower()
    return ""


#: A bill is a day late, and asking for it costs money or quota: three times a day.
BILL_PACE: Final = Pace(timedelta(hours=8), timedelta(hours=24), timedelta(hours=48))
#: What is read again with the first reading of a day (bills settle over two weeks), and with the others.
_SETTLING: Final = timedelta(days=14)
_RECENT: Final = timedelta(days=2)


class BillOptions(SourceOptions):
    """What is taken of a bill."""

    services: TextList = Field(
        ["*"], description="Whose costs are taken: patterns of what the bill calls the service or resource"
    )


class CloudBillLine(NamedTuple):
    """One line of a bill: a day's charge of one meter of a service, gross of credits."""

    day: date
    service: str
    meter: str
    cost: Money
    category: str = ""
    labels: Mapping[str, str] = {}


class DailyBill(TimedSource):
    """A cloud's bill by day, service, model and the labels of its lines. Days may change for two weeks."""

    provider: str

    def __init__(self, name: str, options: BillOptions) -> None:
        super().__init__(name, options, BILL_PACE, "bill")
        self.noticed = Noticed(name)
        self._given = options

    def lines(self, start: date, end: date) -> AsyncIterator[Sequence[CloudBillLine]]:
        """The lines of the days [start, end), page by page."""
        raise NotImplementedError

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """New days, and what may still change of those before; each window replaces what was held of it."""
        come = Come.of(cursor)
        again = _SETTLING if come is None or come.read.date() < now.astimezone(UTC).date() else _RECENT
        plan = plan_windows(cursor, since, now, reach_back=again)
        async for step in read_windows(
            plan, lambda window: self._pages(window, now), cursor=cursor, now=now, delay=self.delay
        ):
            yield step

    async def look(self, now: datetime) -> Look:
        """What the last two days hold."""
        plan = plan_windows(None, now - timedelta(days=2), now)
        return await look_at_reports(self._pages(plan[-1], now), now, ("service",))

    async def _pages(self, window: ReadWindow, now: datetime) -> Pages:
        """One page: lines of one model and day are one sum. A part of a window is no bill and is not passed on."""
        sums: dict[tuple[date, str, str, tuple[tuple[str, str], ...]], Decimal] = defaultdict(Decimal)
        left_out: set[str] = set()
        async for page in self.lines(window.start.astimezone(UTC).date(), window.end.astimezone(UTC).date()):
            for line in page:
                if not any(fnmatch(line.service.lower(), pattern.lower()) for pattern in self._given.services):
                    left_out.add(line.service)
                    continue
                labels = {"service": line.service, "category": line.category.lower(),
                          CHARGE: charge_of(line.category, line.meter), **line.labels}  # fmt: skip
                known = tuple(attributed(self._given, labels).items())
                model = model_of(self.provider, line.service, line.meter)
                sums[line.day, model, line.cost.currency, known] += line.cost.amount
        for service in sorted(left_out):
            if re.search(r"bedrock|openai|foundry|vertex|gemini|claude", service, re.IGNORECASE):
                self.noticed.once(f"costs of {service} are left out; SERVICES does not name it")
        settled = now - _SETTLING
        records: dict[tuple[object, ...], BilledCost] = {}
        for key, cost in sums.items():
            day, model, currency, known = key
            start, end = midnight(day, UTC), midnight(day + timedelta(days=1), UTC)
            records[key] = BilledCost(
                self.provider, start, end, Money(cost, currency), dict(known), model, self.name, final=start < settled
            )  # fmt: skip
        yield records
