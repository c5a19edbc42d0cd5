"""What the daemons look at: gateways whose keys spend, a Prometheus, a bill, receivers, a provider that turns keys off.

The world knows its truth: what was used under every name until when, by whom a key was turned off, what was told.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from tests.servers.billing import Asked
from tests.servers.prometheus import Memory
from tests.simulation.machines import PROCESS, answer_json

METRIC: Final = "litellm_input_tokens_metric_total"
TOKEN: Final = "admin-token-of-the-provider"
#: What a user wrote to a model; gateways and providers have it in their errors and in what is no counter.
PROMPT: Final = "my doctor says that I"
#: The gateway whose page alertd reads itself, and the one that a Prometheus reads.
OWN, SECOND = "gateway", "second gateway"


@dataclass(eq=False)
class Key:
    """A virtual key: its name now, the gateway that it spends through, how fast (tokens a second)."""

    alias: str
    team: str
    rate: float
    usual: float
    place: str = OWN
    blocked: bool = False
    ran_away_until: datetime | None = None
    hash: str = ""
    #: When its settings were last changed at the provider, and by whom.
    changed: tuple[str, str] = ("", "")
    #: Every name that it had, with when it got it.
    names: list[tuple[datetime, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256(self.alias.encode()).hexdigest()


@dataclass
class Counters:
    """What one gateway counted since its process began, by the names of its keys; a name never leaves its page."""

    began: datetime
    used: dict[tuple[str, str], float] = field(default_factory=dict)

    def lines(self) -> list[tuple[dict[str, str], int]]:
        """Labels and values, as on its page."""
        return [({"model": "plain", "api_key_alias": alias, "team_alias": team}, int(used))
                for (alias, team), used in self.used.items()]  # fmt: skip


class Unseen(NamedTuple):
    """What was used at a gateway under a name since an instant, and that nobody can know."""

    place: str
    alias: str
    since: datetime
    tokens: float


class Traffic:
    """All keys and what they use. A blocked key uses nothing."""

    def __init__(self, now: Callable[[], datetime], keys: list[Key]) -> None:
        self.now, self.keys = now, keys
        self.seen = now()
        self.gateways = {OWN: Counters(self.seen), SECOND: Counters(self.seen)}
        #: How what was used at a gateway under a name grew: instants and the total at each, straight lines between.
        self.history: dict[tuple[str, str], tuple[list[datetime], list[float]]] = {}
        #: Up to when what a gateway showed is surely known: a Prometheus has it, or alertd says that it has read it.
        self.known_until: dict[str, Callable[[], datetime | None]] = {OWN: lambda: None, SECOND: lambda: None}
        #: What nobody can know: used under a name after that and before a restart.
        self.unseen: list[Unseen] = []
        #: When each gateway restarted.
        self.restarts: list[tuple[datetime, str]] = []
        #: What pages showed of processes that ended, by name, and of those that run, by place: nobody can know more.
        self._shown_before: defaultdict[str, int] = defaultdict(int)
        self._shown_now: dict[str, list[tuple[str, int]]] = {OWN: [], SECOND: []}
        #: When each page was shown, and of when it was.
        self.shown: list[tuple[datetime, datetime]] = []
        #: The pages that were shown, and whether the next look gets one of them again.
        self._pages: list[tuple[str, datetime]] = []
        self.shows_old_page = False
        for key in keys:
            self._name(key)

    def pass_time(self) -> None:
        """Let the keys spend until now."""
        now = self.now()
        seconds, self.seen = (now - self.seen).total_seconds(), now
        if not seconds:
            return
        grown: defaultdict[tuple[str, str], float] = defaultdict(float)
        for key in self.keys:
            used = 0.0 if key.blocked else key.rate * seconds
            counted = self.gateways[key.place].used
            name = key.alias, key.team
            counted[name] = counted.get(name, 0.0) + used
            grown[key.place, key.alias] += used
        for where, (instants, totals) in self.history.items():
            total = totals[-1] + grown[where]
            if not grown[where] and len(totals) > 1 and totals[-1] == totals[-2]:
                instants[-1] = now  # the line goes on: nothing is used
                continue
            instants.append(now)
            totals.append(total)

    def truth(self, alias: str, since: datetime | None = None, until: datetime | None = None) -> float:
        """What was used under a name between two instants, in tokens; until now where nothing is said."""
        return self.used((OWN, SECOND), alias, since, until)

    def used(self, places: Sequence[str], alias: str, since: datetime | None, until: datetime | None) -> float:
        """The same at some of the gateways."""
        self.pass_time()
        total = 0.0
        for place in places:
            if (known := self.history.get((place, alias))) is not None:
                end = known[1][-1] if until is None else self._at(known, until)
                total += end - (0.0 if since is None else self._at(known, since))
        return total

    def show(self, place: str) -> None:
        """A page of a gateway is read."""
        self._shown_now[place] = [(alias, int(used)) for (alias, _), used in self.gateways[place].used.items()]

    def visible(self, aliases: Collection[str]) -> int:
        """What pages showed of these names in all, each process of a gateway for itself."""
        now = [number for shown in self._shown_now.values() for alias, number in shown if alias in aliases]
        return sum(now) + sum(self._shown_before[alias] for alias in aliases)

    @property
    def aliases(self) -> set[str]:
        """Every name that a key has or had."""
        return {alias for _, alias in self.history}

    def everything(self, since: datetime | None = None, until: datetime | None = None) -> float:
        """What was used under all names."""
        self.pass_time()
        return sum(self.truth(alias, since, until) for alias in sorted(self.aliases))

    def reached(self, aliases: list[str], amount: float, since: datetime) -> datetime | None:
        """When these names together had used an amount since an instant, to the second; None where they have not."""
        used = lambda at: sum(self.truth(alias, since, at) for alias in aliases)  # noqa: E731
        low, high = since, self.now()
        if used(high) < amount:
            return None
        while high - low > timedelta(seconds=1):
            middle = low + (high - low) / 2
            low, high = (low, middle) if used(middle) >= amount else (middle, high)
        return high

    def restart(self, place: str) -> None:
        """A gateway's process ends and begins anew: its counters are at zero, its page shows what is used again."""
        self.pass_time()
        began, known = self.gateways[place].began, self.known_until[place]()
        for alias in {alias for alias, _ in self.gateways[place].used}:
            since = max(began, known or began)
            self.unseen.append(Unseen(place, alias, since, self.used((place,), alias, since, None)))
        for alias, number in self._shown_now[place]:
            self._shown_before[alias] += number
        self._shown_now[place] = []
        self.restarts.append((self.now(), place))
        self.gateways[place] = Counters(self.now())

    def rename(self, key: Key, alias: str) -> None:
        """A key gets another name: what it uses is counted under that from now on."""
        self.pass_time()
        key.alias = alias
        self._name(key)

    def add(self, key: Key) -> None:
        """A new key."""
        self.pass_time()
        self.keys.append(key)
        self._name(key)

    def named(self, alias: str) -> list[Key]:
        """The keys that have this name now."""
        return [key for key in self.keys if key.alias == alias]

    def page(self, _request: httpx.Request) -> httpx.Response:
        """The page of metrics of the gateway that alertd reads itself."""
        self.pass_time()
        gateway = self.gateways[OWN]
        lines = []
        for labels, used in gateway.lines():
            pairs = ",".join(f'{name}="{value}"' for name, value in labels.items())
            lines.append(f"{METRIC}{{{pairs}}} {used}")
        other = f'litellm_requests_total{{api_key_alias="k0",prompt="{PROMPT}"}} 7'
        page = "\n".join([f"# TYPE {METRIC} counter", *lines, "# TYPE litellm_requests_total counter", other,
                          f"process_start_time_seconds {gateway.began.timestamp()}", ""])  # fmt: skip
        of = now = self.now()
        if self.shows_old_page and len(self._pages) > 1:
            (page, of), self.shows_old_page = self._pages[-2], False
        else:
            self._pages.append((page, now))
            self.show(OWN)
        self.shown.append((now, of))
        return httpx.Response(200, text=page, headers={"content-type": "text/plain; version=0.0.4"})

    def _name(self, key: Key) -> None:
        key.names.append((self.now(), key.alias))
        self.history.setdefault((key.place, key.alias), ([self.now()], [0.0]))

    @staticmethod
    def _at(known: tuple[list[datetime], list[float]], at: datetime) -> float:
        instants, totals = known
        after = bisect_right(instants, at)
        if after == 0:
            return 0.0
        if after == len(instants):
            return totals[-1]
        begin, end = instants[after - 1], instants[after]
        share = (at - begin) / (end - begin)
        return totals[after - 1] + share * (totals[after] - totals[after - 1])


