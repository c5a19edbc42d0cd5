"""A budget's usage on its page: who spends by key, model, team, provider or day, bars by day, and earlier periods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

from alertd.core.addresses import budget_path
from alertd.core.budgets import scope_text
from alertd.core.charts.budget_chart import ticks
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.charts.period_chart import axis_label
from alertd.core.evaluation.breakdown import DIMENSIONS, Breakdown, BreakdownPart, PastPeriod, ScopeUsage, largest
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import clock_time, day_of, money, percent
from alertd.core.messages.rich_text import clean
from alertd.web.parts import card, chip

#: The tabs, in their order.
TABS: Final = ("key", "model", "team", "provider", "day")
_STACKED: Final = 4
_SHOWN: Final = 50
#: What a value is split by that was chosen from another tab.
_THEN: Final = ("key", "model", "team", "provider")
_LONGEST: Final = 200
_HEIGHT: Final = 110
#: Bars are as wide as those of this many periods, also where there are fewer.
_FEWEST: Final = 6


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What the address asks of a budget's usage: a tab, and of which labels ("": without one) and which day."""

    by: str = "key"
    labels: Mapping[str, str] = field(default_factory=dict)
    day: date | None = None

    @classmethod
    def of(cls, given: Mapping[str, str]) -> UsageQuery:
        """Whatever cannot be read is left out."""
        labels = {name: given[name][:_LONGEST] for name in DIMENSIONS if name in given}
        try:
            day = date.fromisoformat(given.get("day", ""))
        except ValueError:
            day = None
        return cls(given["by"] if given.get("by") in TABS else "key", labels, day)

    def href(self, position: BudgetStatus) -> str:
        """The address of the page."""
        path, query = budget_path(position.budget.name, position.scope), urlencode(self._fields())
        return f"{path}{'&' if '?' in path else '?'}{query}#who"

    def csv(self, position: BudgetStatus) -> str:
        """Where the same is as CSV."""
        scope = {"scope": scope_text(position.scope)} if position.scope else {}
        return f"{budget_path(position.budget.name, ())}/usage.csv?{urlencode({**scope, **self._fields()})}"

    def _fields(self) -> dict[str, str]:
        return {"by": self.by, **self.labels, **({"day": self.day.isoformat()} if self.day is not None else {})}

    def within(self, label: str, value: str) -> UsageQuery:
        """Only the usage with a value, split by what it is not split by yet."""
        labels = {**self.labels, label: value}
        return replace(self, labels=labels, by=next((one for one in _THEN if one not in labels), "day"))

    def filters(self) -> Iterator[tuple[str, UsageQuery]]:
        """Each filter in words, and the query without it."""
        for name, value in self.labels.items():
            rest = {one: held for one, held in self.labels.items() if one != name}
            yield f"{name} {clean(value, 60)}" if value else f"without a {name}", replace(self, labels=rest)
        if self.day is not None:
            yield day_of(self.day), replace(self, day=None)

    def split(self, usage: ScopeUsage) -> Breakdown:
        """The spend that is asked for by what the tab shows; of the tab of days by key."""
        part = usage.only(self.labels) if self.labels else usage
        return part.by(self.by if self.by != "day" else "key", day=self.day)


#: No filter, by key.
EVERYTHING: Final = UsageQuery()


def usage_section(position: BudgetStatus, found: Breakdown, query: UsageQuery) -> Markup:
    """The tab that the address asks for (`?by=model`), and above it what the usage is narrowed to."""
    shown = _days_table(position, found, query) if query.by == "day" else _parts_table(position, found, query)
    csv = element("a", "CSV", href=query.csv(position), class_="btn", download=True)
    tabs = [
        element("a", one.capitalize(), href=replace(query, by=one).href(position),
                aria_current="true" if one == query.by else None)
        for one in TABS
    ]  # fmt: skip
    chips = [
        chip(fragment(words, element("span", " ×", aria_hidden="true"), element("span", ": show all", class_="vh")),
             rest.href(position), here=True)
        for words, rest in query.filters()
    ]  # fmt: skip
    return card(
        "Who spends",
        element("nav", tabs, class_="tabs", aria_label="Split by"),
        element("div", element("nav", chips, class_="chips", aria_label="Only"), class_="tools") if chips else None,
        shown,
        end=csv,
        identity="who",
    )


