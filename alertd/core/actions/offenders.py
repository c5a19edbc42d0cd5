"""Choose the fewest keys to stop so that the spend fits the budget; usage without the label is never chosen.

After a burn rate the cause are the keys that spend more than usual, by how much more; once an amount is used up,
those that go on spending, by what they spent in the period. Largest first, and no more than it takes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.scope_columns import scopes
from alertd.core.evaluation.values import BudgetStatus, Facts
from alertd.core.pricing.costing import Costs

_USUAL: Final = timedelta(days=7)
#: Who has less than this share of what is too much is not its cause.
_CAUSE: Final = Decimal("0.1")
#: Labels that show who else uses a key.
_SHARERS: Final = ("team", "project", "service", "user", "workspace")
#: Labels that say whose usage it is, by what their provider may show of a key.
_GROUPS: Final = {
    "team": ("team", "team_id", "team_alias"),
    "project": ("project", "project_id", "project_name"),
    "workspace": ("workspace", "workspace_id", "workspace_name"),
}
_EXACT: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Offender:
    """One value of a label (a key, a team): its spend in the period and in a window, its usual spend, and who uses it.

    Money in the budget's unit. `requests_hour` is None where requests are not counted; `shared` are others in whose
    name the key is used.
    """

    name: str
    spent: Decimal
    recent: Decimal
    usual: Decimal
    share: Decimal = Decimal(0)
    requests_hour: int | None = None
    last_used: datetime | None = None
    shared: tuple[str, ...] = ()
    labels: frozenset[tuple[str, str]] = frozenset()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def excess(self) -> Decimal:
        return max(Decimal(0), self.recent - self.usual)


def find_offenders(
    facts: Facts, position: BudgetStatus, label: str, window: timedelta, end: datetime
) -> list[Offender]:
    """Everybody who spent in the position's period or in the `window` before `end`, most recent spend first."""
    table = cost_table(facts, position)
    groups: dict[str, list[int]] = {}
    for index in series_of(facts, position):
        groups.setdefault(facts.ledger.labels[index].get(label, ""), []).append(index)
    first = bisect_left(table.borders, position.period.start.timestamp())
    found = [_spender(facts, table, name, group, span=(first, window, end)) for name, group in groups.items()]
    everywhere = _everywhere(facts, label)
    total = sum((one.recent for one in found), Decimal(0))
    with_share = [
        Offender(
            one.name, one.spent, one.recent, one.usual, (one.recent / total if total else Decimal(0)).quantize(_EXACT),
            one.requests_hour, one.last_used, everywhere.get(one.name, ((), frozenset()))[0],
            everywhere.get(one.name, ((), frozenset()))[1], _groups(facts, groups[one.name]),
        )
        for one in found
        if one.spent or one.recent
    ]  # fmt: skip
    return sorted(with_share, key=lambda one: (-one.recent, one.name))


def cost_table(facts: Facts, position: BudgetStatus) -> Costs:
    """What every series costs in the position's unit, by the days of its zone."""
    survey = StatusEvaluator(facts.ledger, facts.context, position.period.start)
    return survey.costs(position.budget.period.zone, position.amount.unit)


def series_of(facts: Facts, position: BudgetStatus) -> Sequence[int]:
    """The series that a position is made of, as the evaluation counts them."""
    counts = StatusEvaluator(facts.ledger, facts.context).counted(position.budget.amount.unit)
    return scopes(position.budget, facts.ledger, counts).get(position.scope, ())


def choose_offenders(found: Sequence[Offender], basis: str, who: str, fits: Decimal) -> tuple[Offender, ...]:
    """The offenders to stop, largest first, so that the others spend at most `fits` in the window."""
    named = [one for one in found if one.name]
    if who == "all":
        return tuple(named)
    if basis == "burn_rate":
        too_much = sum((one.excess for one in found), Decimal(0))
        causes = [one for one in named if one.excess and one.excess >= too_much * _CAUSE]
        causes.sort(key=lambda one: (-one.excess, one.name))
    else:
        causes = sorted((one for one in named if one.recent), key=lambda one: (-one.spent, one.name))
    left = sum((one.recent for one in found), Decimal(0))
    taken: list[Offender] = []
    for one in causes:
        if left <= fits:
            break
        taken.append(one)
        left -= one.recent
    return tuple(taken)


