"""What everybody must know before any figure: refused settings, sources without data, messages that do not arrive.

Each source as JSON and in words: how fresh it is, what is wrong with it, how its estimate compares with the bill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.charts.html import Markup, element, fragment
from alertd.core.evaluation.coverage import comparisons
from alertd.core.evaluation.state import COMPARISON, State
from alertd.core.evaluation.values import SourceView
from alertd.core.loop_stats import DeliveryStats
from alertd.core.messages.format import age, plural
from alertd.core.messages.rich_text import clean
from alertd.web.answers import instant_text
from alertd.web.parts import card, icon
from alertd.web.view import BudgetStatuses, View

STATES: Final = ("ok", "partial", "failing", "stale", "unread")
#: The colour of each state on the page.
COLOURS: Final[Mapping[str, str]] = {
    "ok": "ok", "partial": "risk", "failing": "risk", "stale": "over", "unread": "unknown"
}  # fmt: skip


def state_of_source(view: SourceView, now: datetime) -> tuple[str, str]:
    """One of the states, and the same in words."""
    if view.stale(now):
        return "stale", f"stale: nothing newer than {age(view.stale_after)} allowed"
    if view.failing_since is not None:
        return "failing", f"failing for {age(now - view.failing_since)}"
    if view.until is None:
        return "unread", "not read yet"
    return ("partial", "answers in part") if view.degraded else ("ok", "read")


def no_data_since(view: SourceView, now: datetime) -> datetime | None:
    """Since when nothing is seen from it, where that is longer than it may; also where nothing ever was."""
    if view.stale(now):
        return view.until
    never = view.until is None and view.failing_since is not None and now - view.failing_since > view.stale_after
    return view.failing_since if never else None


def compared_at(notes: State) -> datetime | None:
    """When estimate and bill were compared last; None where there never were both."""
    last = COMPARISON.get(notes)
    return None if last is None else last.at


def duplicates(notes: State) -> list[str]:
    """Pairs of sources that look like one, in words."""
    last = COMPARISON.get(notes)
    return [] if last is None else [clean(said) for said in last.duplicate_sources]


def sources_json(standings: BudgetStatuses, notes: State, now: datetime) -> dict[str, Any]:
    """The API's answer."""
    return {
        "version": 1,
        "evaluated_at": instant_text(standings.evaluated_at),
        "sources": [_source(view, now) for _, view in sorted(standings.sources.items())],
        "compared_at": instant_text(compared_at(notes)),
        "reconciled": list(comparisons(notes)),
        "duplicate_sources": duplicates(notes),
    }


def _source(view: SourceView, now: datetime) -> dict[str, Any]:
    return {
        "name": view.name,
        "state": state_of_source(view, now)[0],
        "data_until": instant_text(view.until),
        "complete_from": instant_text(view.complete_from),
        "interval_seconds": view.interval.total_seconds(),
        "stale_after_seconds": (view.stale_after + view.delay).total_seconds(),
        "last_ok": instant_text(view.last_ok),
        "failing_since": instant_text(view.failing_since),
        "error": clean(view.error),
        "partial": clean(view.degraded),
        "problems": [clean(said) for said in (view.error, view.degraded, view.assumed) if said],
    }


#: A message is tried again within minutes; one that is older than this does not get through.
_WAITS_LONG: Final = timedelta(minutes=15)
#: What a first env file has.
_FIRST_LINES: Final = """ALERTD_BUDGETS__COMPANY__AMOUNT=2000 USD
ALERTD_BUDGETS__TEAMS__AMOUNT=500 USD
ALERTD_BUDGETS__TEAMS__PER=team
ALERTD_NOTIFIERS__OPS__KIND=slack
ALERTD_NOTIFIERS__OPS__WEBHOOK_URL_FILE=/run/secrets/slack"""


