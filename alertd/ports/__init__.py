"""The protocols that sources, notifiers, revokers, stores and clocks implement."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from alertd.core.actions.state_machine import Step
from alertd.core.evaluation.interactions import Interaction
from alertd.core.usage import SeriesRow, UsageRow
from alertd.ports.notifiers import (
    Ask,
    Delivery,
    DeliveryError,
    Notifier,
    Receipt,
    ReceivesInteractions,
    ShowsLiveMessages,
    Take,
)
from alertd.ports.revokers import Done, Observed, Operation, Revoker, RevokerError, Target
from alertd.ports.sources import Look, NotTakenError, Pushed, Ranked, Reading, Source, SourceError, Taken, role_of
from alertd.ports.store import (
    IMPORTED,
    AlertRow,
    NewMessage,
    OutboxRow,
    SentMessage,
    SourceRow,
    Store,
    StoreDamagedError,
    StoreError,
    UsageBehindError,
)

__all__ = [
    "IMPORTED",
    "AlertRow",
    "Ask",
    "Clock",
    "Delivery",
    "DeliveryError",
    "Done",
    "Interaction",
    "Look",
    "NewMessage",
    "NotTakenError",
    "Notifier",
    "Observed",
    "Operation",
    "OutboxRow",
    "Pushed",
    "Ranked",
    "Reading",
    "Receipt",
    "ReceivesInteractions",
    "Revoker",
    "RevokerError",
    "SentMessage",
    "SeriesRow",
    "ShowsLiveMessages",
    "Source",
    "SourceError",
    "SourceRow",
    "Step",
    "Store",
    "StoreDamagedError",
    "StoreError",
    "Take",
    "Taken",
    "Target",
    "UsageBehindError",
    "UsageRow",
    "role_of",
]


class Clock(Protocol):
    """What time it is, in aware UTC."""

    def now(self) -> datetime: ...
