"""The budgets of the last evaluation in order, found, grouped and paged: what the front page's address asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

from alertd.core.budgets import TOKENS, scope_text
from alertd.core.evaluation.values import BudgetStatus
from alertd.web.answers import STATES
from alertd.web.parts import chance_of, quantile

PAGE: Final = 50
#: Contributors are searched too where there are no more budgets than these: each has to be worked out.
MOST_SEARCHED: Final = 200
SORTS: Final = ("status", "name", "used", "spent", "amount", "likely", "chance", "runs_out")
GROUPS: Final = ("none", "rule", "owner", "status", "currency")
#: The loudest first.
_ORDER: Final = ("runaway", "over", "at_risk", "unknown", "no_forecast", "on_track")
_LAST: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Query:
    """What the address asks for; whatever cannot be read is the default."""

    status: str = ""
    words: str = ""
    sort: str = "status"
    down: bool = True
    group: str = "none"
    page: int = 1

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Query:
        status, sort, group, page = (given.get(name, "") for name in ("status", "sort", "group", "page"))
        return cls(
            status if status in STATES else "",
            given.get("q", "").strip()[:100],
            sort if sort in SORTS else "status",
            given.get("dir", "") != "up",
            group if group in GROUPS else "none",
            int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 6 else 1,  # noqa: PLR2004
        )

    def href(self, path: str = "/", **changes: object) -> str:
        """The address with changes; from another filter or order the first page."""
        new = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type] # its own fields
        default = Query()
        given = {
            "status": new.status,
            "q": new.words,
            "sort": new.sort if new.sort != default.sort else "",
            "dir": "" if new.down else "up",
            "group": new.group if new.group != default.group else "",
            "page": str(new.page) if new.page > 1 else "",
        }
        query = urlencode({name: value for name, value in given.items() if value})
        return f"{path}?{query}" if query else path


@dataclass(frozen=True, slots=True)
class Total:
    """What the key figures are about: one budget, or all scopes of one rule, which do not overlap."""

    name: str
    statuses: Sequence[BudgetStatus]
    unit: str
    spent: Decimal
    amount: Decimal
    #: The sum of the scopes' middles, which add up; None where none was seen, or one that was is not projected.
    likely: Decimal | None


def total_of(statuses: Sequence[BudgetStatus]) -> Total | None:
    """The rule with most spend in the current periods; None where there is no budget of money."""
    rules: dict[tuple[str, str, str], list[BudgetStatus]] = {}
    for one in statuses:
        if not one.closed and one.amount.unit != TOKENS:
            rules.setdefault((one.budget.name, one.amount.unit, one.period.key), []).append(one)
    if not rules:
        return None
    sums = {key: sum((one.spent for one in own), Decimal(0)) for key, own in rules.items()}
    key = max(sums, key=lambda one: sums[one])
    own = rules[key]
    middles = [quantile(one, 0.5) for one in own if one.seen]
    known = [one for one in middles if one is not None]
    likely = sum(known, Decimal(0)) if known and len(known) == len(middles) else None
    return Total(key[0], own, key[1], sums[key], sum((one.amount.value for one in own), Decimal(0)), likely)


@dataclass(slots=True)
class Index:
    """All statuses of one evaluation. Orders are worked out when they are first asked for, and kept."""

    statuses: Sequence[BudgetStatus]
    counts: Counter[str] = field(init=False)
    _orders: dict[str, list[BudgetStatus]] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _total: list[Total | None] = field(default_factory=list)
    _unpriced: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.counts = Counter(position.status for position in self.statuses)

    @property
    def total(self) -> Total | None:
        """The rule that covers most of the spend of the current periods; scopes of one rule never overlap."""
        if not self._total:
            self._total.append(total_of(self.statuses))
        return self._total[0]

    @property
    def unpriced(self) -> int:
        """How many models have no price."""
        if not self._unpriced:
            self._unpriced.append(len({item.model for one in self.statuses for item in one.unpriced if not item.rate}))
        return self._unpriced[0]

    def found(self, query: Query) -> list[BudgetStatus]:
        """Those that the query asks for, in its order, all pages of them."""
        words = query.words.casefold()
        if not words and not query.status and query.down and query.group == "none":
            return self._ordered(query.sort)
        found = [
            one
            for one in self._ordered(query.sort)
            if query.status in ("", one.status) and (not words or words in self._text(one))
        ]
        if not query.down:
            found.reverse()
        if query.group != "none":
            groups = self._groups(found, query.group)
            found = [one for group in groups.values() for one in group]
        return found

    @staticmethod
    def _groups(found: Sequence[BudgetStatus], by: str) -> dict[str, list[BudgetStatus]]:
        groups: dict[str, list[BudgetStatus]] = {}
        for one in found:
            groups.setdefault(group_of(one, by), []).append(one)
        return groups

    def _ordered(self, sort: str) -> list[BudgetStatus]:
        if sort not in self._orders:
            self._orders[sort] = sorted(self.statuses, key=_KEYS[sort])
        return self._orders[sort]

    def _text(self, position: BudgetStatus) -> str:
        """What is searched: name, scope and owner; keys and models too where there are few budgets."""
        if position.name not in self._texts:
            words = [position.budget.name, scope_text(position.scope), owner_of(position)]
            if len(self.statuses) <= MOST_SEARCHED:
                words += [item.value for item in position.contributors]
            self._texts[position.name] = " ".join(words).casefold()
        return self._texts[position.name]


def owner_of(position: BudgetStatus) -> str:
    """Who owns a budget's scope: its own, else the budget's."""
    return position.override.owner or position.budget.owner


def group_of(position: BudgetStatus, by: str) -> str:
    """The name of the group that a budget belongs to."""
    if by == "rule":
        return position.budget.name
    if by == "owner":
        return owner_of(position) or "without an owner"
    return position.status if by == "status" else position.amount.unit


def used_share(position: BudgetStatus) -> float:
    """What is used of the amount; the amount 0 counts as used up."""
    return float(position.spent) / (float(position.amount.value) or 1e-9)


def _runs_out(position: BudgetStatus) -> float:
    if position.spent >= position.amount.value:
        return 0.0
    found = None if position.projection is None else position.projection.exhausted_at(float(position.amount.value))
    return _LAST if found is None else found.likely.timestamp()


def _chance_key(position: BudgetStatus) -> float:
    probability = chance_of(position)
    return probability if probability is not None else 2.0 * (position.spent >= position.amount.value)


_KEYS: Final = {
    "status": lambda one: (_ORDER.index(one.status), -used_share(one), one.name),
    "name": lambda one: one.name.casefold(),
    "used": lambda one: -used_share(one),
    "spent": lambda one: -one.spent,
    "amount": lambda one: -one.amount.value,
    "likely": lambda one: -(quantile(one, 0.5) or Decimal(-1)),
    "chance": lambda one: -_chance_key(one),
    "runs_out": _runs_out,
}
