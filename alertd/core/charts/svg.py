"""Shapes of the house's pictures as SVG. Each has a class and a colour of its own; nothing here knows a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from alertd.core.charts.html import Content, Markup, element

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


def picture(shapes: Content, width: float, height: float, class_: str, *, stretch: bool = False) -> Markup:
    """Hidden from readers of text: what it shows is in words beside it."""
    return element(
        "svg",
        shapes,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        preserveAspectRatio="none" if stretch else None,
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
    """A filled circle that says what it is."""
    return element("circle", element("title", title), class_=class_, cx=at[0], cy=at[1], r=radius, fill=fill)


def path(class_: str, drawn: str, fill: str, opacity: float) -> Markup:
    """Many shapes of one kind as one, in SVG's path language."""
    return element("path", class_=class_, d=drawn, fill=fill, opacity=opacity)
