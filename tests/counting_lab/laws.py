"""Reads a world as alertd does, and holds what it counted against the truth, reading by reading.

The truth of a time is what scrapes have shown by then of the tokens used since the source is complete. The laws, for
each model and meter, the input with its cached tokens:

    never above      at no reading does the ledger hold more than the truth, plus what was said to be assumed;
                     in money more than it costs only where the source is marked partial at that time
    never in silence where the ledger falls behind the truth for good, the source is marked partial at that time
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

import msgspec

from alertd.clients.http_response import Answer, HttpProblem
from alertd.ports import SourceError
from alertd.sources import prometheus, scrape
from tests.counting_lab.plans import Plan, in_words
from tests.counting_lab.world import BEGIN, World
from tests.memory_ledger import Ledger
from tests.servers.billing import Asked, Reply

#: USD a token of input; cached tokens cost a tenth of it.
PRICES = {"gpt-4o": Decimal("2.50") / 1_000_000, "mini": Decimal("0.15") / 1_000_000}
SINCE = datetime.fromtimestamp(BEGIN - 86400, UTC)
_URL = "http://gateway:4000"
#: After a world's accidents: so many scrapes, and then so many that are read one by one.
_QUIET, _READ = 6, 3
_Sums = Counter[tuple[str, str]]


@dataclass(frozen=True)
class Step:
    """What the ledger held after a reading, beside the truth; and what was said of the source then.

    `hidden` are the tokens whose price nobody could know: they are cached, and no page had shown their counter.
    """

    scrape: int
    counted: _Sums
    used: _Sums
    least: _Sums
    assumed: int
    hidden: _Sums
    said: tuple[str, ...]


@dataclass
class Outcome:
    """A world's readings, and what of them breaks a law: too high, behind in silence; the largest of each in tokens."""

    steps: list[Step]
    broken: list[str] = field(default_factory=list)
    over: int = 0
    under: int = 0
    money_over: Decimal = Decimal(0)
    money_under: Decimal = Decimal(0)


