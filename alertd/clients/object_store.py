"""Files in S3, Azure Blob Storage or Google Cloud Storage, by obstore (with the extras aws, azure and gcp).

The newest whole delivery of each month is chosen by its manifest; what is new is copied, read and removed.
A delivery without a manifest is not finished; where none has one, all files count.
Sources: AWS Data Exports (`metadata/BILLING_PERIOD=YYYY-MM/NAME-Manifest.json`, CUR's `reportKeys`), Azure exports.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from alertd.clients.aws import Aws, AwsOptions
from alertd.clients.redaction import longest_first, without
from alertd.core.messages.rich_text import clean
from alertd.plugin_options import Connection, Secret, revealed
from alertd.ports import SourceError

#: What is read of a place without manifests.
DATA: Final = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".zip", ".zst")
_PERIOD: Final = re.compile(r"BILLING_PERIOD=(\d{4}-\d{2})|/(\d{4})(\d{2})\d{2}-\d{8}/")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object of a store: its key below the place that is read, what changes when it changes, and since when."""

    key: str
    mark: str
    at: datetime
    size: int = 0


@dataclass(frozen=True, slots=True)
class ExportDelivery:
    """One delivery of an export: its period, how far its data reach, when it was made, and its files."""

    of: str
    manifest: StoredObject
    end: str
    made: str
    files: tuple[StoredObject, ...]


def is_manifest(key: str) -> bool:
    """Whether an object says which files belong to a delivery."""
    name = key.rsplit("/", 1)[-1].lower()
    return name.endswith(("-manifest.json", "_manifest.json")) or name == "manifest.json"


def is_wanted(key: str, first: date) -> bool:
    """Whether an object may hold something from a month on: its path names no earlier one."""
    found = _PERIOD.search(f"/{key}")
    if found is None:
        return True
    return (found[1] or f"{found[2]}-{found[3]}") >= f"{first:%Y-%m}"


def read_manifest(
    manifest: StoredObject, content: bytes, objects: Sequence[StoredObject], container: str
) -> ExportDelivery:
    """A delivery by its manifest. SourceError where it names no file, or one that is not there (yet)."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        raise SourceError(f"{manifest.key} is no JSON: the delivery is not read") from None
    named = list(_named(said)) if isinstance(said, dict) else []
    if not named:
        raise SourceError(f"{manifest.key} names no data files: the delivery is not read")
    files = []
    for name in named:
        path = name.split("://", 1)[-1].removeprefix(f"{container}/").lstrip("/")
        found = [one for one in objects if one.key == path or path.endswith(f"/{one.key}")]
        if not found:
            raise SourceError(f"{manifest.key} names {path.rsplit('/', 1)[-1]}, which is not there")
        files.append(max(found, key=lambda one: len(one.key)))
    run = said.get("runInfo") if isinstance(said.get("runInfo"), dict) else {}
    period = _PERIOD.search(f"/{manifest.key}")
    month = period[0] if period else ""
    if run:
        whose = str((said.get("exportConfig") or {}).get("resourceId", "")).partition("/providers/Microsoft.CostM")[0]
        kind = str((said.get("exportConfig") or {}).get("type", ""))
        of = f"{whose.lower()} {kind} {str(run.get('startDate', ''))[:7]}"
        return ExportDelivery(
            of, manifest, str(run.get("endDate", ""))[:10], str(run.get("submittedTime", "")), tuple(files)
        )
    export = manifest.key.partition("metadata/")[0] if "metadata/" in manifest.key else manifest.key.partition(month)[0]
    return ExportDelivery(f"{export} {month}", manifest, "", f"{manifest.at.isoformat()}", tuple(files))


def newest(deliveries: Iterable[ExportDelivery]) -> list[ExportDelivery]:
    """Of each month of each export the fullest delivery, of those the newest: deliveries are never added up."""
    found: dict[str, ExportDelivery] = {}
    for one in sorted(deliveries, key=lambda one: (one.end, one.made)):
        found[one.of] = one
    return [found[name] for name in sorted(found)]


def _named(said: Mapping[str, Any]) -> Iterable[str]:
    """The files that a manifest names, in whichever of the clouds' forms."""
    for key in ("dataFiles", "reportKeys", "files"):
        listed = said.get(key)
        if isinstance(listed, list):
            yield from (
                str(one.get("path", one.get("key", ""))) if isinstance(one, dict) else str(one) for one in listed
            )
            return
    blobs = said.get("blobs")
    if isinstance(blobs, list):
        yield from (str(one.get("blobName", "")) for one in blobs if isinstance(one, dict))


