"""The parts that pages are built of: status pills, bars, tiles, buttons that are forms, times in one zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Final

from alertd.core.actions.policy import ActionPolicy
from alertd.core.budgets import BurnRate, Scope
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.event_builder import exhausted_at_pace
from alertd.core.evaluation.thresholds import thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.messages.format import clock_time, percent
from alertd.core.messages.rich_text import clean
from alertd.web.identity import Person

#: A status in one or two words, in the order of their loudness.
STATUS_WORDS: Final[Mapping[str, str]] = {
    "runaway": "Runaway",
    "over": "Over",
    "at_risk": "At risk",
    "unknown": "Unknown",
    "no_forecast": "No forecast",
    "on_track": "On track",
}
_SHAPES: Final[Mapping[str, Markup]] = {
    "runaway": element("path", d="M1.5 5 5 1.5 8.5 5M1.5 9 5 5.5 8.5 9", fill="none", stroke="currentColor",
                       stroke_width="1.7", stroke_linecap="round", stroke_linejoin="round"),
    "over": element("rect", x="1.5", y="1.5", width="7", height="7", rx="1", fill="currentColor"),
    "at_risk": element("path", d="M5 1 9.4 9H.6z", fill="currentColor"),
    "unknown": fragment(
        element("path", d="M3 3.3C3 1.9 4 1.2 5 1.2s2 .7 2 1.9c0 1.5-2 1.5-2 3", fill="none", stroke="currentColor",
                stroke_width="1.5", stroke_linecap="round"),
        element("circle", cx="5", cy="8.6", r=".9", fill="currentColor"),
    ),
    "no_forecast": element("circle", cx="5", cy="5", r="3.6", fill="none", stroke="currentColor", stroke_width="1.5",
                           stroke_dasharray="2 1.7"),
    "on_track": element("circle", cx="5", cy="5", r="3.5", fill="currentColor"),
    "good": element("path", d="m1.5 5.5 2.5 2.5 4.5-6", fill="none", stroke="currentColor", stroke_width="1.7",
                    stroke_linecap="round", stroke_linejoin="round"),
}  # fmt: skip
#: Every shape once on a page; pills refer to it.
SPRITE: Final = element(
    "svg",
    [element("symbol", shape, id=f"i-{name}", viewBox="0 0 10 10") for name, shape in _SHAPES.items()],
    width="0", height="0", class_="vh", aria_hidden="true",
)  # fmt: skip
#: The bar's scale ends here, as a share of the amount; what goes beyond has an arrow.
_SCALE: Final = 1.5
_LOW, _MIDDLE, _HIGH = 0.1, 0.5, 0.9
_TREND_DAYS: Final = 14


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page, when, in which zone, and at which path forms lead back."""

    person: Person
    now: datetime
    zone: tzinfo
    back: str = "/"
    can_change: bool = True
    #: How this browser wants the pages: `light`, `dark`, or "" as the system has it.
    theme: str = ""
    #: What actions are configured, which says who may approve.
    policies: Sequence[ActionPolicy] = ()

    def may(self, role: str) -> bool:
        return self.can_change and self.person.may(role)

    def at(self, instant: datetime) -> Markup:
        """An instant in people's words, exact for machines and on hovering."""
        exact = instant.isoformat(timespec="seconds")
        return element("time", clock_time(instant, self.zone, self.now), datetime=exact, title=exact)


def scope_name(budget: str, scope: Scope) -> str:
    """What people call a budget's scope: `research`, `team platform`, `without a team`."""
    if not scope:
        return clean(budget, 80)
    return clean(", ".join(f"{label} {value}" if value else f"without a {label}" for label, value in scope), 100)


def icon(name: str) -> Markup:
    """The shape of a status; the word is beside it."""
    return element("svg", element("use", href=f"#i-{name}"), viewBox="0 0 10 10", aria_hidden="true")


def pill(status: str, words: str = "") -> Markup:
    """A status as shape, word and colour; other words for alerts and thresholds."""
    shape = status if status in _SHAPES else "on_track"
    return element("span", icon(shape), words or STATUS_WORDS.get(status, status), class_=f"pill {status}")


def card(title: str, *content: Content, end: Content = None, count: int = 0, identity: str = "") -> Markup:
    """A section with its head; `end` is at the right of the head."""
    name = identity or title.lower().replace(" ", "-")
    head = element(
        "div",
        element("h2", title, id=f"h-{name}"),
        element("span", f"{count:,}", class_="count hot") if count else None,
        element("div", end, class_="end") if end else None,
        class_="card-h",
    )
    return element("section", head, *content, class_="card", aria_labelledby=f"h-{name}", id=name)


def table(
    heads: Sequence[tuple[Content, str | None]], rows: Sequence[Markup], kind: str = "stackable mid", caption: str = ""
) -> Markup:
    """A table in a box that scrolls by itself; each head has its words and its class (`num` is at the right)."""
    head = element("tr", [element("th", words, scope="col", class_=class_) for words, class_ in heads])
    named = element("caption", caption, class_="vh") if caption else None
    whole = element("table", named, element("thead", head), element("tbody", rows), class_=kind)
    return element("div", whole, class_="scroll")


def tile(label: Content, figure: Content, below: Content = None, *, drawn: Content = None) -> Markup:
    """A label, a figure, one line of comparison."""
    return element(
        "div",
        element("dt", label),
        element("dd", figure, class_="n"),
        element("dd", below, class_="d") if below else None,
        element("dd", drawn) if drawn else None,
        class_="tile",
    )


def chip(words: Content, href: str, *, here: bool, shape: str = "") -> Markup:
    """A filter as a link."""
    return element(
        "a", icon(shape) if shape else None, words, href=href, class_="chip", aria_current="true" if here else None
    )


