"""A figure for the month to date, told again and again, as days that always add up to it. Reads no clock and no bill.

What grew since the last time is given to the time in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo

from alertd.core.billing.backlog import midnight, next_month
from alertd.core.billing.spread import spread

#: What a figure is for: the same texts from one telling to the next.
Key = tuple[str, ...]


@dataclass(slots=True)
class Month:
    """One month: when each scope was last told, and by scope and key what each day was given (nanos, tokens ...)."""

    first: date
    told: dict[str, datetime] = field(default_factory=dict)
    days: dict[str, dict[Key, dict[int, int]]] = field(default_factory=dict)

    def total(self, scope: str) -> int:
        """What all days of a scope add up to."""
        return sum(sum(days.values()) for days in self.days.get(scope, {}).values())

    def tell(self, scope: str, at: datetime, figures: Mapping[Key, int], zone: tzinfo) -> bool:
        """Take in a scope's figures as of `at`. False where they are older than what is held: they change nothing.

        A figure that fell, or is no longer told, takes away from the days since it was last told. What is told after
        the month's end belongs to its last day.
        """
        begin, end = self.window(zone)
        last = self.told.get(scope, begin)
        if at < last:
            return False
        held = self.days.setdefault(scope, {})
        stop = max(begin, min(at, end))
        start = min(last, stop, end - timedelta(seconds=1))
        for key in held.keys() | figures.keys():
            days = held.setdefault(key, {})
            grown = figures.get(key, 0) - sum(days.values())
            for day, share in spread(grown, start, stop, zone) if grown else ():
                days[day.day] = days.get(day.day, 0) + share
        self.told[scope] = at
        return True

    def window(self, zone: tzinfo) -> tuple[datetime, datetime]:
        """The month as aware UTC, half-open."""
        return midnight(self.first, zone), midnight(next_month(self.first), zone)

    def by_day(self, zone: tzinfo) -> Iterator[tuple[str, Key, datetime, datetime, int]]:
        """Scope, key, the day's window and what it was given."""
        for scope, keys in self.days.items():
            for key, days in keys.items():
                for number, given in sorted(days.items()):
                    day = self.first.replace(day=number)
                    yield scope, key, midnight(day, zone), midnight(day + timedelta(days=1), zone), given


def remembered(cursor: str | None) -> dict[date, Month]:
    """The months that a cursor holds; a text of another release is forgotten, and everything is read anew."""
    try:
        return {
            date.fromisoformat(first): Month(
                date.fromisoformat(first),
                {scope: datetime.fromisoformat(at) for scope, at in value["told"].items()},
                {
                    scope: {tuple(key): {int(day): int(n) for day, n in days.items()} for key, days in keys}
                    for scope, keys in value["days"].items()
                },
            )
            for first, value in json.loads(cursor or "{}").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def to_remember(months: Mapping[date, Month], changing_from: date) -> str:
    """The cursor: everything of months that may still change, of earlier ones only that they were read."""
    return json.dumps(
        {
            str(first): {
                "told": {scope: at.isoformat() for scope, at in month.told.items()},
                "days": {scope: [[list(key), days] for key, days in keys.items()] for scope, keys in month.days.items()}
                if first >= changing_from
                else {},
            }
            for first, month in sorted(months.items())
        },
        separators=(",", ":"),
    )
