"""The output of `alertd rate`, as JSON and as text: lines, their rules, totals, and unpriced usage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from alertd.commands._prompts import plain_table
from alertd.core.money import Money
from alertd.core.pricing.exchange_rates import NoRate
from alertd.core.pricing.rating import Bill, BillLine
from alertd.core.usage import BilledCost, Line
from alertd.terminal import printable

_AT_LEAST_CENTS: Final = 2
_SHORT: Final = {1_000_000: "1M", 1_000: "1k"}


@dataclass(frozen=True, slots=True)
class Rated:
    """All that is printed: the bill, how the file was read, its total in one currency, and its shares.

    `billed` is the money in the file itself; `counts` means that this money is the total and the rated bill an
    estimate.
    """

    bill: Bill
    billed: tuple[BilledCost, ...]
    counts: bool
    notes: tuple[str, ...]
    nearest: Mapping[str, tuple[str, ...]]
    converted: Money | NoRate | None
    shares: Mapping[str, Mapping[str, Decimal]]
    #: Lines to paste into a price file for unpriced usage.
    blocks: tuple[str, ...] = ()

    @property
    def totals(self) -> Mapping[str, Decimal]:
        """The total of the file by currency: its own money if that is a bill, otherwise the rated tokens."""
        if not self.counts:
            return self.bill.totals
        totals: dict[str, Decimal] = defaultdict(Decimal)
        for one in self.billed:
            totals[one.cost.currency] += one.cost.amount
        return dict(totals)

    def by_model(self) -> Mapping[tuple[str, str, str], Decimal]:
        """The file's own money by provider, model and currency."""
        found: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        for one in self.billed:
            found[one.provider, one.model, one.cost.currency] += one.cost.amount
        return found


def as_answer(rated: Rated) -> dict[str, object]:
    """The answer's JSON: quantities as whole numbers in the meter's own unit, money as plain decimal strings."""
    answer: dict[str, Any] = {
        "lines": [_line(line) for line in rated.bill.lines],
        "totals": {currency: plain(total) for currency, total in rated.totals.items()},
        "unpriced": [
            {
                **_of(one.line),
                "quantity": one.quantity,
                "reason": one.reason,
                "nearest": list(rated.nearest.get(one.line.model, ())),
            }
            for one in rated.bill.unpriced
        ],
        "notes": list(rated.notes),
    }
    if rated.blocks:
        answer["blocks"] = list(rated.blocks)
    if rated.billed:
        answer["billed"] = [
            {"provider": provider, "model": model, "cost": plain(cost), "currency": currency}
            for (provider, model, currency), cost in rated.by_model().items()
        ]
        if rated.counts and rated.bill.lines:
            answer["estimate"] = {currency: plain(total) for currency, total in rated.bill.totals.items()}
    if rated.bill.at_most != rated.bill.totals and not rated.counts:
        answer["at_most"] = {currency: plain(total) for currency, total in rated.bill.at_most.items()}
    if rated.shares:
        answer["shares"] = {
            part: {currency: plain(cost) for currency, cost in costs.items()} for part, costs in rated.shares.items()
        }
    match rated.converted:
        case Money():
            answer["converted"] = {rated.converted.currency: plain(rated.converted.amount)}
        case NoRate():
            answer["faults"] = [rated.converted.reason]
        case None:
            pass
    return answer


def plain(amount: Decimal) -> str:
    """Money as text without an exponent: every significant digit, and at least the cents."""
    short = amount.normalize()
    exponent = short.as_tuple().exponent
    decimals = max(-exponent if isinstance(exponent, int) else 0, _AT_LEAST_CENTS)
    return f"{short:.{decimals}f}"


def show(rated: Rated, console: Console) -> None:
    """The bill for people: each line, and under them their rules and the sentences that justify them."""
    reasons: dict[tuple[str, str], int] = {}
    for heading, lines in groupby(rated.bill.lines, key=_heading):
        console.print(f"[bold]{_safe(heading)}[/bold]")
        console.print(_table(lines, reasons))
    for (name, sentence), number in reasons.items():
        console.print(f"({number}) {name}: {_safe(sentence)}", highlight=False, soft_wrap=True)
    for text in _summary(rated):
        console.print(text, highlight=False, soft_wrap=True)