def button(words: str, action: str, back: str, *, kind: str = "", label: str = "", **fields: str) -> Markup:
    """One tap: a form with only its button; `label` says to what it is done, for those who do not see where it is."""
    hidden = [element("input", type="hidden", name=n.rstrip("_"), value=v) for n, v in {"back": back, **fields}.items()]
    submit = element("button", words, class_=f"btn {kind}".strip(), type="submit", aria_label=label or None)
    return element("form", hidden, submit, method="post", action=action)


def ask_form(
    summary: str, action: str, back: str, fields: Iterable[Markup], *, press: str, kind: str = "primary", **hidden: str
) -> Markup:
    """A form below a button that unfolds it."""
    given = [element("input", type="hidden", name=n.rstrip("_"), value=v) for n, v in {"back": back, **hidden}.items()]
    body = element(
        "form",
        given,
        list(fields),
        element("button", press, class_=f"btn {kind}", type="submit"),
        method="post", action=action, class_="popup wide",
    )  # fmt: skip
    return element("details", element("summary", summary, class_="btn"), body, class_="menu")


def field(identity: str, label: str, *, hint: str = "", **attributes: str | bool) -> Markup:
    """A labelled line of a form; `name` is among the attributes."""
    return element(
        "div",
        element("label", label, for_=identity),
        element("input", id=identity, **attributes),
        element("span", hint, class_="hint") if hint else None,
        class_="field",
    )


def options(identity: str, label: str, name: str, values: Sequence[tuple[str, str]]) -> Markup:
    """A labelled choice; the first value is chosen."""
    chosen = [element("option", words, value=value) for value, words in values]
    return element(
        "div",
        element("label", label, for_=identity),
        element("select", chosen, id=identity, name=name),
        class_="field",
    )


def bar(position: BudgetStatus, *, likely: bool = True) -> Markup:
    """0 to 150% of the amount: solid is spent, pale the likely range, a tick its middle; the budget at two thirds."""
    total, projection = float(position.amount.value), position.projection
    whole = total or float(position.spent) or 1.0

    def x(value: float) -> float:
        return min(100.0, 100.0 * value / (whole * _SCALE))

    kind, shapes = f"f-{position.status}", [element("rect", class_="b-track", y="3", width="100", height="6")]
    beyond = float(position.spent) > whole * _SCALE
    if projection is not None and likely and position.status != "unknown":
        low, high = x(projection.quantile(_LOW)), x(projection.quantile(_HIGH))
        beyond = beyond or projection.quantile(_HIGH) > whole * _SCALE
        shapes.append(element("rect", class_=f"{kind} b-range", x=low, y="3", width=max(0.6, high - low), height="6"))
    shapes.append(element("rect", class_=kind, y="3", width=x(float(position.spent)), height="6"))
    if projection is not None and likely and position.status != "unknown":
        shapes.append(
            element("rect", class_="b-lik", x=x(projection.quantile(_MIDDLE)), y="1.5", width=".7", height="9")
        )
    shapes.append(element("rect", class_="b-line", x=x(total), width=".8", height="12"))
    if beyond:
        shapes.append(element("path", class_=kind, d="M97 0l3 6-3 6z"))
    return element(
        "svg", shapes, class_="bar", viewBox="0 0 100 12", preserveAspectRatio="none", aria_hidden="true",
        height="12", width="100%",
    )  # fmt: skip


def spark(position: BudgetStatus) -> Markup | None:
    """What was spent on each of the last days, as columns; None before there are two days."""
    days = [float(spent) for _, spent in position.daily[-_TREND_DAYS:]]
    if len(days) < 2:  # noqa: PLR2004 - one column is no trend
        return None
    highest, width = max(days) or 1.0, 96 / _TREND_DAYS
    drawn = "".join(
        f"M{96 - width * (len(days) - place):.0f} 24h5v-{24 * spent / highest:.0f}h-5z"
        for place, spent in enumerate(days)
        if spent > 0
    )
    return element("svg", element("path", d=drawn), class_="spark", viewBox="0 0 96 24", aria_hidden="true")


def used_percent(position: BudgetStatus) -> str:
    """`85%`; a lower bound where a source is stale; `–` where nothing was ever seen."""
    if not position.seen or not position.amount.value:
        return "–"
    text = percent(position.spent, position.amount.value).replace("under ", "<")
    return f"≥ {text}" if is_lower_bound(position) else text


def is_lower_bound(position: BudgetStatus) -> bool:
    """Whether what was spent is only known to be at least the figure."""
    return position.status == "unknown" or bool(position.stale_sources)


def sure(probability: float) -> str:
    """A chance in percent that claims no certainty: `<1%`, `93%`, `>99%`."""
    return ">99%" if probability >= 0.99 else "<1%" if probability < 0.01 else f"{probability:.0%}"  # noqa: PLR2004


def chance_of(position: BudgetStatus) -> float | None:
    """How likely the period's total is above the amount; None where nothing is projected, or it is over already."""
    if position.projection is None or position.status == "unknown" or position.spent >= position.amount.value > 0:
        return None
    return position.projection.probability_over(float(position.amount.value))


def quantile(position: BudgetStatus, level: float) -> Decimal | None:
    """The period's total at a quantile, never below what is spent."""
    if position.projection is None or position.status == "unknown":
        return None
    return max(position.spent, Decimal(repr(position.projection.quantile(level))))


def running_out(position: BudgetStatus) -> datetime | None:
    """When a budget that runs away is used up, at the rate of the last minutes; None for every other."""
    if position.status != "runaway":
        return None
    rules = [one for one in thresholds_of(position) if isinstance(one, BurnRate) and min(one.windows) in position.burns]
    return min(filter(None, (exhausted_at_pace(position, one) for one in rules)), default=None)
