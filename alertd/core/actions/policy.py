"""What an action may do: its policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Final

#: Gentle to final: a harder operation is used on a key only after the gentler ones did not help.
GRADES: Final = ("warn", "throttle", "cheaper", "disable", "delete")


@dataclass(frozen=True, slots=True)
class ActionPolicy:
    """One configured action: what it does, when it may, and what people said about it.

    `lacks` is what it needs before it can act at all (a credential of its own); "" where it has everything.
    """

    name: str
    what: str
    undo: str = ""
    grade: str = "disable"
    reversible: bool = True
    mode: str = "dry_run"
    label: str = "key"
    on: tuple[str, ...] = ("actual 100%", "burn_rate")
    who: str = "cause"
    approvers: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    max_per_hour: int = 1
    expiry: timedelta = timedelta(hours=1)
    not_in_last: timedelta = timedelta(0)
    undone: str = "auto"
    lacks: str = ""

    def mode_in_force(self, *, dry_run: bool) -> str:
        """dry_run, approve or auto; what cannot be undone always waits for a person."""
        if dry_run or self.mode == "dry_run":
            return "dry_run"
        return self.mode if self.reversible else "approve"

    def refuses_approver(self, person: str) -> str:
        """Why this person's approval does not count; "" where it does."""
        if not person.strip():
            return "nobody approved it by name"
        allowed = {_person(name) for name in self.approvers}
        if allowed and _person(person) not in allowed:
            return f"{person.strip()} is not among its approvers"
        return ""

    def protects(self, names: frozenset[str], labels: frozenset[tuple[str, str]]) -> str:
        """The pattern of `protect` that covers one of the names (prod-*) or labels (team=search); "" for none.

        Upper and lower case are the same here: a protection that misses by a capital letter protects nobody.
        """
        for pattern in self.protect:
            wanted = pattern.strip().lower()
            label, sign, value = map(str.strip, wanted.partition("="))
            by_label = sign and any(n.lower() == label and fnmatchcase(v.lower(), value) for n, v in labels)
            if by_label or any(fnmatchcase(name.lower(), wanted) for name in names if name):
                return pattern
        return ""


def _person(name: str) -> str:
    return name.strip().removeprefix("@").lower()
