"""What the shared SQL runs on: a transaction of either database, and work that is committed in groups.

The statements know neither driver nor dialect. One wait for the disk serves all the work of a group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Generic, Protocol, TypeVar

from alertd.ports import StoreError

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
        """Whether another daemon uses this database, which is meant for one."""
        ...

    async def write(self, work: Work[Answer], *, small: bool = False) -> Answer:
        """The result of `work`, once its writes are on disk. `work` may run again if the database asks for a retry.

        `small` work takes no one's turn and may share its transaction with others of its kind.
        """
        ...

    async def read(self, work: Work[Answer]) -> Answer:
        """The answer of `work` over one unchanging state of the database."""
        ...


#: How many pieces of work share a commit at most; a failing disk then undoes no more than these.
_GROUP: Final = 256


class Job(Generic[Answer]):
    """A piece of work and its result, which is available after the commit."""

    def __init__(self, work: Work[Answer]) -> None:
        self.work = work
        self.future: Future[Answer] = Future()
        self.answer: Answer
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        self.error = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        """Store the exception for the awaiting caller; the rest of the group still commits."""
        self.error = error
        return error is not None

    def finish(self, failure: StoreError | None = None) -> None:
        """Make the result, or its error, available to the caller."""
        if failure or self.error:
            self.future.set_exception(failure or self.error)
        else:
            self.future.set_result(self.answer)


def started(waiting: deque[Job[object]]) -> list[Job[object]]:
    """Take the next jobs off the queue, without those that were cancelled."""
    group: list[Job[Any]] = []
    while waiting and len(group) < _GROUP:
        group.append(waiting.popleft())
    return [job for job in group if job.future.set_running_or_notify_cancel()]