def notices(view: View, now: datetime) -> Markup:
    """What everybody must know before any figure."""
    standings = view.standings()
    said: list[Markup] = []
    faults = [element("li", clean(fault)) for fault in view.faults()]
    if faults:
        words = "The changed configuration is refused, the old one stays in force:"
        said.append(element("div", element("div", words, element("ul", faults)), class_="banner over", role="alert"))
    for source in standings.sources.values():
        since = no_data_since(source, now)
        if since is not None:
            words = f"No data from {source.name} for {age(now - since)}; what its budgets spent since is not known."
            more = f" {clean(source.error)}" if source.error else ""
            link = element("a", "Sources", href="/sources", class_="end")
            said.append(
                element(
                    "div", element("span", element("strong", words), more), link, class_="banner over", role="alert"
                )
            )
    stuck = [loop.name for loop in view.loops() if loop.stuck(view.started, now)]
    if stuck:
        words = f"alertd itself is stuck ({', '.join(stuck)}): figures are old and news may be missing."
        link = element("a", "Health", href="/health", class_="end")
        said.append(element("div", element("strong", words), link, class_="banner over", role="alert"))
    if view.dry_run:
        said.append(element("p", "Dry run: everything is evaluated, nothing is sent or done.", class_="banner calm"))
    return fragment(said)


def empty(view: View, *, can_add: bool = False) -> Markup:
    """What to do where there is no budget to show yet: three steps, the next one marked, and the first lines."""
    if view.standings().evaluated_at is None:
        words = "Nothing was evaluated yet: alertd is reading its sources for the first time. "
        return element("p", words, element("a", "How far they are", href="/sources"))
    shown = view.settings()
    sources, budgets, notifiers = (shown.get(name, ()) for name in ("Sources", "Budgets", "Notifiers"))
    answered = [one.name for one in view.standings().sources.values() if one.until is not None]
    read = f"{', '.join(clean(name, 40) for name in answered[:3])}: read." if answered else "None was read yet."
    waiting = "No usage carries the labels in PER yet: its scopes appear with the first one." if budgets else (
        "Give an amount for everything, or one for each team."
    )  # fmt: skip
    steps = (
        (bool(sources), "Connect a source", read, ("See sources", "/sources")),
        (bool(budgets), "Set a budget", waiting,
         ("Add a budget", "/settings/budget") if can_add else ("Configuration", "/settings#configuration")),
        (bool(notifiers), "Say where alerts go", "Slack, mail, Teams, Discord, PagerDuty, a webhook, and others.",
         ("Send a test", "/settings#notifiers")),
    )  # fmt: skip
    following = next((place for place, (done, *_) in enumerate(steps) if not done), None)
    cards = [
        element(
            "section",
            element("span", icon("good") if done else str(place + 1), class_="no"),
            element("h2", title),
            element("p", said),
            element("div", element("a", words, href=path, class_="btn"), class_="btns"),
            class_=f"card step {'done' if done else 'next' if place == following else ''}".strip(),
        )
        for place, (done, title, said, (words, path)) in enumerate(steps)
    ]
    lines = element("div", element("pre", _FIRST_LINES, tabindex=0), class_="card-b")
    foot = element("p", "alertd re-reads its files when they change. Would past months have alerted in time? ",
                   element("code", "alertd replay --usage october.csv"), " answers without a network.",
                   class_="card-f")  # fmt: skip
    return fragment(
        element("p", "alertd is running and has its database. No budget has a status yet.", class_="q2"),
        element("div", cards, class_="steps"),
        card("In the env file", lines, foot),
    )


def no_database() -> Markup:
    """That the database is away."""
    words = (
        "The database does not answer: these are the figures of the last round, and no new alert is sent; see the log."
    )
    return element("p", words, class_="banner over", role="alert")


def undelivered(
    waiting: Mapping[str, tuple[int, datetime | None]], delivery_stats: Sequence[DeliveryStats], now: datetime
) -> Markup | None:
    """Notifiers that fail and whose oldest message waits for too long; what quiet hours hold back is no fault."""
    errors = {one.notifier: clean(one.last_error) for one in delivery_stats if one.last_error}
    said = [
        f"{plural(count, 'message')} for {name}, the first for {age(now - oldest)}: {errors[name]}"
        for name, (count, oldest) in sorted(waiting.items())
        if name in errors and oldest is not None and now - oldest > _WAITS_LONG
    ]
    if not said:
        return None
    link = element("a", "See Settings", href="/settings#notifiers", class_="end")
    words = element("span", element("strong", "Not delivered: "), "; ".join(said), ".")
    return element("div", words, link, class_="banner over", role="alert")