_SCHEMES: Final = {"s3": "aws", "gs": "gcp", "az": "azure"}
#: Manifests are some kilobytes.
_MANIFEST_BYTES: Final = 16 << 20
#: What is held of a file while it is copied.
_CHUNK: Final = 4 << 20
_QUERY: Final = re.compile(r"\?\S*")
_SAID: Final = 200
#: Keys of one's own are asked for again after this time; those of a role end by then.
_KEYS_HOLD: Final = timedelta(minutes=10)


class StoreOptions(AwsOptions):
    """How a path that begins with s3://, gs:// or az:// is reached; the last two find credentials by themselves."""

    secret_access_key: Secret | None = Field(None, description="The secret of ACCESS_KEY_ID, for s3://")
    region: str = Field("", description="The region of the bucket, for s3://; default: that of AWS's configuration")
    endpoint: str = Field("", description="Another server of the store's protocol, such as http://minio:9000")
    account_key: Secret | None = Field(None, description="The storage account's key, for az://; default: its own chain")
    sas_token: Secret | None = Field(None, description="A shared access signature, for az://")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The files that count now, and their stamp: another one whenever one of them, or a manifest, is another."""

    files: tuple[StoredObject, ...]
    manifests: tuple[StoredObject, ...]
    stamp: str

    @property
    def newest(self) -> datetime:
        return max(one.at for one in (*self.files, *self.manifests))


def is_stored(path: str) -> bool:
    """Whether a path is a place in an object store."""
    return path.partition("://")[0].lower() in _SCHEMES and "://" in path


class ObjectStore:
    """One place: a bucket or container, and a folder in it."""

    def __init__(self, name: str, path: str, connection: Connection, options: StoreOptions) -> None:
        self.name, self.path = name, path
        self._connection, self._options = connection, options
        self._secrets = longest_first(
            {revealed(one) for one in (options.secret_access_key, options.account_key, options.sas_token)} - {""}, 4
        )
        self._parts = urlsplit(path)
        self._aws = Aws(name, connection, options, options.secret_access_key, options.endpoint)
        self._store: Any = None

    async def choose(self, first: date) -> Chosen:
        """The files of the newest deliveries that may hold something from a month on. SourceError."""
        objects = [one for one in await self._list() if is_wanted(one.key, first)]
        manifests = [one for one in objects if is_manifest(one.key)]
        if manifests:
            deliveries = [await self._delivery(one, objects) for one in manifests]
            chosen = newest(deliveries)
            files = tuple(dict.fromkeys(file for one in chosen for file in one.files))
            used = tuple(one.manifest for one in chosen)
        else:
            files, used = tuple(one for one in objects if one.key.lower().endswith(DATA)), ()
        if not files:
            raise SourceError(f"{self.path}: no file there yet")
        marks = "\n".join(f"{one.key} {one.mark} {one.size}" for one in (*used, *files))
        return Chosen(files, used, blake2b(marks.encode(), digest_size=12).hexdigest())

    @asynccontextmanager
    async def copied(self, chosen: Chosen) -> AsyncIterator[Sequence[Path]]:
        """The files in a folder of their own, which is removed afterwards. SourceError where a delivery is replaced."""
        with tempfile.TemporaryDirectory(prefix="alertd-") as folder:
            paths = []
            for number, one in enumerate(chosen.files):
                path = Path(folder) / f"{number:05}-{one.key.rsplit('/', 1)[-1]}"
                await self._copy(one, path)
                paths.append(path)
            for manifest in chosen.manifests:
                found = await self._ask("head_async", manifest.key)
                if _mark(found) != manifest.mark:
                    raise SourceError(f"{self.path}: a delivery arrived while one was read; it is read again")
            yield paths

    async def below(self, folder: str) -> list[StoredObject]:
        """The objects below a folder of the place, by key. SourceError."""
        return await self._list(folder)

    async def copy(self, one: StoredObject, path: Path) -> None:
        """Write an object into a file. SourceError, also where it changed meanwhile."""
        await self._copy(one, path)

    async def close(self) -> None:
        """Close the connections."""
        await self._aws.close()

    async def _list(self, folder: str | None = None) -> list[StoredObject]:
        store, found = await self._open(), []
        with self._faults():
            async for some in import_module("obstore").list(store, folder):
                found += [StoredObject(one["path"], _mark(one), one["last_modified"], one["size"]) for one in some]
        return sorted(found, key=lambda one: one.key)

    async def _delivery(self, manifest: StoredObject, objects: Sequence[StoredObject]) -> Any:
        if manifest.size > _MANIFEST_BYTES:
            raise SourceError(f"{manifest.key} is larger than any manifest")
        answer = await self._ask("get_async", manifest.key)
        with self._faults():
            content = bytes(await answer.bytes_async())
        container = self._parts.path.strip("/").partition("/")[0] if self._parts.scheme == "az" else self._parts.netloc
        return read_manifest(manifest, content, objects, container)

    async def _copy(self, one: StoredObject, path: Path) -> None:
        answer, length = await self._ask("get_async", one.key), 0
        with self._faults(), path.open("wb") as file:
            async for chunk in answer.stream(min_chunk_size=_CHUNK):
                length += await asyncio.to_thread(file.write, chunk)
        if length != one.size:
            raise SourceError(f"{self.path}: {one.key} changed while it was read; it is read again")

    async def _ask(self, operation: str, key: str) -> Any:
        store = await self._open()
        with self._faults():
            return await getattr(import_module("obstore"), operation)(store, key)

    async def _open(self) -> Any:
        if self._store is None:
            if find_spec("obstore") is None:
                extra = _SCHEMES[self._parts.scheme]
                raise SourceError(
                    f"{self.path} wants the extra `{extra}`: pip install 'alertd[{extra}]'", permanent=True
                )
            with self._faults():
                self._store = await self._opened()
        return self._store

    async def _opened(self) -> Any:
        options, stores = self._options, import_module("obstore.store")
        client: dict[str, Any] = {"timeout": f"{self._connection.timeout.total_seconds():g}s"}
        if self._connection.proxy:
            client["proxy_url"] = self._connection.proxy
        if options.endpoint.startswith("http://"):
            client["allow_http"] = True
        given: dict[str, Any] = {"client_options": client, "retry_config": {"max_retries": 2}}
        path = self._parts.path.strip("/")
        if self._parts.scheme == "s3":
            await self._aws.keys()
            region = options.region or self._aws.region()
            more = {"endpoint": options.endpoint} if options.endpoint else {}
            return stores.S3Store(
                self._parts.netloc, prefix=path or None, region=region, credential_provider=self._keys, **more, **given
            )
        if self._parts.scheme == "gs":
            # Another server than Google's has no OAuth of Google's.
            other = {"base_url": options.endpoint, "skip_signature": True} if options.endpoint else {}
            return stores.GCSStore(self._parts.netloc, prefix=path or None, **other, **given)
        container, _, prefix = path.partition("/")
        more = {name: value for name, value in (
            ("endpoint", f"{options.endpoint.rstrip('/')}/{self._parts.netloc}" if options.endpoint else ""),
            ("account_key", revealed(options.account_key)),
            ("sas_key", revealed(options.sas_token)),
        ) if value}  # fmt: skip
        return stores.AzureStore(container, prefix=prefix or None, account_name=self._parts.netloc, **more, **given)

    async def _keys(self) -> dict[str, Any]:
        """The credentials of S3, as obstore asks for them."""
        keys = await self._aws.keys()
        return {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key, "token": keys.token,
                "expires_at": datetime.now(UTC) + _KEYS_HOLD}  # fmt: skip

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Foreign errors as ours: what happened, without addresses' queries and without secrets."""
        try:
            yield
        except Exception as error:
            if isinstance(error, SourceError) or not (
                isinstance(error, OSError | ValueError) or type(error).__module__.startswith("obstore")
            ):
                raise
            said = clean(without(self._secrets, _QUERY.sub("", " ".join(str(error).split()))), _SAID)
            raise SourceError(f"{self.path} cannot be read ({type(error).__name__}): {said}") from None


def _mark(found: Any) -> str:
    """What changes when an object changes. Azure's list has its ETag without the quotes of the header."""
    return str(found.get("e_tag") or found.get("version") or found["last_modified"]).removeprefix("W/").strip('"')
