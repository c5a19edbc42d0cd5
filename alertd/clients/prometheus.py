"""Ask a Prometheus, or a server with its API, for raw samples: all of them, a part with warnings, or an error.

Queries are long, so they are POSTed as a form; where a proxy refuses POST, GET is used from then on.
Native histograms are read as their sums.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from alertd.clients.http import MEGABYTE, Http
from alertd.clients.http_response import Answer, HttpProblem, may_retry, retry_after
from alertd.clients.redaction import without

#: Statuses of errors that come as JSON with a reason of their own.
_EXPLAINED: Final = frozenset({400, 422, 500, 503})
#: A proxy that only lets people read may refuse POST in these words, too.
_REFUSALS: Final = frozenset({403})
_NO_POST: Final = frozenset({405, 501}) | _REFUSALS
_PARTIAL: Final = "the answer is partial (isPartial): a part of the storage did not answer"
#: What Cortex and others answer with a 400 where a shorter window would do.
_TOO_LONG: Final = ("exceeds the limit", "exceeded maximum resolution", "too many samples", "query too large")
#: Of these a shorter window may be answered: too many samples, too slow, too large.
_TOO_MUCH: Final = frozenset({413, 422, 503, 504})
_BAD_REQUEST, _UNPROCESSABLE = 400, 422
_LIMIT: Final = 256 * MEGABYTE
#: The most that is shown of Prometheus's own `error`, which is about the query, not about anybody's data.
_REASON: Final = 300


class RawSeries(msgspec.Struct, frozen=True, gc=False):
    """A series as it came: its labels still as JSON (the same bytes every time), and so its samples."""

    metric: msgspec.Raw
    text: msgspec.Raw = msgspec.field(name="values", default=msgspec.Raw(b"[]"))
    value: tuple[float, str] | None = None

    @property
    def values(self) -> list[tuple[float, str]]:
        """Its samples, made anew by every call."""
        return _POINTS.decode(self.text)


class PointColumns(NamedTuple):
    """The samples of many series as columns: how many each has; the time (Unix seconds) and value of all of them.

    A value is NaN where it is no number.
    """

    lengths: NDArray[np.int64]
    at: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, series: Sequence[RawSeries]) -> PointColumns:
        """Read some thousand series at a time: a number a sample is no object for longer. ValidationError if odd."""
        parts = [_columns(series[first : first + _AT_ONCE]) for first in range(0, max(1, len(series)), _AT_ONCE)]
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _columns(series: Sequence[RawSeries]) -> PointColumns:
    texts = [bytes(one.text) for one in series]
    lengths = np.fromiter((text.count(b"[") - 1 for text in texts), np.int64, len(texts))
    whole, pairs = b",".join(text for text in texts if len(text) > _EMPTY), 2 * int(lengths.sum())
    try:
        flat = np.array(_NUMBERS.decode(b"[%b]" % whole.translate(None, b'[]"')))
        if len(flat) != pairs or whole.count(b'"') != pairs or (lengths < 0).any():
            raise msgspec.ValidationError("samples are no pairs of a time and a text")
    except msgspec.MsgspecError:  # NaN, infinity, or what no Prometheus writes
        listed = [_POINTS.decode(text) for text in texts]
        lengths = np.fromiter(map(len, listed), np.int64, len(listed))
        flat = np.array([number for points in listed for at, value in points for number in (at, number_or_nan(value))])
    return PointColumns(lengths, flat[0::2], flat[1::2])


def _in_order(series: list[RawSeries], points: PointColumns) -> tuple[list[RawSeries], PointColumns]:
    """The series with their samples in the order of time: some stores write a series part by part."""
    goes_back = points.at[1:] < points.at[:-1]
    begins = np.cumsum(points.lengths)[:-1]
    goes_back[begins[(begins > 0) & (begins < len(points.at))] - 1] = False
    if not goes_back.any():
        return series, points
    ordered = [
        msgspec.structs.replace(one, text=msgspec.Raw(msgspec.json.encode(sorted(one.values, key=_instant))))
        for one in series
    ]
    return ordered, PointColumns.of(ordered)


def _instant(point: tuple[float, str]) -> float:
    return point[0]


def number_or_nan(text: str) -> float:
    """A sample's value; NaN where it is no number."""
    try:
        return float(text)
    except ValueError:
        return nan


