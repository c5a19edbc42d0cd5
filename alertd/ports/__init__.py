"""The openings of the house: what a source, a notifier, a revoker, a store and a clock promise."""

from __future__ import annotations

from alertd.core.actions.state_machine import Step
from alertd.core.evaluation.state import Press
from alertd.core.usage import SeriesRow, UsageRow
from alertd.ports.clock import Clock
from alertd.ports.notifiers import Delivery, DeliveryError, Notifier, Receipt, ReceivesInteractions, ShowsLiveMessages
from alertd.ports.revokers import Done, Lever, Observed, Revoker, RevokerError, Target
from alertd.ports.sources import Look, Ranked, Reading, Source, SourceError, role_of
from alertd.ports.store import (
    IMPORTED,
    AlertRow,
    NewMessage,
    OutboxRow,
    SourceRow,
    Store,
    StoreDamagedError,
    StoreError,
)

__all__ = [
    "IMPORTED",
    "AlertRow",
    "Clock",
    "Delivery",
    "DeliveryError",
    "Done",
    "Lever",
    "Look",
    "NewMessage",
    "Notifier",
    "Observed",
    "OutboxRow",
    "Press",
    "Ranked",
    "Reading",
    "Receipt",
    "ReceivesInteractions",
    "Revoker",
    "RevokerError",
    "SeriesRow",
    "ShowsLiveMessages",
    "Source",
    "SourceError",
    "SourceRow",
    "Step",
    "Store",
    "StoreDamagedError",
    "StoreError",
    "Target",
    "UsageRow",
    "role_of",
]
