"""A Prometheus of a few lines for tests: it holds samples, answers instant queries, and can be in any bad mood."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from tests.servers.billing import Asked, Reply, Server, serving

_MATCHER = re.compile(r'(\w+)(=~|=)"((?:[^"\\]|\\.)*)"')
Mood = Callable[[Asked, "Query"], Reply | None]


@dataclass(frozen=True)
class Query:
    """An instant query as it was meant: matchers, the window in seconds (0: the newest sample), the time."""

    matchers: tuple[tuple[str, str, str], ...]
    window: float
    at: float

    @classmethod
    def of(cls, asked: Asked) -> Query:
        form = parse_qs(asked.body.decode()) if asked.method == "POST" else asked.query
        selector, _, window = form["query"][0].partition("}")
        matchers = [(name, op, value.replace("\\\\", "\\")) for name, op, value in _MATCHER.findall(selector)]
        return cls(tuple(matchers), float(window.strip("[]ms") or 0) / 1000, float(form["time"][0]))

    def names(self, metric: str) -> bool:
        return any(label == "__name__" and re.fullmatch(value, metric) for label, _, value in self.matchers)

    def selects(self, labels: dict[str, str]) -> bool:
        return all(re.fullmatch(value if op == "=~" else re.escape(value), labels.get(label, ""))
                   for label, op, value in self.matchers)  # fmt: skip


@dataclass
class Memory:
    """What it holds: series as (labels, samples). As releases before 3.0, both ends of a window are in it."""

    series: list[tuple[dict[str, str], list[tuple[float, str]]]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: What the last scrape of an instance met.
    errors: dict[str, str] = field(default_factory=dict)
    #: Asked one after the other; one that answers None lets the memory answer.
    moods: list[Mood] = field(default_factory=list)

    def add(self, metric: str, points: list[tuple[float, str]], **labels: str) -> None:
        given = {"__name__": metric, "job": "gateway", "instance": "a:4000", **labels}
        self.series.append(({name: value for name, value in given.items() if value}, points))

    def answer(self, asked: Asked) -> Reply:
        if asked.path.endswith("/api/v1/label/__name__/values"):
            return Reply({"status": "success", "data": sorted({labels["__name__"] for labels, _ in self.series})})
        if asked.path.endswith("/api/v1/targets"):
            active = [{"labels": {"instance": one}, "lastError": said} for one, said in self.errors.items()]
            return Reply({"status": "success", "data": {"activeTargets": active, "droppedTargets": []}})
        query = Query.of(asked)
        for mood in self.moods:
            if (reply := mood(asked, query)) is not None:
                return reply
        result = [found for labels, points in self.series if query.selects(labels)
                  for found in self._found(labels, points, query)]  # fmt: skip
        kind = "matrix" if query.window else "vector"
        return Reply({"status": "success", "data": {"resultType": kind, "result": result}, "warnings": self.warnings})

    @staticmethod
    def _found(labels: dict[str, str], points: list[tuple[float, str]], query: Query) -> Iterator[dict[str, object]]:
        begin = query.at - (query.window or 300)
        seen = [[at, value] for at, value in points if begin <= at <= query.at]
        if seen:
            yield {"metric": labels, **({"values": seen} if query.window else {"value": seen[-1]})}


@contextmanager
def prometheus(memory: Memory) -> Iterator[Server]:
    """It answers at `url`, whatever the path before /api/v1/query."""
    with serving(memory.answer) as server:
        yield server
