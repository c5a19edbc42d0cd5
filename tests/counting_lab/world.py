"""A small world of LLM gateways with a known truth: they count, restart, are scraped; alertd reads; accidents happen.

A world is a value: the same plan gives the same samples. What was really used and what any scrape showed is kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random

from tests.servers.billing import Asked, Reply
from tests.servers.prometheus import Query

BEGIN = 1_795_176_000.0  # 2026-11-20 12:00 UTC
METRICS = {"input": "litellm_input_tokens_metric", "cached_input": "litellm_input_cached_tokens_metric"}
#: What a Prometheus or a page may do to a world, and what `size` means for it.
ACCIDENTS = {
    "restart": "nothing",
    "exporter down": "scrapes",
    "prometheus down": "scrapes",
    "alertd away": "scrapes; it starts anew after them",
    "dip": "per mille of the value, once",
    "missing series": "scrapes",
    "missing page part": "scrapes; half of the series",
    "relabel": "scrapes until the labels are as before",
    "rename": "scrapes until both names are there, then the new one alone",
    "old page": "scrapes; the page of the last accident-free scrape",
    "late answers": "scrapes that answers lag",
    "partial answers": "scrapes",
    "another process": "scrapes that an idle younger process answers every second time",
    "new key": "nothing",
    "clock skew": "seconds by which the exporter's clock is ahead",
    "page timestamps": "which kind",
}
STAMPS = (0.0, -5.0, 2.0, 30.0, 86400.0, -200_000.0, "milliseconds", "standing still")


@dataclass(frozen=True)
class Accident:
    """One accident at a scrape, to one of the pods."""

    kind: str
    at: int
    size: int
    pod: int = 0


@dataclass(frozen=True)
class Plan:
    """What a world is made of. `starts`: what its exporters tell of their start, none, process, created or both."""

    seed: int
    accidents: tuple[Accident, ...] = ()
    starts: str = "none"
    source: str = "prometheus"
    pods: int = 1
    step: int = 60
    poll: int = 1
    scrapes: int = 60
    replica: str = ""
    shift: int = 0
    cached_labels: tuple[str, ...] = ("model", "team_alias")
    old: int = 100


Series = tuple[str, str]  # model, team


@dataclass
class Process:
    """One life of a gateway: what it has counted since its start."""

    number: int
    start: float
    counts: dict[Series, Counter[str]] = field(default_factory=dict)
    born: dict[Series, float] = field(default_factory=dict)

    def use(self, series: Series, tokens: int, cached: int, at: float) -> None:
        self.born.setdefault(series, at)
        self.counts.setdefault(series, Counter()).update({"input": tokens, "cached_input": cached})


@dataclass
class History:
    """What a Prometheus has stored, and when it became visible; it answers as the real one does."""

    now: float = 0.0
    lag: float = 0.0
    warnings: list[str] = field(default_factory=list)
    hidden: str = ""
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, str]]] = field(default_factory=dict)

    def add(self, at: float, value: str, **labels: str) -> None:
        points = self.series.setdefault(tuple(sorted(labels.items())), [])
        if not points or points[-1][0] < at:
            points.append((at, value))

    def answer(self, asked: Asked) -> Reply:
        query = Query.of(asked)
        begin, end = query.at - (query.window or 300), min(query.at, self.now - self.lag)
        result = []
        for items, points in self.series.items():
            labels = dict(items)
            if query.selects(labels) and not (self.hidden and labels.get("instance") == self.hidden):
                seen = points[bisect_left(points, (begin, "")) : bisect_right(points, (end, "~"))]
                if seen:
                    result.append({"metric": labels, **({"values": seen} if query.window else {"value": seen[-1]})})
        kind = "matrix" if query.window else "vector"
        return Reply({"status": "success", "data": {"resultType": kind, "result": result}, "warnings": self.warnings})


class World:
    """The gateways of a plan, moved on one scrape at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.random = plan, Random(plan.seed)
        self.at = BEGIN
        self.lives = 0
        self.history = History()
        self.keys: list[Series] = [("gpt-4o", "ops"), ("gpt-4o", "web"), ("mini", "ops")]
        self.pods = [self._process(BEGIN - 3600 * self.random.randint(1, 9)) for _ in range(plan.pods)]
        self.strangers: dict[int, Process] = {}
        #: Tokens really used, by scrape, model and meter; by life and series the counts at every scrape.
        self.used: list[tuple[float, Counter[tuple[str, str]]]] = []
        self.past: dict[tuple[int, Series], list[tuple[float, Counter[str]]]] = defaultdict(list)
        #: What any scrape showed of a life, and which life came before it in the same place.
        self.shown: dict[tuple[int, Series], Counter[str]] = {}
        self.first_shown: dict[tuple[int, Series], Counter[str]] = {}
        self.before: dict[int, int] = {}
        for process in self.pods:
            for series in self.keys if plan.old else ():
                tokens = plan.old * self.random.randint(1, 900)
                process.use(series, tokens, plan.old // 2, process.start + 60)
                counts = Counter(process.counts[series])
                self.used.append((process.start + 60, Counter({(series[0], name): n for name, n in counts.items()})))
                self.past[process.number, series].append((process.start + 60, counts))
        self._still: float | None = None
        self._last: tuple[Process, list[Series]] = self.pods[0], []
        self._page: dict[int, list[tuple[dict[str, str], str]]] = {}

    def _process(self, start: float) -> Process:
        self.lives += 1
        return Process(self.lives, start)

    def active(self, kind: str, scrape: int, pod: int | None = None) -> Accident | None:
        """The accident of this kind that goes on at this scrape."""
        for one in self.plan.accidents:
            if (
                one.kind == kind
                and one.at <= scrape <= min(one.at + one.size, self.plan.scrapes)
                and pod in {None, one.pod % self.plan.pods}
            ):
                return one
        return None

    def move(self, scrape: int) -> None:
        """Let a step pass: tokens are used, processes restart."""
        before, self.at = self.at, BEGIN + self.plan.step * scrape
        used: Counter[tuple[str, str]] = Counter()
        for accident in self.plan.accidents:
            if accident.at == scrape and accident.kind == "new key":
                self.keys.append((self.random.choice(("gpt-4o", "mini")), f"team-{len(self.keys)}"))
            if accident.at == scrape and accident.kind == "restart":
                pod = accident.pod % self.plan.pods
                process = self._process(before + self.random.uniform(1, self.plan.step - 1))
                self.before[process.number] = self.pods[pod].number
                self.pods[pod] = process
        for process in self.pods:
            for series in self.keys:
                if self.random.random() < 0.6:
                    tokens = self.random.randint(1, 2000)
                    cached = self.random.randint(0, tokens)
                    process.use(series, tokens, cached, max(before, process.start))
                    used[series[0], "input"] += tokens
                    used[series[0], "cached_input"] += cached
            for series, counts in process.counts.items():
                self.past[process.number, series].append((self.at, Counter(counts)))
        self.used.append((self.at, used))

    def page(self, scrape: int, pod: int) -> list[tuple[dict[str, str], str]] | None:
        """What one pod's page holds at a scrape: (labels with the name, value); None where it does not answer."""
        if self.active("exporter down", scrape, pod):
            return None
        process = self.pods[pod]
        stranger = self.active("another process", scrape, pod)
        if stranger and (scrape - stranger.at) % 2:
            if pod not in self.strangers:
                self.strangers[pod] = self._process(self.at - self.plan.step / 2)
                for series in self.keys[:2]:
                    self.strangers[pod].use(series, 7, 3, self.strangers[pod].start)
                    self.used.append((self.at, Counter({(series[0], "input"): 7, (series[0], "cached_input"): 3})))
            process = self.strangers[pod]
        if self.active("old page", scrape, pod) and pod in self._page:
            self._last = process, []
            return self._page[pod]
        lines = list(self._lines(scrape, pod, process))
        if not any(self.active(kind, scrape, pod) for kind in ("missing series", "missing page part", "dip")):
            self._page[pod] = lines
        return lines

    def _lines(self, scrape, pod, process):
        skew = self.active("clock skew", scrape) or Accident("", 0, 0)
        start = process.start + min(skew.size, 50)
        if self.plan.starts in {"process", "both"}:
            yield {"__name__": "process_start_time_seconds"}, repr(start)
        missing, part = self.active("missing series", scrape, pod), self.active("missing page part", scrape, pod)
        dip = self.active("dip", scrape, pod)
        rename = next((one for one in self.plan.accidents if one.kind == "rename" and one.at <= scrape), None)
        sums: dict[tuple[str, tuple[tuple[str, str], ...]], int] = Counter()
        born: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for series, counts in process.counts.items():
            for meter, metric in METRICS.items():
                labels = {"model": series[0], "team_alias": series[1], "api_key_alias": f"key-{series[1]}"}
                if meter == "cached_input":
                    labels = {name: value for name, value in labels.items() if name in self.plan.cached_labels}
                if self.active("relabel", scrape, pod):
                    labels["zone"] = "z1"
                key = metric, tuple(labels.items())
                sums[key] += counts[meter]
                born[key] = min(born.get(key, process.born[series]), process.born[series])
        left_out = set()
        for number, ((metric, items), value) in enumerate(sums.items()):
            if (missing and number == missing.pod % 3) or (part and number % 2):
                left_out.add(number)
                continue
            dips = min(dip.size * 10, 1000) if dip and dip.at == scrape and number % 2 == 0 else 0
            both = rename and scrape < min(rename.at + rename.size, self.plan.scrapes)
            names = ("_total", "") if both else ("",) if rename else ("_total",)
            for name in names:
                yield {"__name__": metric + name, **dict(items)}, str(value - value * dips // 1000)
            if self.plan.starts in {"created", "both"}:
                yield {"__name__": f"{metric}_created", **dict(items)}, repr(born[metric, items] + min(skew.size, 50))
        # A scrape that lacks some of them is taken to have shown none.
        self._last = process, [] if left_out else list(process.counts)

    def show(self, process: Process, seen: list[Series]) -> None:
        """Remember what a scrape has shown."""
        for series in seen:
            now = Counter(process.counts[series])
            self.first_shown.setdefault((process.number, series), now)
            self.shown[process.number, series] = now

    def scrape(self, scrape: int) -> None:
        """A Prometheus, or two of them, scrapes every pod."""
        if self.active("prometheus down", scrape):
            return
        for pod in range(self.plan.pods):
            lines = self.page(scrape, pod)
            place = {"job": "gateway", "instance": f"pod-{pod}:4000"}
            self.history.add(self.at, "0" if lines is None else "1", __name__="up", **place)
            if lines is None:
                continue
            self.show(*self._last)
            copies = [{}] if not self.plan.replica else [{self.plan.replica: "a"}, {self.plan.replica: "b"}]
            for number, copy in enumerate(copies):
                for labels, value in lines:
                    self.history.add(self.at + self.plan.shift * number, value, **labels, **place, **copy)

    def served(self, scrape: int) -> Reply:
        """The page of the first pod, as alertd scrapes it."""
        lines = self.page(scrape, 0)
        if lines is None:
            return Reply("", 503)
        self.show(*self._last)
        stamps = self.active("page timestamps", scrape)
        kind = None if stamps is None else STAMPS[stamps.size % len(STAMPS)]
        self._still = self._still or self.at
        stamp = {"milliseconds": self.at * 1e6, "standing still": self._still * 1000}.get(kind, self.at * 1000)
        stamp += kind * 1000 if isinstance(kind, float) else 0
        text = "".join(
            f"{labels.pop('__name__')}{_braces(labels)} {value}{'' if kind is None else f' {int(stamp)}'}\n"
            for labels, value in ((dict(labels), value) for labels, value in lines)
        )
        return Reply(text, 200, {"Content-Type": "text/plain; version=0.0.4"})

    # what is true

    def used_since(self, at: float) -> Counter[tuple[str, str]]:
        """All tokens used from the scrape before `at` on, by model and meter."""
        return sum((used for when, used in self.used if when > at - self.plan.step), Counter())

    def shown_since(self, at: float) -> Counter[tuple[str, str]]:
        """The tokens used after `at` that some scrape has shown; a restart that nothing tells of counts its rise."""
        found: Counter[tuple[str, str]] = Counter()
        strangers = {process.number for process in self.strangers.values()}
        for (number, series), last in self.shown.items():
            if number in strangers:
                continue
            known = [counts for when, counts in self.past[number, series] if when <= at]
            base = known[-1] if known else Counter()
            earlier = self.shown.get((self.before.get(number, 0), series))
            for meter, value in last.items():
                low = base[meter]
                if self.plan.starts == "none" and earlier is not None:
                    first = self.first_shown[number, series][meter]
                    low = max(low, earlier[meter] if first >= earlier[meter] else 0)
                found[series[0], meter] += max(0, value - low)
        return found


def _braces(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""
