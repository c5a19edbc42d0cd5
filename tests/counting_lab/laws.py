"""Reads a world as alertd does, and holds what it counted against the truth."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from alertd.ports import SourceError
from alertd.sources import prometheus, scrape
from tests.bookkeeping import Ledger
from tests.counting_lab.world import ACCIDENTS, BEGIN, Accident, Plan, World
from tests.servers.billing import Reply, serving

SINCE = datetime.fromtimestamp(BEGIN - 86400, UTC)
_QUIET = 6


@dataclass
class Outcome:
    """What was counted in a world, as raw totals by model and meter, beside the truth."""

    counted: Counter[tuple[str, str]]
    used: Counter[tuple[str, str]]
    shown: Counter[tuple[str, str]]
    assumed: int
    said: tuple[str, ...]
    over: dict[tuple[str, str], int] = field(default_factory=dict)
    under: dict[tuple[str, str], int] = field(default_factory=dict)


class Reader:
    """One HTTP server for all worlds, and the source that reads it."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.scrape = 0

    def answer(self, asked):
        assert self.world is not None
        if asked.path.endswith("/query"):
            return self.world.history.answer(asked)
        return Reply("", 404) if asked.path.startswith("/api") else self.world.served(self.scrape)

    def __enter__(self):
        self._serving = serving(self.answer)
        self.url = self._serving.__enter__().url
        return self

    def __exit__(self, *error):
        self._serving.__exit__(*error)

    def run(self, plan: Plan) -> Outcome:
        """Read a whole world, with some quiet scrapes at its end."""
        self.world, ledger, said = World(plan), Ledger(), []
        asyncio.run(self._read(plan, ledger, said))
        return _held(self.world, ledger, tuple(said))

    async def _read(self, plan: Plan, ledger: Ledger, said: list[str]) -> None:
        world, source = self.world, None
        last = plan.scrapes + _QUIET
        for self.scrape in range(last + 1):
            world.move(self.scrape)
            if plan.source == "prometheus":
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
            world.history.hidden = "pod-0:4000" if partial else ""
            now = datetime.fromtimestamp(world.at + 1, UTC)
            try:
                await ledger.collect(source, SINCE, now)
            except SourceError as error:
                if ledger.cursor is not None or "absent" not in str(error):
                    said.append(f"failed: {error}")
        if source is not None:
            await source.close()

    def _source(self, plan: Plan):
        if plan.source == "scrape":
            return scrape.build("gateway", scrape.Options(url=f"{self.url}/metrics", preset="litellm"))
        return prometheus.build("gateway", prometheus.Options(url=self.url, preset="litellm"))


def _held(world: World, ledger: Ledger, failures: tuple[str, ...]) -> Outcome:
    counted: Counter[tuple[str, str]] = Counter()
    for one in ledger.increments:
        counted[one.line.model, one.line.meter] += one.quantity
        if one.line.meter == "cached_input":
            counted[one.line.model, "input"] += one.quantity
    said = (*failures, *(text for texts in ledger.doubts for text in texts))
    said += tuple(text for reading in ledger.readings for text in reading.warnings)
    numbers = (re.search(r"counts ([\d,]+)$", text) for text in ledger.assumed)
    assumed = sum(int(found[1].replace(",", "")) for found in numbers if found is not None)
    begin = ledger.complete_from
    at = world.at if begin is None else begin.timestamp()
    outcome = Outcome(counted, world.used_since(at), world.shown_since(at), assumed, said)
    # What cached counters that came late have still to take off their input is known and kept.
    owed = sum(state.owed for state in ledger.states.values())
    if any("name their model otherwise" in text for text in said):
        # Said as such: cached tokens whose own input counter is missing come off another model's.
        outcome = replace(outcome, counted=_all(counted), used=_all(outcome.used), shown=_all(outcome.shown))
        counted = outcome.counted
    for key in counted.keys() | outcome.shown.keys():
        late = owed if key[1] == "input" else 0
        outcome.over[key] = counted[key] - outcome.used[key] - assumed - late
        outcome.under[key] = outcome.shown[key] - counted[key]
    return outcome


def _all(of: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for (_, meter), tokens in of.items():
        found["all models", meter] += tokens
    return found


def hold(plan: Plan, outcome: Outcome) -> None:
    """The two laws. AssertionError with the plan where one is broken."""
    over = {key: value for key, value in outcome.over.items() if value > 0}
    assert not over, f"too high by {over}: {plan}"
    under = {key: value for key, value in outcome.under.items() if value > 0}
    assert not under or outcome.said, f"too low in silence by {under}: {plan}"


def planned(seed: int, most: int) -> Plan:
    """A plan of up to so many accidents, the same for the same seed."""
    random = Random(seed)
    accidents = tuple(
        Accident(
            random.choice(sorted(ACCIDENTS)),
            random.randint(2, 50),
            random.choice((0, 1, 2, 3, 5, 8, 20)),
            random.randint(0, 2),
        )
        for _ in range(random.randint(0, most))
    )
    source = random.choice(("prometheus", "prometheus", "scrape"))
    return Plan(
        seed=seed,
        accidents=accidents,
        source=source,
        starts=random.choice(("none", "process", "created", "both")),
        pods=1 if source == "scrape" else random.randint(1, 2),
        step=random.choice((15, 60)),
        poll=random.choice((1, 1, 3, 20)),
        replica=random.choice(("", "", "", "monitor", "receive_replica", "replica")) if source == "prometheus" else "",
        shift=random.choice((0, 7)),
        cached_labels=random.choice((("model", "team_alias", "api_key_alias"), ("model", "team_alias"), ("model",))),
        old=random.choice((0, 100)),
    )
