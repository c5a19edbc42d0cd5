"""Hours in which only what is critical may ring. Nothing here knows what time it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time
from typing import Final

_WRITTEN: Final = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A half-open stretch of the local day, [start, end); it may pass midnight."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError(f"{self}: quiet hours end when they start; write them as 22:00-07:00")

    def __contains__(self, local: time) -> bool:
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """`22:00-07:00`, in the zone of ALERTD_TIMEZONE. ValueError with the remedy."""
        found = _WRITTEN.fullmatch(text.strip())
        hours = [int(part) for part in found.groups()] if found else []
        if not hours or max(hours[0], hours[2]) > 23 or max(hours[1], hours[3]) > 59:  # noqa: PLR2004 - a clock's face
            raise ValueError(f"{text!r} are no quiet hours; write them as 22:00-07:00")
        return cls(time(hours[0], hours[1]), time(hours[2], hours[3]))
