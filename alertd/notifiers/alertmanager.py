"""alertd as a source for an existing Alertmanager (API v2), which then routes, groups and silences; with resolves.

What identifies an alert are its labels, so figures that change are annotations only.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, Self

import msgspec
from pydantic import Field, model_validator

from alertd.clients.webhook import Poster, find_host
from alertd.core.events import Event
from alertd.core.messages import compose, text_of
from alertd.notifiers._incidents import is_end, is_heard, period_of
from alertd.plugin_options import Duration, NotifierOptions, Secret, TextList, revealed
from alertd.ports import Delivery, DeliveryError, Receipt

_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "alertd"}
_NOT_IN_LABELS: Final = re.compile(r"[^a-zA-Z0-9_]")
_NAMES: Final = {
    "actual": "LLMBudgetThreshold", "forecast": "LLMBudgetForecast", "burn_rate": "LLMSpendRunaway",
    "anomaly": "LLMSpendUnusual", "novel": "LLMNewUse", "balance": "LLMCreditLow", "source": "LLMSpendNotVisible",
    "unpriced": "LLMModelUnpriced", "unmatched": "LLMBudgetMatchesNothing", "action": "LLMKeyAction",
}  # fmt: skip
#: An end says with which severity it fired, as it must carry the labels of what it ends; older ones do not say.
_SEVERITY_OF_ENDED: Final = {"burn_rate": "critical", "source": "critical", "actual": "critical"}
#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "the hosts of its `URLS`"


class Options(NotifierOptions):
    """The members of an Alertmanager cluster."""

    urls: TextList = Field(
        min_length=1, description="Every member of the cluster: http://alertmanager:9093, no balancer"
    )
    token: Secret | None = Field(None, description="A bearer token, where a proxy in front wants one")
    username: str = Field("", description="Basic authentication's name, where it is asked for")
    password: Secret | None = Field(None, description="Basic authentication's password")
    lasts: Duration = Field(timedelta(days=1), description="How long an alert fires if nothing resolves it before")
    least: Literal["info", "warning", "critical"] = Field("warning", description="The least severity it hears")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.username) != (self.password is not None):
            raise ValueError("basic authentication needs both username and password")
        if any(not url.startswith(("http://", "https://")) for url in self.urls):
            raise ValueError("urls are like http://alertmanager:9093")
        return self


def build(name: str, options: Options) -> Alertmanager:
    """Return the notifier that posts alerts to every member."""
    return Alertmanager(name, options, now=partial(datetime.now, UTC))


def draft(options: Options, delivery: Delivery, now: datetime) -> dict[str, bytes]:
    """The alerts that would be posted."""
    alerts = [render(event, now, options.lasts) for event in delivery.events if is_heard(event, options.least)]
    return {".alertmanager.json": msgspec.json.format(msgspec.json.encode(alerts), indent=2)}


def render(event: Event, now: datetime, lasts: timedelta) -> dict[str, Any]:
    """A postable alert: its labels are the same from its first firing to its end."""
    message = compose([event], now)
    what = "source" if event.source else event.basis or event.kind
    fired = event.fired or _SEVERITY_OF_ENDED.get(what, "warning")
    severity = fired if is_end(event) else event.severity
    labels = {
        "alertname": _NAMES.get(what, "LLMBudget"),
        "severity": severity,
        "budget": event.budget,
        "source": event.source,
        "period": period_of(event),
        **{f"scope_{_NOT_IN_LABELS.sub('_', label)}": value or "" for label, value in event.scope},
    }
    annotations = {
        "summary": message.subject,
        "description": "\n".join(text_of(line) for line in (*message.body, message.footer)),
        "runbook_url": event.runbook_url,
    }
    alert = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "endsAt": (now if is_end(event) else now + lasts).isoformat(),
    }
    if not is_end(event):
        alert["startsAt"] = event.at.isoformat()
    if event.details_url:
        alert["generatorURL"] = event.details_url
    return alert


class Alertmanager:
    """Posts to every member at once; one success is enough, because the members share alerts."""

    people = False

    def __init__(self, name: str, options: Options, *, now: Callable[[], datetime]) -> None:
        self.name = name
        self._now = now
        self._options = options
        token = revealed(options.token)
        password = revealed(options.password)
        self._poster = Poster(name, options, (token, password), bearer=token, login=(options.username, password))

    def address(self, event: Event) -> str:
        return ""

    async def send(self, delivery: Delivery) -> Receipt:
        now = self._now()
        alerts = [render(event, now, self._options.lasts) for event in delivery.events
                  if is_heard(event, self._options.least)]  # fmt: skip
        if not alerts:
            return Receipt(f"left out: a summary, or below {self._options.least}")
        body = msgspec.json.encode(alerts)
        delivery.require_lease()
        posts = (self._poster.post(f"{url.rstrip('/')}/api/v2/alerts", body, _HEADERS) for url in self._options.urls)
        found = await asyncio.gather(*posts, return_exceptions=True)
        errors = [one for one in found if isinstance(one, DeliveryError)]
        others = [one for one in found if isinstance(one, BaseException) and not isinstance(one, DeliveryError)]
        if others:
            raise others[0]
        if len(errors) == len(found):
            raise next((error for error in errors if not error.permanent), errors[0])
        failed = f"; not by {len(errors)}: {errors[0]}" if errors else ""
        return Receipt(f"taken by {len(found) - len(errors)} of {len(found)} members{failed}")

    async def look(self) -> str:
        """Whether every member has an address."""
        proxied = self._options.proxy is not None
        hosts = [await find_host(self.name, url, proxied=proxied) for url in self._options.urls]
        return f"posts to {', '.join(hosts)} from {self._options.least} on"

    async def close(self) -> None:
        await self._poster.close()
