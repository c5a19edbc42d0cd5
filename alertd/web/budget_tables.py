"""Tables of a budget's page: its thresholds, who changed, what is certain to be charged."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.budgets import Actual, BurnRate, Forecast, Novel, Threshold, duration_text
from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.core.evaluation.breakdown import DIMENSIONS
from alertd.core.evaluation.state import State
from alertd.core.evaluation.thresholds import thresholds_of
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Contributor
from alertd.core.messages import evidence
from alertd.core.messages.format import amount, chance, clock_time, money, number, rate
from alertd.core.messages.rich_text import clean
from alertd.core.messages.rich_text import name as safe_name
from alertd.core.projection import Projection
from alertd.web.answers import is_firing
from alertd.web.labels import html
from alertd.web.layout import grid
from alertd.web.parts import card, pill, table
from alertd.web.usage_section import EVERYTHING

_NOT_YET: Final = ("not_yet", "Not yet")
_NOT_KNOWN: Final = ("unknown", "Not known")
_PASSED: Final = ("not_yet", "Passed")


def threshold_table(position: BudgetStatus, notes: State, now: datetime) -> Markup:
    """Each threshold in words and as it is written, where it is, whether it fires, and why."""
    rows = [
        element(
            "tr",
            element("th", _threshold_words(threshold), element("code", str(threshold), class_="sub"), scope="row"),
            element("td", _where(threshold, position), class_="num", data_l="At"),
            element(
                "td",
                pill(*_firing_words(position, threshold, firing=is_firing(position, threshold, notes, now))),
                data_l="Now",
            ),
            element("td", _since(threshold, position), data_l="Why"),
        )
        for threshold in thresholds_of(position)
    ]
    heads: list[tuple[Content, str | None]] = [("Alerts when", None), ("At", "num"), ("Now", None), ("Why", None)]
    shown = table(heads, rows, "thr stackable")
    export = "alertd usage export --output usage.csv"
    replay = 'alertd replay --usage usage.csv --try "forecast 100% p80"'
    foot = fragment("What would have fired with others: ", element("code", export), ", then ", element("code", replay))
    return card("Thresholds", shown, element("p", foot, class_="card-f"))


def _threshold_words(threshold: Threshold) -> str:
    """`80% is spent`: a threshold as people say it; its setting is below."""
    text = str(threshold)
    level = text.partition(" ")[2].partition(" p")[0]
    match threshold:
        case Actual():
            return f"{level} is spent"
        case Forecast():
            return f"It will probably end above {level}"
        case BurnRate():
            windows = " and ".join(map(duration_text, threshold.windows))
            least = f", and more than {threshold.minimum_spend}" if threshold.minimum_spend is not None else ""
            return f"{threshold.factor.normalize():f} times the budgeted rate over {windows}{least}"
        case Novel():
            return f"A new {clean(threshold.label, 40)} is used"
        case _:
            return {"anomaly": "A day is unusually dear", "balance": "Credit runs low"}.get(threshold.basis, text)


def _firing_words(position: BudgetStatus, threshold: Threshold, *, firing: bool | None) -> tuple[str, str]:
    """The pill of a threshold: crossed for good, firing for now, not yet, not known."""
    if not firing and isinstance(threshold, Forecast) and _is_spent(threshold, position):
        return _PASSED
    if not firing:
        return _NOT_KNOWN if firing is None else _NOT_YET
    if isinstance(threshold, Actual):
        whole = threshold.reached_at(position.amount) >= position.amount.value
        return ("over" if whole else "at_risk"), "Crossed"
    return ("runaway" if isinstance(threshold, BurnRate) else "at_risk"), "Firing"


def _foreseen(threshold: Forecast, position: BudgetStatus, projection: Projection) -> str:
    if _is_spent(threshold, position):
        return "this much is already spent: there is nothing to forecast"
    likely = chance(projection.probability_over(float(threshold.reached_at(position.amount))))
    bound = number(Decimal(repr(projection.fires_below(threshold.probability))), position.amount.unit)
    return f"{likely} chance of exceeding it; fires for amounts under {bound}"


def _is_spent(threshold: Forecast, position: BudgetStatus) -> bool:
    """Whether what a forecast warns of has come: more is spent already."""
    return position.seen and position.spent >= threshold.reached_at(position.amount)


def _where(threshold: Threshold, position: BudgetStatus) -> str:
    if not isinstance(threshold, Actual | Forecast):
        return "–"
    return money(threshold.reached_at(position.amount), position.amount.unit)


def _since(threshold: Threshold, position: BudgetStatus) -> str:
    """Why it fires or not, in figures."""
    known, unit = position.status != "unknown", position.amount.unit
    if isinstance(threshold, Actual):
        left = threshold.reached_at(position.amount) - position.spent
        if known or left <= 0:
            return f"{number(left, unit)} to go" if left > 0 else f"passed by {number(-left, unit)}"
    if not known:
        return "its data are too old" if position.data_until else "no data yet"
    if isinstance(threshold, Forecast) and position.projection is not None:
        return _foreseen(threshold, position, position.projection)
    if isinstance(threshold, BurnRate):
        burns = [position.burns[window] for window in threshold.windows if window in position.burns]
        return (
            ", ".join(f"{burn.factor:.1f}x over {duration_text(burn.window)}" for burn in burns)
            or "no data in its windows"
        )
    if isinstance(threshold, Novel):
        named = ", ".join(f"{clean(one.value, 60)} {amount(one.spent, unit)}" for one in position.novel
                          if one.label == threshold.label)  # fmt: skip
        return f"new: {named}" if named else f"no new {clean(threshold.label, 40)}"
    return "not evaluated yet"


def commitment_table(position: BudgetStatus, now: datetime) -> Markup | None:
    """What is certain to be charged, whatever is used, contract by contract."""
    if position.certain is None or not position.certain.lines:
        return None
    unit, zone = position.amount.unit, position.period.zone
    rows = [
        element(
            "tr",
            element("th", html((safe_name(line.name or line.source),)), scope="row"),
            element("td", f"{amount(line.cost, unit)} {f'a {line.per}' if line.per else 'once'}", class_="figure"),
            element("td", number(line.charged, unit), class_="figure"),
            element("td", number(line.ahead, unit), class_="figure"),
            element("td", clock_time(line.until, zone, now) if line.until else "somebody stops it"),
        )
        for line in position.certain.lines
    ]
    columns = ("Contract", "Cost", "Charged", "To come", "Until")
    return fragment(element("h2", "Certain if nobody stops it"), grid("Commitments", columns, rows, stacked=True))


def changed_table(position: BudgetStatus) -> Markup | None:
    """Whose daily spend changed, and whether by price or by volume; None where nobody's did."""
    if not position.contributors:
        return None
    unit, label = position.amount.unit, position.contributors[0].label
    rows = [
        element(
            "tr",
            element("th", _who(item, position), scope="row", class_="name"),
            element("td", money(item.spent, unit), class_="num", data_l="Spent"),
            element("td", _paces(item, unit), class_="num", data_l="A day"),
            element("td", _why(item), data_l="What changed"),
        )
        for item in position.contributors
        if _has_changed(item)
    ]
    if not rows:
        return None  # who spends is said above
    heads = [(label.capitalize(), None), ("Spent", "num"), ("A day, before → now", "num"), ("What changed", None)]
    foot = element("p", "The last 2 whole days against the 7 before; today is in neither.", class_="card-f")
    return card("What changed", table(heads, rows, "stackable"), foot)


def _who(item: Contributor, position: BudgetStatus) -> Markup:
    """A contributor's name, which narrows the page to it where the page can be."""
    name = html((safe_name(item.value),)) if item.value else element("span", f"without a {clean(item.label, 40)}")
    if item.label not in DIMENSIONS:
        return name
    return element("a", name, href=EVERYTHING.within(item.label, item.value).href(position))


def _has_changed(item: Contributor) -> bool:
    """Whether there is a change to speak of: by a twentieth or more, as on the front page, or too new to compare."""
    before, now = item.pace_before, item.pace_now
    return before is None or now is None or abs(now - before) * 20 >= max(before, now) > 0


def _paces(item: Contributor, unit: str) -> str:
    if item.pace_now is None or item.pace_before is None:
        return "–"
    return f"{rate(item.pace_before, unit)} → {rate(item.pace_now, unit)}"


def _why(item: Contributor) -> str:
    """Price against volume, in a message's words."""
    before, now = item.pace_before, item.pace_now
    if before is None or now is None:
        return "too new to compare"
    if not before or not now:
        return "new" if now else "stopped" if before else "quiet"
    return evidence.price_or_volume(now / before, item.volume_change)