def _parts_table(position: BudgetStatus, found: Breakdown, query: UsageQuery) -> Markup:
    unit, whole = position.amount.unit, found.spent
    if not found.parts:
        narrowed = bool(query.labels or query.day)
        words = "Nothing was spent with these filters." if narrowed else "Nothing was spent in this period."
        return element("p", words, class_="card-b quiet")
    rows = [
        element(
            "tr",
            element(
                "th",
                element("a", _name(part, found.label), href=query.within(found.label, part.value).href(position)),
                scope="row",
                class_="name",
            ),
            element("td", money(part.spent, unit), class_="num", data_l="Spent"),
            element("td", percent(part.spent, whole), class_="num", data_l="Share"),
            element("td", _share(part.spent / whole, number), class_="drop"),
            element("td", _spark(part.daily), class_="c-spark drop"),
        )
        for number, part in enumerate(found.parts[:_SHOWN])
    ]
    more = len(found.parts) - _SHOWN
    said = f"{len(found.parts):,} in all, {money(whole, unit)} together"
    if query.labels or query.day:
        said += f", {percent(whole, position.spent)} of what the budget spent" if position.spent else ""
    elif whole != position.spent:
        said += f"; {money(position.spent - whole, unit)} of the budget's figure is from no usage (opening, committed)"
    foot = element("div", said, f"; {more:,} more are in the CSV" if more > 0 else None, class_="card-f")
    heads = (
        (found.label.capitalize(), None),
        ("Spent", "num"),
        ("Share", "num"),
        ("Of the whole", None),
        ("By day", "num"),
    )
    head = element("tr", [element("th", words, scope="col", class_=kind) for words, kind in heads])
    table = element("table", element("thead", head), element("tbody", rows), class_="stackable mid")
    return fragment(element("div", table, class_="scroll"), foot)


def _name(part: BreakdownPart, label: str) -> str:
    return clean(part.value, 80) if part.value else f"without a {label}"


def _share(share: Decimal, number: int) -> Markup:
    width = max(1.0, float(share) * 160)
    kind = f"s{min(number, _STACKED) + 1}"
    return element("svg", element("rect", class_="b-track", width="160", height="8", rx="2"),
                   element("rect", class_=kind, width=width, height="8", rx="2"), class_="share", viewBox="0 0 160 8",
                   aria_hidden="true")  # fmt: skip


def _spark(daily: Sequence[float]) -> Markup | None:
    highest = max(daily, default=0.0)
    if highest <= 0:
        return None
    width = 96 / len(daily)
    drawn = "".join(
        f"M{place * width:.1f} 24h{max(1.0, width - 1):.1f}v-{24 * spent / highest:.0f}h-{max(1.0, width - 1):.1f}z"
        for place, spent in enumerate(daily)
        if spent > 0
    )
    return element("svg", element("path", d=drawn), class_="spark", viewBox="0 0 96 24", aria_hidden="true")


def _days_table(position: BudgetStatus, found: Breakdown, query: UsageQuery) -> Markup:
    """Every day with what was spent on it and by its end: the chart in figures."""
    unit, total, rows = position.amount.unit, 0.0, []
    for place, one in enumerate(found.days):
        spent = sum(part.daily[place] for part in found.parts)
        total += spent
        link = element("a", day_of(one), href=replace(query, day=one, by=_first(query)).href(position))
        rows.append(
            element("tr", element("th", link, scope="row", class_="name"),
                    element("td", _exact(spent, unit), class_="num", data_l="Spent"),
                    element("td", _exact(total, unit), class_="num", data_l="In all"))
        )  # fmt: skip
    head = element("tr", element("th", "Day", scope="col"), element("th", "Spent", scope="col", class_="num"),
                   element("th", "In all", scope="col", class_="num"))  # fmt: skip
    table = element("table", element("thead", head), element("tbody", rows), class_="stackable")
    return element("div", table, class_="scroll")


