"""Work that waits for its turn to be committed, several pieces at once: one wait for the disk serves them all."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Generic

from alertd.ports import StoreError
from alertd.stores.transaction import Answer, Work

#: How many pieces of work share a commit at most; a failing disk then undoes no more than these.
_GROUP: Final = 256


class Job(Generic[Answer]):
    """A piece of work, and what became of it: told only once it is committed."""

    def __init__(self, work: Work[Answer]) -> None:
        self.work = work
        self.future: Future[Answer] = Future()
        self.answer: Answer
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        self.error = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        """Whatever the work raised is whoever awaits it to handle; the others of its group go on."""
        self.error = error
        return error is not None

    def tell(self, failure: StoreError | None = None) -> None:
        """Let the answer be known, or why there is none."""
        if failure or self.error:
            self.future.set_exception(failure or self.error)
        else:
            self.future.set_result(self.answer)


def started(waiting: deque[Job[Any]]) -> list[Job[Any]]:
    """The jobs that are next, taken off the queue; those whose caller has gone are left out."""
    group: list[Job[Any]] = []
    while waiting and len(group) < _GROUP:
        group.append(waiting.popleft())
    return [job for job in group if job.future.set_running_or_notify_cancel()]
