"""What the shared SQL runs on: a transaction of either database. Its statements know neither driver nor dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Upsert:
    """Many rows into one table at once: the columns with their types, and what to do where a row is there already.

    No two rows of one call may have the same key: PostgreSQL writes them by a single statement.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    conflict: str


class Transaction(Protocol):
    """One open transaction. Values stand as `?` in the statement; the outcome is durable once the whole work is."""

    #: Where the database is, for messages; no password.
    place: str
    #: What follows a SELECT whose rows are to be claimed without waiting for another claimer.
    skip_locked: str

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]: ...

    def run(self, sql: str, *values: Any) -> int:
        """Run it, and give how many rows it changed."""
        ...

    def upsert(self, into: Upsert, rows: Sequence[tuple[Any, ...]]) -> None: ...


Work = Callable[[Transaction], Answer]


class Database(Protocol):
    """Runs work in transactions, off the event loop. Raises StoreError for whatever the database says."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def alone(self) -> bool:
        """Whether this process is the only daemon on it, from now until it closes or dies."""
        ...

    async def is_contended(self) -> bool:
        """Whether another daemon was first on what is meant for one."""
        ...

    async def write(self, work: Work[Answer], *, small: bool = False) -> Answer:
        """The answer of `work`, once what it wrote is on disk. Work may be run again where the database asks.

        `small` work takes no one's turn and may share its transaction with others of its kind.
        """
        ...

    async def read(self, work: Work[Answer]) -> Answer:
        """The answer of `work` over one unchanging state of the database."""
        ...
