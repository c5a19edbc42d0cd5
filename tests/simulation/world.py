"""What the daemons look at: a gateway whose keys spend, receivers that are told, a provider that turns keys off.

The world knows its truth: what every key used, by whom it was turned off, what was shown on which page, and when.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import httpx

from tests.simulation.machines import PROCESS, answer_json

_METRIC: Final = "litellm_input_tokens_metric_total"
TOKEN: Final = "admin-token-of-the-provider"


@dataclass
class Key:
    """A virtual key: how fast it spends (tokens a second), what it used in all and since its gateway began."""

    alias: str
    team: str
    rate: float
    usual: float
    used: float = 0.0
    blocked: bool = False
    ran_away_until: datetime | None = None

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.alias.encode()).hexdigest()


@dataclass
class Gateway:
    """Counts what its keys use since it began. Keys that are blocked use nothing."""

    now: Callable[[], datetime]
    keys: dict[str, Key]
    lives: int = 1

    def __post_init__(self) -> None:
        self.began = self.seen = self.now()
        self.totals: Counter[str] = Counter()

    def pass_time(self) -> None:
        """Let the keys spend until now."""
        now = self.now()
        seconds, self.seen = (now - self.seen).total_seconds(), now
        for key in self.keys.values():
            if not key.blocked:
                key.used += key.rate * seconds

    def truth(self, alias: str) -> int:
        """What a key used in all, in tokens."""
        self.pass_time()
        return self.totals[alias] + int(self.keys[alias].used)

    def everything(self) -> int:
        """What all keys used."""
        return sum(self.truth(alias) for alias in self.keys)

    def restart(self) -> None:
        """The process ends and begins anew: its counters are at zero."""
        self.pass_time()
        for alias, key in self.keys.items():
            self.totals[alias] += int(key.used)
            key.used = 0.0
        self.began = self.now()
        self.lives += 1

    def answer(self, _request: httpx.Request) -> httpx.Response:
        """The page of metrics."""
        self.pass_time()
        lines = [
            f'{_METRIC}{{model="plain",api_key_alias="{key.alias}",team_alias="{key.team}"}} {int(key.used)}'
            for key in self.keys.values()
        ]
        began = f"process_start_time_seconds {self.began.timestamp()}"
        page = "\n".join([f"# TYPE {_METRIC} counter", *lines, began, ""])
        return httpx.Response(200, text=page, headers={"content-type": "text/plain; version=0.0.4"})


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

    alias: str
    what: str
    by: str
    at: datetime


@dataclass
class Provider:
    """LiteLLM's interface for keys, as its reference has it. `acted` hears of everything that is done."""

    now: Callable[[], datetime]
    keys: dict[str, Key]
    gateway: Gateway
    acts: list[Act] = field(default_factory=list)
    acted: Callable[[Act], None] = lambda _: None

    def change(self, alias: str, what: str, by: str) -> None:
        """Block or unblock a key."""
        self.gateway.pass_time()
        self.keys[alias].blocked = what == "block"
        act = Act(alias, what, by, self.now())
        self.acts.append(act)
        self.acted(act)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What LiteLLM answers."""
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return answer_json({"error": {"message": "no"}}, 401)
        path, params = request.url.path, request.url.params
        if path == "/key/list":
            found = [key.hash for key in self.keys.values() if params.get("key_alias", "") in key.alias]
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
        self.change(key.alias, path.rpartition("/")[2], PROCESS.get().name)
        return answer_json({"key": key.hash, "blocked": key.blocked})

    def _info(self, hashed: str) -> httpx.Response:
        key = self._key(hashed)
        if key is None:
            return answer_json({"error": {"message": "no such key"}}, 404)
        info = {"key_alias": key.alias, "key_name": "sk-...abcd", "blocked": key.blocked, "team_id": f"id-{key.team}",
                "user_id": "somebody", "spend": 0.0, "max_budget": None, "budget_duration": None}  # fmt: skip
        return answer_json({"key": hashed, "info": info})

    def _key(self, hashed: str) -> Key | None:
        return next((key for key in self.keys.values() if key.hash == hashed), None)


def by_group(told: list[Told], *names: str) -> dict[tuple[Any, ...], list[Told]]:
    """Events by the values of some of their fields, in order of arrival."""
    groups: defaultdict[tuple[Any, ...], list[Told]] = defaultdict(list)
    for one in told:
        values = (json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
                  for value in (one.event.get(name) for name in names))  # fmt: skip
        groups[one.receiver, *values].append(one)
    return groups
