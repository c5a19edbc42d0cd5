"""The protocol of a revoker: stop a key, read it back, start it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Operation:
    """What a revoker does to a key, in words and by how hard it is: warn, throttle, cheaper, disable or delete.

    `repeats`: the same request under the same idempotency key is carried out once, however often it arrives.
    `exact`: after a restore the values that were kept can be read back one by one.
    """

    what: str
    undo: str
    grade: str = "disable"
    reversible: bool = True
    repeats: bool = True
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """A key (project, endpoint, ...) as its provider knows it: its id, its name, and what it shows of its secret.

    `groups` are the ids and names of what it belongs to, by kind (`team`, `project`, `workspace`); `owner` is its user.
    Empty, or None for `last_used`, where its provider does not show it.
    """

    id: str
    name: str = ""
    hint: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    owner: str = ""
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read of a target: whether it is as the action would leave it (None: cannot be read), and how to undo it.

    `values` are plain JSON values: what a restore writes back. `impact` is for the person who approves. `changed_at`
    and `changed_by` are when its settings were changed last, and by whom, as the provider writes it; "" where it does
    not show it.
    """

    acted: bool | None
    values: Mapping[str, Any] = field(default_factory=dict)
    said: str = ""
    present: bool = True
    impact: Mapping[str, str] = field(default_factory=dict)
    request: str = ""
    changed_at: str = ""
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What a provider answered to an act: in words, its own id of the request, and when it takes effect, in words."""

    said: str
    request: str = ""
    effect: str = ""


class RevokerError(Exception):
    """A provider refused or failed: what happened, and whether a retry can help. Holds no secret.

    `permanent`: trying again cannot help. `uncertain`: it may have been carried out all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        uncertain: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.uncertain = uncertain
        self.retry_after = retry_after


@runtime_checkable
class Revoker(Protocol):
    """How a key is stopped, and started again. Raises RevokerError; SourceError where an answer is not as promised.

    `lacks` says what it needs before it can act ("" for nothing). `act` and `restore` get what was read before, and an
    idempotency key that is the same on every try; a target that is gone is read as not present, never as an error.
    """

    name: str
    operation: Operation
    lacks: str

    async def find(self, target: str) -> Target:
        """The target of a name or id in the usage; an error unless exactly one matches."""
        ...

    async def read(self, target: Target) -> Observed: ...

    async def act(self, target: Target, before: Observed, key: str, reason: str) -> Done: ...

    async def restore(self, target: Target, before: Observed, key: str, reason: str) -> Done: ...

    async def look(self) -> str:
        """What `alertd check` says: that it may act, and on what; nothing is changed."""
        ...

    async def close(self) -> None: ...
