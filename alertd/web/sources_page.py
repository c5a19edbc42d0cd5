"""The pages of sources and of the daemon's health: how fresh and how right what alertd knows is, what feeds what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from alertd.core.billing.reconcile_figures import AGREES
from alertd.core.budgets import duration_text
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.coverage import comparisons
from alertd.core.evaluation.state import State
from alertd.core.evaluation.values import BudgetStatus, Facts, SourceView
from alertd.core.loop_stats import LoopStats
from alertd.core.messages.format import age, money, plural
from alertd.core.messages.rich_text import clean
from alertd.web.notices import compared_at, duplicates, no_data_since, state_of_source
from alertd.web.parts import Reader, card, pill, table

#: With more budgets than these it is not worked out which source feeds which.
_MOST_RULES: Final = 200
_MOST_COLUMNS: Final = 8
#: The pill of each state of a source, and its word.
_PILLS: Final[Mapping[str, str]] = {
    "ok": "good", "partial": "at_risk", "failing": "at_risk", "stale": "over", "unread": "unknown"
}  # fmt: skip
_STATE_WORDS: Final[Mapping[str, str]] = {
    "ok": "Fresh", "partial": "In part", "failing": "Failing", "stale": "No data", "unread": "Not read yet"
}  # fmt: skip
#: Loops as people call them; the metrics have their own names.
_LOOPS: Final[Mapping[str, str]] = {"follow": "live messages", "upkeep": "maintenance", "other": "other"}
_LOOP_HELP: Final[Mapping[str, str]] = {
    "collect": "reads a source", "deliver": "sends what waits", "evaluate": "works out every budget",
    "follow": "updates messages in chats", "other": "looks whether a second daemon uses the database",
    "reload": "looks for a changed configuration", "stored": "reads budgets kept in the database",
    "upkeep": "removes what is old, compacts the ledger", "act": "carries out and watches actions",
    "announce": "says what is wrong with alertd itself",
}  # fmt: skip


def sources_page(sources: Mapping[str, SourceView], feeds: Feeds, notes: State | None, reader: Reader) -> Markup:
    """How fresh each source is against what it promised, which budgets use it, and its estimate against the bill.

    `notes` are None where the database does not answer.
    """
    views = [view for _, view in sorted(sources.items())]
    missing = sum(no_data_since(view, reader.now) is not None for view in views)
    said = plural(len(views), "source") + (f", {missing} without data" if missing else "")
    drifts = _drifts(notes)
    heads: list[tuple[Content, str | None]] = [
        ("Source", None),
        ("Status", None),
        ("Data to", "num"),
        ("Lateness", None),
        ("Stale after", "num"),
        ("Drift", "num"),
        ("Feeds", None),
    ]
    shown = table(heads, [_source(view, feeds, drifts, reader) for view in views], "stackable mid sources")
    none = element("p", "No source has been read yet.", class_="card-b quiet")
    end = element("span", "line: now; shaded: as promised; full width: stale", class_="q sm hide-s")
    return fragment(
        element("div", element("h1", "Sources"), element("span", said, class_="q sm"), class_="head"),
        card("Freshness", shown if views else none, end=end if views else None),
        element("div", _matrix(views, feeds, reader.now), element("div", _reconciled(notes, reader)), class_="cols")
        if feeds.rules
        else _reconciled(notes, reader),
    )


@dataclass(frozen=True, slots=True)
class Feeds:
    """Which budgets each source feeds: the names of budgets, and how many scopes of them there are, by source.

    No rules where there are too many budgets to work it out for a page.
    """

    rules: Mapping[str, Collection[str]] = field(default_factory=dict)
    scopes: Mapping[str, int] = field(default_factory=dict)

    def count(self, source: str) -> int:
        """Budgets with their scopes that a source feeds."""
        return sum(self.scopes.get(name, 0) for name in self.rules.get(source, ()))


def feeds_of(facts: Facts | None, positions: Sequence[BudgetStatus]) -> Feeds:
    """What feeds what, by the usage that was seen."""
    budgets = {position.budget.name: position.budget for position in positions}
    if facts is None or not 0 < len(budgets) <= _MOST_RULES:
        return Feeds()
    named = {label for budget in budgets.values() for label, _ in budget.where.patterns}
    seen: dict[str, set[frozenset[tuple[str, str]]]] = {}
    for row in facts.ledger.series:
        labels = row.all_labels()
        seen.setdefault(row.source, set()).add(frozenset((name, labels[name]) for name in named & labels.keys()))
    rules = {
        source: [name for name, budget in budgets.items() if any(budget.where.matches(dict(one)) for one in found)]
        for source, found in seen.items()
    }
    return Feeds(rules, Counter(position.budget.name for position in positions))


def _matrix(views: Sequence[SourceView], feeds: Feeds, now: datetime) -> Markup:
    """A row a source, a column a group of budgets that the same sources feed."""
    groups: dict[frozenset[str], list[str]] = {}
    for name in feeds.scopes:
        fed = frozenset(source for source, names in feeds.rules.items() if name in names)
        groups.setdefault(fed, []).append(name)
    columns = sorted(groups.items(), key=lambda one: (-len(one[0]), one[1][0]))[:_MOST_COLUMNS]
    heads = [element("th", "Source", scope="col")]
    heads += [element("th", _group_words(names, feeds), scope="col") for _, names in columns]
    rows = [
        element(
            "tr",
            element("th", element("b", view.name), scope="row"),
            [element("td", _dot(view, now, fed=view.name in fed)) for fed, _ in columns],
        )
        for view in views
    ]  # fmt: skip
    matrix = element("table", element("thead", element("tr", heads)), element("tbody", rows), class_="matrix")
    foot = "A budget's spend is the sum of what each source has shown; it never falls because one is late."
    shown = element(
        "div", matrix, class_="scroll", tabindex=0, role="region", aria_label="Which source feeds which budget"
    )
    return card("What feeds what", shown, element("p", foot, class_="card-f"), identity="feeds")


def _group_words(names: Sequence[str], feeds: Feeds) -> str:
    """`teams (30) and 2 more`: a group of budgets by its first."""
    count = feeds.scopes[names[0]]
    first = clean(names[0], 30) + (f" ({count:,})" if count > 1 else "")
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"


def _dot(view: SourceView, now: datetime, *, fed: bool) -> Markup | None:
    if not fed:
        return None
    bad = no_data_since(view, now) is not None
    return element("svg", element("title", "feeds it, without data now" if bad else "feeds it"),
                   element("circle", cx="6", cy="6", r="4"), class_=f"mdot{' bad' if bad else ''}",
                   viewBox="0 0 12 12", role="img", aria_label="without data" if bad else "yes")  # fmt: skip


def health_page(loops: Sequence[LoopStats], now: datetime) -> Markup:
    """The daemon's own loops."""
    failing = sum(bool(loop.last_error) for loop in loops)
    said = plural(len(loops), "loop") + (f", {failing} with an error" if failing else ", all sound")
    heads: list[tuple[Content, str | None]] = [
        ("Loop", None),
        ("Rounds", "num"),
        ("Failed", "num"),
        ("Last took", "num"),
        ("Last ended", "num"),
        ("Last error", None),
    ]
    shown = table(heads, [_loop(one, now) for one in loops], "stackable mid")
    return fragment(
        element("div", element("h1", "Health"), element("span", said, class_="q sm"), class_="head"),
        card("What the daemon does by itself", shown, identity="loops"),
    )


