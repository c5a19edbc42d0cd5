"""Who called Bedrock, by the model invocation log in S3: counts and callers only, no prompt and no answer is kept.

`AWSLogs/ACCOUNT/BedrockModelInvocationLogs/REGION/yyyy/mm/dd/hh/*.json.gz`, one JSON object a line. A file is read
once; a request that two files hold counts once. Bodies above 100 KB are objects of their own below `data/`: not read.
Source: Bedrock user guide (model invocation logging).
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from alertd.clients.aws import Aws
from alertd.clients.object_store import ObjectStore, StoredObject, StoreOptions
from alertd.core.messages.format import plural
from alertd.plugin_options import Connection
from alertd.sources._bedrock import Caller, Callers, caller, short_id
from alertd.sources._timed_source import MetricSpan

#: A file is named by when it was written: up to this long after the requests in it.
_LATE: Final = timedelta(hours=2)
_HOUR: Final = timedelta(hours=1)
#: For how long the sums of a file are kept, and which requests it had: three hours are read again each time.
_FILES_KEPT: Final = timedelta(days=1)
_REQUESTS_KEPT: Final = timedelta(hours=6)
_PERIOD: Final = 300
#: The longest line (a request with both bodies has 200 KB) and the most that a file may hold unpacked, in bytes.
_MOST_LINE: Final = 16 << 20
_MOST_FILE: Final = 4 << 30
_METERS: Final = ("input", "cached_input", "cache_write", "output")


class _Identity(msgspec.Struct):
    arn: str = ""


class _Input(msgspec.Struct, rename="camel"):
    input_token_count: int | None = None
    cache_read_input_token_count: int | None = None
    cache_write_input_token_count: int | None = None


class _Output(msgspec.Struct, rename="camel"):
    output_token_count: int | None = None


class _Line(msgspec.Struct, rename="camel"):
    """A line of the log, without what was asked and answered."""

    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    model_id: str
    request_id: str = ""
    identity: _Identity = msgspec.field(default_factory=_Identity)
    input: _Input = msgspec.field(default_factory=_Input)
    output: _Output = msgspec.field(default_factory=_Output)
    request_metadata: dict[str, Any] | None = None


class _Where(NamedTuple):
    """What tokens are counted by; `at` is the beginning of five minutes, in seconds since 1970."""

    model: str
    meter: str
    at: int
    who: Caller


@dataclass(slots=True)
class _Read:
    """One file: its hour, what changes when it changes, its tokens, and the lines that could not be read."""

    hour: datetime
    mark: str
    tokens: Counter[_Where] = field(default_factory=Counter)
    unread: int = 0


@dataclass(slots=True)
class _Known:
    """What was read of one region: files by key, and the hour of each request that is in them."""

    files: dict[str, _Read] = field(default_factory=dict)
    requests: dict[int, datetime] = field(default_factory=dict)

    def forget(self, hour: datetime) -> None:
        """Let go what no further file of this hour or a later one needs."""
        for key in [key for key, one in self.files.items() if one.hour < hour - _FILES_KEPT]:
            del self.files[key]
        for request in [one for one, at in self.requests.items() if at < hour - _REQUESTS_KEPT]:
            del self.requests[request]


class InvocationLog:
    """The log below a place such as `s3://bucket-{region}/prefix`."""

    def __init__(
        self, path: str, aws: Aws, connection: Connection, options: StoreOptions, metadata: Sequence[str]
    ) -> None:
        """`metadata` are keys of a request's metadata that become labels."""
        self._path, self._metadata = path, metadata
        self._connection, self._aws, self._options = connection, aws, options
        self._stores: dict[str, ObjectStore] = {}
        self._account = ""
        self._known: dict[str, _Known] = {}

    async def callers(self, region: str, span: MetricSpan) -> tuple[Callers, list[str]]:
        """The tokens of each caller in a span by model, meter and period, and what could not be read of the log.

        SourceError where the place cannot be read.
        """
        if not self._account:
            self._account = (await self._aws.call("sts", "GetCallerIdentity", region)).text("Account")
        store, known = self._store(region), self._known.setdefault(region, _Known())
        found, gaps = Callers(), []
        hour = span.start.replace(minute=0, second=0, microsecond=0)
        while hour < span.end + _LATE:
            folder = f"AWSLogs/{self._account}/BedrockModelInvocationLogs/{region}/{hour:%Y/%m/%d/%H}/"
            listed = [one for one in await store.below(folder) if _is_log(one.key.removeprefix(folder))]
            if any(one.key in known.files and known.files[one.key].mark != one.mark for one in listed):
                known = self._known[region] = _Known()  # written again: which requests it had is not known
                return await self.callers(region, span)
            for one in listed:
                read = known.files.get(one.key) or await self._read(store, one, known, hour)
                if read.unread:
                    gaps.append(f"{plural(read.unread, 'line')} of {one.key} cannot be read: who called is not known")
                _add_to(found, read, span)
            known.forget(hour)
            hour += _HOUR
        return found, gaps

    async def close(self) -> None:
        """Close the connections."""
        for store in self._stores.values():
            await store.close()

    def _store(self, region: str) -> ObjectStore:
        if region not in self._stores:
            options = self._options.model_copy(update={"region": region})
            path = self._path.replace("{region}", region)
            self._stores[region] = ObjectStore(self._aws.name, path, self._connection, options)
        return self._stores[region]

    async def _read(self, store: ObjectStore, one: StoredObject, known: _Known, hour: datetime) -> _Read:
        with TemporaryDirectory(prefix="alertd-") as folder:
            path = Path(folder) / one.key.rsplit("/", 1)[-1]
            await store.copy(one, path)
            read, requests = await asyncio.to_thread(self._parsed, path, known.requests, _Read(hour, one.mark))
        if not read.unread:  # else it is read again
            known.files[one.key] = read
            known.requests.update(dict.fromkeys(requests, hour))
        return read

    def _parsed(self, path: Path, known: Container[int], found: _Read) -> tuple[_Read, set[int]]:
        """What a file holds, without the requests that are `known`; and its own requests."""
        requests: set[int] = set()
        decode = msgspec.json.Decoder(_Line).decode
        for text in _lines(path):
            if text is None:
                found.unread += 1
                continue
            if not text.strip():
                continue
            try:
                line = decode(text)
            except msgspec.MsgspecError:
                found.unread += 1
                continue
            request = hash(line.request_id)
            if not line.request_id or (request not in known and request not in requests):
                requests.add(request)
                self._add(line, found.tokens)
        return found, requests

    def _add(self, line: _Line, tokens: Counter[_Where]) -> None:
        given = line.request_metadata or {}
        metadata = {name: value for name in self._metadata if isinstance(value := given.get(name), str) and value}
        arn = line.identity.arn
        who = tuple(sorted({**metadata, **(caller(arn) if arn else {})}.items()))
        at = int(line.timestamp.timestamp()) // _PERIOD * _PERIOD
        counts = (
            line.input.input_token_count,
            line.input.cache_read_input_token_count,
            line.input.cache_write_input_token_count,
            line.output.output_token_count,
        )
        for meter, count in zip(_METERS, counts, strict=True):
            if count and count > 0:
                tokens[_Where(short_id(line.model_id), meter, at, who)] += count


def _is_log(name: str) -> bool:
    """Whether a name in an hour's folder is a file of the log; what is in `data/` is what was asked or answered."""
    return "/" not in name and name.endswith((".json.gz", ".json"))


def _lines(path: Path) -> Iterator[bytes | None]:
    """The lines of a file, packed or not; None for one that is too long, and for the rest of a file that is damaged."""
    length = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while text := file.readline(_MOST_LINE):
                length += len(text)
                if length > _MOST_FILE:
                    yield None
                    return
                if len(text) < _MOST_LINE or text.endswith(b"\n"):
                    yield text
                    continue
                yield None
                while text and not text.endswith(b"\n"):
                    text = file.readline(_MOST_LINE)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield None


def _add_to(found: Callers, read: _Read, span: MetricSpan) -> None:
    start, end = span.start.timestamp(), span.end.timestamp()
    for (model, meter, at, who), count in read.tokens.items():
        if start <= at < end:
            begin = datetime.fromtimestamp(at // span.period * span.period, UTC)
            found[model, meter, begin][who] += count
