"""Gaps of the figures: budgets that match nothing, spend without a budget, models without a price, drift.

Drift is the difference of estimate and bill. Each gap is announced once, drift once a month.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from difflib import get_close_matches
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from alertd.core.billing.reconcile import compare_reports, reconcile
from alertd.core.billing.reconcile_figures import DuplicateSources, Reconciled, duplicate_sources
from alertd.core.budgets import TOKENS, Budget
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.event_builder import event_about, event_of
from alertd.core.evaluation.keys import escape, monthly_key, named_key
from alertd.core.evaluation.scope_columns import column
from alertd.core.evaluation.state import COMPARISON, CORRECTION, BillComparison, Compared, State
from alertd.core.evaluation.values import Alert, BudgetStatus, EvaluationContext, Facts
from alertd.core.events import (
    BudgetUnmatched,
    Contributor,
    Drift,
    DuplicateSourcesFound,
    Event,
    ModelsPriced,
    ModelsUnpriced,
    PricedModel,
    PricesDiffer,
    SpendUncovered,
)
from alertd.core.ledger.columns import Ledger
from alertd.core.periods import midnights
from alertd.core.pricing.costing import costs
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_book import Unpriced as NoPrice
from alertd.core.pricing.price_suggestions import Disagreement, disagreements, price_blocks
from alertd.core.pricing.source_roles import CHARGE, ESTIMATE
from alertd.core.spellings import provider_id
from alertd.core.usage import TOKEN_METERS, Line

_SHOWN: Final = 5


def unmatched(
    budgets: Sequence[Budget], statuses: Sequence[BudgetStatus], ledger: Ledger, now: datetime
) -> Iterator[tuple[str, Event]]:
    """An event, with its key, for every budget that covers no series although there is usage."""
    covering = {status.budget.name for status in statuses if status.matched}
    for budget in budgets:
        if budget.name in covering or not budget.where.patterns:
            continue
        status = next((p for p in statuses if p.budget.name == budget.name), None)
        wanted = {name: ",".join(patterns) for name, patterns in budget.where.patterns}
        nearest, known = _nearest(budget, ledger)
        details = BudgetUnmatched(wanted, nearest, known)
        key = named_key("unmatched", budget.name, str(sorted(wanted.items())))
        reason = "no usage matches this budget"
        if status is not None:
            yield key, event_of(status, "unmatched", "warning", key, now, reason=reason, details=details)
        else:
            event = event_about("", "unmatched", "warning", key, now, reason=reason, details=details)
            yield key, replace(event, budget=budget.name, owner=budget.owner, channel=budget.channel)


def _nearest(budget: Budget, ledger: Ledger) -> tuple[tuple[str, str] | None, tuple[str, ...]]:
    """The value (or label) most like the one wanted of the first label that fits nothing, and its known values."""
    for name, patterns in budget.where.patterns:
        known = sorted({labels[name] for labels in ledger.labels if name in labels})
        wanted = [pattern.strip("!*") for pattern in patterns]
        if not known:
            names = sorted({label for labels in ledger.labels for label in labels})
            near = get_close_matches(name, names, n=1, cutoff=0.5)
            return ((near[0], ""), ()) if near else (None, ())
        near = get_close_matches(wanted[0], known, n=1, cutoff=0.4) if wanted else []
        if near and not any(budget.where.matches({name: value}) for value in known):
            return (name, near[0]), tuple(known[:_SHOWN])
    return None, ()


def uncovered_spend(budgets: Sequence[Budget], survey: StatusEvaluator) -> SpendUncovered | None:
    """What no budget covered this calendar month, in the unit of the first budget of money: amount and who."""
    money = [budget for budget in budgets if budget.amount.unit != TOKENS]
    if not money:
        return None
    ledger, context = survey.ledger, survey.context
    uncovered_series = ledger.label_index.uncovered(budget.where for budget in budgets)
    table = survey.costs(money[0].period.zone, money[0].amount.unit)
    first = max(0, len(table.days) - context.now.astimezone(money[0].period.zone).day)
    spent = {index: table.exact_between(index, first, len(table.days)) for index in uncovered_series}
    total = sum(spent.values(), Decimal(0))
    by_model: dict[str, Decimal] = {}
    for index, value in spent.items():
        model = ledger.series[index].model
        by_model[model] = by_model.get(model, Decimal(0)) + value
    top = sorted(by_model.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    most = tuple(Contributor("model", value, spent) for value, spent in top)
    return SpendUncovered({money[0].amount.unit: total}, most) if total else None


def uncovered(budgets: Sequence[Budget], survey: StatusEvaluator) -> Iterator[tuple[str, Event]]:
    """An event, once a calendar month, where there is spend that no budget covers."""
    details, now = uncovered_spend(budgets, survey), survey.context.now
    if details is not None:
        key = monthly_key("uncovered", now)
        yield key, event_about("", "unmatched", "info", key, now, reason="spend that no budget covers",
                               currency=next(iter(details.uncovered)), details=details)  # fmt: skip


#: This many blocks to paste, and this many disagreements, go into one message; `alertd prices` has them all.
_BLOCKS: Final = 2
_MOST_SAID: Final = 20


def price_alerts(facts: Facts, statuses: Sequence[BudgetStatus], survey: StatusEvaluator) -> Iterator[Alert]:
    """Models without a price, each once; prices found for them since, each once; and where two lists disagree."""
    yield from _unpriced(facts, statuses)
    yield from _without_rate(facts, statuses)
    if facts.book is not None:
        yield from _priced(facts, facts.book, statuses, survey)
        yield from _disagreeing(facts, facts.book)


def _unpriced(facts: Facts, statuses: Sequence[BudgetStatus]) -> Iterator[Alert]:
    """What no price list knows, announced once a model, whatever is counted of it; all that is new in one alert."""
    found = {(item.provider, item.model, item.meter): item for p in statuses for item in p.unpriced if not item.rate}
    items = {
        kind: item
        for kind, item in sorted(found.items())
        if named_key("unpriced", item.provider, item.model) not in facts.announced
    }
    if not items:
        return
    keys = tuple(dict.fromkeys(named_key("unpriced", item.provider, item.model) for item in items.values()))
    owner = next(p for p in statuses if any(item in items.values() for item in p.unpriced))
    named = {(item.provider, item.model) for item in items.values()}
    share = _share(facts.ledger, {(item.model, item.meter) for item in items.values()})
    blocks: Sequence[str] = ()
    if facts.book is not None:
        lines = sorted({row.line for row in facts.ledger.kinds if (row.provider, row.model) in named})
        blocks = list(islice(price_blocks(facts.book, lines, facts.context.now.date()), _BLOCKS))
    shown = replace(owner, unpriced=tuple(items.values()))
    reason = "usage was seen that no price list knows; it counts in no figure"
    details = ModelsUnpriced(share, tuple(blocks))
    yield Alert(
        keys, event_of(shown, "unpriced", "warning", keys[0], facts.context.now, reason=reason, details=details)
    )


def _without_rate(facts: Facts, statuses: Sequence[BudgetStatus]) -> Iterator[Alert]:
    """Each rate of exchange that is missing, announced once, with the budget that lacks most by it."""
    of: dict[str, list[BudgetStatus]] = {}
    for status in statuses:
        for rate in {item.rate for item in status.unpriced if item.rate}:
            of.setdefault(rate, []).append(status)
    for rate, lacking in sorted(of.items()):
        key = named_key("unpriced", "rate", *rate.split(" to "))
        if key in facts.announced:
            continue
        items = {one: [item for item in status.unpriced if item.rate == rate] for one, status in enumerate(lacking)}
        most = max(items, key=lambda one: sum(item.cost or 0 for item in items[one]))
        shown = replace(lacking[most], unpriced=tuple(items[most]))
        reason = f"no rate of exchange from {rate} is known; what needs it counts in no figure"
        details = ModelsUnpriced(None, ())
        yield Alert(
            (key,), event_of(shown, "unpriced", "warning", key, facts.context.now, reason=reason, details=details)
        )


def _priced(
    facts: Facts, book: PriceBook, statuses: Sequence[BudgetStatus], survey: StatusEvaluator
) -> Iterator[Alert]:
    """Models that were announced as unpriced and now have a price for all that is used of them."""
    today = facts.context.now.date()
    lacking = {(item.provider, item.model) for status in statuses for item in status.unpriced if not item.rate}
    lines: dict[tuple[str, str], list[Line]] = {}
    for row in facts.ledger.kinds:
        if not row.billed and (row.provider, row.model) not in lacking:
            lines.setdefault((row.provider, row.model), []).append(row.line)
    found = {
        named: used
        for named, used in lines.items()
        if named_key("unpriced", *named) in facts.announced
        and named_key("priced", *named) not in facts.announced
        and not any(isinstance(book.price(line, today), NoPrice) for line in used)
    }
    if not found:
        return
    keys = tuple(named_key("priced", *named) for named in sorted(found))
    models = tuple(PricedModel(*named, _spent(facts, statuses, survey, named)) for named in sorted(found))
    reason = "what had no price has one now; the past is priced, too"
    now = facts.context.now
    yield Alert(keys, event_about("", "summary", "info", keys[0], now, since=_since(statuses, now), reason=reason,
                                  details=ModelsPriced(models)))  # fmt: skip


def _disagreeing(facts: Facts, book: PriceBook) -> Iterator[Alert]:
    """Where another price list has a different price for what is used, announced once for each pair of prices."""
    used = sorted({replace(row.line, account="") for row in facts.ledger.kinds if not row.billed})
    differing = disagreements(book, used, facts.context.now.date())
    found = {key: one for one in differing if (key := _key_of_both(one)) not in facts.announced}
    if not found:
        return
    rows = list(islice(found.values(), _MOST_SAID))
    models = tuple(dict.fromkeys(one.line.model for one in found.values()))
    details = PricesDiffer(models, tuple(one.said for one in rows))
    reason = "two price lists disagree by more than 10%"
    key = next(iter(found))
    yield Alert(tuple(found), event_about("", "summary", "warning", key, facts.context.now, reason=reason,
                                          details=details))  # fmt: skip


def _key_of_both(one: Disagreement) -> str:
    name = "/".join(map(escape, (one.line.provider, one.line.model, one.line.meter)))
    refined = escape(",".join(f"{name}={value}" for name, value in one.line.modifiers))
    return f"prices/{name}/{refined}/{one.ours.amount.normalize():f}/{one.theirs.amount.normalize():f}"


def _spent(
    facts: Facts, statuses: Sequence[BudgetStatus], survey: StatusEvaluator, named: tuple[str, str]
) -> dict[str, Decimal]:
    """What a model came to in the budgets' periods, by currency."""
    since = _since(statuses, facts.context.now)
    spent: dict[str, Decimal] = {}
    for unit in sorted({p.amount.unit for p in statuses if p.amount.unit != TOKENS}):
        table = survey.costs(UTC, unit)
        first, last = column(table, since), column(table, facts.context.now) + 1
        rows = enumerate(facts.ledger.series[: len(table.kind_of)])
        own = [index for index, row in rows if (row.provider, row.model) == named and not row.billed]
        total = sum((table.exact_between(index, first, last) for index in own), Decimal(0))
        if total:
            spent[unit] = total
    return spent


