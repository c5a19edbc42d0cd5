"""Asks a Prometheus, or what speaks like one, for raw samples. An answer is whole, partial with warnings, or an error.

POST with a form, since queries are long; GET from then on where a proxy refuses POST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from alertd.wire.answers import Answer, HttpProblem, may_retry, retry_after
from alertd.wire.http import MEGABYTE, Http

#: Statuses of errors that come as JSON with a reason of their own.
_EXPLAINED: Final = frozenset({400, 422, 500, 503})
_NO_POST: Final = frozenset({405, 501})
#: Of these a shorter window may be answered: too many samples, too slow, too large.
_TOO_MUCH: Final = frozenset({413, 422, 503, 504})
_LIMIT: Final = 256 * MEGABYTE


class RawSeries(msgspec.Struct, frozen=True):
    """A series as it came: its labels still as JSON (the same bytes every time), and its samples."""

    metric: msgspec.Raw
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str = ""
    result: list[RawSeries] = []


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _Data | None = None
    error_type: str = ""
    error: str = ""
    warnings: list[str] = []


@dataclass(frozen=True, slots=True)
class Raw:
    """The series of one answer. With `warnings` some may be missing. `size` is that of the answer, in bytes."""

    series: list[RawSeries]
    warnings: tuple[str, ...]
    size: int


class Prometheus:
    """Instant queries against `url`, which may have a path prefix."""

    def __init__(self, http: Http, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/").removesuffix("/api/v1") + "/api/v1/query"
        self._posts = True
        self._decoder = msgspec.json.Decoder(_Envelope)

    async def query(self, expression: str, at: float) -> Raw:
        """The answer at `at` (Unix seconds). HttpProblem for every failure, told apart by `is_too_much`."""
        answer = await self._ask({"query": expression, "time": f"{at:.3f}"})
        if answer.status in _EXPLAINED:
            raise self._refused(answer)
        envelope = answer.decoded(self._decoder)
        if envelope.status != "success" or envelope.data is None:
            raise HttpProblem(f"{answer.place} answers an error: {envelope.error_type} {envelope.error}".strip())
        return Raw(envelope.data.result, tuple(envelope.warnings), len(answer.body))

    async def samples(self, selector: str, begin: float, end: float) -> Raw:
        """The raw samples in (begin, end], at their own times."""
        return await self.query(f"{selector}[{max(1, round((end - begin) * 1000))}ms]", end)

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.close()

    async def _ask(self, form: dict[str, str]) -> Answer:
        if self._posts:
            allowed = _EXPLAINED | _NO_POST
            answer = await self._http.send("POST", self._url, form=form, limit=_LIMIT, allowed=allowed)
            if answer.status not in _NO_POST:
                return answer
            self._posts = False
        return await self._http.send("GET", self._url, params=form, limit=_LIMIT, allowed=_EXPLAINED)

    def _refused(self, answer: Answer) -> HttpProblem:
        try:
            envelope = self._decoder.decode(answer.body)
            reason = f"{envelope.error_type}: {envelope.error}"
        except (msgspec.MsgspecError, UnicodeDecodeError):
            reason = "a web page" if answer.is_html() else answer.text()
        return HttpProblem(
            f"{answer.place} answers {answer.status}" + (f": {reason[:300]}" if reason else ""),
            status=answer.status,
            permanent=not may_retry(answer.status) and answer.status not in _TOO_MUCH,
            retry_after=retry_after(answer.headers),
        )


def is_too_much(problem: HttpProblem) -> bool:
    """Whether a shorter window might be answered: too many samples, too large, or no answer in time."""
    return problem.status in _TOO_MUCH or (problem.status is None and problem.uncertain)
