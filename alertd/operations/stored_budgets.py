"""Budgets that are kept in the database, beside those of the configuration: who changed which, and when.

put, delete -> within the editor's labels? -> not in the configuration? -> as it was seen? -> stored, with its audit
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from alertd.core.budgets import Budget
from alertd.core.evaluation.state import STORED_BUDGETS, State, StoredBudget
from alertd.operations.changes import Operations
from alertd.operations.values import (
    By,
    ChangedError,
    ChangeOutcome,
    ConflictError,
    Decision,
    ForbiddenError,
    InvalidError,
    NotFoundError,
)

#: The tag of a budget that is not stored: `If-Match` with it creates one, and changes none.
ABSENT = "absent"
_MOST = 1000
_LONGEST = 2000
#: Reads a budget from its settings as text. Raises InvalidError with every fault, and ConflictError where the
#: configuration has a budget of that name.
ReadBudget = Callable[[str, Mapping[str, str]], Budget]


def tag_of(stored: StoredBudget | None) -> str:
    """What names one version of a stored budget."""
    return (
        ABSENT
        if stored is None
        else hashlib.sha256(msgspec.json.encode(sorted(stored.settings.items()))).hexdigest()[:12]
    )


async def put_budget(
    operations: Operations, read: ReadBudget, name: str, settings: Mapping[str, str], by: By, *,
    labels: Mapping[str, str], seen: str = "",
) -> ChangeOutcome:  # fmt: skip
    """Store a budget, or change it. `labels` bound what the editor may touch; `seen` is the tag that they saw.

    Raises OperationError, StoreError.
    """
    if sum(map(len, settings.values())) > _LONGEST:
        raise InvalidError(f"a stored budget has at most {_LONGEST} characters", "use the configuration")
    budget = read(name, settings)
    check_labels(budget, labels)

    def decide(state: State) -> Decision:
        before = _before(state, name, seen)
        if before is None and sum(1 for _ in STORED_BUDGETS.items(state)) >= _MOST:
            raise ConflictError(f"{_MOST} budgets are stored already", "use PER: one budget for every value of a label")
        if before is not None:
            check_labels(read(name, before.settings), labels)
        if before is not None and before.settings == dict(settings):
            return Decision(
                operations.outcome("put_budget", name, tag_of(before), f"{name} is so already.", by=by, changed=False)
            )
        after = StoredBudget(name, dict(settings), by.name, operations.clock.now())
        said = f"{name}: {budget.amount} is {'stored' if before is None else 'changed'}."
        return operations.done("put_budget", name, tag_of(after), said, by=by, changes=STORED_BUDGETS.put(after, name))

    return await operations.commit(by, decide)


async def delete_budget(
    operations: Operations, read: ReadBudget, name: str, by: By, *, labels: Mapping[str, str], seen: str = ""
) -> ChangeOutcome:
    """Take a stored budget away; what it announced stays. Raises OperationError, StoreError."""

    def decide(state: State) -> Decision:
        before = _before(state, name, seen)
        if before is None:
            raise NotFoundError("no such stored budget", "alertd budgets export lists them")
        check_labels(read(name, before.settings), labels)
        said = f"{name} is deleted."
        return operations.done("delete_budget", name, ABSENT, said, by=by, changes=STORED_BUDGETS.put(None, name))

    return await operations.commit(by, decide)


def check_labels(budget: Budget, labels: Mapping[str, str]) -> None:
    """Whether an editor who is bound to these labels may touch a budget. Raises ForbiddenError."""
    patterns = dict(budget.where.patterns)
    lacking = [label for label, value in labels.items() if patterns.get(label) != (value,)]
    if lacking:
        wanted = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
        raise ForbiddenError(f"you may change budgets with WHERE {wanted} only", "name these labels in its WHERE")


def _before(state: State, name: str, seen: str) -> StoredBudget | None:
    """The stored budget as it is now. ChangedError where it changed since it was seen."""
    before = STORED_BUDGETS.get(state, name)
    if seen and seen != tag_of(before):
        how = "does not exist" if before is None else f"was changed by {before.by} at {before.at:%Y-%m-%d %H:%M} UTC"
        raise ChangedError(f"{name} {how}", "look again: alertd budgets plan")
    return before
