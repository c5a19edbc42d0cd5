"""What is announced about prices: a model without one, one that has been found since, two lists that disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from alertd.core.budgets import TOKENS
from alertd.core.evaluation.budget_status import StatusEvaluator
from alertd.core.evaluation.event_builder import event_id, event_of, handle_of
from alertd.core.evaluation.keys import escape
from alertd.core.evaluation.scope_columns import column
from alertd.core.evaluation.values import Alert, BudgetStatus, Facts
from alertd.core.events import Event, Unpriced
from alertd.core.ledger.columns import Ledger
from alertd.core.pricing.priceblock import price_blocks
from alertd.core.pricing.prices import PriceBook
from alertd.core.pricing.prices import Unpriced as NoPrice
from alertd.core.pricing.second_opinion import Disagreement, disagreements
from alertd.core.usage import Line

#: This many blocks to paste, and this many disagreements, go into one message; `alertd prices` has them all.
_BLOCKS: Final = 2
_MOST_SAID: Final = 20


def price_alerts(facts: Facts, positions: Sequence[BudgetStatus], survey: StatusEvaluator) -> Iterator[Alert]:
    """Models without a price, each once; prices found for them since, each once; and where two lists disagree."""
    yield from _unpriced(facts, positions)
    if facts.book is not None:
        yield from _priced(facts, facts.book, positions, survey)
        yield from _disagreeing(facts, facts.book)


def _unpriced(facts: Facts, positions: Sequence[BudgetStatus]) -> Iterator[Alert]:
    """What no price list knows, announced once a model, whatever is counted of it; all that is new in one alert."""
    found = {(item.provider, item.model, item.meter): item for p in positions for item in p.unpriced}
    items = {kind: item for kind, item in sorted(found.items()) if _key("unpriced", item) not in facts.announced}
    if not items:
        return
    keys = tuple(dict.fromkeys(_key("unpriced", item) for item in items.values()))
    owner = next(p for p in positions if any(item in items.values() for item in p.unpriced))
    named = {(item.provider, item.model) for item in items.values()}
    details: dict[str, Any] = {"share": _share(facts.ledger, {(item.model, item.meter) for item in items.values()})}
    if facts.book is not None:
        lines = sorted({row.line for row in facts.ledger.kinds if (row.provider, row.model) in named})
        blocks = list(islice(price_blocks(facts.book, lines, facts.context.now.date()), _BLOCKS + 1))
        details["blocks"] = blocks[:_BLOCKS]
    shown = replace(owner, unpriced=tuple(items.values()))
    reason = "usage was seen that no price list knows; it counts in no figure"
    yield Alert(
        keys, event_of(shown, "unpriced", "warning", keys[0], facts.context.now, reason=reason, details=details)
    )


def _priced(
    facts: Facts, book: PriceBook, positions: Sequence[BudgetStatus], survey: StatusEvaluator
) -> Iterator[Alert]:
    """Models that were announced as unpriced and now have a price for all that is used of them."""
    today = facts.context.now.date()
    lacking = {(item.provider, item.model) for position in positions for item in position.unpriced}
    lines: dict[tuple[str, str], list[Line]] = {}
    for row in facts.ledger.kinds:
        if not row.billed and (row.provider, row.model) not in lacking:
            lines.setdefault((row.provider, row.model), []).append(row.line)
    found = {
        named: used
        for named, used in lines.items()
        if _key_of("unpriced", *named) in facts.announced
        and _key_of("priced", *named) not in facts.announced
        and not any(isinstance(book.price(line, today), NoPrice) for line in used)
    }
    if not found:
        return
    keys = tuple(_key_of("priced", *named) for named in sorted(found))
    models = [
        {"provider": provider, "model": model, "spent": _spent(facts, positions, survey, (provider, model))}
        for provider, model in sorted(found)
    ]
    reason = "what had no price has one now; the past is priced, too"
    details = {"summary": "priced", "models": models, "since": _since(positions, facts.context.now)}
    yield Alert(keys, _event(keys[0], "info", facts.context.now, reason, details))


def _disagreeing(facts: Facts, book: PriceBook) -> Iterator[Alert]:
    """Where another price list has a different price for what is used, announced once for each pair of prices."""
    used = sorted({replace(row.line, account="") for row in facts.ledger.kinds if not row.billed})
    differing = disagreements(book, used, facts.context.now.date())
    found = {key: one for one in differing if (key := _key_of_both(one)) not in facts.announced}
    if not found:
        return
    rows = list(islice(found.values(), _MOST_SAID))
    details = {
        "summary": "prices",
        "models": list(dict.fromkeys(one.line.model for one in found.values())),
        "said": [one.said for one in rows],
    }
    reason = "two price lists disagree by more than 10%"
    yield Alert(tuple(found), _event(next(iter(found)), "warning", facts.context.now, reason, details))


def _event(key: str, severity: str, now: datetime, reason: str, details: Mapping[str, Any]) -> Event:
    own = {"handle": handle_of(event_id(key)), **details}
    return Event(event_id(key), "summary", severity, now, reason=reason, details=own)


def _key(what: str, item: Unpriced) -> str:
    return _key_of(what, item.provider, item.model)


def _key_of(what: str, provider: str, model: str) -> str:
    return f"{what}/{escape(provider)}/{escape(model)}"


def _key_of_both(one: Disagreement) -> str:
    name = "/".join(map(escape, (one.line.provider, one.line.model, one.line.meter)))
    refined = escape(",".join(f"{name}={value}" for name, value in one.line.modifiers))
    return f"prices/{name}/{refined}/{one.ours.amount.normalize():f}/{one.theirs.amount.normalize():f}"


def _spent(
    facts: Facts, positions: Sequence[BudgetStatus], survey: StatusEvaluator, named: tuple[str, str]
) -> dict[str, Decimal]:
    """What a model came to in the budgets' periods, by currency."""
    since = _since(positions, facts.context.now)
    spent: dict[str, Decimal] = {}
    for unit in sorted({p.amount.unit for p in positions if p.amount.unit != TOKENS}):
        table = survey.costs(UTC, unit)
        first, last = column(table, since), column(table, facts.context.now) + 1
        rows = enumerate(facts.ledger.series[: len(table.kind_of)])
        own = [index for index, row in rows if (row.provider, row.model) == named and not row.billed]
        total = sum((table.exact_between(index, first, last) for index in own), Decimal(0))
        if total:
            spent[unit] = total
    return spent


def _since(positions: Iterable[BudgetStatus], now: datetime) -> datetime:
    """When the earliest period of a budget began."""
    return min((position.period.start for position in positions), default=now)


def _share(ledger: Ledger, kinds: set[tuple[str, str]]) -> float | None:
    """The share of all tokens that is of these models and meters."""
    sums = ledger.sums([0, 2**40])[:, 0] if ledger.series else None
    if sums is None or not sums.sum():
        return None
    wanted = [index for index, row in enumerate(ledger.series) if (row.model, row.meter) in kinds]
    return float(sums[wanted].sum() / sums.sum())
