"""The live message of a budget, scope and period: what it shows now, and whether what is shown has grown old. Pure.

Figures move it at a measured pace; a state, an alert's life or an act's moves it at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from alertd.core.addresses import page_of
from alertd.core.budgets import SEVERITIES
from alertd.core.evaluation.event_builder import event_of
from alertd.core.evaluation.keys import parse_alert
from alertd.core.evaluation.state import FIRING, LIFECYCLES, RESOLVED, State
from alertd.core.evaluation.values import BudgetStatus
from alertd.core.events import Event
from alertd.core.messages import compose, text_of

LIVE: Final = "live"
#: Figures that moved are shown so often at most: people read, chats have limits.
FIGURES_EVERY: Final = timedelta(minutes=15)
#: Also where nothing moved: the message says how old its data are.
AT_LEAST_EVERY: Final = timedelta(hours=1)
#: What is kept with the conversation: where its message is (channel/ts; "" for none), what it shows, and since when.
PLACE: Final = "live.place"
SHOWN: Final = "live.shown"
SHOWN_AT: Final = "live.at"


def live_event(
    position: BudgetStatus, state: State, now: datetime, actions: Sequence[Mapping[str, Any]] = (), public_url: str = ""
) -> Event:
    """The state of a budget, scope and period: its figures, its alerts that are not over, the acts that wait.

    `actions` are those of it that are open (`core.actions.state_machine.open_rows`).
    `details`: summary "live" · state · open_alerts: [{id, threshold, severity, state, by, at, until}] ·
    open_actions: [{id, handle, what, target, state, reversible, expires}]
    """
    own = [(identity, life) for identity, life in LIFECYCLES.items(state) if life.key.startswith(f"{position.name}/")]
    standing = [(identity, life) for identity, life in own if life.state != RESOLVED]
    rows: list[dict[str, Any]] = [
        {
            "id": identity,
            "threshold": _threshold(life.key),
            "severity": life.severity,
            "state": life.state,
            "by": life.history[-1].by,
            "at": life.since,
            "until": life.until,
        }
        for identity, life in standing
    ]
    rows.sort(key=_first)
    severity = max((life.severity for _, life in standing), key=SEVERITIES.index, default="info")
    details = {"summary": LIVE, "open_alerts": rows, "open_actions": list(actions), "handle": ""}
    event = event_of(position, "summary", severity, f"{position.name}/{LIVE}", now, details=details)
    return replace(event, details_url=page_of(public_url, event))


def shown(event: Event, now: datetime) -> str:
    """What a message about `event` would show, as two fingerprints: what is urgent, and every word but the footer."""
    rows = [event.status, *(event.details.get(name) for name in ("open_alerts", "open_actions"))]
    message = compose([event], now)
    words = [text_of(line) for line in (message.headline, *message.lines)]
    return f"{_print(rows)}/{_print(words)}"


def is_due(memory: Mapping[str, str], showing: str, now: datetime) -> bool:
    """Whether a message that shows what `memory` says should show `showing` now."""
    at = memory.get(SHOWN_AT, "")
    if not at:
        return True
    before = memory.get(SHOWN, "")
    age = now - datetime.fromisoformat(at)
    if before.partition("/")[0] != showing.partition("/")[0]:
        return True
    return age >= (AT_LEAST_EVERY if before == showing else FIGURES_EVERY)


def _threshold(key: str) -> str:
    """What people call the threshold of an alert's key: budget/scope/period/basis/level/..."""
    alert = parse_alert(key)
    basis, level = (alert.basis, alert.level) if alert is not None else ("", "")
    words = {
        "actual": f"{level} % used",
        "forecast": f"forecast above {level} %",
        "burn_rate": f"runaway, {level}× even pace",
        "anomaly": "unusual spend",
        "balance": "credit runs low",
    }
    return words.get(basis, basis)


def _first(row: Mapping[str, Any]) -> tuple[bool, int, str]:
    """What nobody has taken on comes first, the gravest of it before the rest."""
    return row["state"] != FIRING, -SEVERITIES.index(row["severity"]), row["id"]


def _print(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]
