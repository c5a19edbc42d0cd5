"""The pages of sources and prices: how fresh and how right what alertd knows is, and what it cannot price."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from alertd.core.billing.reconciled import AGREES
from alertd.core.budgets import duration_text
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.drift import comparisons
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus, SourceView
from alertd.core.messages.dates import age, clock_time
from alertd.core.messages.figures import amount, plural, tokens
from alertd.core.messages.spans import clean
from alertd.core.pricing.priceblock import price_blocks
from alertd.core.pricing.prices import Price, PriceBook, Unpriced
from alertd.core.pricing.second_opinion import disagreements, other_price, price_text
from alertd.core.usage import Line
from alertd.web.layout import grid
from alertd.web.sources import COLOURS, alikes, compared_at, state_of_source
from alertd.web.view import Lane, Loop

#: A price that nobody looked at for so long may have changed.
_OLD: Final = timedelta(days=270)
_DAY: Final = re.compile(r"\b20\d\d-[01]\d-[0-3]\d\b")
_MOST_LINES: Final = 500
_MOST_BLOCKS: Final = 50


def sources_page(
    sources: Mapping[str, SourceView],
    loops: Sequence[Loop],
    lanes: Sequence[Lane],
    notes: State | None,
    now: datetime,
) -> Markup:
    """Every source with its age and what is wrong with it, estimate and bill, notifiers, then the daemon's own loops.

    `notes` are None where the database does not answer.
    """
    rows = [_source(view, now) for _, view in sorted(sources.items())]
    return fragment(
        element("h1", "Sources"),
        grid("Sources", ("Source", "State", "Data to", "Read every", "Figures complete from"), rows)
        if rows
        else element("p", "No source has been read yet.", class_="quiet"),
        _reconciled(notes, now),
        _notifiers(lanes),
        element("h2", "Loops"),
        grid(
            "Loops",
            ("Loop", "Rounds", "Failed", "Last took", "Last ended", "Last error"),
            [_loop(one, now) for one in loops],
        ),
    )


def _reconciled(notes: State | None, now: datetime) -> Markup:
    """Estimate and bill side by side, the largest difference first."""
    head = element("h2", "Estimate and bill")
    if notes is None:
        said = "The database does not answer: how they compare is not known."
        return fragment(head, element("p", said, class_="notice over", role="alert"))
    alike = [element("p", said, class_="notice risk") for said in alikes(notes)]
    rows = [_comparison(one) for one in comparisons(notes)]
    if not rows:
        said = "No provider has both usage and a bill over days that are final: nothing can be compared."
        return fragment(head, alike, element("p", said, class_="quiet"))
    columns = ("Provider", "Drift", "Estimated", "Billed", "Days", "Why")
    at = compared_at(notes)
    meaning = "Drift is by how much the estimate is above the bill, over days that are billed for good."
    when = element("p", meaning, f" Compared {age(now - at)} ago." if at else None, class_="quiet")
    return fragment(head, alike, grid("Estimate and bill", columns, rows), when)


def _comparison(one: Mapping[str, Any]) -> Markup:
    drift = None if one["drift_percent"] is None else Decimal(one["drift_percent"])
    far = drift is None or abs(drift) > AGREES * 100
    reported = " (its own estimate)" if one["against"] == "report" else ""
    said = f"nothing {'reported' if reported else 'billed'}" if drift is None else f"{drift:+.1f} %"
    sides = f"{', '.join(one['used_by'])} against {', '.join(one['billed_by'])}{reported}"
    days = f"{one['from']} to {one['to']}" if one["from"] else "no final day"
    return element(
        "tr",
        element("th", clean(one["provider"]), element("p", clean(sides), class_="quiet"), scope="row"),
        element("td", element("span", said, class_=f"state {'risk' if far else 'ok'}")),
        element("td", amount(Decimal(one["estimated"]), one["currency"]), class_="figure"),
        element("td", amount(Decimal(one["billed"]), one["currency"]), class_="figure"),
        element("td", days),
        element("td", [element("p", clean(cause["said"])) for cause in one["causes"]]),
    )


def _notifiers(lanes: Sequence[Lane]) -> Markup | None:
    if not lanes:
        return None
    columns = ("Notifier", "Delivered", "Tried again", "Given up", "Last error")
    return fragment(element("h2", "Notifiers"), grid("Notifiers", columns, [_lane(lane) for lane in lanes]))


def _lane(lane: Lane) -> Markup:
    cells = (f"{lane.delivered:,}", f"{lane.retried:,}", f"{lane.given_up:,}", clean(lane.last_error) or "–")
    return element("tr", element("th", lane.notifier, scope="row"), [element("td", cell) for cell in cells])


def _source(view: SourceView, now: datetime) -> Markup:
    state, said = state_of_source(view, now)
    until = "never" if view.until is None else f"{clock_time(view.until, UTC, now)} UTC ({age(now - view.until)} old)"
    complete = "the period's start" if view.complete_from is None else f"{clock_time(view.complete_from, UTC, now)} UTC"
    return element(
        "tr",
        element("th", view.name, scope="row"),
        element("td", element("span", said, class_=f"state {COLOURS[state]}"), _fault(view)),
        element("td", until),
        element("td", duration_text(view.interval)),
        element("td", complete),
    )


def _fault(view: SourceView) -> Markup | None:
    said = " · ".join(clean(text) for text in (view.error, view.degraded, view.assumed) if text)
    return element("p", said, class_="lacking") if said else None


def _loop(loop: Loop, now: datetime) -> Markup:
    ended = "–" if loop.last_end is None else f"{age(now - loop.last_end)} ago"
    cells: list[Content] = [
        f"{loop.runs:,}", f"{loop.failures:,}", f"{loop.last_seconds:.2f} s", ended, clean(loop.last_error) or "–"
    ]  # fmt: skip
    return element("tr", element("th", loop.name, scope="row"), [element("td", cell) for cell in cells])


def prices_page(book: PriceBook, lines: Iterable[Line], positions: Sequence[BudgetStatus], now: datetime) -> Markup:
    """The price of every line in use, with its date and where it is from; what has none comes first."""
    today = now.astimezone(UTC).date()
    used = {(line.provider, line.model, line.meter, line.modifiers): line for line in lines if not _billed(line)}
    priced = [(line, book.price(line, today)) for _, line in sorted(used.items())[:_MOST_LINES]]
    without = [_unpriced(line, price, book) for line, price in priced if isinstance(price, Unpriced)]
    known = [(line, price) for line, price in priced if isinstance(price, Price)]
    old = sum(_is_old(price, today) for _, price in known)
    assumed = sorted({model for position in positions for model in position.assumed})
    were = "was" if old == 1 else "were"
    warning = (
        f"{plural(old, 'price')} here {were} last confirmed over {age(_OLD)} ago: compare with the provider's page, "
        "and put what changed into a file of ALERTD_PRICES__FILES."
    )
    missing = [
        element("h2", "Without a price: counted in no figure"),
        grid("Without a price", ("Provider", "Model", "Meter", "Why", "Most like it"), without),
    ]
    columns = ("Provider", "Model", "Meter", "Price", "Since", "From", *(("Other list",) if book.second else ()))
    differing = list(disagreements(book, [line for line, _ in priced], today))
    return fragment(
        element("h1", "Prices"),
        element("p", f"Price book {book.version}: {plural(len(book.layers), 'file')}", _list_version(book), "."),
        element("p", warning, class_="notice risk") if old else None,
        missing if without else None,
        _blocks(book, [line for line, _ in priced], today) if without else None,
        [element("p", clean(one.said), class_="notice risk") for one in differing] or None,
        element("p", f"Assumed from a later date: {', '.join(map(clean, assumed))}", class_="notice")
        if assumed
        else None,
        element("h2", "In use"),
        grid("Prices in use", columns, [_price(*one, today, book) for one in known]) if known else None,
        None if known else element("p", "No usage was seen that has a price.", class_="quiet"),
    )


def _billed(line: Line) -> bool:
    return not line.model and not line.meter


def _list_version(book: PriceBook) -> str:
    return f", then {book.price_list.version}" if book.price_list is not None else ""


def _unpriced(line: Line, why: Unpriced, book: PriceBook) -> Markup:
    cells = (line.provider or "–", clean(line.model), _meter(line), clean(why.reason))
    near = "" if why.known else ", ".join(book.nearest(line.model))
    return element("tr", [element("td", cell) for cell in cells], element("td", near or "–"))


def _blocks(book: PriceBook, lines: Sequence[Line], today: date) -> Markup:
    """The lines to paste into a price file for what has no price."""
    text = "\n\n".join(islice(price_blocks(book, lines, today), _MOST_BLOCKS))
    summary = "To paste into a file of ALERTD_PRICES__FILES, with the provider's figures:"
    return element("details", element("summary", summary), element("pre", text))


def _price(line: Line, price: Price, today: date, book: PriceBook) -> Markup:
    unit = {"requests": "request", "minutes": "minute"}.get(line.meter, "token")
    per = f"a {unit}" if price.per == 1 else f"per {tokens(price.per)} {unit}s"
    seen = _confirmed(price)
    since = price.since.isoformat() if price.since else "always"
    old = element("span", f" (seen {seen})", class_="lacking") if seen and _is_old(price, today) else None
    said = " · ".join(clean(text) for text in (price.source, price.note, price.assumed) if text)
    return element(
        "tr",
        element("td", price.provider),
        element("td", clean(line.model)),
        element("td", _meter(line)),
        element("td", f"{price.amount.normalize():f} {price.currency} {per}", class_="figure"),
        element("td", since, old),
        element("td", said or "–"),
        _other(book, line, price, today) if book.second else None,
    )


def _other(book: PriceBook, line: Line, price: Price, today: date) -> Markup:
    """What the second list has for a line, per as many units."""
    theirs = other_price(book, line, price.per, today)
    return element("td", f"{price_text(theirs.amount)} {theirs.currency}" if theirs else "–", class_="figure")


def _meter(line: Line) -> str:
    more = ", ".join(f"{name}={value}" for name, value in line.modifiers)
    return clean(f"{line.meter} ({more})" if more else line.meter)


def _confirmed(price: Price) -> date | None:
    """The last day on which somebody looked, as the price's own file tells; None where it does not."""
    found = [date.fromisoformat(text) for text in _DAY.findall(f"{price.source} {price.note}") if _is_day(text)]
    return max([*found, *([price.since] if price.since else [])], default=None)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_old(price: Price, today: date) -> bool:
    seen = _confirmed(price)
    return seen is not None and today - seen > _OLD
