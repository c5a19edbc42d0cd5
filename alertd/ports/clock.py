"""The protocol of a clock."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is, in aware UTC."""

    def now(self) -> datetime: ...