def _first(query: UsageQuery) -> str:
    """The first tab that is not narrowed to one value."""
    return next((one for one in TABS if one not in query.labels), "day")


def bars(position: BudgetStatus, found: Breakdown, query: UsageQuery) -> Markup | None:
    """Below the chart, on its axis of days: what each day was spent on, stacked, the largest four and the others."""
    parts, days = largest(found.parts, _STACKED), found.days
    sums = [sum(part.daily[place] for part in parts) for place in range(len(days))]
    highest = max(sums, default=0.0) * 1.1
    if highest <= 0 or len(days) < 2:  # noqa: PLR2004 - one day is in the figures above
        return None
    unit, width = position.amount.unit, 100 / max(1, position.period.days)
    shapes: list[Content] = list(_axis(highest, unit))
    first = position.period.start.astimezone(position.period.zone).date()
    for column, one in enumerate(days):
        place, top, said = (one - first).days, float(_HEIGHT), []
        for number, part in enumerate(parts):
            height = _HEIGHT * part.daily[column] / highest
            if height <= 0:
                continue
            top -= height
            shapes.append(element("rect", class_=f"s{number + 1}", x=f"{place * width + width * 0.12:.2f}%", y=top,
                                  width=f"{width * 0.76:.2f}%", height=max(0.5, height)))  # fmt: skip
            said.append(f"{_name(part, found.label)} {_exact(part.daily[column], unit)}")
        title = element("title", f"{day_of(one)}: {', '.join(said) or 'nothing'}")
        shapes.append(element("rect", title, class_="hit", x=f"{place * width:.2f}%", width=f"{width:.2f}%", y="0",
                              height=_HEIGHT))  # fmt: skip
    drawn = element("svg", shapes, class_="chart", height=_HEIGHT, role="img",
                    aria_label=f"Spend by day and {found.label}")  # fmt: skip
    keys = [
        element("li", element("svg", element("rect", width="10", height="10", class_=f"s{number + 1}"), class_="sq",
                              aria_hidden="true"), _name(part, found.label))
        for number, part in enumerate(parts)
    ]  # fmt: skip
    only = ", ".join(words for words, _ in query.filters())
    heading = f"By day and {found.label}{f': only {only}' if only else ''}"
    head = element("div", element("h3", heading), element("ul", keys, class_="legend end"),
                   class_="card-h part")  # fmt: skip
    return fragment(head, element("div", drawn, class_="plot tight"))


def hour_bars(hours: Sequence[float], end: datetime, unit: str, zone: tzinfo) -> Markup | None:
    """What was spent in each of the hours before an instant; the last is the one that alarms. None without any."""
    highest, width = max(hours, default=0.0) * 1.1, 100 / max(1, len(hours))
    if highest <= 0:
        return None
    shapes: list[Content] = list(_axis(highest, unit))
    for place, spent in enumerate(hours):
        top = _HEIGHT - max(1.0, _HEIGHT * spent / highest)
        kind = "hb o" if place == len(hours) - 1 else "hb"
        shapes.append(element("rect", class_=kind, x=f"{place * width + width * 0.12:.2f}%", y=round(top, 1),
                              width=f"{width * 0.76:.2f}%", height=round(_HEIGHT - top, 1)))  # fmt: skip
        begin = end - timedelta(hours=len(hours) - place)
        until = (begin + timedelta(hours=1)).astimezone(zone)
        title = element("title", f"{clock_time(begin, zone, end)} to {until:%H:%M}: {_exact(spent, unit)}")
        shapes.append(element("rect", title, class_="hit", x=f"{place * width:.2f}%", width=f"{width:.2f}%", y="0",
                              height=_HEIGHT))  # fmt: skip
    for share, anchor in ((0, "start"), (50, "middle"), (100, "end")):
        at = end - timedelta(hours=len(hours) * (1 - share / 100))
        words = clock_time(at, zone, end) if share != 50 else f"{at.astimezone(zone):%H:%M}"  # noqa: PLR2004
        shapes.append(element("text", words, class_="minor" if share == 50 else None, x=f"{share}%",  # noqa: PLR2004
                              y=_HEIGHT + 16, text_anchor=anchor))  # fmt: skip
    said = f"Spend by hour: {_exact(hours[-1], unit)} in the last of {len(hours)}"
    drawn = element("svg", shapes, class_="chart", height=_HEIGHT, role="img", aria_label=said)
    return element("div", drawn, class_="plot act wide")


