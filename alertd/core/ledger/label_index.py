"""Which series a budget covers, found by the values of their labels instead of by a scan of every series.

An index of label -> value -> series. What was asked once is kept until a new series comes. It knows no quantity.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from alertd.core.budgets import Where

_WILD: Final = re.compile(r"[*?\[]")
#: Sorts behind every character that a label's value may go on with.
_BEHIND: Final = "\U0010ffff"
Values = tuple[str | None, ...]


class LabelIndex:
    """The labels of a ledger's series, in the order of the series. `labels` is the ledger's own list, only read."""

    def __init__(self, labels: Sequence[Mapping[str, str]]) -> None:
        self._labels = labels
        self._learnt = 0
        self._series: dict[str, dict[str, list[int]]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._matching: dict[Where, list[int]] = {}
        self._scopes: dict[tuple[Where, tuple[str, ...]], dict[Values, list[int]]] = {}

    def matching(self, where: Where) -> Sequence[int]:
        """The series that `where` matches, in order."""
        self._learn()
        found = self._matching.get(where)
        if found is None:
            found = self._matching[where] = self._find(where)
        return found

    def by_value(self, where: Where, per: tuple[str, ...]) -> Mapping[Values, Sequence[int]]:
        """The same, by their values of the labels in `per`; None where a series lacks one, or has an empty one."""
        matching = self.matching(where)
        found = self._scopes.get((where, per))
        if found is None:
            found = self._scopes[where, per] = {}
            for index in matching:
                labels = self._labels[index]
                found.setdefault(tuple(labels.get(name) or None for name in per), []).append(index)
        return found

    def uncovered(self, wheres: Iterable[Where]) -> list[int]:
        """The series that none of them matches."""
        left = bytearray(b"\x01") * len(self._labels)
        for where in wheres:
            for index in self.matching(where):
                left[index] = 0
        return [index for index, alone in enumerate(left) if alone]

    def _learn(self) -> None:
        """Take in the series that came since."""
        if self._learnt == len(self._labels):
            return
        for index in range(self._learnt, len(self._labels)):
            for name, value in self._labels[index].items():
                if value:
                    self._series.setdefault(name, {}).setdefault(value, []).append(index)
        self._learnt = len(self._labels)
        self._sorted.clear()
        self._matching.clear()
        self._scopes.clear()

    def _find(self, where: Where) -> list[int]:
        """Those of the most selective label, and of them those that the others match."""
        wanted = {name: self._wanted(name, patterns) for name, patterns in where.patterns}
        sizes = {name: sum(len(self._series[name][v]) for v in values) for name, values in wanted.items() if values}
        if any(values is not None and not values for values in wanted.values()):
            return []
        if not sizes:
            return [index for index, labels in enumerate(self._labels) if where.matches(labels)]
        best = min(sizes, key=lambda name: sizes[name])
        rows = sorted(index for value in wanted[best] or () for index in self._series[best][value])
        rest = Where(tuple(pair for pair in where.patterns if pair[0] != best))
        return [index for index in rows if rest.matches(self._labels[index])] if rest.patterns else rows

    def _wanted(self, name: str, patterns: tuple[str, ...]) -> list[str] | None:
        """The known values of a label that match; None where a series may lack the label."""
        wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
        unwanted = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        if not wanted or "" in wanted:
            return None
        values = {value for pattern in wanted for value in self._values(name, pattern)}
        return [value for value in values if not any(fnmatchcase(value, pattern) for pattern in unwanted)]

    def _values(self, name: str, pattern: str) -> list[str]:
        known = self._series.get(name, {})
        wild = _WILD.search(pattern)
        if wild is None:
            return [pattern] if pattern in known else []
        ordered = self._sorted.get(name)
        if ordered is None:
            ordered = self._sorted[name] = sorted(known)
        prefix = pattern[: wild.start()]
        first, last = bisect_left(ordered, prefix), bisect_left(ordered, prefix + _BEHIND)
        return [value for value in ordered[first:last] if fnmatchcase(value, pattern)]