class Inline(ThreadPoolExecutor):
    """Runs at once what a source would give to another thread."""

    def submit(self, call, /, *args, **kwargs):
        done = Future()
        try:
            done.set_result(call(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the source gets it, as from a thread
            done.set_exception(error)
        return done


class Reader:
    """Reads worlds by the sources themselves. What they would ask over the network is answered here."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.scrape = 0

    async def send(self, method, url, *, form=None, allowed=frozenset(), **_):
        assert self.world is not None
        if form is not None:
            reply = self.world.history.answer(Asked(method, url, {}, {}, urlencode(form).encode(), ""))
        else:
            reply = Reply("", 404) if "/api/" in url else self.world.served(self.scrape)
        if reply.status >= 300 and reply.status not in allowed:
            raise HttpProblem(f"{url} answers {reply.status}", status=reply.status)
        body = reply.body.encode() if isinstance(reply.body, str) else msgspec.json.encode(reply.body)
        return Answer(reply.status, reply.headers, body, url)

    async def close(self) -> None:
        pass

    def run(self, plan: Plan) -> Outcome:
        """Read a whole world, with some quiet scrapes at its end."""
        self.world, steps = World(plan), []
        asyncio.run(self._read(plan, Ledger(), steps))
        return outcome_of(steps, plan)

    def fails(self, plan: Plan) -> bool:
        """Whether a world of this plan breaks a law."""
        return bool(self.run(plan).broken)

    async def _read(self, plan: Plan, ledger: Ledger, steps: list[Step]) -> None:
        asyncio.get_running_loop().set_default_executor(Inline(1))
        world, source = self.world, None
        last = plan.scrapes + _QUIET
        for self.scrape in range(last + _READ):
            world.move(self.scrape)
            if plan.source != "scrape":
                world.scrape(self.scrape)
            if world.active("alertd away", self.scrape):
                if source is not None:
                    await source.close()
                source = None
                continue
            if self.scrape % plan.poll and self.scrape < last:
                continue
            source = source or self._source(plan)
            lag, partial = world.active("late answers", self.scrape), world.active("partial answers", self.scrape)
            world.history.now = world.at + 1
            world.history.lag = 0.0 if lag is None else lag.size * plan.step
            world.history.warnings = ["some storage did not answer"] if partial else []
            world.history.hidden = world.instance(0) if partial else ""
            seen, said = len(ledger.readings), []
            try:
                await ledger.collect(source, SINCE, datetime.fromtimestamp(world.at + 1, UTC))
            except SourceError as error:
                if ledger.cursor is not None or "absent" not in str(error):
                    said.append(f"failed: {error}")
            if ledger.readings:
                said += (text for texts in ledger.doubts[seen:] for text in texts)
                said += (text for reading in ledger.readings[seen:] for text in reading.warnings)
                before = steps[-1].counted if steps else Counter()
                steps.append(_step(world, ledger, self.scrape, before, tuple(said)))
        if source is not None:
            await source.close()

    def _source(self, plan: Plan):
        if plan.source == "scrape":
            return scrape.Scrape("gateway", scrape.Options(url=f"{_URL}/metrics", preset="litellm"), self)
        return prometheus.Prometheus("gateway", prometheus.Options(url=_URL, preset="litellm"), self)


def _step(world: World, ledger: Ledger, number: int, before: _Sums, said: tuple[str, ...]) -> Step:
    counted: _Sums = Counter(before)
    for one in ledger.increments:
        counted[one.line.model, one.line.meter] += one.quantity
        if one.line.meter == "cached_input":
            counted[one.line.model, "input"] += one.quantity
    ledger.increments.clear()
    numbers = (re.search(r"counts ([\d,]+)$", text) for text in ledger.assumed)
    assumed = sum(int(found[1].replace(",", "")) for found in numbers if found is not None)
    begin = ledger.complete_from
    at = world.at if begin is None else begin.timestamp()
    # What is pushed may have counted before the source is complete: not all of it was known then.
    used = world.used_since(min(at, BEGIN) if world.plan.source == "pushed" else at)
    return Step(number, counted, used, world.shown_since(at), assumed, world.never_shown(), said)


def outcome_of(steps: list[Step], plan: Plan) -> Outcome:
    """Hold every step to the laws."""
    late = max((one.size for one in plan.accidents if one.kind == "late answers"), default=0)
    outcome = Outcome(steps)
    for key in sorted({key for step in steps for key in (*step.counted, *step.least)}):
        behind = [step.least[key] - step.counted[key] for step in steps]
        for place, step in enumerate(steps):
            over = step.counted[key] - step.used[key] - step.assumed
            if over > 0:
                outcome.broken.append(f"too high by {over:,} of {key} at scrape {step.scrape}")
            for_good, before = min(behind[place:]), min(behind[max(place - 1, 0) :]) if place else 0
            lost = for_good - max(before, 0) if place == 0 else for_good - before
            by = steps[min(place + 1, len(steps) - 1)].scrape + late
            told = any(other.said for other in steps[place:] if other.scrape <= by)
            if lost > 0 and not told:
                outcome.broken.append(f"behind by {lost:,} of {key} in silence at scrape {step.scrape}")
            outcome.over, outcome.under = max(outcome.over, over), max(outcome.under, behind[-1])
    for place, step in enumerate(steps):
        over_cost = (
            cost(step.counted)
            - cost(Counter({key: step.used[key] + step.hidden[key] for key in step.used}))
            - step.assumed * max(PRICES.values())
        )
        if over_cost > 0 and not any(other.said for other in steps[place : place + 2]):
            outcome.broken.append(f"too high by {over_cost:.6f} USD in silence at scrape {step.scrape}")
        outcome.money_over = max(outcome.money_over, over_cost)
    outcome.money_under = (
        max(outcome.money_under, cost(steps[-1].least) - cost(steps[-1].counted)) if steps else Decimal(0)
    )
    return outcome


def cost(sums: _Sums) -> Decimal:
    """What the tokens cost in USD; those of the input include the cached ones, which cost a tenth."""
    paid = {model: sums[model, "input"] - sums[model, "cached_input"] * Decimal("0.9") for model in PRICES}
    return sum((PRICES[model] * tokens for model, tokens in paid.items()), Decimal(0))


def hold(plan: Plan, outcome: Outcome) -> None:
    """The two laws. AssertionError with the plan in words where one is broken."""
    assert not outcome.broken, f"{outcome.broken[0]} ({len(outcome.broken)} times); {in_words(plan)}; {plan}"