def _since(statuses: Iterable[BudgetStatus], now: datetime) -> datetime:
    """When the earliest period of a budget began."""
    return min((status.period.start for status in statuses), default=now)


def _share(ledger: Ledger, kinds: set[tuple[str, str]]) -> float | None:
    """The share of all tokens that is of these models and meters."""
    sums = ledger.sums([0, 2**40])[:, 0] if ledger.series else None
    used = [index for index, row in enumerate(ledger.series) if not row.billed and row.meter in TOKEN_METERS]
    if sums is None or not sums[used].sum():
        return None
    wanted = [index for index in used if (ledger.series[index].model, ledger.series[index].meter) in kinds]
    return float(sums[wanted].sum() / sums[used].sum()) if wanted else None


#: A billed day may still change for this long after its data are there.
_SETTLE: Final = timedelta(days=2)
#: The daemon looks back so far, and so often.
_LOOK_BACK: Final = 35
_EVERY: Final = timedelta(hours=1)
#: Fewer final days than this say nothing yet.
_LEAST_DAYS: Final = 3


def compared(
    ledger: Ledger, context: EvaluationContext, days: int, by: Sequence[str] = ()
) -> tuple[tuple[Reconciled, ...], tuple[DuplicateSources, ...]]:
    """Every provider with usage and a bill, in the zone and currency of its bill; and possible duplicate sources."""
    final = {n: (v.until - _SETTLE).astimezone(UTC).date() for n, v in context.sources.items() if v.until is not None}
    billed = [row for row in ledger.kinds if row.billed and row.labels.get(CHARGE) != ESTIMATE]
    bills = {(provider_id(row.provider), row.billed) for row in billed}
    found: list[Reconciled] = []
    tariff, exchange = context.tariff, context.exchange
    for zone, unit in sorted({(tariff.zone(provider), unit) for provider, unit in bills}):
        table = costs(ledger, unit, *_days(context.now, ZoneInfo(zone), days), tariff=tariff, exchange=exchange)
        here = {provider for provider, billed in bills if billed == unit and tariff.zone(provider) == zone}
        each = reconcile(ledger, table, final, by=by, standings=context.standings)
        found.extend(one for one in each if one.provider in here)
    done = {n: view.until.astimezone(UTC).date() for n, view in context.sources.items() if view.until is not None}
    for unit in _units_of_reports(ledger):
        table = costs(ledger, unit, *_days(context.now, UTC, days), tariff=tariff, exchange=exchange)
        found.extend(compare_reports(ledger, table, done, by=by, standings=context.standings))
    everything = costs(ledger, "USD", *_days(context.now, UTC, days), tariff=tariff, exchange=exchange)
    return tuple(found), duplicate_sources(ledger, everything, context.standings)


