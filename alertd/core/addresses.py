"""Addresses: channels with labels in their names (`#llm-{team}`), links to a budget's page, and what is loopback.

A missing label is not guessed, and DNS is not asked.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote

from alertd.core.budgets import Scope, scope_text
from alertd.core.events import Event

_FIELD: Final = re.compile(r"\{([\w.-]+)\}")


def fill(template: str, event: Event) -> str | None:
    """`#llm-{team}` with the label of the event's scope, `{budget}` and `{severity}` too; None where a label lacks."""
    values: dict[str, str | None] = {"budget": event.budget, "severity": event.severity, **dict(event.scope)}
    wanted = _FIELD.findall(template)
    if not all(values.get(label) for label in wanted):
        return None
    return _FIELD.sub(lambda field: values[field[1]] or "", template)


def labels_of(template: str) -> tuple[str, ...]:
    """The labels that an address needs, in order."""
    return tuple(dict.fromkeys(_FIELD.findall(template)))


def budget_path(name: str, scope: Scope) -> str:
    """Where a budget's page is, below the daemon's own address."""
    path = f"/budgets/{quote(name, safe='')}"
    return f"{path}?scope={quote(scope_text(scope), safe='=')}" if scope else path


def page_of(public_url: str, event: Event) -> str:
    """The URL of the page of an event's budget; "" without PUBLIC_URL or without a budget."""
    return public_url.rstrip("/") + budget_path(event.budget, event.scope) if public_url and event.budget else ""


def answer_page(public_url: str, event: Event) -> str:
    """The URL of the page on which people answer an alert or an action; "" without PUBLIC_URL."""
    place = {"threshold": "alerts", "source_stale": "alerts", "action": "actions"}.get(event.kind)
    if not (public_url and event.handle and place) or (place == "alerts" and event.severity == "info"):
        return ""
    return f"{public_url.rstrip('/')}/{place}/{quote(event.handle, safe='')}"


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is reached from its own machine only."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
