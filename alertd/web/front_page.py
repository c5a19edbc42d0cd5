"""The front page: key figures, what needs an answer, the total as a chart, what changed, every budget in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final

from alertd.core.addresses import budget_path
from alertd.core.budgets import TOKENS
from alertd.core.charts.budget_chart import spent_curve
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.charts.period_chart import ChartFigures, figures_of, period_chart
from alertd.core.evaluation.breakdown import PastPeriod
from alertd.core.evaluation.tree import Key, Part, Row, tree_rows
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Contributor
from alertd.core.messages.evidence import is_too_wide
from alertd.core.messages.format import (
    age,
    clock_time,
    day,
    day_of,
    estimated,
    money,
    plural,
    rate,
    tokens,
    unpriced_text,
)
from alertd.core.messages.rich_text import clean
from alertd.web.front_index import GROUPS, PAGE, Index, Query, Total, group_of, owner_of
from alertd.web.parts import (
    STATUS_WORDS,
    Reader,
    bar,
    card,
    chance_of,
    chip,
    is_lower_bound,
    pill,
    quantile,
    running_out,
    scope_name,
    spark,
    sure,
    tile,
    used_percent,
)
from alertd.web.settings_page import budget_form_path
from alertd.web.usage_section import last_curve

#: A sum over more scopes than these is not drawn: each one's days have to be worked out.
_MOST_SUMMED: Final = 200
_MOST_CHANGES: Final = 5
_COLUMNS: Final = (
    ("name", "Budget", ""), ("status", "Status", ""), ("", "Used of the budget", "c-bar"), ("used", "Used", "num"),
    ("spent", "Spent", "num"), ("amount", "Budget", "num drop-m"), ("likely", "Likely", "num"),
    ("chance", "Chance", "num"), ("runs_out", "Runs out", ""), ("", "vs last", "num drop-m"),
    ("", "14 days", "num drop-m"),
)  # fmt: skip
#: The most parts of one scope that the tree shows one by one.
_MOST_PARTS: Final = 25
_TREE: Final = (("Budget", None), ("Spent", "num"), ("Budget", "num"), ("Status", None))
_NEED_A_LOOK: Final = ("runaway", "over", "at_risk", "unknown")


def period_head(total: Total | None, now: datetime) -> Markup | None:
    """`November 2026 · 55% gone, 13 days left`, of the period of the total."""
    if total is None:
        return None
    period = total.statuses[0].period
    if now not in period or not period.whole_days:
        return None
    first = period.start.astimezone(period.zone)
    month = total.statuses[0].budget.period.kind == "month"
    name = f"{first:%B %Y}" if month else f"{day(period.start, period.zone)} to {day_of(period.last_day)}"
    said = f"{name} · {period.elapsed(now):.0%} gone, {age(period.end - now)} left"
    return element("span", said, class_="q sm")


def tiles(index: Index, total: Total | None, now: datetime) -> Markup:
    """Four key figures in one card."""
    counts = index.counts
    links = [
        element("a", element("b", f"{counts[one]:,}", class_=_tone(one)), f" {STATUS_WORDS[one].lower()}",
                href=Query(status=one).href())
        for one in STATUS_WORDS if counts[one]
    ]  # fmt: skip
    look = sum(counts[one] for one in _NEED_A_LOOK)
    figure = fragment(f"{look:,} ", element("small", "needs a look" if look == 1 else "need a look"))
    others = sum({one.budget.name: one.others for one in index.statuses}.values())
    more = element("span", f" and {others:,} scopes far below their thresholds") if others else None
    last = tile(plural(len(index.statuses), "budget"), figure, element("span", links, more, class_="mix"))
    return element("dl", _total_tiles(total, now) if total else None, last, class_="tiles")


def _tone(status: str) -> str | None:
    return "t-over" if status in ("runaway", "over") else "t-risk" if status == "at_risk" else None


def _total_tiles(total: Total, now: datetime) -> list[Markup]:
    first, unit = total.statuses[0], total.unit
    one = first if len(total.statuses) == 1 else None
    name = clean(total.name, 40) if one else f"{clean(total.name, 40)}, {len(total.statuses):,} scopes"
    used = f"{total.spent / total.amount:.0%}" if total.amount else "–"
    least = "≥ " if any(position.stale_sources for position in total.statuses) else ""
    spent = tile(f"Spent: {name}", f"{least}{money(total.spent, unit, whole=total.spent >= 1000)}",  # noqa: PLR2004
                 fragment(element("b", used), f" of {money(total.amount, unit)}", _against(one)))  # fmt: skip
    middle = total.likely
    end = day(first.period.end - timedelta(seconds=1), first.period.zone, weekday=False)
    below: Content = None
    if one is not None and middle is not None:
        low, high, chance = quantile(one, 0.1), quantile(one, 0.9), chance_of(one)
        between = f"{estimated(low, unit, one.spent)} to {estimated(high, unit, one.spent)}" if low and high else ""
        between = "too early for a range" if low and high and is_too_wide(low, high) else between
        over = fragment(" · ", element("b", sure(chance)), " chance of going over") if chance is not None else None
        below = fragment(between, over)
    elif middle is not None:
        below = "the sum of the scopes' middles"
    likely = tile(f"Likely by {end}", "–" if middle is None else estimated(middle, unit, total.spent), below)
    return [spent, likely, _pace(total, now)]


def _against(one: BudgetStatus | None) -> Content:
    """` · +12% vs October`: beside as many whole days of the period before."""
    words = "–" if one is None else _change_words(one)
    return None if one is None or words == "–" else fragment(" · ", element("b", words), f" vs {_period_before(one)}")


def _period_before(one: BudgetStatus) -> str:
    before = one.budget.period.previous(one.period)
    is_month = one.budget.period.kind == "month"
    return f"{before.start.astimezone(before.zone):%B}" if is_month else "the period before"


def _pace(total: Total, now: datetime) -> Markup:
    unit, paces = total.unit, [one.pace for one in total.statuses[:_MOST_SUMMED]]
    if len(total.statuses) > _MOST_SUMMED:
        return tile("Pace, last 7 days", "–", f"not worked out for {len(total.statuses):,} scopes")
    if not any(pace is not None for pace in paces):
        return tile("Pace, last 7 days", "–", "known after a whole day of usage")
    pace = sum((one or Decimal(0) for one in paces), Decimal(0))
    left = max(Decimal(0), total.amount - total.spent)
    days = Decimal(max((total.statuses[0].period.end - now) / timedelta(days=1), 1e-3))
    allowed = fragment("on track means ", element("b", rate(left / days, unit)), " a day") if left else "nothing left"
    return tile("Pace, last 7 days", fragment(rate(pace, unit), " ", element("small", "a day")), allowed)


def total_chart(total: Total | None, now: datetime, before: PastPeriod | None = None) -> Markup | None:
    """The course of the total; None without a total, or if its days are not worked out."""
    if total is None or len(total.statuses) > _MOST_SUMMED:
        return None
    first = total.statuses[0]
    figures = (
        figures_of(first, now, last_curve(first, before) if before else ())
        if len(total.statuses) == 1
        else _summed(total, now)
    )
    if len(figures.spent) < 2:  # noqa: PLR2004 - one point is no course
        return None
    title = f"Spend of {clean(total.name, 40)}"
    return card(title, period_chart(replace(figures, title=title)), end=legend(figures), identity="total")


def _summed(total: Total, now: datetime) -> ChartFigures:
    first = total.statuses[0]
    days: dict[datetime, float] = {}
    for one in total.statuses:
        curve = spent_curve(one)
        for (_, before), (at, value) in pairwise(curve):
            days[at] = days.get(at, 0.0) + value - before
    curve, whole = [(first.period.start, 0.0)], 0.0
    for at in sorted(days):
        whole += days[at]
        curve.append((at, whole))
    return ChartFigures(first.period, total.unit, float(total.amount), curve, now)


def legend(figures: ChartFigures) -> Markup:
    """What the lines of a chart are."""
    kind, line = f"k-{figures.status}", "M0 5H18"
    entries = [(element("g", element("path", class_="l main", d=line), class_=kind), "spent")]
    if figures.rate:
        entries.append((element("g", element("path", class_="l main dash", d=line), class_=kind), "if it goes on"))
    if figures.likely:
        course = "l alt" if figures.rate else "l main dash"
        fan = [element("rect", class_="fan", width="18", height="10"), element("path", class_=course, d=line)]
        words = "if it calms down, and its range" if figures.rate else "likely, and its range"
        entries.append((element("g", fan, class_=kind), words))
    if figures.last:
        entries.append((element("path", class_="l last", d=line), "period before"))
    entries.append((element("line", class_="g-budget", x1="0", x2="18", y1="5", y2="5"), "budget"))
    return element(
        "ul",
        [element("li", element("svg", mark, aria_hidden="true"), words) for mark, words in entries],
        class_="legend",
    )


def changes(total: Total | None) -> Markup | None:
    """Whose daily spend changed most, of the scopes of the total; None where too many would have to be worked out."""
    if total is None or len(total.statuses) > _MOST_SUMMED:
        return None
    moved = [
        (item, one)
        for one in total.statuses
        for item in one.contributors
        if item.pace_now is not None and item.pace_before is not None and _has_moved(item)
    ]
    moved.sort(key=lambda pair: -abs(_move(pair[0])))
    if not moved:
        return None
    rows = [_change(item, one) for item, one in moved[:_MOST_CHANGES]]
    heads = [
        element("th", words, scope="col", class_=kind)
        for words, kind in (("Who", None), ("A day", "num"), ("Change", "num"))
    ]
    table = element("table", element("thead", element("tr", heads)), element("tbody", rows), class_="mid tightcols")
    return card("What changed", element("div", table, class_="scroll"),
                end=element("span", "last 2 whole days, 7 before", class_="q sm"), identity="changed")  # fmt: skip


def _has_moved(item: Contributor) -> bool:
    """Whether a daily spend changed by a twentieth at least: less is no news."""
    before = item.pace_before or Decimal(0)
    return abs(_move(item)) * 20 > abs(before)


def _move(item: Contributor) -> Decimal:
    return (item.pace_now or Decimal(0)) - (item.pace_before or Decimal(0))


def _change(item: Contributor, one: BudgetStatus) -> Markup:
    unit, move = one.amount.unit, _move(item)
    name = clean(item.value, 60) or f"without a {clean(item.label, 30)}"
    where = scope_name(one.budget.name, one.scope)
    words = f"{'+' if move > 0 else '−'}{rate(abs(move), unit)}"
    return element(
        "tr",
        element("th", element("a", name, href=budget_path(one.budget.name, one.scope)),
                element("span", where, class_="sub"), scope="row", class_="name"),
        element("td", f"{rate(item.pace_before or Decimal(0), unit)} → {rate(item.pace_now or Decimal(0), unit)}",
                class_="num"),
        element("td", element("b", words, class_="t-good" if move < 0 else None), class_="num"),
    )  # fmt: skip


def budget_table(index: Index, query: Query, reader: Reader, *, path: str = "/") -> Markup:
    """The page of the table that the address asks for, with its filters above and its paging below."""
    found = index.found(query)
    pages = max(1, -(-len(found) // PAGE))
    page = min(query.page, pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    table = element(
        "table",
        element("caption", "Budgets", class_="vh"),
        element("thead", element("tr", [_head(*column, query, path) for column in _columns(shown)])),
        element("tbody", list(_rows(shown, found, query, reader))),
        class_="budgets stackable",
    )
    none = element("p", "No budget fits. ", element("a", "Show all", href=path), class_="card-f")
    first = (page - 1) * PAGE + 1
    foot = element(
        "div",
        element("span", f"{first:,} to {first + len(shown) - 1:,} of {len(found):,}"),
        element("span", "Bar: spent, pale is the likely range, the tick its middle.", class_="hide-s"),
        _paging(query, page, pages, path),
        class_="card-f",
    )
    body = fragment(element("div", table, class_="scroll"), foot) if shown else none
    return element(
        "section", _tools(index, query, path, reader), body, class_="card", aria_label="All budgets", id="budgets"
    )


def _columns(shown: Sequence[BudgetStatus]) -> list[tuple[str, str, str]]:
    """The columns; the period before has a name where it is the same month for all."""
    months = {_period_before(one)[:3] for one in shown if one.period.whole_days}
    last = f"vs {months.pop()}" if len(months) == 1 and "the" not in months else "vs last"
    return [(sort, last if words == "vs last" else words, kind) for sort, words, kind in _COLUMNS]


def tree_table(statuses: Sequence[BudgetStatus], below: Key | None = None) -> Markup | None:
    """Budgets below their parents, with figures that add up; of one scope only what is below it. None without."""
    parts = [
        Part((one.budget.name, one.scope), one.parent, one.spent, one.amount.value, one.amount.unit, one.status)
        for one in statuses if not one.closed
    ]  # fmt: skip
    rows = tree_rows(parts, _MOST_PARTS)
    if below is not None:
        rows = _part_of(rows, below)
    if not rows:
        return None
    lines = [_tree_row(row, row.depth - rows[0].depth) for row in rows]
    heads = [element("th", words, scope="col", class_=kind) for words, kind in _TREE]
    table = element("table", element("thead", element("tr", heads)), element("tbody", lines), class_="mid tightcols")
    title = "Parts" if below is not None else "Budgets and their parts"
    return card(title, element("div", table, class_="scroll"), identity="tree")


def _part_of(rows: Sequence[Row], key: Key) -> list[Row]:
    """The rows of one scope and of what is below it."""
    first = next((n for n, row in enumerate(rows) if row.what == "scope" and row.part.key == key), None)
    if first is None or rows[first].allocated is None:
        return []
    end = next((n for n in range(first + 1, len(rows)) if rows[n].depth <= rows[first].depth), len(rows))
    return list(rows[first:end])


def _tree_row(row: Row, depth: int) -> Markup:
    part, unit = row.part, row.part.unit
    said = {"others": f"{row.others:,} more", "rest": "in no part", "shared": "in several parts, counted once"}
    if row.what == "scope":
        name: Content = element("a", scope_name(*part.key), href=budget_path(*part.key))
    else:
        name = element("span", said[row.what], class_="q")
    spent = tokens(row.spent) if unit == TOKENS else f"{row.spent:,.2f} {unit}"
    more = row.allocated is not None and row.allocated > part.amount
    excess = element("span", f"its parts have {money(row.allocated or Decimal(0), unit)}", class_="sub warn")
    return element(
        "tr",
        element("th", [element("span", "", class_="indent")] * depth, name, scope="row", class_="name"),
        element("td", spent, class_="num"),
        element("td", money(part.amount, unit) if row.what == "scope" else None, excess if more else None,
                class_="num"),
        element("td", pill(part.status) if row.what == "scope" else None),
    )  # fmt: skip


def _tools(index: Index, query: Query, path: str, reader: Reader) -> Markup:
    counts = index.counts
    chips = [chip(fragment("All ", element("b", f"{len(index.statuses):,}")), query.href(path, status=""),
                  here=not query.status)]  # fmt: skip
    chips += [
        chip(fragment(words, " ", element("b", f"{counts[status]:,}")), query.href(path, status=status),
             here=query.status == status, shape=status)
        for status, words in STATUS_WORDS.items() if counts[status] or query.status == status
    ]  # fmt: skip
    kept = [("status", query.status), ("group", query.group if query.group != "none" else "")]
    search = element(
        "form",
        [element("input", type="hidden", name=name, value=value) for name, value in kept if value],
        element("input", type="search", name="q", value=query.words, maxlength=100, aria_label="Find a budget",
                placeholder="Find name, owner, key or model"),
        element("button", "Find", class_="btn"),
        class_="find", role="search", action=path,
    )  # fmt: skip
    groups = [
        element("a", words.capitalize(), href=query.href(path, group=words),
                aria_current="true" if words == query.group else None)
        for words in GROUPS
    ]  # fmt: skip
    group = element(
        "details",
        element("summary", f"Group: {query.group}", class_="btn"),
        element("div", groups, class_="popup"),
        class_="menu",
    )
    csv = element("a", "CSV", class_="btn", href="/budgets.csv", download=True)
    add = element("a", "Add", class_="btn", href=budget_form_path(), aria_label="Add a budget") if reader.may(
        "editor"
    ) else None  # fmt: skip
    return element(
        "div",
        element("nav", chips, class_="chips", aria_label="Filter by status"),
        element("div", search, group, csv, add, class_="end"),
        class_="tools",
    )


def _head(sort: str, words: str, kind: str, query: Query, path: str) -> Markup:
    class_ = kind.replace(" drop-m", " drop-m") or None
    if kind == "c-bar":
        scale = element("span", "0 to 150%, line at 100%", class_="q")
        return element("th", element("span", words, class_="vh"), scale, scope="col", class_=class_)
    if not sort:
        return element("th", words, scope="col", class_=class_)
    here = query.sort == sort
    link = element("a", words, href=query.href(path, sort=sort, down=not query.down if here else True))
    state = ("descending" if query.down else "ascending") if here else None
    return element("th", link, scope="col", class_=class_, aria_sort=state)


def _rows(shown: Sequence[BudgetStatus], found: Sequence[BudgetStatus], query: Query, reader: Reader) -> list[Markup]:
    rows: list[Markup] = []
    last, sizes = "", dict[str, int]()
    if query.group != "none":
        for one in found:
            name = group_of(one, query.group)
            sizes[name] = sizes.get(name, 0) + 1
    for one in shown:
        name = group_of(one, query.group) if query.group != "none" else ""
        if name and name != last:
            said = f"{clean(STATUS_WORDS.get(name, name), 60)} · {plural(sizes[name], 'budget')}"
            rows.append(element("tr", element("th", said, scope="colgroup", colspan=len(_COLUMNS)), class_="group"))
            last = name
        rows.append(_row(one, reader))
    return rows


def _row(position: BudgetStatus, reader: Reader) -> Markup:
    unit = position.amount.unit
    owner = owner_of(position)
    of_rule = position.budget.name if position.scope else ""
    below = " · ".join(clean(one, 50) for one in (of_rule, owner) if one)
    middle, low, high = (quantile(position, level) for level in (0.5, 0.1, 0.9))
    between = f"{_cell(low, unit)} to {_cell(high, unit)}" if low is not None and high is not None else ""
    between = "no range yet" if low is not None and high is not None and is_too_wide(low, high) else between
    chance = chance_of(position)
    over = position.spent >= position.amount.value and position.seen
    least = "≥ " if is_lower_bound(position) else ""
    path = budget_path(position.budget.name, position.scope)
    return element(
        "tr",
        element("th", element("a", scope_name(position.budget.name, position.scope), href=path),
                element("span", below, class_="sub") if below else None,
                _lacking(position), scope="row", class_="name"),
        element("td", pill(position.status), class_="c-st"),
        element("td", bar(position), class_="c-bar"),
        element("td", element("b", used_percent(position)), class_="num c-pct drop", data_l="Used"),
        element("td", f"{least}{_whole(position.spent, unit)}" if position.seen else "–",
                element("span", f" of {_whole(position.amount.value, unit)}", class_="only-s"), class_="num c-spent"),
        element("td", _whole(position.amount.value, unit), class_="num drop drop-m"),
        element("td", "–" if middle is None else _cell(middle, unit),
                element("span", between, class_="sub") if between else None, class_="num c-likely"),
        element("td", "already" if over else "–" if chance is None else sure(chance), class_="num drop"),
        element("td", _out(position, reader), class_="drop"),
        element("td", _change_words(position), class_="num drop drop-m"),
        element("td", spark(position), class_="c-spark drop drop-m"),
    )  # fmt: skip


def _change_words(position: BudgetStatus) -> str:
    """`+12%` on as many whole days of the period before; `×14` for more than ten times as much."""
    if position.change is None or is_lower_bound(position):
        return "–"
    share = 1 + position.change
    return f"×{share:,.0f}" if share > 10 else f"{position.change:+.0%}".replace("-", "−")  # noqa: PLR2004


def _whole(value: Decimal, unit: str) -> str:
    return tokens(value) if unit == TOKENS else money(value, unit, whole=True)


def _cell(value: Decimal, unit: str) -> str:
    return tokens(value) if unit == TOKENS else estimated(value, unit)


def _out(position: BudgetStatus, reader: Reader) -> Content:
    """When the amount is used up, where it is not on track."""
    if position.spent >= position.amount.value and position.seen:
        return element("span", "used up", class_="t-over")
    certain = position.certain.exhausted_at if position.certain is not None else None
    soon = min(filter(None, (certain, running_out(position))), default=None)
    if soon is not None:
        return clock_time(soon, position.period.zone, reader.now)
    projection = position.projection
    if projection is None or position.status in ("unknown", "on_track", "no_forecast"):
        return "–"
    found = projection.exhausted_at(float(position.amount.value))
    return "–" if found is None else day(found.likely, position.period.zone)


def _lacking(position: BudgetStatus) -> Markup | None:
    """What the figures lack, where they lack something."""
    said: list[str] = []
    if position.stale_sources:
        said.append(f"no data from {', '.join(position.stale_sources[:2])}")
    if position.unpriced:
        said.append(unpriced_text(position.unpriced))
    if not position.matched:
        said.append("matches no usage")
    if position.failed:
        said.append("could not be evaluated")
    return element("span", clean(" · ".join(said), 120), class_="sub warn") if said else None


def _paging(query: Query, page: int, pages: int, path: str) -> Markup | None:
    if pages == 1:
        return None
    near = sorted({1, pages, *range(max(1, page - 1), min(pages, page + 1) + 1)})
    links = [
        element("a", f"{one:,}", href=query.href(path, page=one), aria_current="page" if one == page else None)
        for one in near
    ]
    following = element("a", "Next", href=query.href(path, page=page + 1)) if page < pages else None
    return element("nav", links, following, class_="paging", aria_label="Pages")
