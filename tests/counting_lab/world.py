"""A small world of LLM gateways with a known truth: they count, restart, are scraped; alertd reads; accidents happen.

A world is a value: the same plan gives the same samples. What was really used and what any scrape showed is kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random

from tests.counting_lab.plans import STAMPS, Accident, Plan
from tests.servers.billing import Asked, Reply
from tests.servers.prometheus import Query

BEGIN = 1_795_176_000.0  # 2026-11-20 12:00 UTC
METRICS = {"input": "litellm_input_tokens_metric", "cached_input": "litellm_input_cached_tokens_metric"}

#: A cached counter that is idle for so many seconds may leave the page: its input does not wait for it.
_IDLE = 300

Series = tuple[str, str]  # model, team


@dataclass
class Process:
    """One life of a gateway: what it has counted since its start."""

    number: int
    start: float
    counts: dict[Series, Counter[str]] = field(default_factory=dict)
    born: dict[tuple[Series, str], float] = field(default_factory=dict)

    def use(self, series: Series, tokens: int, cached: int, at: float, skew: float = 0.0) -> None:
        """Count tokens `at` a time, as a process does whose clock is ahead by `skew` seconds then.

        The `_created` of a counter is what the clock shows as it is made, and stays: prometheus_client, client_java
        and client_golang keep it beside the value, so a clock that is set later moves no counter that exists.
        """
        for meter in ("input", "cached_input") if cached else ("input",):
            self.born.setdefault((series, meter), at + skew)
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
        self.busy: dict[int, Process] = {}
        self.turns = Random(plan.seed + 1)
        #: Tokens really used, by scrape, model and meter; by life and series the counts at every scrape.
        self.used: list[tuple[float, Counter[tuple[str, str]]]] = []
        self.past: dict[tuple[int, Series], list[tuple[float, Counter[str]]]] = defaultdict(list)
        #: What any scrape showed of a life.
        self.shown: dict[tuple[int, Series], Counter[str]] = {}
        #: What another one of the same address had shown by the first sample of a life, where that was no more.
        self.lows: dict[tuple[int, Series], Counter[str]] = {}
        self.answered: dict[int, set[int]] = defaultdict(set)
        #: When a scrape last saw a cached counter move, and when it last saw it.
        self.cached_moved: dict[tuple[int, Series], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        for process in self.pods:
            for series in self.keys if plan.old else ():
                tokens = plan.old * self.random.randint(1, 900)
                process.use(series, tokens, plan.old // 2, process.start + 60)
                counts = Counter(process.counts[series])
                self.used.append((process.start + 60, Counter({(series[0], name): n for name, n in counts.items()})))
                self.past[process.number, series].append((process.start + 60, counts))
        self._bases: dict[tuple[int, Series, float], Counter[str]] = {}
        self._since: tuple[float, int, Counter[tuple[str, str]]] = 0.0, 0, Counter()
        self._still: float | None = None
        self._last: tuple[Process, list[list[tuple[Series, str]]]] = self.pods[0], []
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
                self._restart(accident.pod % self.plan.pods, before)
            if accident.at == scrape and accident.kind == "busy processes":
                self._busy(accident, before)
        for pod in range(self.plan.pods if self.plan.life else 0):
            if scrape and (scrape + pod) % self.plan.life == 0:
                self._restart(pod, before)
        busy = (one for pod, one in self.busy.items() if self.active("busy processes", scrape, pod))
        for process in (*self.pods, *busy):
            for series in self.keys:
                if self.random.random() < 0.6:
                    tokens = self.random.randint(1, 2000)
                    cached = self.random.randint(0, tokens)
                    if self.at - process.start <= self.plan.uncached * self.plan.step:
                        cached = 0
                    process.use(series, tokens, cached, max(before, process.start), self._skew(scrape))
                    used[series[0], "input"] += tokens
                    used[series[0], "cached_input"] += cached
            for series, counts in process.counts.items():
                self.past[process.number, series].append((self.at, Counter(counts)))
        self.used.append((self.at, used))

    def _restart(self, pod: int, before: float) -> None:
        self.pods[pod] = self._process(before + self.random.uniform(1, self.plan.step - 1))

    def _busy(self, accident: Accident, before: float) -> None:
        """Another process answers at the same address from now on; it may have counted for long."""
        older = accident.size % 2 == 0
        # Nothing distinguishes processes that began in the same second.
        process = self._process(BEGIN - 7230 if older else before + self.plan.step / 2)
        self.busy[accident.pod % self.plan.pods] = process
        for series in self.keys if older else ():
            tokens, when = self.turns.randint(1, 90_000), process.start + 60
            process.use(series, tokens, tokens // 2, when)
            counts = Counter(process.counts[series])
            # Without a start nothing distinguishes its value from what was used just now.
            known = when if self.plan.starts != "none" else self.at
            self.used.append((known, Counter({(series[0], name): n for name, n in counts.items()})))
            self.past[process.number, series].append((when, counts))

    def instance(self, pod: int) -> str:
        """What Prometheus calls the process that answers for a pod."""
        return f"uuid-{self.pods[pod].number}" if self.plan.source == "pushed" else f"pod-{pod}:4000"

    def _skew(self, scrape: int) -> float:
        """By how many seconds the exporters' clock is ahead at a scrape."""
        skew = self.active("clock skew", scrape)
        return 0.0 if skew is None else min(skew.size, 50)

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
        if pod in self.busy and self.active("busy processes", scrape, pod) and self.turns.random() < 0.5:
            process = self.busy[pod]
        if self.active("old page", scrape, pod) and pod in self._page and self.plan.source != "pushed":
            self._last = process, []
            return self._page[pod]
        lines = list(self._lines(scrape, pod, process))
        if not any(self.active(kind, scrape, pod) for kind in ("missing series", "missing page part", "dip")):
            self._page[pod] = lines
        return lines

    def _lines(self, scrape, pod, process):
        if self.plan.starts in {"process", "both"}:
            # The kernel counts it from the time of its boot, which moves as the clock is set (client_golang, node).
            yield {"__name__": "process_start_time_seconds"}, repr(process.start + self._skew(scrape))
        missing, part = self.active("missing series", scrape, pod), self.active("missing page part", scrape, pod)
        dip = self.active("dip", scrape, pod)
        rename = next((one for one in self.plan.accidents if one.kind == "rename" and one.at <= scrape), None)
        sums: dict[tuple[str, tuple[tuple[str, str], ...]], int] = Counter()
        born: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        holds: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[Series, str]]] = {}
        for series, counts in process.counts.items():
            for meter, metric in METRICS.items():
                if self.plan.uncached and not counts[meter]:
                    continue  # a counter comes with the first tokens that it counts
                labels = {"model": series[0], "team_alias": series[1], "api_key_alias": f"key-{series[1]}"}
                if meter == "cached_input":
                    labels = {name: value for name, value in labels.items() if name in self.plan.cached_labels}
                if self.active("labels dropped", scrape, pod):
                    labels = {"model": series[0]}
                if self.active("relabel", scrape, pod):
                    labels["zone"] = "z1"
                key = metric, tuple(labels.items())
                sums[key] += counts[meter]
                holds.setdefault(key, []).append((series, meter))
                began = process.born[series, meter if self.plan.uncached else "input"]
                born[key] = min(born.get(key, began), began)
        left_out = set()
        for number, ((metric, items), value) in enumerate(sums.items()):
            if (missing and number == missing.pod % 3) or (part and number % 2):
                left_out.add((metric, items))
                continue
            dips = min(dip.size * 10, 1000) if dip and dip.at == scrape and number % 2 == 0 else 0
            both = rename and scrape < min(rename.at + rename.size, self.plan.scrapes)
            names = ("_total", "") if both else ("",) if rename else ("_total",)
            for name in names:
                yield {"__name__": metric + name, **dict(items)}, str(value - value * dips // 1000)
            if self.plan.starts in {"created", "both"}:
                yield {"__name__": f"{metric}_created", **dict(items)}, repr(born[metric, items])
        self._last = process, [parts for key, parts in holds.items() if key not in left_out]

    def show(self, pod: int, process: Process, seen: list[list[tuple[Series, str]]]) -> None:
        """Remember what a scrape has shown: of each counter on the page what it is the sum of."""
        others = self.answered[pod] - {process.number} if self.plan.source != "pushed" else set()
        self.answered[pod].add(process.number)
        for parts in seen:
            new = [one for one in parts if one[1] not in self.shown.get((process.number, one[0]), ())]
            now = sum(process.counts[series][meter] for series, meter in new)
            known = (sum(self.shown.get((n, series), Counter())[meter] for series, meter in new) for n in others)
            low = max((one for one in known if one <= now), default=0)
            for series, meter in parts:
                value, place = process.counts[series][meter], (process.number, series)
                if (series, meter) in new:
                    self.lows.setdefault(place, Counter())[meter] = min(value, low)
                    low -= min(value, low)
                if meter == "cached_input":
                    moved = value != self.shown.get(place, Counter())[meter]
                    last = self.at if moved else self.cached_moved[place][0]
                    self.cached_moved[place] = last, self.at
                self.shown.setdefault(place, Counter())[meter] = value

    def scrape(self, scrape: int) -> None:
        """A Prometheus, or two of them, scrapes every pod."""
        if self.active("prometheus down", scrape):
            return
        for pod in range(self.plan.pods):
            lines = self.page(scrape, pod)
            pushed = self.plan.source == "pushed"
            place = {"job": "gateway", "instance": f"uuid-{self._last[0].number}" if pushed else f"pod-{pod}:4000"}
            if not pushed:
                self.history.add(self.at, "0" if lines is None else "1", __name__="up", **place)
            if lines is None:
                continue
            self.show(pod, *self._last)
            copies = [{}] if not self.plan.replica else [{self.plan.replica: "a"}, {self.plan.replica: "b"}]
            for number, copy in enumerate(copies):
                for labels, value in lines:
                    self.history.add(self.at + self.plan.shift * number, value, **labels, **place, **copy)

    def served(self, scrape: int) -> Reply:
        """The page of the first pod, as alertd scrapes it."""
        lines = self.page(scrape, 0)
        if lines is None:
            return Reply("", 503)
        self.show(0, *self._last)
        stamps = self.active("page timestamps", scrape)
        kind = None if stamps is None else STAMPS[stamps.size % len(STAMPS)]
        self._still = self._still or self.at
        stamp = {"milliseconds": self.at * 1e6, "standing still": self._still * 1000}.get(kind, self.at * 1000)
        stamp += kind * 1000 if isinstance(kind, float) else 0
        text = "".join(
            f"{labels.pop('__name__')}{_braces(labels)} {value}{'' if kind is None else f' {int(stamp)}'}\n"
            for labels, value in ((dict(labels), value) for labels, value in lines)
        )
        return Reply(text, 200, {"content-type": "text/plain; version=0.0.4"})

    # what is true

    def used_since(self, at: float) -> Counter[tuple[str, str]]:
        """All tokens used from the scrape before `at` on, by model and meter."""
        known, place, found = self._since if self._since[0] == at else (at, 0, Counter())
        for used in (used for when, used in self.used[place:] if when > at - self.plan.step):
            found.update(used)
        self._since = known, len(self.used), found
        return Counter(found)

    def shown_since(self, at: float) -> Counter[tuple[str, str]]:
        """The tokens used after `at` that some scrape has shown; of a process that nothing tells of its rise."""
        least: Counter[tuple[str, str]] = Counter()
        for (number, series), last in self.shown.items():
            base, lows = self._base(number, series, at), self.lows[number, series]
            for meter, value in last.items():
                low = max(base[meter], lows[meter] if self.plan.starts == "none" else 0)
                least[series[0], meter] += max(0, value - low)
        return least

    def never_shown(self) -> Counter[tuple[str, str]]:
        """Less the cached tokens of counters that no scrape has shown, or none since they were idle."""
        found: Counter[tuple[str, str]] = Counter()
        for (number, series), known in self.past.items():
            moved, seen = self.cached_moved[number, series]
            if known and seen - moved >= _IDLE - self.plan.step * self.plan.poll:
                found[series[0], "cached_input"] -= known[-1][1]["cached_input"]
                found[series[0], "cached_input"] += self.shown.get((number, series), Counter())["cached_input"]
            elif known and not seen:
                found[series[0], "cached_input"] -= known[-1][1]["cached_input"]
        return found

    def _base(self, number: int, series: Series, at: float) -> Counter[str]:
        """What a process had counted at a time."""
        key = number, series, at
        if key not in self._bases or at >= self.at:
            known = [counts for when, counts in self.past[number, series] if when <= at]
            self._bases[key] = known[-1] if known else Counter()
        return self._bases[key]


def _braces(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""