def drifting(
    ledger: Ledger, context: EvaluationContext, announced: Container[str], state: State, level: Decimal
) -> tuple[list[tuple[str, Event]], dict[str, object]]:
    """Events, with their keys, for what drifts beyond `level` or looks like a duplicate; looked at once an hour."""
    last = COMPARISON.get(state)
    sources = {row.source for row in ledger.kinds}
    if not (len(sources) > 1 or any(row.billed for row in ledger.kinds)) or (last and context.now - last.at < _EVERY):
        return [], {}
    found, pairs = compared(ledger, context, _LOOK_BACK)
    events = [*_drifts(found, context.now, level), *_duplicates(pairs, context.now)]
    shown = BillComparison(
        context.now,
        tuple(msgspec.convert(one.to_json(), Compared) for one in found),
        tuple(pair.said for pair in pairs),
    )
    changed = {**COMPARISON.put(shown), **CORRECTION.put(_corrections(found))}
    return [(key, event) for key, event in events if key not in announced], changed


def comparisons(state: State) -> Sequence[Compared]:
    """The last comparison of every provider that has both usage and a bill, as `Reconciled.to_json` has it."""
    last = COMPARISON.get(state)
    return () if last is None else last.compared


def _corrections(found: Sequence[Reconciled]) -> dict[str, dict[str, str]]:
    """By provider, what one unit of the estimate came to, and the first day that is not billed yet."""
    return {
        one.provider: {"factor": str(one.factor), "since": (one.days[-1].day + timedelta(days=1)).isoformat()}
        for one in found
        if one.against == "bill" and one.factor is not None and len(one.days) >= _LEAST_DAYS
    }


