"""Tokens that an input counter includes, taken off it: by all labels where they are the same, else by those shared.

    cached counter                                             taken off
    an input counter of the same labels                        that one
    fewer, more or other label names                           the input counters that agree in the labels both have,
                                                               those with the most labels in common, in proportion
    a label whose values no input counter has (another name)   as if it lacked that label: a lower bound, and said

Provider and model are labels here; an empty one is a label that is missing. Nothing falls below 0, and no token counts
twice: cached tokens whose input was not seen yet wait for it, and count with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from alertd.core.usage import Labels, Line, Modifiers

#: A ledger series by the identities of its line and its labels, and a bucket of it.
Name = tuple[int, int]
Place = tuple[int, int, int]

_Key = tuple[Line, frozenset[tuple[str, str]]]
_Kind = tuple[str, Modifiers, str]
_Member = tuple[dict[str, str], _Key]
_PROVIDER, _MODEL = "\x00provider", "\x00model"
SHARED: Final = (
    "its cached counters have other labels than its input counters: they are taken off the input by the labels that"
    " both have, in proportion"
)
OTHER_NAMES: Final = (
    "its cached counters name their {} otherwise than its input counters: they are taken off without it;"
    " the figure is a lower bound"
)


#: A series of a reading: its line, its labels, and the line that it is to be taken off.
Series = tuple[Line, Labels, Line | None]


class Ower(NamedTuple):
    """A raw series that is taken off another one: what it counts, and how much of it waits for the other one."""

    name: str
    line: int
    owed: int


class Netted(NamedTuple):
    """What of each raw series waits; what was assumed; why figures are a lower bound."""

    debts: dict[str, int]
    assumed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(slots=True)
class Sums:
    """The ledger series of a reading by identity: what was booked, what to subtract, and which series subtracts it.

    `owers` are, by the ledger series to take off, the raw series that are taken off it, by name.
    """

    lines: Mapping[int, Line]
    labels: Mapping[int, Labels]
    more: dict[Place, int]
    less: dict[Place, int]
    owers: dict[Name, dict[str, Ower]]
    assumed: dict[str, None] = field(default_factory=dict)
    doubts: dict[str, None] = field(default_factory=dict)

    def net(self, series: Callable[[], Iterable[Series]], is_known: Callable[[Line], bool]) -> Netted:
        """Take off `more` what `less` says. `series` are all of the reading, asked for only where labels differ.

        `is_known` answers whether a line was counted before: its model is then not another name of a known one.
        """
        debts: dict[str, int] = {}
        open_: dict[Name, tuple[dict[int, int], int]] = {}
        for name, (fuller, lesser) in self._by_series(self.owers).items():
            owed = self._owed(name)
            if fuller:
                left, debt = _net(fuller, lesser, owed)
                self._set(name, left)
                open_[name] = {}, debt
            else:
                open_[name] = lesser, owed
        rest = {name: sum(lesser.values()) + debt for name, (lesser, debt) in open_.items()}
        if any(rest.values()):
            kinds = {_kind(self.lines[name[0]]) for name, left in rest.items() if left}
            self._net_shared(open_, rest, _Inputs(series(), kinds, is_known))
        waiting = {name: left for name, left in rest.items() if left or self._owed(name)}
        places: dict[Name, list[Place]] = {}
        for place in self.more if waiting else ():
            places.setdefault(place[:2], []).append(place)
        newest = max((start for _, _, start in self.more), default=0) if waiting else 0
        for name, owing in self.owers.items():
            debts |= self._wait(name, rest[name], places, newest) if name in waiting else dict.fromkeys(owing, 0)
        return Netted(debts, tuple(self.assumed), tuple(self.doubts))

    def _owed(self, name: Name) -> int:
        return sum(ower.owed for ower in self.owers[name].values())

    def _wait(self, name: Name, left: int, places: Mapping[Name, list[Place]], newest: int) -> dict[str, int]:
        """What of each raw series waits, `left` in all; what waited and no more does is booked at the `newest` bucket.

        `places` are the buckets booked by ledger series: what has to wait is taken out of the series' own.
        """
        debts = {ower.name: ower.owed for ower in self.owers[name].values()}
        paid = sum(debts.values()) - left
        for ower in self.owers[name].values():
            own = ower.line, name[1]
            if paid > 0 and ower.owed:
                now = min(paid, ower.owed)
                self.more[*own, newest] = self.more.get((*own, newest), 0) + now
                paid, debts[ower.name] = paid - now, ower.owed - now
            for place in reversed(places.get(own, []) if paid < 0 else []):
                later = min(-paid, self.more[place])
                self.more[place] -= later
                paid, debts[ower.name] = paid + later, debts[ower.name] + later
        return debts

    def _net_shared(
        self, open_: Mapping[Name, tuple[dict[int, int], int]], rest: dict[Name, int], inputs: _Inputs
    ) -> None:
        """Take the rest off the input counters of other labels; one of the same labels has until the next reading.

        That is where no other one shares these.
        """
        named = {name: (self.lines[name[0]], self.labels[name[1]]) for name, left in rest.items() if left}
        waits = {
            name: inputs.has(line, labels) and not self._owed(name) and len(inputs.sharing(line, labels).members) == 1
            for name, (line, labels) in named.items()
        }
        booked = self._booked(inputs) if not all(waits.values()) else {}
        for name, (line, labels) in sorted(named.items(), key=lambda one: _order(*one[1])):
            if waits[name]:
                continue
            found = inputs.sharing(line, labels)
            members = {one: buckets for key in found.members if key in booked for one, buckets in booked[key].items()}
            if not members:
                continue
            lesser, debt = open_[name]
            before = {start: 0 for buckets in members.values() for start in buckets}
            for buckets in members.values():
                for start, quantity in buckets.items():
                    before[start] += quantity
            left, rest[name] = _net(before, lesser, debt)
            self._take(members, before, left)
            if found.ignored:
                said = ", ".join(one.lstrip("\x00") for one in found.ignored)
                self.doubts[f"{line.model} {line.meter}: {OTHER_NAMES.format(said)}"] = None
            elif not inputs.has(line, labels):
                self.assumed[f"{line.model} {line.meter}: {SHARED}"] = None

    def _take(self, members: Mapping[Name, dict[int, int]], before: Mapping[int, int], left: Mapping[int, int]) -> None:
        """Leave `left` of what the members had together `before`, by the bucket, in proportion and to the token."""
        for start, total in before.items():
            kept = left.get(start, 0)
            if kept == total:
                continue
            running = shared = 0
            for (line, labels), buckets in members.items():
                running += buckets.get(start, 0)
                part = kept * running // total - shared
                shared += part
                buckets[start] = self.more[line, labels, start] = part

    def _booked(self, inputs: _Inputs) -> dict[_Key, dict[Name, dict[int, int]]]:
        found: dict[_Key, dict[Name, dict[int, int]]] = {}
        keys: dict[Name, _Key | None] = {}
        for (line, labels, start), quantity in self.more.items():
            name = line, labels
            if name not in keys:
                key = self.lines[line], frozenset(self.labels[labels].items())
                keys[name] = key if inputs.holds(key) else None
            known = keys[name]
            if known is not None and quantity:
                found.setdefault(known, {}).setdefault(name, {})[start] = quantity
        return found

    def _by_series(self, names: Iterable[Name]) -> dict[Name, tuple[dict[int, int], dict[int, int]]]:
        """What was booked on the series named, and what to subtract from them, by bucket."""
        found: dict[Name, tuple[dict[int, int], dict[int, int]]] = {name: ({}, {}) for name in names}
        for which, sums in enumerate((self.more, self.less) if found else ()):
            for (line, labels, start), quantity in sums.items():
                if (line, labels) in found:
                    found[line, labels][which][start] = quantity
        return found

    def _set(self, name: Name, buckets: Mapping[int, int]) -> None:
        for start, quantity in buckets.items():
            self.more[(*name, start)] = quantity


class _Sharing(NamedTuple):
    members: list[_Key]
    ignored: tuple[str, ...] = ()


class _Inputs:
    """The series of a reading that count what is taken off, found by the labels that they share with another one."""

    def __init__(self, series: Iterable[Series], kinds: Collection[_Kind], is_known: Callable[[Line], bool]) -> None:
        self._is_known = is_known
        # Sources hand out the same objects for equal series: that leaves few of 100,000.
        each = {(id(one[0]), id(one[1])): one for one in series}.values()
        self._all = {(line, frozenset(labels.items())) for line, labels, _ in each if _kind(line) in kinds}
        #: By what must be equal and the names of the labels: the series.
        self._shapes: dict[tuple[_Kind, frozenset[str]], list[_Member]] = {}
        for line, labels in self._all:
            traits = _traits(line, dict(labels))
            self._shapes.setdefault((_kind(line), frozenset(traits)), []).append((traits, (line, labels)))
        self._indexes: dict[tuple[_Kind, frozenset[str], tuple[str, ...]], dict[tuple[str, ...], list[_Key]]] = {}
        self._cached = [_traits(within, labels) for _, labels, within in each if within and _kind(within) in kinds]
        self._foreign: dict[_Kind, frozenset[str]] = {}

    def has(self, line: Line, labels: Labels) -> bool:
        return self.holds((line, frozenset(labels.items())))

    def holds(self, key: _Key) -> bool:
        return key in self._all

    def _other_names(self, kind: _Kind) -> frozenset[str]:
        """The labels that the cached counters name otherwise: not one of their values is an input counter's."""
        if kind not in self._foreign:
            here = _values(
                traits for (other, _), members in self._shapes.items() if other == kind for traits, _ in members
            )
            there = _values(self._cached)
            self._foreign[kind] = frozenset(name for name in here.keys() & there.keys() if not here[name] & there[name])
        return self._foreign[kind]

    def sharing(self, line: Line, labels: Labels) -> _Sharing:
        """The series that agree in all labels that both have, those with the most of them."""
        traits, kind = _traits(line, labels), _kind(line)
        if found := self._agreeing(kind, traits):
            return _Sharing(found)
        foreign = self._other_names(kind) & traits.keys()
        if not foreign or (_MODEL in foreign and self._is_known(line)):
            return _Sharing([])
        known = {name: value for name, value in traits.items() if name not in foreign}
        return _Sharing(self._agreeing(kind, known), tuple(sorted(foreign)))

    def _agreeing(self, kind: _Kind, traits: Mapping[str, str]) -> list[_Key]:
        ranks: dict[int, list[frozenset[str]]] = {}
        for other, shape in self._shapes:
            if other == kind:
                ranks.setdefault(len(shape & traits.keys()), []).append(shape)
        for _, shapes in sorted(ranks.items(), reverse=True):
            found = [key for shape in shapes for key in self._indexed(kind, shape, traits)]
            if found:
                return sorted(found, key=lambda one: _order(one[0], dict(one[1])))
        return []

    def _indexed(self, kind: _Kind, shape: frozenset[str], traits: Mapping[str, str]) -> list[_Key]:
        shared = tuple(sorted(shape & traits.keys()))
        index = self._indexes.get((kind, shape, shared))
        if index is None:
            index = self._indexes[kind, shape, shared] = {}
            for known, key in self._shapes[kind, shape]:
                index.setdefault(tuple(known[name] for name in shared), []).append(key)
        return index.get(tuple(traits[name] for name in shared), [])


def _kind(line: Line) -> _Kind:
    return line.meter, line.modifiers, line.account


def _traits(line: Line, labels: Labels) -> dict[str, str]:
    named = {_PROVIDER: line.provider, _MODEL: line.model}
    return {name: value for name, value in named.items() if value} | dict(labels)


def _values(series: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for traits in series:
        for name, value in traits.items():
            found.setdefault(name, set()).add(value)
    return found


def _order(line: Line, labels: Labels) -> tuple[int, str, str, list[tuple[str, str]]]:
    """Series of many labels first: they have the fewest to be taken off."""
    return -len(labels), line.provider, line.model, sorted(labels.items())


def _net(more: Mapping[int, int], less: Mapping[int, int], owed: int) -> tuple[dict[int, int], int]:
    """Per bucket what is left, nowhere below 0, and what could not be taken off yet."""
    left: dict[int, int] = {}
    debt = owed
    for start in sorted(more.keys() | less.keys()):
        rest = more.get(start, 0) - less.get(start, 0) - debt
        left[start], debt = max(rest, 0), max(-rest, 0)
    for start in reversed(left):
        taken = min(debt, left[start])
        left[start] -= taken
        debt -= taken
    return left, debt
