"""The frame around every page: navigation with what is open, who is signed in, the footer; and the form for a token."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from alertd.core.charts.html import Content, Markup, element, fragment
from alertd.web.access import LOGIN, own_path
from alertd.web.parts import SPRITE
from alertd.web.writes import DONE


def _themed(style: str) -> bytes:
    """The style sheet in which a class on the page can choose the colours that else the system chooses."""
    begin = style.index(_DARK)
    end = style.index("\n  }\n}\n", begin)
    colours = style[begin + len(_DARK) : end]
    chosen = f":root.dark {{ color-scheme: dark;{colours}\n}}\n:root.light {{ color-scheme: light; }}\n"
    system = f"{_DARK.replace(':root', ':root:not(.light)')}{colours}\n  }}\n}}\n"
    return f"{style[:begin]}{system}{chosen}{style[end + 7 :]}".encode()


_DARK: Final = "@media (prefers-color-scheme: dark) {\n  :root {"
#: The style sheet of every page.
STYLE: Final = _themed(files(__package__).joinpath("page.css").read_text("utf-8"))
_SCRIPT: Final = files(__package__).joinpath("page.js").read_bytes()


def _versioned(name: str, content: bytes) -> str:
    return f"/assets/{hashlib.sha256(content).hexdigest()[:12]}/{name}"


#: The style sheet and the script by their paths, which change with their content.
ASSETS: Final[Mapping[str, tuple[bytes, str]]] = {
    _versioned("page.css", STYLE): (STYLE, "text/css"),
    _versioned("page.js", _SCRIPT): (_SCRIPT, "text/javascript"),
}
_CSS, _JS = ASSETS
#: Nothing is loaded from anywhere else, and nothing is written into a page that runs.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E%3Crect width='20' height='20' "
    "rx='5' fill='%2314171c'/%3E%3Cpath d='M4 14.5 8 11l3 1.5 5-7' fill='none' stroke='%23fff' stroke-width='1.8'/%3E"
    "%3C/svg%3E"
)
#: Where a browser chooses its colours and its zone.
DISPLAY: Final = "/display"
_CHEVRON: Final = element(
    "svg",
    element("path", d="m2.5 4.5 3.5 3.5 3.5-3.5", fill="none", stroke="currentColor", stroke_width="1.6",
            stroke_linecap="round", stroke_linejoin="round"),
    viewBox="0 0 12 12", aria_hidden="true",
)  # fmt: skip
_PLACES: Final = (
    ("/", "Budgets"),
    ("/alerts", "Alerts"),
    ("/actions", "Actions"),
    ("/sources", "Sources"),
    ("/prices", "Prices"),
    ("/settings", "Settings"),
)


@dataclass(frozen=True, slots=True)
class PageFrame:
    """What is around the content. `counts` are by path: how many, of what, and how urgent (hot, warm)."""

    here: str
    state: str = ""
    #: Whether the data of a source are too old.
    is_late: bool = False
    foot: str = ""
    version: str = ""
    person: str = ""
    role: str = ""
    can_sign_out: bool = False
    counts: Mapping[str, tuple[int, str, str]] = field(default_factory=dict)
    notices: Content = None
    done: str = ""
    theme: str = ""
    #: The zone in which times are shown, that of the configuration, and the path of the page.
    zone: str = ""
    own_zone: str = ""
    back: str = "/"
    #: What the commands on the page end with (`--env-file /etc/a.env`).
    command_options: str = ""


def grid(name: str, columns: Sequence[str], rows: Sequence[Markup], *, stacked: bool = False) -> Markup:
    """A table that scrolls by itself where it is too wide, by keyboard too; `name` is what it shows.

    One that is `stacked` has the cells of a row below one another on a narrow screen.
    """
    head = element("tr", [element("th", column, scope="col") for column in columns])
    whole = element(
        "table", element("thead", head), element("tbody", rows), class_="stackable plain" if stacked else "plain"
    )
    return element("div", whole, class_="card scroll", tabindex=0, role="region", aria_label=name)


def page(title: str, frame: PageFrame, *content: Content, status: int = 200) -> Response:
    """A whole page."""
    said = DONE.get(frame.done)
    body = fragment(
        element("a", "Skip to content", href="#main", class_="skip"),
        SPRITE,
        _top(frame),
        element(
            "main",
            element("p", said, class_="banner good", role="status") if said else None,
            frame.notices,
            _with_options(fragment(*content), frame.command_options),
            id="main",
        ),
        _foot(frame),
    )
    return _document(title, body, status, frame.theme)


def _with_options(content: Markup, options: str) -> Markup:
    """The content, each command of alertd in it with these options, so that it works as printed."""
    if not options:
        return content
    added = escape(f" {options}", quote=False).encode()

    def line(found: re.Match[bytes]) -> bytes:
        return found[1] + _COMMAND.sub(lambda command: command[1] + added + command[2], found[2])

    return Markup(_CODE.sub(line, content))


#: Commands that need no configuration are not completed.
_COMMAND: Final = re.compile(
    rb"(?m)^(alertd (?!rate |project |formats|kinds|demo|init|budgets (?!propose))[^\n#]*?)( *(?:#.*)?)$"
)
_CODE: Final = re.compile(rb"(<(?:code|pre)[^>]*>)(alertd [^<]*)")


def _document(title: str, body: Markup, status: int = 200, theme: str = "") -> Response:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content=theme or "light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", f"{title} · alertd"),
        element("link", rel="icon", href=_ICON),
        element("link", rel="stylesheet", href=_CSS),
        element("script", type="module", src=_JS),
    )
    whole = element("html", head, element("body", body), lang="en", class_=theme or None)
    return Response(b"<!doctype html>" + whole, status, media_type="text/html")


def _brand() -> Markup:
    drawn = element(
        "svg",
        element("rect", width="20", height="20", rx="5", fill="currentColor"),
        element("path", d="M4 14.5 8 11l3 1.5 5-7", class_="brand-line"),
        viewBox="0 0 20 20",
        aria_hidden="true",
    )
    return element("a", drawn, "alertd", href="/", class_="brand")


def _top(frame: PageFrame) -> Markup:
    links = []
    for place, words in _PLACES:
        count, of, kind = frame.counts.get(place, (0, "", ""))
        mark = element("span", f"{count:,}", element("span", f" {of}", class_="vh"), class_=f"count {kind}")
        here = "page" if place == frame.here else None
        links.append(element("a", words, mark if count else None, href=place, aria_current=here))
    right = element(
        "div",
        element("span", frame.state, class_=f"live hide-s{' late' if frame.is_late else ''}") if frame.state else None,
        _menu(frame),
        class_="top-r",
    )
    inner = element("div", _brand(), element("nav", links, class_="nav", aria_label="Main"), right, class_="top-in")
    return element("header", inner, class_="top")


def _menu(frame: PageFrame) -> Markup:
    """Who is signed in, the colours, the zone of times, and the way out: links and a form, of use without a script."""
    zones = dict.fromkeys(zone for zone in (frame.own_zone, "UTC", frame.zone) if zone)
    themes = (("", "As the system"), ("light", "Light"), ("dark", "Dark"))
    rows: list[Content] = [element("p", "Role: ", element("b", frame.role), class_="popup-h") if frame.role else None]
    rows.append(element("p", "Colours", class_="popup-h"))
    rows += [_choice(words, frame, here=name == frame.theme, theme=name or "system") for name, words in themes]
    rows.append(element("p", "Times in", class_="popup-h"))
    rows += [_choice(zone, frame, here=zone == frame.zone, zone=zone) for zone in zones]
    rows.append(element("a", "This browser's zone", href=_display(frame, zone=""), id="own-zone", hidden=True))
    if frame.can_sign_out:
        rows.append(element("form", element("button", "Sign out"), action="/logout", method="post", class_="popup-end"))
    name = element("summary", frame.person or "Display", _CHEVRON, class_="btn ghost", aria_label="You and display")
    return element("details", name, element("div", rows, class_="popup"), class_="menu", id="you")


def _choice(words: str, frame: PageFrame, *, here: bool, **chosen: str) -> Markup:
    return element("a", words, href=_display(frame, **chosen), aria_current="true" if here else None)


def _display(frame: PageFrame, **chosen: str) -> str:
    return f"{DISPLAY}?{urlencode({**chosen, 'back': frame.back})}"


def _foot(frame: PageFrame) -> Markup:
    return element(
        "footer",
        element("span", frame.foot),
        element("span", f"alertd {frame.version}"),
        element("a", "API", href="/openapi.json"),
        element("a", "Metrics", href="/metrics"),
        element("a", "Health", href="/health"),
        element("span", id="live", role="status"),
        class_="foot",
    )


def form(request: Request, fault: str) -> Response:
    """The form, which leads back to the page that was asked for; `fault` says what was wrong with the last try."""
    path = request.query_params.get("next", "") if request.scope["path"] == LOGIN else _asked_for(request)
    back = own_path(path)
    fields = element(
        "form",
        element(
            "div",
            element("label", "Access token", for_="token"),
            element(
                "input", id="token", name="token", type="password", autocomplete="current-password",
                required=True, autofocus=True, aria_describedby="where",
            ),
            element("span", "One line from the person who runs alertd. The session lasts twelve hours.", class_="hint",
                    id="where"),
            class_="field",
        ),
        element("button", "Sign in", class_="btn primary lg"),
        action=f"{LOGIN}?next={quote(back, safe='')}",
        method="post",
        class_="stack",
    )  # fmt: skip
    where = element(
        "details",
        element("summary", "Where do I find a token?"),
        element("p", "It is what ", element("code", "ALERTD_HTTP__TOKEN_FILE"), " holds, or one whose SHA-256 is in ",
                element("code", "ALERTD_HTTP__TOKENS_FILE"), ". To make one: ",
                element("code", "openssl rand -base64 24")),
        class_="q2 sm", id="where-is-it",
    )  # fmt: skip
    shown = element(
        "main",
        element(
            "div",
            _brand(),
            element("h1", "Sign in"),
            element("p", fault, role="alert", class_="t-over") if fault else None,
            fields,
            where,
            element("p", "Signed in already? ", element("a", "Go on", href=back), class_="q sm"),
            class_="card login",
        ),
        class_="center",
        id="main",
    )
    return _document("Sign in", shown)


def _asked_for(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return f"{request.scope['path']}?{query}" if query else str(request.scope["path"])
