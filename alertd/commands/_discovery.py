"""Find token counters at an address (a Prometheus or a metrics page), and the lines with which agents send usage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from alertd.clients.http_response import HttpProblem
from alertd.core.counting.presets import PRESETS
from alertd.core.counting.rules import Preset
from alertd.ports import Look, SourceError
from alertd.registry import load

#: Where a source of the kind `otlp` takes requests by default.
ENDPOINT: Final = "http://localhost:9480"
_PATH: Final = "/v1/metrics"
_PEOPLE: Final = "OTEL_RESOURCE_ATTRIBUTES=enduser.id=NAME,team.id=TEAM,project=PROJECT"


@dataclass(frozen=True, slots=True)
class AgentLines:
    """Configuration lines for an agent, where to put them, and remarks.

    `{base}` is the address without a path, `{url}` with it, `{headers}` are those of a TOML file with the
    token, `{bearer}` is the token as the value of a list of headers.
    """

    place: str
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()


_OTEL: Final = (
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT={url}",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS=Authorization={bearer}",
)

AGENTS: Final[dict[str, AgentLines]] = {
    "claude-code": AgentLines(
        "the environment of a person, or `env` in the managed settings of a fleet",
        ("CLAUDE_CODE_ENABLE_TELEMETRY=1", "OTEL_METRICS_EXPORTER=otlp", *_OTEL, _PEOPLE),
        (
            "Without a sign-in (API key, Bedrock, Vertex) only enduser.id says whose usage it is.",
            "No prompt is sent: metrics hold counts and names only.",
        ),
    ),
    "codex": AgentLines(
        "~/.codex/config.toml",
        (
            "[otel]",
            'metrics_exporter = {{ otlp-http = {{ endpoint = "{url}", protocol = "binary", headers = {headers} }} }}',
        ),
        (
            "Codex sends no user: give each person or team a token of its own (SENDERS), its name is the label sender.",
            "A turn is sent when it ends: a long one is silent until then.",
        ),
    ),
    "gemini-cli": AgentLines(
        "the environment of a person",
        (
            "GEMINI_TELEMETRY_ENABLED=true",
            "GEMINI_TELEMETRY_TARGET=local",
            "GEMINI_TELEMETRY_OTLP_PROTOCOL=http",
            "GEMINI_TELEMETRY_OTLP_ENDPOINT={base}",
            "GEMINI_TELEMETRY_LOG_PROMPTS=false",
            "OTEL_EXPORTER_OTLP_HEADERS=Authorization={bearer}",
        ),
        ("It sends traces and logs to the same address; alertd takes the metrics and answers 404 to these.",),
    ),
    "copilot-cli": AgentLines(
        "the environment of a person",
        ("COPILOT_OTEL_ENABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT={base}",
         "OTEL_EXPORTER_OTLP_HEADERS=Authorization={bearer}", _PEOPLE),
        ("Its metrics do not count cached tokens apart: volume is right, money is in GitHub's bill.",),
    ),
    "opencode": AgentLines(
        "the environment of a person, with the plug-in opencode-plugin-otel",
        (
            "OPENCODE_ENABLE_TELEMETRY=1",
            "OPENCODE_OTLP_PROTOCOL=http/protobuf",
            "OPENCODE_OTLP_ENDPOINT={base}",
            "OPENCODE_OTLP_HEADERS=Authorization={bearer}",
            "OPENCODE_SPAN_ATTRIBUTES=team=TEAM",
        ),
    ),
    "cline": AgentLines(
        "the environment of the editor",
        (
            "CLINE_OTEL_TELEMETRY_ENABLED=1",
            "CLINE_OTEL_METRICS_EXPORTER=otlp",
            "CLINE_OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            "CLINE_OTEL_EXPORTER_OTLP_ENDPOINT={base}",
            "CLINE_OTEL_EXPORTER_OTLP_HEADERS=Authorization={bearer}",
        ),
        ("Its cost is counted, as its own estimate: whether its input includes the cache depends on the provider.",),
    ),
    "sdk": AgentLines(
        "the environment of a program with an OpenTelemetry SDK and instrumented model calls",
        ("OTEL_METRICS_EXPORTER=otlp", *_OTEL, "OTEL_SERVICE_NAME=NAME", _PEOPLE),
    ),
}  # fmt: skip


def agent_lines(agent: str, endpoint: str = ENDPOINT, token: str = "TOKEN") -> str:  # noqa: S107 - a placeholder
    """The lines for an agent, ready to be copied; `endpoint` is where alertd is reached."""
    base = endpoint.rstrip("/").removesuffix(_PATH)
    known = AGENTS[agent]
    headers = f'{{ "Authorization" = "Bearer {token}" }}'
    values = {
        "headers": headers,
        "base": base,
        "url": f"{base}{_PATH}",
        "token": token,
        "bearer": quote(f"Bearer {token}"),
    }
    lines = [line.format_map(values) for line in known.lines]
    return "\n".join((f"# {known.place}", *(f"# {note}" for note in known.notes), *lines))


def source_lines(agent: str) -> str:
    """The lines of alertd's own env file that take what an agent sends."""
    lines = ["ALERTD_SOURCES__AGENTS__KIND=otlp", "ALERTD_SOURCES__AGENTS__TOKEN_FILE=otlp-token"]
    if agent == "codex":
        lines[1] = 'ALERTD_SOURCES__AGENTS__SENDERS={"team-a": "a token of 24 characters or more"}'
    return "\n".join(lines)