def _reconciled(notes: State | None, reader: Reader) -> Markup:
    """Estimate and bill side by side, the largest difference first."""
    if notes is None:
        said = "The database does not answer: how they compare is not known."
        return card("Estimate against bill", element("p", said, class_="card-b t-over", role="alert"), identity="bill")
    pairs = [element("p", said, class_="banner") for said in duplicates(notes)]
    rows = [_comparison(one) for one in comparisons(notes)]
    if not rows:
        said = "No provider has both usage and a bill over days that are final: nothing can be compared."
        return card("Estimate against bill", pairs, element("p", said, class_="card-b quiet"), identity="bill")
    heads: list[tuple[Content, str | None]] = [
        ("Provider", None),
        ("Estimated", "num"),
        ("Billed", "num"),
        ("Drift", "num"),
    ]
    at = compared_at(notes)
    meaning = "Drift: by how much the estimate is above the bill, over days that are billed for good."
    shown = table(heads, rows, "stackable")
    foot = element("p", meaning, f" Compared {age(reader.now - at)} ago." if at else None, class_="card-f")
    return card("Estimate against bill", pairs, shown, foot, identity="bill")


def _comparison(one: Mapping[str, Any]) -> Markup:
    drift = None if one["drift_percent"] is None else Decimal(one["drift_percent"])
    far = drift is None or abs(drift) > AGREES * 100
    reported = " (its own estimate)" if one["against"] == "report" else ""
    said = f"nothing {'reported' if reported else 'billed'}" if drift is None else f"{drift:+.1f}%"
    sides = f"{', '.join(one['used_by'])} against {', '.join(one['billed_by'])}{reported}"
    days = f"{one['from']} to {one['to']}" if one["from"] else "no final day"
    return element(
        "tr",
        element("th", element("b", clean(one["provider"])), element("span", clean(sides), class_="sub"),
                element("span", days, class_="sub"),
                [element("span", clean(cause["said"]), class_="sub warn") for cause in one["causes"]], scope="row"),
        element("td", money(Decimal(one["estimated"]), one["currency"]), class_="num", data_l="Estimated"),
        element("td", money(Decimal(one["billed"]), one["currency"]), class_="num", data_l="Billed"),
        element("td", element("span", said, class_=f"state {'risk' if far else 'ok'}"), class_="num", data_l="Drift"),
    )  # fmt: skip