class _Histogram(msgspec.Struct, frozen=True):
    sum: str | int | float = "NaN"


class _Lenient(msgspec.Struct, frozen=True):
    """The same as some servers write it: numbers as numbers, null for an empty list, a native histogram."""

    metric: msgspec.Raw
    values: list[tuple[float, str | int | float]] | None = None
    value: tuple[float, str | int | float] | None = None
    histograms: list[tuple[float, _Histogram]] | None = None
    histogram: tuple[float, _Histogram] | None = None

    def strict(self) -> RawSeries:
        """With its values as text; a native histogram's are its sums."""
        values = [*(self.values or ()), *((at, one.sum) for at, one in self.histograms or ())]
        value = self.value
        if value is None and self.histogram is not None:
            value = (self.histogram[0], self.histogram[1].sum)
        return RawSeries(
            self.metric,
            msgspec.Raw(msgspec.json.encode(sorted((at, str(one)) for at, one in values))),
            None if value is None else (value[0], str(value[1])),
        )


class _ScrapeTarget(msgspec.Struct, frozen=True, rename="camel"):
    labels: dict[str, str] = {}
    last_error: str = ""


class _TargetList(msgspec.Struct, frozen=True):
    active: list[_ScrapeTarget] = msgspec.field(default_factory=list, name="activeTargets")


class _ScrapeTargets(msgspec.Struct, frozen=True):
    data: _TargetList


_TARGETS: Final = msgspec.json.Decoder(_ScrapeTargets)
_LABELS: Final = msgspec.json.Decoder(dict[str, str])
_NUMBERS: Final = msgspec.json.Decoder(list[float])
#: How long the text of no samples is, and of how many series are read at a time.
_EMPTY, _AT_ONCE = len("[]"), 4096
_POINTS: Final = msgspec.json.Decoder(list[tuple[float, str]])
_STATUS: Final = re.compile(r"HTTP status (\d{3})")


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str | None = ""
    result: list[RawSeries] = []


class _LenientData(msgspec.Struct, frozen=True):
    result: list[_Lenient] | None = None


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _Data | None = None
    error_type: str | None = ""
    error: str | None = ""
    warnings: list[str] | None = None
    is_partial: bool | None = None