SOURCE: Final = "ALERTD_SOURCES__GATEWAY__"
#: Labels that identify the user of a key, the best first.
WHO: Final = ("team", "key", "user", "project", "application", "service")
USUAL: Final = "litellm"
_UNAUTHORIZED: Final = 401
#: The answers of a server that has no list of metric names, but may answer queries.
_NO_LIST: Final = frozenset({400, 403, 404, 405, 501})
_WANTS_TOKEN: Final = f"It wants a token: put it into a file and name that in {SOURCE}TOKEN_FILE"


@dataclass(frozen=True, slots=True)
class DiscoveredSource:
    """The keys of a source for the counters, and what was found there; `tried` says why nothing was found."""

    keys: Mapping[str, str]
    look: Look | None = None
    tried: tuple[str, ...] = ()
    #: The server asked for a token, or refused the given one.
    wants_token: bool = False

    def labels(self) -> list[str]:
        """The found labels that identify the user of a key, the best first."""
        return [label for label in WHO if self.look is not None and self.look.labels.get(label)]


@dataclass(slots=True)
class _Address:
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

    async def find(self, preset: str | None) -> DiscoveredSource | None:
        """The counters of the first preset that has any there; None if none has."""
        presets = await self._presets(preset)
        for place, name in enumerate(presets):
            look = await self._look(name)
            if look.labels:
                others = () if preset else await self._others(name, presets[place + 1 :])
                return DiscoveredSource(self.keys(name), look, others)
            self.said |= dict.fromkeys(filter(None, (_worth_saying(one, preset) for one in look.problems)))
            if self.wants_token or not self.answers:
                return None  # this holds for every preset
        for name in [preset] if preset else list(PRESETS):
            if (more := renamed(PRESETS[name], self.names)) and (look := await self._look(name, more)).labels:
                return DiscoveredSource(
                    self.keys(name, more), look, (f"The counters of {name} have other names there.",)
                )
        return None

    async def _presets(self, preset: str | None) -> Sequence[str]:
        """The presets whose metric names exist on the server, by one request.

        All presets if it has no list of names.
        """
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
        """One sentence for each other gateway there whose counters the found preset does not read."""
        read, others = set(PRESETS[found].metrics()), []
        for name in rest:
            if read.isdisjoint(PRESETS[name].metrics()) and (await self._look(name)).labels:
                read.update(PRESETS[name].metrics())
                others.append(name)
        return tuple(
            f"Counters of {name} are there too; to read them, add a source with PRESET={name}" for name in others
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


async def find(url: str, preset: str | None = None, token: Mapping[str, str] | None = None) -> DiscoveredSource:
    """The first kind and preset that finds counters at an address; otherwise the most likely kind for such an address.

    `token`: the bearer token, as the option `token` of a source.
    """
    places = [_Address(kind, address, token or {}) for kind, address in _candidates(url)]
    for place in places:
        if (found := await place.find(preset)) is not None:
            return found
        if place.answers:
            break  # it answers correctly, but has no counters yet
    guarded = next((place for place in places if place.wants_token), None)
    likely = next((place for place in places if place.answers), guarded or places[0])
    said = [text for place in places for text in place.said]
    tried = tuple(dict.fromkeys([*said, *([_WANTS_TOKEN] if guarded else [])]))
    return DiscoveredSource(likely.keys(preset or USUAL), None, tried, guarded is not None)


def renamed(preset: Preset, names: Collection[str]) -> dict[str, str]:
    """The options for reading a preset's metrics under longer names, such as those with a collector's namespace.

    Empty if no name ends like one of the metrics, or if one metric has several such names.
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
    """The problem, or the metrics that look like token counters; "" if it only says that a preset is absent."""
    if preset or problem.startswith(("http", "Prometheus cannot scrape")):
        return problem
    _, found, names = problem.partition("these look like")
    return found + names