def _drifts(notes: State | None) -> Mapping[str, str]:
    """The text in the column of drifts, by source: the largest where it is compared with several bills."""
    found: dict[str, str] = {}
    for one in comparisons(notes) if notes is not None else ():
        said = "nothing billed" if one["drift_percent"] is None else f"{Decimal(one['drift_percent']):+.1f}%"
        for source in one["used_by"]:
            found.setdefault(source, said)
        for source in one["billed_by"]:
            found.setdefault(source, "is the bill")
    return found


def _source(view: SourceView, feeds: Feeds, drifts: Mapping[str, str], reader: Reader) -> Markup:
    now = reader.now
    state, said = state_of_source(view, now)
    late = None if view.until is None else now - view.until
    complete = None
    if view.complete_from is not None:
        complete = element("span", "complete from ", reader.at(view.complete_from), class_="sub")
    count = feeds.count(view.name)
    return element(
        "tr",
        element("th", element("b", view.name), element("span", f"every {duration_text(view.interval)}", class_="sub"),
                complete, scope="row"),
        element("td", pill(_PILLS[state], _STATE_WORDS[state]),
                element("span", said, class_="sub") if state not in ("ok", "unread") else None, _fault(view),
                data_l="Status"),
        element("td", "never" if view.until is None else reader.at(view.until),
                element("span", f"{age(late)} ago", class_="sub") if late is not None else None, class_="num",
                data_l="Data to"),
        element("td", _lateness(view, now), data_l="Lateness"),
        element("td", age(view.stale_after + view.delay), class_="num", data_l="Stale after"),
        element("td", drifts.get(view.name) or element("span", "no bill", class_="q"), class_="num", data_l="Drift"),
        element("td", element("span", element("b", f"{count:,}"), " budgets" if count != 1 else " budget")
                if feeds.rules else "–", data_l="Feeds"),
    )  # fmt: skip


def _lateness(view: SourceView, now: datetime) -> Content:
    """How late it is against what it promised (shaded) and what is too late (the whole width)."""
    if view.until is None:
        return "–"
    most = (view.stale_after + view.delay).total_seconds() or 1.0
    late, promised = (now - view.until).total_seconds(), (view.delay + view.interval).total_seconds()
    x = [min(120.0, max(0.0, 120 * value / most)) for value in (late, promised)]
    said = f"{age(now - view.until)} now, promised {age(view.delay + view.interval)}"
    drawn = element(
        "svg",
        element("rect", class_="b-track", y="4", width="120", height="4", rx="2"),
        element("rect", class_="lane", y="4", width=x[1], height="4", rx="2"),
        element("rect", class_="b-line", x=min(x[0], 118.0), y="1", width="2", height="10"),
        class_="lat", viewBox="0 0 120 12", aria_hidden="true",
    )  # fmt: skip
    return fragment(drawn, element("span", said, class_="sub"))


def _fault(view: SourceView) -> Markup | None:
    said = " · ".join(clean(text) for text in (view.error, view.degraded, view.assumed) if text)
    return element("span", said, class_="sub warn") if said else None


def _loop(loop: LoopStats, now: datetime) -> Markup:
    ended = "–" if loop.last_end is None else f"{age(now - loop.last_end)} ago"
    cells: list[tuple[str, Content, str | None]] = [
        ("Rounds", f"{loop.runs:,}", "num"), ("Failed", f"{loop.failures:,}", "num"),
        ("Last took", f"{loop.last_seconds:.2f} s", "num"), ("Last ended", ended, "num"),
        ("Last error", element("span", clean(loop.last_error), class_="t-risk") if loop.last_error else "–", None),
    ]  # fmt: skip
    first, _, rest = loop.name.partition(" ")
    words = {"orphans": "messages of removed notifiers"}.get(rest, rest)
    named = element("th", element("b", _LOOPS.get(first, first)), f" {words}" if words else None,
                    element("span", _LOOP_HELP.get(first, ""), class_="sub") if first in _LOOP_HELP else None,
                    scope="row")  # fmt: skip
    return element("tr", named, [element("td", cell, class_=kind, data_l=name) for name, cell, kind in cells])
