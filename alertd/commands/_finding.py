"""Where token counters are: an address is tried as a Prometheus, then as a page of metrics. No command itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from alertd.core.counting.presets import PRESETS
from alertd.core.counting.rules import Preset
from alertd.ports import Look, SourceError
from alertd.registry import load
from alertd.wire.answers import HttpProblem

SOURCE: Final = "ALERTD_SOURCES__GATEWAY__"
#: Labels that name who spends, the best first.
WHO: Final = ("team", "key", "user", "project", "application", "service")
USUAL: Final = "litellm"
_UNAUTHORIZED: Final = 401
#: What a server without the list of names answers, while it may well answer queries.
_NO_LIST: Final = frozenset({400, 403, 404, 405, 501})
_WANTS_TOKEN: Final = f"It wants a token: put it into a file and name that in {SOURCE}TOKEN_FILE"


@dataclass(frozen=True, slots=True)
class Found:
    """Where the counters are, as the keys of a source, and what was seen there; `tried` says why nothing was."""

    keys: Mapping[str, str]
    look: Look | None = None
    tried: tuple[str, ...] = ()
    #: A server there answered that it wants a token, or another one.
    wants_token: bool = False

    def labels(self) -> list[str]:
        """The labels there that name who spends, the best first."""
        return [label for label in WHO if self.look is not None and self.look.labels.get(label)]


@dataclass(slots=True)
class _Place:
    """One kind of source at one address, and what was found there."""

    kind: str
    url: str
    token: Mapping[str, str]
    said: dict[str, None] = field(default_factory=dict)
    wants_token: bool = False
    answers: bool = False
    names: frozenset[str] = frozenset()

    def keys(self, preset: str, more: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """The keys of a source there."""
        keys = {f"{SOURCE}KIND": self.kind, f"{SOURCE}URL": self.url, f"{SOURCE}PRESET": preset}
        return keys | {f"{SOURCE}{name.upper()}": value for name, value in more.items()}

    async def find(self, preset: str | None) -> Found | None:
        """The counters of the first preset that has any there, None without."""
        presets = await self._presets(preset)
        for place, name in enumerate(presets):
            look = await self._look(name)
            if look.labels:
                others = () if preset else await self._others(name, presets[place + 1 :])
                return Found(self.keys(name), look, others)
            self.said |= dict.fromkeys(filter(None, (_worth_saying(one, preset) for one in look.problems)))
            if self.wants_token or not self.answers:
                return None  # it is so for every preset
        for name in [preset] if preset else list(PRESETS):
            if (more := renamed(PRESETS[name], self.names)) and (look := await self._look(name, more)).labels:
                return Found(self.keys(name, more), look, (f"The counters of {name} have other names there.",))
        return None

    async def _presets(self, preset: str | None) -> Sequence[str]:
        """The presets whose metrics are there by name: one question. All where the server has no list of names."""
        try:
            async with self._source(preset or USUAL) as source:
                self.names = frozenset(await source.names(datetime.now(UTC)))
        except HttpProblem as problem:
            self.wants_token = problem.status == _UNAUTHORIZED
            self.answers = problem.status in _NO_LIST and self.kind == "prometheus"
            if not self.answers:
                self.said[str(problem)] = None
            return ([preset] if preset else list(PRESETS)) if self.answers else []
        except SourceError as error:
            self.said[str(error)] = None
            return []
        self.answers = True
        there = [name for name, one in PRESETS.items() if self.names.intersection(one.metrics())]
        return [preset] if preset else there or [USUAL]

    async def _look(self, preset: str, more: Mapping[str, str] = MappingProxyType({})) -> Look:
        async with self._source(preset, more) as source:
            try:
                look: Look = await source.look(datetime.now(UTC))
            except SourceError as error:
                look = Look("not readable", problems=(str(error),))
        self.answers = not look.summary.endswith("not readable")
        self.wants_token |= not self.answers and any("answers 401" in problem for problem in look.problems)
        return look

    async def _others(self, found: str, rest: Sequence[str]) -> tuple[str, ...]:
        """One sentence for each further gateway there whose counters the preset that was found does not read."""
        read, others = set(PRESETS[found].metrics()), []
        for name in rest:
            if read.isdisjoint(PRESETS[name].metrics()) and (await self._look(name)).labels:
                read.update(PRESETS[name].metrics())
                others.append(name)
        return tuple(
            f"Counters of {name} are there, too: give them a source of their own, PRESET={name}" for name in others
        )

    @asynccontextmanager
    async def _source(self, preset: str, more: Mapping[str, str] = MappingProxyType({})) -> AsyncIterator[Any]:
        plugin = load("sources", self.kind)
        given = {"url": self.url, "preset": preset, "timeout": "10s", **self.token, **more}
        source = plugin.build("gateway", plugin.Options.model_validate(given))
        try:
            yield source
        finally:
            await source.close()


async def find(url: str, preset: str | None = None, token: Mapping[str, str] | None = None) -> Found:
    """The first kind and preset that finds counters at an address; else what an address like it most likely is.

    `token`: how the server lets in, as the option `token` of a source.
    """
    places = [_Place(kind, address, token or {}) for kind, address in _candidates(url)]
    for place in places:
        if (found := await place.find(preset)) is not None:
            return found
        if place.answers:
            break  # it answers as what it is, and has no counters yet
    guarded = next((place for place in places if place.wants_token), None)
    likely = next((place for place in places if place.answers), guarded or places[0])
    said = [text for place in places for text in place.said]
    tried = tuple(dict.fromkeys([*said, *([_WANTS_TOKEN] if guarded else [])]))
    return Found(likely.keys(preset or USUAL), None, tried, guarded is not None)


def renamed(preset: Preset, names: Collection[str]) -> dict[str, str]:
    """The options that read a preset's metrics under longer names, as a collector's namespace or a relabel makes them.

    Nothing where no name ends as one of the metrics does, or where one metric has several such names.
    """
    typed: dict[str, str] = {}
    meters: dict[str, str] = {}
    for rule in preset.rules:
        for metric in rule.metrics:
            there = [name for name in names if name.endswith((f"_{metric}", f":{metric}"))]
            if len(there) > 1:
                return {}
            for name in there:
                (typed if rule.where else meters)[name] = rule.meter + (f"<{rule.within}" if rule.within else "")
    if typed:
        return {"metric": ",".join(sorted(typed))}
    mapped = ",".join(f"{name}={meaning}" for name, meaning in sorted(meters.items()))
    return {"type_label": "__name__", "type_map": mapped} if mapped else {}


def _candidates(url: str) -> Iterator[tuple[str, str]]:
    if url.rstrip("/").endswith("/metrics"):
        yield "scrape", url
    else:
        yield "prometheus", url
        yield "scrape", f"{url.rstrip('/')}/metrics"


def _worth_saying(problem: str, preset: str | None) -> str:
    """The problem, or what in it looks like a token counter; "" where it only says that a preset is absent."""
    if preset or problem.startswith(("http", "Prometheus cannot scrape")):
        return problem
    _, found, names = problem.partition("these look like")
    return found + names
