"""Usage that agents and SDKs send by OTLP/HTTP: decoded, attributed by presets, and answered once it is durable.

take (a request) -> clients/otlp -> points of the ledger's series, queued -> read, committed by the collect loop
-> the request is answered; where nothing was committed, the sender is asked to try again
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Final, NamedTuple

import msgspec
from pydantic import Field, field_validator, model_validator

from alertd.clients.otlp import Attributes, MetricsRequest, read_request
from alertd.core.config_errors import one_of
from alertd.core.counting.agent_presets import SERVICES
from alertd.core.counting.attribution import Attribution, Attributor, Terms, fingerprint
from alertd.core.counting.presets import PRESETS
from alertd.core.counting.rules import PLACES, Preset
from alertd.core.counting.streams import StreamPoint
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import COST_METER
from alertd.plugin_options import Duration, Secret, SourceOptions, TextList, revealed
from alertd.ports import Look, NotTakenError, Reading, Taken

#: Where it connects to, for docs/outbound-hosts.md.
OUTBOUND: Final = "none: agents connect to it"
#: The section of docs/sources.md about this kind; `make docs` puts it there.
GUIDE: Final = """\
Coding agents and SDKs by OTLP

Reads: the metrics that Claude Code, Codex, Gemini CLI, Copilot, OpenCode, Cline and SDKs with the GenAI conventions
send by OTLP/HTTP (protobuf or JSON, gzip), to `/v1/metrics` of alertd's own port or to `LISTEN`. No collector is
needed; [coding agents](agents.md) has the lines for each agent, and `alertd init --agent claude-code` prints them.
Least privilege: a token that can only send, `TOKEN_FILE`; one for each sender by `SENDERS`, whose name becomes the
label `sender`. Delay: the agents' export interval, a minute. Cannot see: what an agent did not send before it ended.
```sh
ALERTD_SOURCES__AGENTS__KIND=otlp
ALERTD_SOURCES__AGENTS__TOKEN_FILE=/run/secrets/otlp-token
ALERTD_SOURCES__AGENTS__LISTEN=0.0.0.0:4318
ALERTD_SOURCES__AGENTS__SCOPE_LABELS=session
ALERTD_SOURCES__AGENTS__LABELS=environment=dev
```
"""

#: The presets that are tried, the first that knows a metric; a service of its own goes before.
_ORDER: Final = ("claude_code", "codex", "gemini_cli", "opencode", "cline", "otel_usage", "otel")
_GENERIC: Final = ("otel_usage", "otel")
_NOT_A_LETTER: Final = re.compile(r"[^a-zA-Z0-9_:]")
_SUFFIXES: Final = {"sum": "_total", "histogram": "_sum", "exponential_histogram": "_sum"}
#: The most points that wait to be stored, and streams whose meaning is kept.
_MOST_WAITING: Final = 200_000
_MOST_KNOWN: Final = 20_000
_MOST_NAMED: Final = 5
#: A sender gives up after ten seconds; it hears before that what became of its request.
_PATIENCE: Final = 8.0
#: Bodies from this size on are decoded in a thread.
_LARGE: Final = 1 << 16
_TOKENS, _MONEY = Decimal(1), Decimal(10) ** 9
#: What the names of metrics hold that count no tokens, or those of another metric again.
_NO_TOKENS: Final = ("time", "operation", "session", "cline", "per_")
_UNKNOWN: Final = "no preset takes {}: what they count is taken to be in no figure"
_OWN_MONEY: Final = "what Cline costs is its own estimate: it sends no tokens that could be priced"


class Options(SourceOptions):
    """Where agents and SDKs send their metrics by OTLP/HTTP, and who may."""

    token: Secret | None = Field(None, description="The bearer token of all who send; required off loopback")
    senders: dict[str, Secret] = Field(
        default_factory=dict,
        description='A token for each sender, {"team-a": "..."}: its name becomes the label `sender`',
    )
    path: str = Field("/v1/metrics", description="The path that requests are sent to")
    listen: str = Field(
        "", description="An own address, 0.0.0.0:4318; without it, alertd's own port takes the requests"
    )
    presets: TextList = Field(
        default_factory=list, description="Whose metrics are taken; all of these where absent: " + ", ".join(_ORDER)
    )
    scope_labels: TextList = Field(
        default_factory=list,
        description="Further attributes that budgets may be cut by; `session` keeps each session apart",
    )
    provider: str = Field("", description="The provider whose prices apply, where no attribute names it")
    max_streams: int = Field(
        100_000, gt=0, description="How many streams are remembered at most; those idle the longest are forgotten"
    )
    max_body: int = Field(
        16 * 1024 * 1024, gt=0, description="The most bytes of a request, also once it is decompressed"
    )
    stale_after: Duration | None = Field(
        None,
        description="How long nobody may send before its budgets become unknown. Default: for ever, nights are quiet",
    )

    @field_validator("path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if not re.fullmatch(r"/[\w./-]+", path, re.ASCII) or path.startswith(("/api", "/static")):
            raise ValueError("a path begins with / and is not one of alertd's own, such as /v1/metrics")
        return path

    @field_validator("listen")
    @classmethod
    def _is_address(cls, listen: str) -> str:
        if listen and not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):[0-9]{1,5}", listen, re.ASCII):
            raise ValueError("write it as host:port, such as 0.0.0.0:4318")
        return listen

    @field_validator("presets")
    @classmethod
    def _are_known(cls, names: list[str]) -> list[str]:
        known = {**dict.fromkeys(_ORDER), **dict.fromkeys(SERVICES.values())}
        found = [name.strip().lower().replace("-", "_") for name in names]
        for name in found:
            if name not in known:
                raise ValueError(f"no such preset; {one_of(name, sorted(known))}")
        return found

    @model_validator(mode="after")
    def _hashes_what_it_keeps(self) -> Options:
        kept = {*PLACES, "sender", "service", *self.scope_labels, *self.labels}
        kept |= {label for name in self.taken() for label in PRESETS[name].labels}
        for name in self.hash_labels:
            if name not in kept:
                raise ValueError(f"hash_labels names {name!r}, which is no label of this source; {one_of(name, kept)}")
        return self

    def taken(self) -> tuple[str, ...]:
        """The presets whose metrics are taken."""
        return tuple(self.presets) or (*_ORDER, "copilot")

    def attributors(self) -> dict[str, Attributor]:
        """What reads the attributes of each preset's metrics."""
        return {name: Attributor(_kept(PRESETS[name]), self._terms(PRESETS[name])) for name in self.taken()}

    def _terms(self, preset: Preset) -> Terms:
        money_only = all(rule.meter == COST_METER for rule in preset.rules)
        return Terms(
            provider=self.provider if not preset.provider else "",
            account=self.account,
            labels=self.labels,
            scope_labels=tuple(name for name in self.scope_labels if name not in preset.labels),
            drop_labels=frozenset(self.drop_labels),
            pseudonyms=self.pseudonyms(),
            money="cost" if money_only else "estimate",
        )


