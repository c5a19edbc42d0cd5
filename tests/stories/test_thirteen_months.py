"""Thirteen months on a stopped clock: every line that people read, reviewed one by one.

The list is `thirteen_months.txt`. A change of behaviour shows as a change of the list, which is to be read like one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from alertd.core.evaluation.routing import Receiver, route
from alertd.core.evaluation.values import Policy
from alertd.core.events import Event
from alertd.core.messages import compose, text_of
from alertd.core.periods import PeriodRule
from tests.scenario import Scenario, budget

BERLIN = ZoneInfo("Europe/Berlin")
LIST = Path(__file__).with_name("thirteen_months.txt")
STEP = timedelta(hours=12)
OPS = {"ops": Receiver("ops", people=True, address=lambda event: event.channel)}

BEGIN = datetime(2027, 10, 1, tzinfo=BERLIN)
END = datetime(2028, 11, 2, tzinfo=BERLIN)
#: Nothing is seen in these stretches; what was used in them is seen afterwards.
OUTAGES = (
    (datetime(2027, 11, 29, 12, tzinfo=BERLIN), datetime(2027, 12, 2, 6, tzinfo=BERLIN)),  # over a month's end
    (datetime(2028, 6, 10, tzinfo=BERLIN), datetime(2028, 6, 10, 12, tzinfo=BERLIN)),
)
#: alertd itself is not running: over the end of leap February, and in the night in which summer time begins.
DOWN = (
    (datetime(2028, 2, 28, 18, tzinfo=BERLIN), datetime(2028, 3, 1, 9, tzinfo=BERLIN)),
    (datetime(2028, 3, 26, 0, tzinfo=BERLIN), datetime(2028, 3, 26, 6, tzinfo=BERLIN)),
)


def dollars_a_day(team: str, day: datetime) -> float:
    """What a team spends: search grows, support is steady by weekdays, labs is idle for months and then runs hot."""
    weekend = day.weekday() >= 5
    if team == "search":
        return (4 + day.toordinal() % 3) * (1.6 if day >= datetime(2028, 4, 10, tzinfo=BERLIN) else 1.0)
    if team == "support":
        return 2.0 if weekend else 10.0
    return 38.0 if datetime(2028, 7, 3, tzinfo=BERLIN) <= day < datetime(2028, 7, 19, tzinfo=BERLIN) else 0.0


def house(amount: str = "300 USD") -> tuple:
    rule = PeriodRule("month", BERLIN)
    levels = ["actual 80%", "actual 100%", "forecast 100%"]
    return (
        budget("teams", amount, per=("team",), thresholds=levels, period=rule, listed=True),
        budget("company", "6000 USD", thresholds=["actual 100%"], period=PeriodRule("quarter", BERLIN), listed=True),
    )


def within(stretches, at: datetime) -> bool:
    return any(begin <= at < end for begin, end in stretches)


def told() -> list[str]:
    """What people read in thirteen months, line by line."""
    world = Scenario(*house(), at=BEGIN.astimezone(UTC))
    world.policy = Policy("off", None, BERLIN, interval=STEP)
    lines: list[str] = []
    while world.now < END:
        local = world.now.astimezone(BERLIN)
        if local == datetime(2028, 5, 20, tzinfo=BERLIN):
            world.budgets = house("380 USD")  # the configuration is reloaded with a higher amount
        for team in ("search", "support", "labs"):
            spent = dollars_a_day(team, local) / 2
            if spent:
                world.spend(spent, team=team, at=world.now - timedelta(minutes=10))
        if not within(DOWN, local):
            alerts = world.tick(seen=not within(OUTAGES, local))
            messages = route(alerts, {one.name: one for one in world.budgets}, OPS)
            lines += [line for message in messages for line in _read(message.events, world.now)]
        world.now = (world.now + STEP).astimezone(UTC)
    return lines


def _read(events: Sequence[Event], now: datetime) -> list[str]:
    """A message as people read it: when it came (Berlin), its headline, then each line and the footer."""
    message = compose(events, now)
    body = [text_of(line) for line in (*message.body, message.footer)]
    return [
        f"{now.astimezone(BERLIN):%Y-%m-%d %a %H:%M}  {message.icon} {message.subject}",
        *(f"  {one}" for one in body),
    ]


def test_thirteen_months_tell_exactly_this():
    lines = told()
    assert lines == LIST.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    LIST.write_text("\n".join(told()) + "\n", encoding="utf-8")
