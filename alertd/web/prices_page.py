"""The page of prices: what is not counted and which lines mend it, then the price of every model in use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Final
from urllib.parse import urlencode

from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import age, money, plural, tokens
from alertd.core.messages.rich_text import clean
from alertd.core.pricing.price_book import Price, PriceBook, Unpriced
from alertd.core.pricing.price_suggestions import disagreements, other_price, price_blocks, price_text
from alertd.core.usage import Line
from alertd.web.parts import card, scope_name, table

#: A price that was not checked for this time may have changed.
_OLD: Final = timedelta(days=270)
_DAY: Final = re.compile(r"\b20\d\d-[01]\d-[0-3]\d\b")
_MOST_LINES: Final = 500
_MOST_BLOCKS: Final = 50
_MILLION: Final = 1_000_000
#: Meters that have a column of their own; the others are named below the model.
_METERS: Final = (("input", "Input"), ("cached_input", "Cached input"), ("output", "Output"))

#: What each (provider, model) cost, None where that is not worked out; and the unit.
Cost = tuple[Mapping[tuple[str, str], Decimal] | None, str]


def prices_page(
    book: PriceBook,
    lines: Iterable[Line],
    positions: Sequence[BudgetStatus],
    now: datetime,
    cost: Cost = (None, ""),
) -> Markup:
    """What has no price first, then a row a model with its cost this month."""
    today = now.astimezone(UTC).date()
    used = {(line.provider, line.model, line.meter, line.modifiers): line for line in lines if not _billed(line)}
    priced = [(line, book.price(line, today)) for _, line in sorted(used.items())[:_MOST_LINES]]
    without = [(line, price) for line, price in priced if isinstance(price, Unpriced)]
    known = [(line, price) for line, price in priced if isinstance(price, Price)]
    old = sum(_is_old(price, today) for _, price in known)
    assumed = sorted({model for position in positions for model in position.assumed})
    warning = (
        f"{plural(old, 'price')} here {'was' if old == 1 else 'were'} last confirmed over {age(_OLD)} ago: compare "
        "with the provider's page, and put what changed into a file of ALERTD_PRICES__FILES."
    )
    differing = list(disagreements(book, [line for line, _ in priced], today))
    models = len({(line.provider, line.model) for line, _ in priced})
    lacking = len({(line.provider, line.model) for line, _ in without})
    said = f"{plural(models, 'model')} in use, {lacking} without a price"
    return fragment(
        element("div", element("h1", "Prices"), element("span", said, class_="q sm"),
                element("div", element("a", "CSV", class_="btn", href="/prices.csv", download=True), class_="end"),
                class_="head"),
        element("p", warning, class_="banner") if old else None,
        _missing(without, book, positions, today) if without else None,
        [element("p", clean(one.said), class_="banner") for one in differing] or None,
        element("p", f"Assumed from a later date: {', '.join(map(clean, assumed))}", class_="banner calm")
        if assumed else None,
        _in_use(known, today, book, cost) if known
        else element("p", "No usage was seen that has a price.", class_="quiet"),
    )  # fmt: skip


def price_rows(book: PriceBook, lines: Iterable[Line], now: datetime) -> list[dict[str, object]]:
    """Every line in use with its price, for the CSV file; empty without one."""
    today = now.astimezone(UTC).date()
    used = {(line.provider, line.model, line.meter, line.modifiers): line for line in lines if not _billed(line)}
    found: list[dict[str, object]] = []
    for _, line in sorted(used.items()):
        price = book.price(line, today)
        known = price if isinstance(price, Price) else None
        found.append(
            {
                "provider": line.provider,
                "model": line.model,
                "meter": _meter(line),
                "price": "" if known is None else price_text(known.amount),
                "currency": "" if known is None else known.currency,
                "per": "" if known is None else known.per,
                "since": "" if known is None or known.since is None else known.since.isoformat(),
                "from": known.source if known is not None else "",
                "note": known.note if known is not None else "no price is known",
            }
        )
    return found


def _missing(
    without: Sequence[tuple[Line, Unpriced]], book: PriceBook, positions: Sequence[BudgetStatus], today: date
) -> Markup:
    """Each model without a price: how much of it was used, in how many budgets; then the lines that mend it."""
    models: dict[tuple[str, str], list[tuple[Line, Unpriced]]] = {}
    for line, why in without:
        models.setdefault((line.provider, line.model), []).append((line, why))
    asks = [_ask(found, book, positions) for found in list(models.values())[:_MOST_BLOCKS]]
    text = "\n\n".join(islice(price_blocks(book, [line for line, _ in without], today), _MOST_BLOCKS))
    fix = element(
        "div",
        element("p", "To paste into a file of ", element("code", "ALERTD_PRICES__FILES"),
                ", with the provider's figures; past usage is then priced too:", class_="sm q2"),
        element("pre", text, tabindex=0),
        class_="card-b stack",
    )  # fmt: skip
    return element("section", element("ul", asks), fix, class_="card", aria_label="Without a price", id="unpriced")


def _ask(found: Sequence[tuple[Line, Unpriced]], book: PriceBook, positions: Sequence[BudgetStatus]) -> Markup:
    line, why = found[0]
    used = [(count, position) for position in positions if (count := _unpriced_tokens(position, line))]
    quantity: Content = None
    if used:
        most, position = max(used, key=lambda one: one[0])
        budgets = f"; {len(used):,} budgets count without it. " if len(used) > 1 else ", and counts without it. "
        quantity = fragment(scope_name(position.budget.name, position.scope), " has used ",
                            element("b", f"{tokens(most)} tokens"), " of it in this period", budgets)  # fmt: skip
    near = "" if why.known else ", ".join(book.nearest(line.model))
    meters = ", ".join(_meter(one) for one, _ in found)
    by = f" ({clean(line.provider)})" if line.provider else ""
    return element(
        "li",
        element(
            "div",
            element("h2", element("code", clean(line.model)), by,
                    " has no price, so its cost is missing from every total"),
            element("p", quantity, f"{meters}: {clean(why.reason)}.",
                    f" Most like it: {near}." if near else None),
        ),
        element("div", element("a", "Which budgets", href=f"/?{urlencode({'q': line.model})}", class_="btn"),
                class_="btns"),
        class_="ask at_risk",
    )  # fmt: skip


def _unpriced_tokens(position: BudgetStatus, line: Line) -> int:
    """How many tokens of a line's model a budget has used without a price; the same usage may be in other budgets."""
    found = (one for one in position.unpriced if (one.provider, one.model) == (line.provider, line.model))
    return sum(one.quantity for one in found if one.meter not in {"requests", "minutes"})