def _kept(preset: Preset) -> Preset:
    """The preset with the label of its sender."""
    return Preset(
        preset.rules,
        preset.model,
        preset.provider,
        preset.providers,
        {**preset.labels, "sender": ("sender",)},
        preset.delay,
        preset.optional,
    )


def build(name: str, options: Options) -> Otlp:
    """Build the source; it does not listen yet."""
    return Otlp(name, options)


class _Stream(NamedTuple):
    """What a data stream feeds; nothing where no rule takes it."""

    fingerprint: str
    found: Attribution | None


class _Kind(NamedTuple):
    """What identifies a stream beside its own attributes."""

    name: str
    unit: str
    kind: str
    is_delta: bool
    resource: Attributes
    scope: tuple[str, str]
    sender: str


class _Waiting(NamedTuple):
    """The points of a request, and who waits for them to be stored."""

    points: list[StreamPoint]
    done: asyncio.Future[None]


class Otlp:
    """Requests wait here for the collect loop, which reads all of them at once."""

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.standing = SourceRole(options.role)
        self.interval = options.interval or timedelta(seconds=60)
        self.delay = timedelta(seconds=60) if options.delay is None else options.delay
        self.stale_after = options.stale_after or max(5 * self.interval, timedelta(minutes=10))
        self.path, self.listen, self.most_bytes = options.path, options.listen, options.max_body
        self.arrived = asyncio.Event()
        self._may_be_quiet = options.stale_after is None
        self._options = options
        self._attributors = options.attributors()
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        self._streams: dict[tuple[_Kind, Attributes], _Stream] = {}
        #: Metrics that by their names count tokens, and that no preset takes.
        self._unknown: dict[str, None] = {}
        self._newest: datetime | None = None
        self._received = 0
        self._own_money = False

    def sender(self, token: str | None, *, loopback: bool) -> str | None:
        """The sender whose token this is; "" where senders have no names, None for an unknown one."""
        given = (token or "").encode()
        for name, secret in self._options.senders.items():
            if hmac.compare_digest(given, secret.get_secret_value().encode()):
                return name
        own = revealed(self._options.token)
        if own:
            return "" if hmac.compare_digest(given, own.encode()) else None
        return "" if loopback and not self._options.senders else None

    async def take(self, body: bytes, now: datetime, *, is_json: bool, sender: str) -> Taken:
        """Decode a request and wait until it is durable. NotTakenError; ValueError for one that is malformed."""
        if self._waiting >= _MOST_WAITING:
            raise NotTakenError("too many points wait to be stored; send them again later", retry_after=2, is_full=True)
        if len(body) < _LARGE:
            request = read_request(body, self._is_wanted, is_json=is_json)
        else:
            request = await asyncio.to_thread(read_request, body, self._is_wanted, is_json=is_json)
        self._watch(request)
        points = self._points(request, sender, now)
        if points:
            await self._store(points)
        return Taken(request.refused, "; ".join(list(request.reasons)[:_MOST_NAMED]))

    async def _store(self, points: list[StreamPoint]) -> None:
        waiting = _Waiting(points, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting += len(points)
        self.arrived.set()
        try:
            await asyncio.wait_for(asyncio.shield(waiting.done), _PATIENCE)
        except TimeoutError:
            raise NotTakenError("it took too long to store the points; send them again", retry_after=5) from None

    def refuse(self) -> None:
        """Answer all who wait that nothing was stored."""
        self.arrived.clear()
        while self._queue:
            waiting = self._queue.popleft()
            self._waiting -= len(waiting.points)
            if not waiting.done.done():
                waiting.done.set_exception(NotTakenError("the database does not answer; send again", retry_after=5))
                waiting.done.exception()  # who waited may have hung up

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """All requests that wait. Where the reading is not committed, they wait for the next one."""
        self.arrived.clear()
        batch = list(self._queue)
        self._queue.clear()
        try:
            yield self._reading(cursor, now, [point for waiting in batch for point in waiting.points])
        except GeneratorExit:
            self._queue.extendleft(reversed(batch))
            if batch:
                self.arrived.set()
            raise
        for waiting in batch:
            self._waiting -= len(waiting.points)
            if not waiting.done.done():
                waiting.done.set_result(None)

    def _reading(self, cursor: str | None, now: datetime, points: list[StreamPoint]) -> Reading:
        if points:
            self._newest, self._received = now, self._received + len(points)
        last = _last(cursor)
        newest = max(filter(None, (self._newest, last)), default=None)
        unknown = ", ".join(list(self._unknown)[:_MOST_NAMED])
        return Reading(
            cursor=msgspec.json.encode({"newest": newest}).decode(),
            until=now if self._may_be_quiet or newest is None else newest,
            points=points,
            most_counters=self._options.max_streams,
            assumed=(
                *((_UNKNOWN.format(unknown),) if unknown else ()),
                *((_OWN_MONEY,) if self._own_money else ()),
            ),
            complete_from=None if cursor else now,
        )

    async def look(self, now: datetime) -> Look:
        """What there is to know without anybody sending."""
        place = f"{self.listen or 'the address of ALERTD_HTTP__LISTEN'}, {self.path}"
        remarks: tuple[str, ...] = ()
        if self.sender(None, loopback=True) is not None:
            remarks = ("it has no token: only this machine may send. Set TOKEN_FILE for all others",)
        return Look(f"takes OTLP/HTTP metrics at {place}", now, remarks=remarks)

    async def close(self) -> None:
        """Let those go who wait."""
        self.refuse()

    @cached_property
    def _known_metrics(self) -> frozenset[str]:
        return frozenset(name for found in self._options.taken() for name in PRESETS[found].metrics())

    def _is_wanted(self, name: str) -> bool:
        plain = _plain(name)
        return any(plain + suffix in self._known_metrics for suffix in ("", "_total", "_sum"))

    def _watch(self, request: MetricsRequest) -> None:
        for name in request.names:
            is_token = "token" in name.lower() and not any(word in name.lower() for word in _NO_TOKENS)
            if is_token and not self._is_wanted(name) and len(self._unknown) < _MOST_NAMED:
                self._unknown["".join(char if char.isprintable() else "?" for char in name[:100])] = None

    def _points(self, request: MetricsRequest, sender: str, received: datetime) -> list[StreamPoint]:
        """The points of the ledger's series in a request."""
        found: list[StreamPoint] = []
        newer = {m.resource for m in request.metrics if _plain(m.name).startswith("gen_ai_client_inference_usage")}
        at = received.timestamp()
        for metric in request.metrics:
            service = dict(metric.resource).get("service.name", "")
            name = _plain(metric.name) + _SUFFIXES[metric.kind]
            preset = self._preset(name, service)
            if preset is None or (preset in ("otel", "copilot") and metric.resource in newer):
                continue
            known = _Kind(*metric[:6], sender)
            for attributes, start, time, value in metric.points:
                stream = self._streams.get((known, attributes))
                if stream is None:
                    stream = self._stream(preset, name, known, attributes)
                if stream.found is None:
                    continue
                line, labels, within = stream.found.line, stream.found.labels, stream.found.within
                identity = stream.fingerprint if metric.is_delta else f"{stream.fingerprint}{start:x}"
                scale = _MONEY if stream.found.is_money else _TOKENS
                self._own_money = self._own_money or preset == "cline"
                found.append(
                    StreamPoint(identity, line, labels, within, start, time, repr(value), scale, metric.is_delta, at)
                )
        return found

    def _preset(self, metric: str, service: str) -> str | None:
        """The preset that reads a metric of a service; None where it counts what another metric counts."""
        own = SERVICES.get(service.lower())
        if own in self._attributors and metric in PRESETS[own].metrics():
            return own
        for name in _ORDER:
            if name in self._attributors and metric in PRESETS[name].metrics():
                return None if own == "gemini_cli" and name in _GENERIC else name
        return None

    def _stream(self, preset: str, name: str, known: _Kind, attributes: Attributes) -> _Stream:
        """What the points of a stream feed, remembered."""
        raw = {_plain(key): value for key, value in (*known.resource, *attributes)}
        if known.sender:
            raw["sender"] = known.sender
        attributor = self._attributors[preset]
        found = attributor.of(name, raw)
        if found is None:
            unknown = attributor.unknown_type(name, raw)
            if unknown is not None and len(self._unknown) < _MOST_NAMED:
                self._unknown[unknown] = None
        identity = {**raw, "\x00": f"{known.unit} {known.kind} {known.is_delta} {known.scope} {sorted(known.resource)}"}
        stream = _Stream(fingerprint(name, identity), found)
        if len(self._streams) >= _MOST_KNOWN:
            self._streams.clear()
        self._streams[known, attributes] = stream
        return stream


def _last(cursor: str | None) -> datetime | None:
    """When points came last, as of a cursor."""
    try:
        return msgspec.json.decode(cursor, type=dict[str, datetime | None]).get("newest") if cursor else None
    except msgspec.MsgspecError:
        return None  # another kind of source was read under this name


def _plain(name: str) -> str:
    """A name as Prometheus writes it."""
    return _NOT_A_LETTER.sub("_", name)
