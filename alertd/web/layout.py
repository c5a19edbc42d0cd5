"""The frame around every page: head, navigation, style and script. Its policy names both by their hashes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from starlette.responses import Response

from alertd.core.charts.html import Content, Markup, element, fragment, verbatim

_STYLE: Final = files(__package__).joinpath("page.css").read_text("utf-8")
_SCRIPT: Final = files(__package__).joinpath("page.js").read_text("utf-8")
_PLACES: Final = (
    ("/", "Budgets"),
    ("/alerts", "Alerts"),
    ("/actions", "Actions"),
    ("/sources", "Sources"),
    ("/prices", "Prices"),
)


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


#: Nothing is loaded from anywhere; the one style and the one script are known by their content.
POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M1 13 L6 8 L9 10 L15 3' fill='none' stroke='%23d9730d' stroke-width='2.5'/%3E%3C/svg%3E"
)


def grid(name: str, columns: Sequence[str], rows: Sequence[Markup], *, stacked: bool = False) -> Markup:
    """A table that scrolls by itself where it is too wide, by keyboard too; `name` is what it shows.

    One that is `stacked` has the cells of a row below one another on a narrow screen.
    """
    head = element("tr", [element("th", column, scope="col") for column in columns])
    whole = element("table", element("thead", head), element("tbody", rows))
    return element(
        "div", whole, class_="scroll stacked" if stacked else "scroll", tabindex=0, role="region", aria_label=name
    )


def page(title: str, *content: Content, here: str = "", signed_in: bool = False, status: int = 200) -> Response:
    """A whole page. `here` is the place in the navigation; without one there is none."""
    body = fragment(_navigation(here, signed_in=signed_in) if here else None, element("main", *content, id="main"))
    return Response(
        b"<!doctype html>" + element("html", _head(title), element("body", body), lang="en"),
        status,
        media_type="text/html",
    )


def _head(title: str) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{title} · alertd"),
        element("link", rel="icon", href=_ICON),
        element("style", verbatim(_STYLE)),
        element("script", verbatim(_SCRIPT), type="module"),
    )


def _navigation(here: str, *, signed_in: bool) -> Markup:
    links = [
        element("a", words, href=place, aria_current="page" if place == here else None) for place, words in _PLACES
    ]
    leave = element("form", element("button", "Sign out"), action="/logout", method="post") if signed_in else None
    return element(
        "header",
        element("a", "Skip to content", href="#main", class_="skip"),
        element("strong", "alertd"),
        element("nav", links, aria_label="Pages"),
        leave,
    )
