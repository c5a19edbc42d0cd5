"""The HTTP side: probes, metrics, JSON API and the status page over one View. It reads; it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from alertd.core.addresses import is_loopback
from alertd.web.access import Access, Gate
from alertd.web.api import Api
from alertd.web.identity import Identities, Network, Person
from alertd.web.layout import POLICY
from alertd.web.login import form
from alertd.web.pages import Pages
from alertd.web.server import ListenError, WebServer
from alertd.web.view import BudgetStatuses, Lane, Loop, View

__all__ = ["BudgetStatuses", "Lane", "ListenError", "Loop", "Person", "View", "WebServer", "build", "is_loopback"]


def build(
    view: View,
    *,
    token: str | None,
    open_metrics: bool,
    loopback: bool,
    people: Sequence[Person] = (),
    user_header: str = "",
    trusted_proxies: Sequence[Network] = (),
) -> Starlette:
    """The application. `loopback` says that only this machine reaches it; elsewhere all but probes asks who it is."""
    identities = Identities(view.clock, view.records, token or None, people, user_header, trusted_proxies)
    access = Access(identities, open_metrics, loopback, view.public_url)
    gate = Middleware(Gate, access=access, policy=POLICY, form=form)
    application = Starlette(
        routes=[*Api(view).routes(), *Pages(view, guarded=access.guarded).routes()],
        middleware=[gate, Middleware(GZipMiddleware, compresslevel=5)],
    )
    application.router.redirect_slashes = False  # it would build an address from the Host header
    return application