class Prometheus:
    """Scrapes the second gateway every half minute and answers for what it saw. `down`: it cannot reach the gateway."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic, self.down = traffic, False
        self.scraped_at: datetime | None = None
        #: When it saw the gateway.
        self.scrapes: list[datetime] = []
        traffic.known_until[SECOND] = lambda: self.scraped_at
        self._memory = Memory()
        self._points: dict[tuple[str, ...], list[tuple[float, str]]] = {}

    def scrape(self) -> None:
        """Look at the gateway once."""
        self.traffic.pass_time()
        at = self.traffic.now().timestamp()
        self._add("up", at, "0" if self.down else "1")
        if self.down:
            return
        gateway = self.traffic.gateways[SECOND]
        self.scraped_at = self.traffic.now()
        self.scrapes.append(self.scraped_at)
        self.traffic.show(SECOND)
        self._add("process_start_time_seconds", at, str(gateway.began.timestamp()))
        for labels, used in gateway.lines():
            self._add(METRIC, at, str(used), **labels)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What its API answers."""
        query = {name: request.url.params.get_list(name) for name in request.url.params}
        reply = self._memory.answer(
            Asked(request.method, request.url.path, query, dict(request.headers), request.content, "")
        )
        return answer_json(reply.body, reply.status)

    def _add(self, metric: str, at: float, value: str, **labels: str) -> None:
        name = (metric, *labels.values())
        if name not in self._points:
            self._points[name] = []
            self._memory.add(metric, self._points[name], instance="second:4000", **labels)
        self._points[name].append((at, value))