def _table(lines: Iterable[BillLine], reasons: dict[tuple[str, str], int]) -> Table:
    """The lines of one account and month; `reasons` numbers the sentences over all of them."""
    table = plain_table()
    table.add_column("line", overflow="fold")
    for name in ("quantity", "billed", "unit price", "cost", "why"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        number = reasons.setdefault((line.rule.name, line.sentence), len(reasons) + 1)
        table.add_row(*_row(line), f"({number})")
    return table


def _safe(text: str) -> str:
    """Escape a name from a file: no mark-up, no control character, no line break."""
    return escape(printable(text))


def _heading(line: BillLine) -> str:
    account = f" account {line.line.account}" if line.line.account else ""
    return f"{line.month:%Y-%m} {line.price.provider}{account}"


def _row(line: BillLine) -> tuple[str, ...]:
    refined = " ".join(f"{name}={value}" for name, value in line.line.modifiers)
    return (
        _safe(f"{line.line.model} {line.line.meter} {refined}".rstrip()),
        f"{line.quantity:,}",
        f"{line.billed_quantity:,}",
        f"{plain(line.unit_price)}/{_SHORT.get(line.price.per, f'{line.price.per:,}')}",
        f"{plain(line.cost)}{'+' if line.at_most is not None else ''} {line.currency}",
    )


def _summary(rated: Rated) -> Iterable[str]:
    at_most = rated.totals if rated.counts else rated.bill.at_most
    for (provider, model, currency), cost in rated.by_model().items():
        yield _safe(f"billed {' '.join(part for part in (provider, model) if part)}: {plain(cost)} {currency}")
    for currency, total in rated.bill.totals.items() if rated.counts else ():
        yield f"by its tokens and list prices: {plain(total)} {currency}"
    for currency, total in rated.totals.items():
        bound = f" (at most {plain(at_most[currency])}: some prices depend on each request's size or hour)"
        taxed = "as the file says" if rated.counts else "untaxed"
        yield f"[bold]total {plain(total)} {currency}[/bold]{bound if at_most[currency] != total else ''}, {taxed}"
    match rated.converted:
        case Money():
            yield f"together {plain(rated.converted.amount)} {rated.converted.currency}"
        case NoRate():
            yield f"[red]{_safe(rated.converted.reason)}[/red]"
        case None:
            pass
    for part, costs in rated.shares.items():
        yield _safe(f"{part}: " + ", ".join(f"{plain(cost)} {currency}" for currency, cost in costs.items()))
    for reason, lines in groupby(rated.bill.unpriced, key=lambda one: one.reason):
        amounts = list(lines)
        said = ", ".join(f"{one.quantity:,} {one.line.meter}" for one in amounts)
        near = ", ".join(rated.nearest.get(amounts[0].line.model, ()))
        yield "[yellow]unpriced[/yellow] " + _safe(f"{said}: {reason}" + (f"; nearest known: {near}" if near else ""))
    yield from (_safe(f"note: {note}") for note in rated.notes)
    if rated.blocks:
        yield "\n# to paste into a file of --prices, with the provider's figures:"
        yield from (f"\n{escape(block)}" for block in rated.blocks)


def _of(line: Line) -> dict[str, object]:
    named: dict[str, Any] = {"provider": line.provider, "model": line.model, "meter": line.meter}
    if line.modifiers:
        named["modifiers"] = dict(line.modifiers)
    if line.account:
        named["account"] = line.account
    return named


def _line(line: BillLine) -> dict[str, object]:
    shown = {
        **_of(line.line),
        "provider": line.line.provider or line.price.provider,
        "month": f"{line.month:%Y-%m}",
        "quantity": line.quantity,
        "billed_quantity": line.billed_quantity,
        "unit": line.unit,
        "unit_price": plain(line.unit_price),
        "cost": plain(line.cost),
        "currency": line.currency,
        "rule": line.rule.name,
        "sentence": line.sentence,
        "price_source": line.price.source,
    }
    return shown if line.at_most is None else {**shown, "at_most": plain(line.at_most)}
