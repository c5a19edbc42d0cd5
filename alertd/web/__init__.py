"""The HTTP side: probes, metrics, JSON API and the status page over one View. It reads; it changes nothing."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from alertd.web.access import Access, Gate, is_loopback
from alertd.web.api import Api
from alertd.web.layout import POLICY
from alertd.web.login import form
from alertd.web.pages import Pages
from alertd.web.server import ListenError, WebServer
from alertd.web.view import Lane, Loop, Standings, View

__all__ = ["Lane", "ListenError", "Loop", "Standings", "View", "WebServer", "build", "is_loopback"]


def build(view: View, *, token: str | None, open_metrics: bool, loopback: bool) -> Starlette:
    """The application. `loopback` says that only this machine reaches it; elsewhere all but probes wants the token."""
    access = Access(token or None, open_metrics, loopback, view.clock, view.public_url)
    gate = Middleware(Gate, access=access, policy=POLICY, form=form)
    application = Starlette(
        routes=[*Api(view).routes(), *Pages(view, guarded=access.guarded).routes()],
        middleware=[gate, Middleware(GZipMiddleware, compresslevel=5)],
    )
    application.router.redirect_slashes = False  # it would build an address from the Host header
    return application