def _drifts(found: Sequence[Reconciled], now: datetime, level: Decimal) -> Iterator[tuple[str, Event]]:
    for one in found:
        # Known by its bill alone, or by models without a price, which is said apart: there is no estimate to differ.
        if len(one.days) < _LEAST_DAYS or not one.estimated or not one.drifts(level):
            continue
        reported = ("reported", *one.billed_by) if one.against == "report" else ()
        key = monthly_key("drift", now, *reported, one.provider)
        details = Drift(
            provider=one.provider,
            against=one.against,
            estimated=one.estimated,
            billed=one.billed,
            drift=one.drift,
            correction=one.factor,
            first=one.days[0].day.isoformat(),
            last=one.days[-1].day.isoformat(),
            causes=tuple(cause.said for cause in one.causes),
            sources=tuple(one.billed_by),
        )
        severity = "warning" if one.against == "bill" else "info"
        yield key, event_about("", "summary", severity, key, now, reason=f"estimate and {one.against} differ",
                               currency=one.unit, details=details)  # fmt: skip


def _duplicates(pairs: Sequence[DuplicateSources], now: datetime) -> Iterator[tuple[str, Event]]:
    for pair in pairs:
        key = named_key("duplicate", pair.one, pair.other)
        details = DuplicateSourcesFound((pair.one, pair.other), pair.said)
        reason = "two sources seem to be one"
        yield key, event_about("", "summary", "warning", key, now, reason=reason, details=details)


def _days(now: datetime, zone: tzinfo, days: int) -> tuple[list[date], list[float]]:
    return midnights(zone, now.astimezone(zone).date() - timedelta(days=days), days + 1)


def _units_of_reports(ledger: Ledger) -> tuple[str, ...]:
    """The currency that most reported estimates are in; the others are converted, or said to have no rate."""
    units = Counter(row.billed for row in ledger.kinds if row.billed and row.labels.get(CHARGE) == ESTIMATE)
    return tuple(unit for unit, _ in units.most_common(1))
