"""The small gateway of `alertd demo`: a /metrics page with LiteLLM-like counters, and the file of what was used before.

Teams with keys and models, one model that no price list knows, and one key that runs away until its block is approved.
No model is called.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route


@dataclass(frozen=True, slots=True)
class Caller:
    """One key: who it belongs to, what it calls, and its tokens in an hour of an ordinary working day."""

    team: str
    alias: str
    model: str
    input_an_hour: int
    output_an_hour: int
    cached_share: float = 0.0
    #: Ordinary hours that it has behind it in this month, whatever the day, and in the month before.
    hours: float = 101.0
    hours_before: float = 95.0
    #: Set on the key that runs away: this multiple of its pace, from some seconds after the gateway's start.
    runaway: float = 1.0
    runaway_after: float = 0.0


CALLERS: Final = (
    Caller("research", "rag-indexer", "gpt-4o", 400_000, 40_000, 0.3, hours_before=70.0),
    Caller("research", "notebooks", "claude-sonnet-4-5", 100_000, 65_000, 0.6),
    Caller("support", "chatbot", "gpt-4o-mini", 5_200_000, 900_000, 0.45, hours_before=90.0),
    Caller("support", "triage", "gemini-2.5-flash", 1_000_000, 60_000),
    Caller("platform", "ci", "claude-haiku-4-5", 300_000, 60_000, 0.2, runaway=120.0, runaway_after=75.0),
    Caller("search", "ranker", "gpt-4o", 700_000, 110_000, 0.2, hours=125.0, hours_before=80.0),
    Caller("web", "summaries", "gpt-4o-mini", 900_000, 120_000, hours=40.0, hours_before=110.0),
    Caller("labs", "evals", "mystery-9b", 40_000, 9_000),
    Caller("labs", "prototype", "gpt-4o", 120_000, 20_000, hours=0.0, hours_before=0.0),
)
#: The speed of live traffic compared with the clock, so that a level is crossed within a minute.
_HASTE: Final = 60.0
_WAVE_SECONDS: Final = 40.0
_TOKENS_A_REQUEST: Final = 4_000
_SATURDAY: Final = 5
_WEEKEND: Final = 0.25


@dataclass(slots=True)
class Traffic:
    """How much every caller has used since the gateway's start: traffic in haste, in waves, until a key is blocked."""

    started: datetime
    blocked: dict[str, datetime] = field(default_factory=dict)
    #: Seconds for which a key was blocked before it was allowed again.
    missed: dict[str, float] = field(default_factory=dict)

    def used(self, caller: Caller, now: datetime) -> tuple[int, int, int, int]:
        """Input (cached ones among them), cached input, output tokens and requests."""
        end = min(now, self.blocked.get(caller.alias, now))
        live = max(0.0, (end - self.started).total_seconds() - self.missed.get(caller.alias, 0.0))
        wild = max(0.0, live - caller.runaway_after) * (caller.runaway - 1)
        wave = _WAVE_SECONDS / (2 * math.pi)
        waved = live + 0.6 * wave * (1 - math.cos(live / wave))
        return _tokens(caller, (waved + wild) * _HASTE / 3600)

    def block(self, alias: str, now: datetime) -> None:
        """The key works no more; its counters stand still."""
        self.blocked.setdefault(alias, now)

    def allow(self, alias: str, now: datetime) -> None:
        """It works again, from where it stood."""
        since = self.blocked.pop(alias, now)
        self.missed[alias] = self.missed.get(alias, 0.0) + (now - since).total_seconds()


def _tokens(caller: Caller, hours: float) -> tuple[int, int, int, int]:
    inputs = int(caller.input_an_hour * hours)
    cached = int(inputs * caller.cached_share)
    return inputs, cached, int(caller.output_an_hour * hours), inputs // _TOKENS_A_REQUEST


def history(started: datetime) -> str:
    """A CSV of what every caller used by day from the start of the month before to the gateway's start.

    Like the gateway's counters it names no provider, so that a model is the same in both.
    """
    month = started.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    before = (month - timedelta(days=1)).replace(day=1)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(("start_time", "end_time", "model", "team", "key", "input_tokens", "cached_tokens", "output_tokens"))
    for begin, end, part in ((before, month, 0), (month, max(started, month + timedelta(seconds=1)), 1)):
        days = _days(begin, end)
        weight = sum(share for _, _, share in days)
        for caller in CALLERS:
            hours = caller.hours if part else caller.hours_before
            for first, last, share in days:
                inputs, cached, outputs, _ = _tokens(caller, hours * share / weight)
                if inputs:
                    rows.writerow((first.isoformat(), last.isoformat(), caller.model, caller.team, caller.alias,
                                   inputs, cached, outputs))  # fmt: skip
    return text.getvalue()


def _days(begin: datetime, end: datetime) -> list[tuple[datetime, datetime, float]]:
    """Each day up to `end`, the last one in part, and how much it weighs: a weekend day a quarter."""
    found: list[tuple[datetime, datetime, float]] = []
    while begin < end:
        last = min(begin + timedelta(days=1), end)
        weight = _WEEKEND if begin.weekday() >= _SATURDAY else 1.0
        found.append((begin, last, weight * ((last - begin) / timedelta(days=1))))
        begin = last
    return found


_METERS: Final = (
    ("litellm_input_tokens_metric", 0),
    ("litellm_input_cached_tokens_metric", 1),
    ("litellm_output_tokens_metric", 2),
    ("litellm_requests_metric", 3),
)


def exposition(traffic: Traffic, now: datetime) -> str:
    """The page, in OpenMetrics text."""
    return "\n".join((*_lines(traffic, now), "# EOF", ""))


def _lines(traffic: Traffic, now: datetime) -> Iterator[str]:
    used = {caller: traffic.used(caller, now) for caller in CALLERS}
    created = traffic.started.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    for name, place in _METERS:
        yield f"# TYPE {name} counter"
        for caller, counts in used.items():
            labels = f'model="{caller.model}",team_alias="{caller.team}",api_key_alias="{caller.alias}"'
            if counts[place]:
                yield f"{name}_total{{{labels}}} {counts[place]}"
                yield f"{name}_created{{{labels}}} {created}"


def build(now: Callable[[], datetime] = lambda: datetime.now(UTC), started: datetime | None = None) -> Starlette:
    """The gateway as an application: `/metrics`, and `/keys`, which blocks a key or allows it again."""
    traffic = Traffic(started or now())

    async def metrics(_: Request) -> PlainTextResponse:
        media = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return PlainTextResponse(exposition(traffic, now()), media_type=media)

    async def keys(request: Request) -> JSONResponse:
        asked = await request.json()
        alias = str(asked.get("target", ""))
        if asked.get("do") == "act":
            traffic.block(alias, now())
        elif asked.get("do") == "restore":
            traffic.allow(alias, now())
        acted = alias in traffic.blocked
        said = f"key {alias} is {'blocked' if acted else 'allowed'}"
        return JSONResponse({"done": True, "acted": acted, "state": {"blocked": acted}, "said": said})

    return Starlette(routes=[Route("/metrics", metrics), Route("/keys", keys, methods=["POST"])])