def _exact(value: float, unit: str) -> str:
    return money(Decimal(repr(round(value, 6))), unit)


def _axis(highest: float, unit: str) -> Iterator[Markup]:
    """Lines across at round figures, from 0 on."""
    for value in ticks(highest):
        y = _HEIGHT * (1 - value / highest)
        yield element("line", class_="g-line" if value else "g-base", x1="0", x2="100%", y1=y, y2=y)
        yield element("text", axis_label(value, unit), x="0", dx="-10", y=y + 4, text_anchor="end")


def last_curve(position: BudgetStatus, before: PastPeriod) -> list[tuple[datetime, float]]:
    """The period before as a curve, moved to this one; it ends where this one does."""
    day_length, total = timedelta(days=1), 0.0
    curve = [(position.period.start, 0.0)]
    for count, spent in enumerate(before.daily, 1):
        total += spent
        at = position.period.start + count * day_length
        curve.append((min(at, position.period.end), total))
        if at >= position.period.end:
            break
    return curve


def past_periods(position: BudgetStatus, past: Sequence[PastPeriod]) -> Markup | None:
    """Earlier periods beside this one as bars; the line is the amount as it is now."""
    if not past:
        return None
    unit = position.amount.unit
    shown = [
        *reversed([(one.period, one.spent, one.complete) for one in past]),
        (position.period, position.spent, True),
    ]
    highest = max(float(position.amount.value), *(float(spent) for _, spent, _ in shown)) * 1.1 or 1.0
    width = 100 / max(_FEWEST, len(shown))
    shapes: list[Content] = list(_axis(highest, unit))
    for place, (period, spent, complete) in enumerate(shown):
        first, height = period.start.astimezone(period.zone).date(), _HEIGHT * float(spent) / highest
        kind = "hb o" if spent > position.amount.value else "hb now" if place == len(shown) - 1 else "hb"
        words = f"{day_of(first)}: {'' if complete else 'at least '}{money(spent, unit)}"
        shapes.append(element("rect", element("title", words), class_=kind, x=f"{place * width + width * 0.15:.2f}%",
                              width=f"{width * 0.7:.2f}%", y=_HEIGHT - height, height=max(1.0, height)))  # fmt: skip
        shapes.append(element("text", _label(first, position), class_="minor" if place % 2 else None,
                              x=f"{place * width + width / 2:.2f}%", y=_HEIGHT + 14, text_anchor="middle"))  # fmt: skip
    y = _HEIGHT * (1 - float(position.amount.value) / highest)
    shapes.append(element("line", class_="g-budget", x1="0", x2="100%", y1=y, y2=y))
    drawn = element("svg", shapes, class_="chart", height=_HEIGHT, role="img", aria_label="Earlier periods")
    over = sum(spent > position.amount.value for _, spent, _ in shown[:-1])
    before = past[0]
    least = "" if before.complete else "at least "
    said = f"Last period: {least}{money(before.spent, unit)}. {over} of {len(past)} went over today's amount."
    return card("Earlier periods", element("div", drawn, class_="plot hist"), element("div", said, class_="card-f"),
                end=element("span", "line: the budget now", class_="q sm"), identity="history")  # fmt: skip


def _label(first: date, position: BudgetStatus) -> str:
    return (
        f"{first:%b}" if position.budget.period.kind in ("month", "quarter", "year") else day_of(first).split(" ", 1)[1]
    )
