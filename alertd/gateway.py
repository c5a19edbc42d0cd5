"""The small gateway of `make run`: a /metrics page with LiteLLM-like counters, shaped like real traffic.

Teams with keys and models, working hours, quiet nights, and one key that runs away. No model is called. Everything up
to the gateway's start is a function of the date alone; from then on traffic passes in haste.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
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
    #: Set on the key that runs away: so many times its pace, from so many seconds after the gateway's start.
    runaway: float = 1.0
    runaway_after: float = 0.0


CALLERS: Final = (
    Caller("research", "rag-indexer", "gpt-4o", 900_000, 24_000, 0.3),
    Caller("research", "notebooks", "claude-sonnet-4-5", 140_000, 30_000, 0.6),
    Caller("support", "chatbot", "gpt-4o-mini", 5_200_000, 900_000, 0.45),
    Caller("support", "triage", "gemini-2.5-flash", 2_400_000, 260_000),
    Caller("platform", "ci", "claude-haiku-4-5", 610_000, 120_000, 0.2, runaway=40.0, runaway_after=75.0),
    Caller("platform", "evals", "mystery-9b", 40_000, 9_000),
)
#: Live traffic passes so many times faster than the clock: a level is crossed within a minute.
_HASTE: Final = 240.0
_NIGHT: Final = 0.08
_WEEKEND: Final = 0.25
_FRIDAY: Final = 5
_OPENS: Final = 6.0
_OPEN_HOURS: Final = 15.0
_STEP: Final = timedelta(hours=1)


class Traffic:
    """How much every caller has used, by the clock. Before `started` in real time; then in haste."""

    def __init__(self, started: datetime) -> None:
        self.started = started
        self.month = started.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self._before = {caller: self._hours(caller) for caller in CALLERS}

    def used(self, caller: Caller, now: datetime) -> tuple[int, int, int, int]:
        """Input, cached input, output tokens and requests since the month began."""
        live = max(0.0, (now - self.started).total_seconds())
        wild = max(0.0, live - caller.runaway_after) if caller.runaway > 1 else 0.0
        hours = self._before[caller] + (live + wild * (caller.runaway - 1)) * _HASTE / 3600 * shape(self.started)
        inputs = int(caller.input_an_hour * hours)
        return inputs, int(inputs * caller.cached_share), int(caller.output_an_hour * hours), int(inputs / 4_000)

    def _hours(self, caller: Caller) -> float:
        """Ordinary working hours since the month began; at least a day's worth, so that the first has something."""
        total, at = 6.0, self.month
        while at + _STEP <= self.started:
            total += shape(at) * (1 + 0.4 * math.sin(hash_of(caller.alias) + at.timestamp() / 86_400))
            at += _STEP
        return total


def shape(at: datetime) -> float:
    """The hour's share of an ordinary working hour: busy by day, quiet at night and at the weekend."""
    hour = at.hour + at.minute / 60
    daily = _NIGHT + (1 - _NIGHT) * max(0.0, math.sin(math.pi * (hour - _OPENS) / _OPEN_HOURS))
    return daily * (_WEEKEND if at.isoweekday() > _FRIDAY else 1.0)


def hash_of(text: str) -> float:
    """A stable number from a name: Python's own hash changes with every process."""
    return float(sum((index + 1) * ord(letter) for index, letter in enumerate(text)) % 97)


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
    created = traffic.month.timestamp()
    for name, place in _METERS:
        yield f"# TYPE {name} counter"
        for caller, counts in used.items():
            labels = f'model="{caller.model}",team_alias="{caller.team}",api_key_alias="{caller.alias}"'
            if counts[place]:
                yield f"{name}_total{{{labels}}} {counts[place]}"
                yield f"{name}_created{{{labels}}} {created}"


def build(now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Starlette:
    """The gateway as an application: `/metrics`."""
    traffic = Traffic(now())

    async def metrics(_: Request) -> PlainTextResponse:
        media = "application/openmetrics-text; version=1.0.0; charset=utf-8"
        return PlainTextResponse(exposition(traffic, now()), media_type=media)

    return Starlette(routes=[Route("/metrics", metrics)])