class _LenientEnvelope(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    data: _LenientData | None = None
    error_type: str | None = ""
    error: str | None = ""
    warnings: list[str] | None = None
    is_partial: bool | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """The series of one answer. With `warnings` some may be missing. `size` is that of the answer, in bytes."""

    series: list[RawSeries]
    warnings: tuple[str, ...]
    size: int
    #: All samples, series by series.
    points: PointColumns


class Prometheus:
    """Instant queries against `url`, which may have a path prefix."""

    def __init__(self, http: Http, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/").removesuffix("/api/v1") + "/api/v1/query"
        self._posts = True
        self._decoder = msgspec.json.Decoder(_Envelope)
        self._lenient = msgspec.json.Decoder(_LenientEnvelope)

    async def query(self, expression: str, at: float) -> Raw:
        """The answer at `at` (Unix seconds). HttpProblem for every failure; `is_too_much` recognises refused sizes."""
        answer = await self._ask({"query": expression, "time": f"{at:.3f}"})
        if answer.status in _EXPLAINED:
            raise self._refused(answer)
        envelope, series, points = await asyncio.to_thread(self._read, answer)
        if envelope.status != "success" or envelope.data is None:
            said = without(answer.secrets, " ".join(filter(None, (envelope.error_type, envelope.error))))
            raise HttpProblem(f"{answer.place} answers an error: {said[:_REASON]}".rstrip(": "))
        partial = (_PARTIAL,) if envelope.is_partial else ()
        return Raw(series, (*(envelope.warnings or ()), *partial), len(answer.body), points)

    def _read(self, answer: Answer) -> tuple[_Envelope | _LenientEnvelope, list[RawSeries], PointColumns]:
        """The answer, its series and their samples; as most write it, else as the few do that are lenient."""
        # A name that has histograms has no values: the strict form would take it for an empty series.
        if b'"histogram' not in answer.body:
            try:
                envelope = self._decoder.decode(answer.body)
                series = envelope.data.result if envelope.data is not None else []
                return envelope, *_in_order(series, PointColumns.of(series))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
        lenient = answer.decoded(self._lenient)
        series = [one.strict() for one in (lenient.data and lenient.data.result) or ()]
        return lenient, *_in_order(series, PointColumns.of(series))

    async def samples(self, selector: str, begin: float, end: float) -> Raw:
        """The raw samples in (begin, end], at their own times. HttpProblem where the answer is one value a series."""
        found = await self.query(f"{selector}[{max(1, round((end - begin) * 1000))}ms]", end)
        if found.series and not found.points.lengths.any() and any(one.value is not None for one in found.series):
            raise HttpProblem(
                f"{self._url} answers a vector, one value a series, where samples of a time are asked for (a matrix)"
            )
        return found

    async def down(self, at: float) -> tuple[str, ...]:
        """The scrape targets that this Prometheus cannot reach at `at`: their address, and the status that they answer.

        Raises HttpProblem; a server without a list of targets reports no statuses.
        """
        series = (await self.query('{__name__="up"}', at)).series
        refused = [one for one in series if one.value is not None and float(one.value[1]) == 0]
        instances = sorted({_LABELS.decode(one.metric).get("instance", "") for one in refused} - {""})
        said = await self._errors() if instances else {}
        return tuple(f"{one} ({said[one]})" if said.get(one) else one for one in instances)

    async def _errors(self) -> dict[str, str]:
        """By instance the HTTP status that its last scrape met, else nothing."""
        try:
            url = self._url.removesuffix("/query") + "/targets"
            answer = await self._http.send("GET", url, params={"state": "active"}, limit=16 * MEGABYTE)
            targets = answer.decoded(_TARGETS).data.active
        except HttpProblem:
            return {}
        found = {one.labels.get("instance", ""): _STATUS.search(one.last_error) for one in targets}
        return {instance: status[1] for instance, status in found.items() if status is not None}

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _ask(self, form: dict[str, str]) -> Answer:
        if self._posts:
            allowed = _EXPLAINED | _NO_POST
            answer = await self._http.send("POST", self._url, form=form, limit=_LIMIT, allowed=allowed)
            if answer.status not in _NO_POST:
                return answer
            self._posts = False
        try:
            return await self._http.send("GET", self._url, params=form, limit=_LIMIT, allowed=_EXPLAINED)
        except HttpProblem as problem:
            self._posts = problem.status in _REFUSALS  # it was not the method: the next question is a POST again
            raise

    def _refused(self, answer: Answer) -> HttpProblem:
        try:
            envelope = self._lenient.decode(answer.body)
            reason = f": {without(answer.secrets, f'{envelope.error_type}: {envelope.error}')[:_REASON]}"
            said = reason
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            reason, said = answer.shown_error(), answer.body[:2000].decode(errors="replace")
        too_long = answer.status == _BAD_REQUEST and any(words in said.lower() for words in _TOO_LONG)
        status = _UNPROCESSABLE if too_long else answer.status
        return HttpProblem(
            f"{answer.place} answers {answer.status}{reason}",
            status=status,
            permanent=not may_retry(status) and status not in _TOO_MUCH,
            retry_after=retry_after(answer.headers),
        )


def is_too_much(problem: HttpProblem) -> bool:
    """Whether a shorter window might be answered: too many samples, too large, or no answer in time."""
    return problem.status in _TOO_MUCH or (problem.status is None and problem.uncertain)
