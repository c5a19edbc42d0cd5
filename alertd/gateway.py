"""The small gateway of `make run`: a /metrics page with LiteLLM-like counters, shaped like real traffic.

Teams with keys and models, one model that no price list knows, and one key that runs away. No model is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
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
    Caller("research", "rag-indexer", "gpt-4o", 400_000, 40_000, 0.3),
    Caller("research", "notebooks", "claude-sonnet-4-5", 100_000, 65_000, 0.6),
    Caller("support", "chatbot", "gpt-4o-mini", 5_200_000, 900_000, 0.45),
    Caller("support", "triage", "gemini-2.5-flash", 1_000_000, 60_000),
    Caller("platform", "ci", "claude-haiku-4-5", 300_000, 60_000, 0.2, runaway=120.0, runaway_after=75.0),
    Caller("platform", "evals", "mystery-9b", 40_000, 9_000),
)
#: Ordinary hours that every caller has behind it at the start, whatever the day of the month.
_HOURS_BEFORE: Final = 101.0
#: Live traffic passes so many times faster than the clock, so that a level is crossed within a minute.
_HASTE: Final = 60.0
_WAVE_SECONDS: Final = 40.0
_TOKENS_A_REQUEST: Final = 4_000


class Traffic:
    """How much every caller has used since the month began: a good start, then traffic in haste, in waves."""

    def __init__(self, started: datetime) -> None:
        self.started = started
        self.month = started.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    def used(self, caller: Caller, now: datetime) -> tuple[int, int, int, int]:
        """Input (cached ones among them), cached input, output tokens and requests."""
        live = max(0.0, (now - self.started).total_seconds())
        wild = max(0.0, live - caller.runaway_after) * (caller.runaway - 1)
        wave = _WAVE_SECONDS / (2 * math.pi)
        waved = live + 0.6 * wave * (1 - math.cos(live / wave))
        hours = _HOURS_BEFORE + (waved + wild) * _HASTE / 3600
        inputs = int(caller.input_an_hour * hours)
        cached = int(inputs * caller.cached_share)
        return inputs, cached, int(caller.output_an_hour * hours), inputs // _TOKENS_A_REQUEST


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
