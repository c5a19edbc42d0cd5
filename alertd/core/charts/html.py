"""HTML and SVG from nested calls that escape everything: no template, so no place where escaping can be forgotten.

Also the SVG shapes of charts, and the bar and the trend of one budget for a line of a table.

`element("p", "1 < 2", class_="quiet")` -> `<p class="quiet">1 &lt; 2</p>`. Only a Markup passes as it is, and only this
module makes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NewType, TypeAlias

from alertd.core.evaluation.values import BudgetStatus

Markup = NewType("Markup", bytes)
#: Text, elements, or any nesting of them; None and False leave no trace.
Content: TypeAlias = "str | Markup | Iterable[Content] | bool | None"
Value: TypeAlias = "str | int | float | bool | None"

_EMPTY: Final = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


def element(tag: str, /, *content: Content, **attributes: Value) -> Markup:
    """One element.

    Attributes: `class_` is class, `aria_label` is aria-label; True is written alone, None is left out.
    """
    parts = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _EMPTY:
        return Markup(f"<{tag}{parts}>".encode())
    return Markup(f"<{tag}{parts}>".encode() + fragment(*content) + f"</{tag}>".encode())


def fragment(*content: Content) -> Markup:
    """Content behind one another, without an element around it."""
    return Markup(b"".join(map(_rendered, content)))


def verbatim(text: str) -> Markup:
    """The package's own style sheet or script, whose words are constants."""
    return Markup(text.encode())


def _rendered(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return escape(content, quote=False).encode("utf-8", "replace")
    if content is None or isinstance(content, bool):
        return b""
    return b"".join(map(_rendered, content))


def _attribute(name: str, value: Value) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {written}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {written}="{escape(text)}"'


#: What a state is drawn in where no style sheet says otherwise.
COLOURS: Final = {
    "over": "#b3261e",
    "runaway": "#b3261e",
    "at_risk": "#b85c00",
    "unknown": "#6b6b6b",
    "no_forecast": "#6b6b6b",
    "on_track": "#2a6fb0",
}
INK: Final = "#444"
FAINT: Final = "#ccc"

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def picture(shapes: Content, width: float, height: float, class_: str, *, is_stretched: bool = False) -> Markup:
    """Hidden from screen readers: words beside it say the same."""
    return element(
        "svg",
        shapes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        preserveAspectRatio="none" if is_stretched else None,
        class_=class_,
        font_family="system-ui, sans-serif",
        font_size=12,
        aria_hidden="true",
    )


def rectangle(class_: str, box: Box, fill: str, opacity: float | None = None, title: str = "") -> Markup:
    """A box of x, y, width and height."""
    x, y, width, height = box
    named = element("title", title) if title else None
    return element(
        "rect", named, class_=class_, x=x, y=y, width=max(0.0, width), height=height, fill=fill, opacity=opacity
    )


def line(class_: str, points: Sequence[Point], stroke: str, width: float, *, dashed: bool = False) -> Markup:
    """An open line through the points."""
    return element(
        "polyline",
        class_=class_,
        points=_joined(points),
        fill="none",
        stroke=stroke,
        stroke_width=width,
        stroke_dasharray="5 4" if dashed else None,
        stroke_linejoin="round",
    )


def words(text: str, x: float, y: float, anchor: str, class_: str = "words") -> Markup:
    """Words whose anchor (start, middle, end) lies at x."""
    return element("text", text, class_=class_, x=x, y=y, text_anchor=anchor, fill=INK)


def _joined(points: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def polygon(class_: str, points: Iterable[Point], fill: str, opacity: float) -> Markup:
    """A filled surface."""
    return element("polygon", class_=class_, points=_joined(points), fill=fill, opacity=opacity)


def dot(class_: str, at: Point, radius: float, fill: str, title: str) -> Markup:
    """A filled circle with a tooltip."""
    return element("circle", element("title", title), class_=class_, cx=at[0], cy=at[1], r=radius, fill=fill)


def path(class_: str, drawn: str, fill: str, opacity: float) -> Markup:
    """Many shapes of one kind as one, in SVG's path language."""
    return element("path", class_=class_, d=drawn, fill=fill, opacity=opacity)


_LOW, _MIDDLE, _HIGH = 0.1, 0.5, 0.9
_SPACE: Final = 1.06
_TREND_DAYS: Final = 21


def bar(position: BudgetStatus) -> Markup:
    """Spent as a solid bar, the likely range behind it, a line where the budget ends. 100 wide, 12 high, no words."""
    state, total = position.status, float(position.amount.value)
    spent, projection = float(position.spent), position.projection
    reach = [] if projection is None else [projection.quantile(_LOW), projection.quantile(_HIGH)]
    scale = 100.0 / ((max([total, spent, *reach]) or 1.0) * _SPACE)
    shapes: list[Content] = [rectangle("track", (0, 3, total * scale, 6), FAINT)]
    if reach and state != "unknown":
        likely = (reach[0] * scale, 3.0, max(0.5, (reach[1] - reach[0]) * scale), 6.0)
        shapes.append(rectangle("range", likely, COLOURS[state], 0.35))
    if position.data_until is not None:
        shapes.append(rectangle("spent", (0, 3, spent * scale, 6), COLOURS[state]))
    if projection is not None and state != "unknown":
        shapes.append(rectangle("likely", (projection.quantile(_MIDDLE) * scale - 0.3, 1.5, 0.6, 9), INK))
    shapes.append(rectangle("limit", (total * scale - 0.4, 0, 0.8, 12), INK))
    return picture(shapes, 100, 12, f"bar {state}", is_stretched=True)


def trend(position: BudgetStatus) -> Markup | None:
    """What was spent on each of the last days, as columns; None before there are two days."""
    days = [float(spent) for _, spent in position.daily[-_TREND_DAYS:]]
    if len(days) < 2:  # noqa: PLR2004 - one column is no trend
        return None
    highest, width = max(days) or 1.0, 100.0 / len(days)
    columns = "".join(
        f"M{index * width:.1f} 24h{width * 0.8:.1f}V{24 - 24 * spent / highest:.1f}h-{width * 0.8:.1f}z"
        for index, spent in enumerate(days)
        if spent > 0
    )
    return picture(path("column", columns, INK, 0.6), 100, 24, "trend", is_stretched=True)