def affordable_spend(position: BudgetStatus, basis: str, window: timedelta, now: datetime) -> Decimal:
    """The spend in a window that lasts to the period's end; after a burn rate at least the budgeted rate."""
    seconds = Decimal(repr(window.total_seconds()))
    left = max(Decimal(0), position.amount.value - position.spent)
    remaining = Decimal(repr(max(1.0, (position.period.end - now).total_seconds())))
    lasting = left * min(Decimal(1), seconds / remaining)
    if basis != "burn_rate":
        return lasting
    length = Decimal(repr((position.period.end - position.period.start).total_seconds()))
    return max(lasting, position.amount.value * seconds / length)


def spent_between(
    facts: Facts, position: BudgetStatus, who: tuple[str, str], start: datetime, end: datetime
) -> Decimal:
    """What one value of a label, as (label, value), spent in [start, end), by today's prices."""
    label, name = who
    table = cost_table(facts, position)
    group = [index for index in series_of(facts, position) if facts.ledger.labels[index].get(label, "") == name]
    return _money(facts, table, group, start, end)


def _spender(
    facts: Facts, table: Costs, name: str, group: list[int], *, span: tuple[int, timedelta, datetime]
) -> Offender:
    first, window, end = span
    spent = sum((table.exact_between(index, first, len(table.days)) for index in group), Decimal(0))
    begin = end - window
    earliest = facts.ledger.earliest()
    known = begin - (begin if earliest is None else datetime.fromtimestamp(earliest, UTC))
    before = max(timedelta(0), min(_USUAL, known))
    usual = Decimal(0)
    if before >= window:
        usual = _money(facts, table, group, begin - before, begin) * Decimal(repr(window / before))
    requests = [index for index in group if facts.ledger.series[index].meter == "requests"]
    asked = sum(facts.ledger.sum_between(i, begin.timestamp(), end.timestamp()) for i in requests)
    ends = [at for index in group if (at := facts.ledger.last_used(index)) is not None]
    return Offender(
        name,
        spent.quantize(_EXACT),
        _money(facts, table, group, begin, end).quantize(_EXACT),
        usual.quantize(_EXACT),
        requests_hour=round(asked / (window / timedelta(hours=1))) if requests else None,
        last_used=min(end, datetime.fromtimestamp(max(ends), UTC)) if ends else None,
    )


def _money(facts: Facts, table: Costs, group: Sequence[int], start: datetime, end: datetime) -> Decimal:
    total = Decimal(0)
    for index in group:
        prices = table.prices(index)
        if prices:
            total += facts.ledger.sum_between(index, start.timestamp(), end.timestamp()) * prices[-1][2]
    return total


def _everywhere(facts: Facts, label: str) -> dict[str, tuple[tuple[str, ...], frozenset[tuple[str, str]]]]:
    """Of each value of the label: who uses it, and every label it comes with, in this budget's scope or not."""
    found: dict[str, set[tuple[str, str]]] = {}
    for labels in facts.ledger.labels:
        found.setdefault(labels.get(label, ""), set()).update(labels.items())
    return {
        name: (
            tuple(sorted(f"{n} {v}" for n, v in pairs if n in _SHARERS and n != label and _several(n, pairs))),
            frozenset(pairs),
        )
        for name, pairs in found.items()
    }


def _groups(facts: Facts, group: Sequence[int]) -> dict[str, tuple[str, ...]]:
    """In whose name these series were used: names and ids of teams, projects and workspaces, by kind."""
    rows = [facts.ledger.labels[index] for index in group]
    found = {kind: {row[name] for row in rows for name in names if row.get(name)} for kind, names in _GROUPS.items()}
    return {kind: tuple(sorted(values)) for kind, values in found.items() if values}


def _several(label: str, pairs: set[tuple[str, str]]) -> bool:
    return sum(1 for name, _ in pairs if name == label) > 1
