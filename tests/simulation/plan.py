"""What a seed draws before anything happens: daemons and their configuration, and when which accident happens.

Every happening has dice of its own, so that others can be left out without changing it: that is how a story is
shortened.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.simulation.world import TOKEN

#: Every kind of accident.
FAULTS: Final = (
    "gateway restarts", "gateway refuses", "gateway is slow", "gateway answers errors", "gateway is silent",
    "gateway shows an old page",
    "second gateway restarts", "prometheus refuses", "prometheus is slow", "prometheus answers errors",
    "prometheus cannot scrape", "bill is late", "bill is corrected",
    "receiver refuses", "receiver is slow", "receiver answers errors", "receiver takes and is cut off",
    "provider refuses", "provider is slow", "provider answers errors", "provider takes and is cut off",
    "daemon is killed", "daemon is killed in a call", "daemon is stopped", "daemon is frozen",
    "clock is ahead", "clock is behind", "disk is full", "disk is slow",
    "key runs away", "key falls silent", "key is new", "key is renamed", "both restart at once",
)  # fmt: skip
#: What people do.
PEOPLE: Final = (
    "somebody turns a key off", "somebody turns a key on", "somebody acknowledges", "somebody snoozes",
    "somebody silences", "somebody raises", "somebody approves", "somebody refuses", "somebody restores",
    "somebody disowns", "somebody pauses",
    "somebody changes an amount", "somebody breaks the configuration", "somebody looks",
)  # fmt: skip
KINDS: Final = FAULTS + PEOPLE
#: What a story is about: which kinds happen often, in which mode keys are turned off, and a key's amount in tokens.
THEMES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]]] = {
    "counting": (
        ("gateway restarts", "gateway shows an old page", "gateway refuses", "second gateway restarts",
         "prometheus cannot scrape", "key is new", "key is renamed", "daemon is killed", "clock is behind",
         "disk is slow", "key runs away"),
        ("dry_run",), (5_000, 200_000)),
    "amounts": (
        ("key runs away", "somebody raises", "somebody raises", "somebody changes an amount", "somebody silences",
         "somebody acknowledges", "somebody snoozes", "bill is corrected", "disk is slow", "key falls silent"),
        ("dry_run", "approve"), (5_000, 20_000)),
    "actions": (
        ("key runs away", "somebody raises", "somebody approves", "somebody approves", "somebody silences",
         "somebody restores", "somebody turns a key off", "somebody turns a key on", "key is renamed",
         "daemon is killed in a call", "somebody refuses"),
        ("auto", "approve", "approve"), (3_000, 20_000)),
    "provider": (
        ("key runs away", "provider refuses", "provider is slow", "provider answers errors", "somebody approves",
         "provider takes and is cut off", "daemon is killed", "somebody restores", "somebody raises",
         "somebody disowns", "daemon is frozen"),
        ("auto", "auto", "approve"), (1_500, 3_000)),
    "afterwards": (
        ("somebody turns a key on", "somebody restores", "somebody disowns", "somebody snoozes", "somebody raises",
         "provider is slow", "provider answers errors", "somebody approves", "key runs away", "gateway refuses",
         "daemon is killed in a call"),
        ("auto", "auto", "approve"), (1_500, 3_000)),
    "messages": (
        ("key runs away", "receiver refuses", "receiver is slow", "receiver answers errors", "somebody raises",
         "receiver takes and is cut off", "daemon is killed in a call", "daemon is stopped", "disk is full",
         "bill is corrected"),
        ("dry_run", "auto"), (5_000, 20_000)),
    "everything": (KINDS, ("auto", "approve", "dry_run"), (5_000, 200_000)),
    "clocks": (
        ("clock is behind", "clock is behind", "clock is ahead", "gateway restarts", "second gateway restarts",
         "both restart at once", "key runs away", "key is new", "gateway shows an old page", "daemon is killed"),
        ("dry_run",), (5_000, 200_000)),
    # Only a key that runs away passes its amount: the one beside it that is turned off has no reason of its own.
    "names": (
        ("key is renamed", "key is renamed", "key is renamed", "somebody approves", "somebody restores", "key is new",
         "key runs away", "gateway restarts", "daemon is killed in a call"),
        ("auto", "auto", "approve"), (15_000, 30_000)),
    # What an action rarely comes to: it is undone by others, has no effect, fails, is taken over, is refused.
    "ends": (
        ("key runs away", "key runs away", "somebody turns a key on", "somebody turns a key on", "somebody approves",
         "somebody refuses", "somebody restores", "provider refuses", "provider answers errors", "provider is slow",
         "daemon is killed", "daemon is killed in a call"),
        ("auto", "approve", "approve"), (1_500, 3_000)),
}  # fmt: skip
#: Seeds below these go through the themes and sequels of before: stories that once failed stay what they were.
_LATER: Final = 1000
_STEERED: Final = 2000
_THEMES_BEFORE, _THEMES_LATER, _THEMES_STEERED = 7, 9, 12
#: What often follows within minutes: the second half of what once went wrong together.
SEQUELS: Final[dict[str, tuple[str, ...]]] = {
    "somebody turns a key off": ("somebody approves", "somebody raises"),
    "somebody raises": ("somebody approves", "key runs away"),
    "somebody silences": ("key runs away", "somebody approves"),
    "clock is behind": ("gateway restarts",),
    "key is renamed": ("key runs away",),
    "key is new": ("key runs away",),
}  # fmt: skip
_LATER_SEQUELS: Final[dict[str, tuple[str, ...]]] = {
    **SEQUELS,
    "clock is behind": ("gateway restarts", "key runs away"),
    "key is renamed": ("key runs away", "somebody approves"),
}
_STEERED_SEQUELS: Final[dict[str, tuple[str, ...]]] = {
    **_LATER_SEQUELS,
    "somebody turns a key on": ("key runs away", "somebody restores"),
    "somebody turns a key off": ("somebody approves", "somebody raises", "somebody restores"),
    "somebody snoozes": ("somebody acknowledges",),
}
_STARTS: Final = (datetime(2026, 11, 3, 7, 0, tzinfo=UTC), datetime(2026, 11, 3, 7, 0, tzinfo=UTC),
                  datetime(2026, 11, 30, 22, 20, tzinfo=UTC))  # fmt: skip
#: What an accident may wait for, so that it comes in the middle of something.
CUES: Final = ("announced", "ask", "approve", "permit", "begin", "send", "turned off", "verify", "restore", "turned on")
#: From seed 2,000 on, what these mostly wait for: the moment at which they change what becomes of an action or alert.
_CUES_OF: Final[dict[str, tuple[str, ...]]] = {
    "somebody turns a key on": ("turned off", "verify"), "somebody turns a key off": ("ask", "permit", "begin"),
    "somebody approves": ("ask",),
    "somebody refuses": ("ask", "approve"), "somebody restores": ("verify",), "somebody disowns": ("verify",),
    "somebody acknowledges": ("announced",), "somebody snoozes": ("announced",),
    **dict.fromkeys(("daemon is killed", "daemon is killed in a call"), ("begin", "send", "restore", "turned off")),
    **{f"provider {how}": ("permit", "approve", "begin", "restore")
       for how in ("refuses", "answers errors", "is slow", "takes and is cut off")},
}  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """One accident: its number, after how many minutes, and what.

    With a `cue` it waits from then on until that is seen, for twenty minutes at most.
    """

    number: int
    minutes: float
    kind: str
    cue: str = ""


@dataclass
class Plan:
    """A seed's story before it is told. `only` names the happenings to keep; `replicas` overrules what was drawn.

    Seeds go through the themes, and within each through all kinds: one kind of each story comes again and again, so
    that every kind meets what each theme is about within `len(THEMES) * len(KINDS)` seeds.
    """

    seed: int
    hours: float
    only: frozenset[int] | None = None
    daemons: int | None = None
    happenings: list[Happening] = field(init=False)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.steered = self.seed >= _STEERED
        themes = _THEMES_STEERED if self.steered else _THEMES_LATER if self.seed >= _LATER else _THEMES_BEFORE
        self.theme = (*THEMES, "ends", "ends")[self.seed % themes]
        self.sequels = SEQUELS if self.seed < _LATER else _STEERED_SEQUELS if self.steered else _LATER_SEQUELS
        #: How often an accident has each of its sequels.
        self.follows = 0.6 if self.theme != "names" else 0.9
        often, modes, amounts = THEMES[self.theme]
        self.featured = KINDS[self.seed // themes % len(KINDS)]
        share = chance.choice((0.15, 0.4, 0.9)) if self.theme == "everything" else 0.7
        # What the theme is about, a few others, and what most things hang on: that something is spent.
        self.kinds = tuple(kind for kind in often if chance.random() < share)
        self.kinds += (*chance.sample(KINDS, 2), "key runs away")
        drawn = chance.choice((1, 2, 2, 3))
        self.replicas = drawn if self.daemons is None else self.daemons
        self.start = chance.choice(_STARTS)
        self.poll = chance.choice(
            (1, 2, 3) if self.theme in {"provider", "afterwards", "clocks", "names", "ends"} else (1, 2, 3, 5, 5, 15)
        )
        self.mode = chance.choice(modes)
        self.undo = chance.choice(("auto", "auto", "by_hand"))
        self.acts_per_hour = chance.choice((1, 100, 100))
        self.acts_on_burns = self.theme != "names"
        self.amount = chance.choice((10, 40))
        self.of_a_key = chance.choice(amounts)
        self.pace = chance.choice((2, 4, 8))
        #: Seconds that a call to the healthy database takes at most.
        self.latency = chance.choice((0.02, 0.02, 0.5))
        happenings = [*self._draw(chance, self.pace, self.kinds), *self._draw(chance, 12, (self.featured,))]
        # In every other story all kinds of accidents come at once, a minute apart: every change of state meets many.
        self.storm = self.seed // themes % 2 == 1
        if self.storm or self.steered:
            happenings += self._draw(chance, 1 if self.storm else 3, KINDS)
        self.happenings = [Happening(number, minutes, kind, cue) for number, (minutes, kind, cue) in
                           enumerate(sorted(happenings))]  # fmt: skip
        if self.only is not None:
            self.happenings = [one for one in self.happenings if one.number in self.only]

    def _draw(self, chance: random.Random, pace: float, kinds: Sequence[str]) -> Iterator[tuple[float, str, str]]:
        minutes = 0.0
        while (minutes := minutes + chance.expovariate(1 / pace)) < self.hours * 60:
            kind, cue = chance.choice(kinds), chance.choice(("", "", *CUES)) if chance.random() < 0.5 else ""
            if self.steered and chance.random() < 0.7:
                cue = chance.choice(_CUES_OF.get(kind, (cue,)))
            yield minutes, kind, cue

    def delay(self, one: Happening) -> float:
        """How many minutes after its cue it comes."""
        chance = self.dice(one.number)
        if self.steered and one.kind == "somebody turns a key on":
            return chance.choice((0.1, 6.0, 15.5, 15.5))  # alertd looks after a quarter of an hour
        if self.steered and one.kind.startswith("daemon"):
            return chance.choice((0.0002, 0.001, 0.005))
        return chance.choice((0.001, 0.01, 0.1, 1.0))

    def dice(self, number: int) -> random.Random:
        """The dice of one happening."""
        return random.Random(f"{self.seed}/{number}")

    @property
    def round(self) -> timedelta:
        """Between two looks at a source, and between two evaluations."""
        return timedelta(minutes=self.poll)

    def environment(self, folder: Path) -> dict[str, str]:
        """The daemons' configuration; prices and the bill are in `folder`."""
        return {
            "ALERTD_DATABASE": "sqlite:////nowhere/alertd.db",
            "ALERTD_POLL_INTERVAL": f"{self.poll}m",
            "ALERTD_DIGEST": "off",
            "ALERTD_PRICES__FILES": str(folder / "prices.toml"),
            "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
            "ALERTD_SOURCES__GATEWAY__URL": "http://gateway/metrics",
            "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
            "ALERTD_SOURCES__GATEWAY__PROVIDER": "litellm",
            "ALERTD_SOURCES__GATEWAY__INTERVAL": f"{self.poll}m",
            "ALERTD_SOURCES__KEPT__KIND": "prometheus",
            "ALERTD_SOURCES__KEPT__URL": "http://prometheus",
            "ALERTD_SOURCES__KEPT__PRESET": "litellm",
            "ALERTD_SOURCES__KEPT__PROVIDER": "litellm",
            "ALERTD_SOURCES__KEPT__INTERVAL": f"{self.poll}m",
            "ALERTD_SOURCES__BILL__KIND": "csv",
            "ALERTD_SOURCES__BILL__PATH": str(folder / "bill.csv"),
            "ALERTD_SOURCES__BILL__INTERVAL": "15m",
            "ALERTD_BUDGETS__ALL__AMOUNT": f"{self.amount} USD",
            "ALERTD_BUDGETS__ALL__THRESHOLDS": json.dumps(
                [*(f"actual {level}%" for level in (10, 25, 50, 80, 100, 150, 200)), "forecast 100%"]
            ),
            "ALERTD_BUDGETS__KEYS__AMOUNT": f"{self.of_a_key} tokens",
            "ALERTD_BUDGETS__KEYS__PER": "key",
            "ALERTD_BUDGETS__KEYS__WHERE": "provider=litellm",
            "ALERTD_BUDGETS__KEYS__THRESHOLDS": '["actual 50%", "actual 100%", "burn_rate 10x over 1h and 5m"]',
            "ALERTD_BUDGETS__KEYS__ACTIONS": "stop",
            "ALERTD_BUDGETS__KEYS__REMIND": "20m",
            "ALERTD_BUDGETS__KEYS__ESCALATE_AFTER": "10m",
            "ALERTD_BUDGETS__KEYS__ESCALATE_TO": "second",
            "ALERTD_BUDGETS__CLOUD__AMOUNT": "20 USD",
            "ALERTD_BUDGETS__CLOUD__WHERE": "provider=cloud",
            "ALERTD_BUDGETS__CLOUD__THRESHOLDS": '["actual 50%", "actual 100%"]',
            "ALERTD_BUDGETS__TODAY__AMOUNT": "2M tokens",
            "ALERTD_BUDGETS__TODAY__PERIOD": "day",
            "ALERTD_BUDGETS__TODAY__WHERE": "provider=litellm",
            "ALERTD_BUDGETS__TODAY__THRESHOLDS": '["actual 25%", "actual 100%"]',
            "ALERTD_ACTIONS__STOP__KIND": "litellm",
            "ALERTD_ACTIONS__STOP__URL": "http://provider",
            "ALERTD_ACTIONS__STOP__TOKEN": TOKEN,
            "ALERTD_ACTIONS__STOP__MODE": self.mode,
            "ALERTD_ACTIONS__STOP__UNDO": self.undo,
            "ALERTD_ACTIONS__STOP__MAX_PER_HOUR": str(self.acts_per_hour),
            **({} if self.acts_on_burns else {"ALERTD_ACTIONS__STOP__ON": '["actual 100%"]'}),
            "ALERTD_NOTIFIERS__HOOK__KIND": "webhook",
            "ALERTD_NOTIFIERS__HOOK__URL": "http://hook/a-secret-path",
            "ALERTD_NOTIFIERS__SECOND__KIND": "webhook",
            "ALERTD_NOTIFIERS__SECOND__URL": "http://second/a-secret-path",
        }