def _in_use(known: Sequence[tuple[Line, Price]], today: date, book: PriceBook, cost: Cost) -> Markup:
    """A row a model, the dearest first."""
    models: dict[tuple[str, str, str], list[tuple[Line, Price]]] = {}
    for line, price in known:
        modifiers = ", ".join(f"{name}={value}" for name, value in line.modifiers)
        models.setdefault((price.provider, line.model, modifiers), []).append((line, price))
    costs = cost[0] or {}
    order = sorted(models.items(), key=lambda one: (-costs.get((one[1][0][0].provider, one[0][1]), Decimal(0)), one[0]))
    heads: list[tuple[Content, str | None]] = [
        ("Model", None),
        *((words, "num") for _, words in _METERS),
        ("Price from", None),
    ]
    heads += [("Cost this month", "num")] if cost[0] is not None else []
    shown = table(heads, [_model(name, found, today, book, cost) for name, found in order], "stackable mid prices")
    foot = fragment(
        "Price book ", element("code", book.version), f": {plural(len(book.layers), 'file')}", _list_version(book),
        ". Every line can be checked: ", element("code", "alertd rate --usage month.csv"),
    )  # fmt: skip
    end = element("span", "for 1M tokens", class_="q sm")
    return card("Prices in use", shown, element("p", foot, class_="card-f"), end=end, identity="in-use")


def _model(
    name: tuple[str, str, str], found: Sequence[tuple[Line, Price]], today: date, book: PriceBook, costs: Cost
) -> Markup:
    (provider, model, modifiers), (spent, unit) = name, costs
    named = {line.meter: (line, price) for line, price in found}
    others = [
        f"{line.meter.replace('_', ' ')} {_price(price)}" for line, price in found if line.meter not in dict(_METERS)
    ]
    first = found[0][1]
    notes = dict.fromkeys(clean(text) for _, price in found for text in (price.note, price.assumed) if text)
    since = {price.since for _, price in found if price.since}
    seen = max((day for _, price in found if (day := _confirmed(price)) is not None), default=None)
    said = f"since {max(since).isoformat()}" if since else ""
    old = any(_is_old(price, today) for _, price in found)
    checked = element("span", f"confirmed {seen}", class_=f"sub{' warn' if old else ''}") if seen else None
    cost: list[Markup] = []
    if spent is not None:
        value = spent.get((found[0][0].provider, model))
        cost.append(element("td", "–" if value is None else money(value, unit), class_="num", data_l="Cost this month"))
    below = element("span", clean(f"{provider} {modifiers}".strip()), class_="sub")
    more = element("span", " · ".join(others), class_="sub") if others else None
    cells = [
        element("td", _million(named[meter][1]) if meter in named else "–",
                _other(book, *named[meter], today) if meter in named and book.second else None,
                class_="num", data_l=words)
        for meter, words in _METERS
    ]  # fmt: skip
    source = element(
        "td", clean(first.source) or "price book", element("span", said, class_="sub") if said else None, checked,
        [element("span", note, class_="sub") for note in notes], data_l="Price from",
    )  # fmt: skip
    return element("tr", element("th", element("b", clean(model)), below, more, scope="row"), cells, source, cost)


def _million(price: Price) -> str:
    """`$1.25` for a million tokens; no digit is lost."""
    return _exact(price.amount * _MILLION / price.per, price.currency)


def _price(price: Price) -> str:
    """`$0.03`, `$1.25 per 1M`: of a meter whose unit is beside it."""
    per = "" if price.per == 1 else f" per {tokens(price.per)}"
    return f"{_exact(price.amount, price.currency)}{per}"


def _exact(value: Decimal, currency: str) -> str:
    digits = f"{value:.2f}" if value == round(value, 2) else f"{value.normalize():f}"
    return money(Decimal(1), currency, whole=True).replace("1", digits, 1)


def _billed(line: Line) -> bool:
    return not line.model and not line.meter


def _list_version(book: PriceBook) -> str:
    return f", then {book.price_list.version}" if book.price_list is not None else ""


def _other(book: PriceBook, line: Line, price: Price, today: date) -> Markup:
    """What the second list has for a line, below the price."""
    theirs = other_price(book, line, price.per, today)
    return element("span", f"other list {_million(theirs) if theirs else '–'}", class_="sub")


def _meter(line: Line) -> str:
    more = ", ".join(f"{name}={value}" for name, value in line.modifiers)
    return clean(f"{line.meter} ({more})" if more else line.meter)


def _confirmed(price: Price) -> date | None:
    """The last day on which the price was checked, from its file; None without one."""
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
