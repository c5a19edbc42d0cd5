"""The form on which a person gives the token. It shows nothing of what lies behind it."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from alertd.core.charts.html import element
from alertd.web.access import LOGIN, own_path
from alertd.web.layout import page


def form(request: Request, fault: str) -> Response:
    """The form, which leads back to the page that was asked for; `fault` says what was wrong with the last try."""
    path = request.query_params.get("next", "") if request.scope["path"] == LOGIN else _asked_for(request)
    back = own_path(path)
    return page(
        "Sign in",
        element("h1", "alertd"),
        element("p", fault, role="alert", class_="fault") if fault else None,
        element(
            "form",
            element("label", "Access token", for_="token"),
            element(
                "input", id="token", name="token", type="password", autocomplete="current-password",
                required=True, autofocus=True,
            ),
            element("button", "Sign in"),
            action=f"{LOGIN}?next={quote(back, safe='')}",
            method="post",
            class_="login",
        ),
        element("p", "Signed in already? ", element("a", "Go on", href=back), class_="quiet"),
    )  # fmt: skip


def _asked_for(request: Request) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return f"{request.scope['path']}?{query}" if query else str(request.scope["path"])