@dataclass
class Bill:
    """A provider's bill by the day, as a file that somebody writes: late, and corrected afterwards."""

    file: Path
    rows: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    #: The rows of every version, by when it was written.
    versions: list[tuple[datetime, dict[tuple[str, str], Decimal]]] = field(default_factory=list)

    def write(self, now: datetime) -> None:
        """Write the file anew."""
        self.versions.append((now, dict(self.rows)))
        lines = [f"{day},cloud,{cost},USD,{team}" for (day, team), cost in sorted(self.rows.items())]
        self.file.write_text("\n".join(["date,provider,cost,currency,team", *lines, ""]))
        os.utime(self.file, (now.timestamp(), now.timestamp()))

    def most(self, begin: datetime, end: datetime) -> Decimal:
        """The most that any version has of the days between."""
        return max((self._sum(rows, begin, end) for _, rows in self.versions), default=Decimal(0))

    def last(self, begin: datetime, end: datetime) -> Decimal:
        """What the last version has."""
        return self._sum(self.rows, begin, end)

    def before(self, at: datetime, begin: datetime, end: datetime) -> Decimal:
        """What the last version has that was there at an instant."""
        return self._sum([rows for written, rows in self.versions if written <= at][-1], begin, end)

    @staticmethod
    def _sum(rows: dict[tuple[str, str], Decimal], begin: datetime, end: datetime) -> Decimal:
        return sum((cost for (day, _), cost in rows.items() if f"{begin:%Y-%m-%d}" <= day < f"{end:%Y-%m-%d}"),
                   Decimal(0))  # fmt: skip


@dataclass
class Told:
    """One event as a receiver got it: by which process, when, and what it says."""

    receiver: str
    process: str
    at: datetime
    event: dict[str, Any]


@dataclass
class Receivers:
    """Take the events of the public webhook contract, and remember them in order."""

    now: Callable[[], datetime]
    told: list[Told] = field(default_factory=list)
    heard: Callable[[Told], None] = lambda _: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Take one event."""
        one = Told(request.url.host, PROCESS.get().name, self.now(), json.loads(request.content))
        self.told.append(one)
        self.heard(one)
        return httpx.Response(204)


@dataclass
class Act:
    """What was done to a key, by whom, and when."""

    key: Key
    alias: str
    what: str
    by: str
    at: datetime


@dataclass
class Provider:
    """LiteLLM's interface for keys, as its reference has it. `acted` hears of everything that is done."""

    now: Callable[[], datetime]
    traffic: Traffic
    acts: list[Act] = field(default_factory=list)
    acted: Callable[[Act], None] = lambda _: None
    #: Whether it shows who changed a key's settings, and when; an older version does not.
    shows_changes: bool = False

    def change(self, key: Key, what: str, by: str) -> None:
        """Block or unblock a key."""
        self.traffic.pass_time()
        key.blocked = what == "block"
        key.changed = self.now().isoformat(), by
        act = Act(key, key.alias, what, by, self.now())
        self.acts.append(act)
        self.acted(act)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What LiteLLM answers."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return answer_json({"error": {"message": "no"}}, 401)
        path, params = request.url.path, request.url.params
        if path == "/key/list":
            found = [key.hash for key in self.traffic.keys if params.get("key_alias", "") in key.alias]
            return answer_json({"keys": found, "total_count": len(found), "current_page": 1, "total_pages": 1})
        if path == "/key/info":
            return self._info(params.get("key", ""))
        if path == "/team/info":
            team = params.get("team_id", "")
            info = {"team_id": team, "team_alias": team.removeprefix("id-")}
            return answer_json({"team_id": team, "team_info": info})
        key = self._key(json.loads(request.content).get("key", ""))
        if key is None:
            return answer_json({"error": {"message": "no such key"}}, 404)
        self.change(key, path.rpartition("/")[2], PROCESS.get().name)
        return answer_json({"key": key.hash, "blocked": key.blocked})

    def _info(self, hashed: str) -> httpx.Response:
        key = self._key(hashed)
        if key is None:
            return answer_json({"error": {"message": "no such key"}}, 404)
        info = {"key_alias": key.alias, "key_name": "sk-...abcd", "blocked": key.blocked, "team_id": f"id-{key.team}",
                "user_id": "somebody", "spend": 0.0, "max_budget": None, "budget_duration": None}  # fmt: skip
        if self.shows_changes and key.changed[0]:
            info |= {"settings_updated_at": key.changed[0], "updated_by": key.changed[1]}
        return answer_json({"key": hashed, "info": info})

    def _key(self, hashed: str) -> Key | None:
        return next((key for key in self.traffic.keys if key.hash == hashed), None)
