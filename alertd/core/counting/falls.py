"""What a counter that stands lower than before means: a reset, another process, or a dip. The one place that decides.

    seen                                                        counts
    its process began after the last sample                     the whole value: a reset
    its start is known and older than the last sample           nothing: another process or an old page
    no start, under half of the maximum, and two samples go on  the whole value: a reset
    no start, under half twice within an hour                   nothing: several processes answer as this series
    no start, any other fall                                    nothing until it passes its old maximum

Whatever counts nothing is a lower bound and is said for an hour, so that nobody acts on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: How long a fall keeps the figures of its series in doubt.
DOUBT: Final = 3600.0
#: So many samples have to go on from a fall before it is a reset.
_LATER: Final = 2
#: A step this many times the largest one since a reset, up to the old maximum or beyond, is the old process again.
_LEAP: Final = 10
#: A new process cannot have counted this many times what its later rate gives for the time since the last sample.
_IMPLAUSIBLE: Final = 100
#: So many falls, each within an hour of the one before, are values that alternate.
_ALTERNATES: Final = 3

WENT_BACK: Final = (
    "it went back though its process did not restart: an old page, from a cache or another replica, is not counted"
)
DIPPED: Final = (
    "it went back and nothing tells of a restart: it counts on once it passes its old maximum;"
    " the figure is a lower bound"
)
SEVERAL: Final = (
    "several processes answer as this series (a load balancer, or workers without multiprocess mode):"
    " only one of them is counted, the figure is a lower bound"
)


class Fall(NamedTuple):
    """What is known of a series that went back; kept with its state.

    `at` is the last fall and `deep_at` the last one under half of the maximum; `seen` is the last sample looked at.
    `low` is where the values stand now, -1 where they are not below the maximum, and `later` how many samples went on
    from there. `peak` is the maximum before a reset, `step` the largest step since. `first` is the value that it fell
    to, `gap` the seconds since the sample before. `times` counts falls that follow each other within an hour; `mixed`
    says that lower values are other processes and no resets. `doubt` is what is said. `ended` is the value of the
    process before the last known restart.
    """

    at: float
    seen: float = 0.0
    low: int = -1
    later: int = 0
    deep_at: float = 0.0
    peak: int = 0
    step: int = 0
    first: int = 0
    gap: float = 0.0
    times: int = 0
    mixed: bool = False
    doubt: str = ""
    ended: int = 0

    def is_doubtful(self, instant: float) -> bool:
        """Whether the figures of this series are still a lower bound only."""
        return bool(self.doubt) and (self.low >= 0 or instant - self.at <= DOUBT)

    def is_in_question(self) -> bool:
        """Whether a fall may turn out to be none; a restart that its start tells of is none while starts are known."""
        return self.low >= 0 or bool(self.doubt)

    def is_over(self, instant: float) -> bool:
        """Whether nothing of it matters any more."""
        return self.low < 0 and instant - self.at > DOUBT


class Outcome(NamedTuple):
    """What a sample counts, the maximum after it (None: as before), and what is known of the fall."""

    quantity: int
    value: int | None
    fall: Fall | None


def refuse(fall: Fall | None, instant: float, number: int, doubt: str) -> Fall:
    """A lower value, or another process, that counts nothing because starts are known."""
    before = fall or Fall(instant)
    times = _times(before, instant) if before.low < 0 else before.times
    said = SEVERAL if before.doubt == SEVERAL or times >= _ALTERNATES else doubt
    return before._replace(at=instant, seen=instant, low=number, times=times, doubt=said)


def below(value: int, at: float, fall: Fall | None, instant: float, number: int) -> Outcome:
    """A value below the maximum `value`, last seen `at`, of a counter whose start nobody tells."""
    if fall is not None and 0 <= fall.low <= number:
        return _go_on(fall, instant, number)
    before, deep = fall or Fall(instant), 2 * number < value
    times = _times(before, instant)
    mixed = deep and before.deep_at > 0 and instant - before.deep_at <= DOUBT
    several = mixed or times >= _ALTERNATES or (before.doubt == SEVERAL and times > 1)
    fallen = Fall(
        at=instant,
        seen=instant,
        low=number,
        deep_at=instant if deep else before.deep_at,
        peak=value,
        first=number,
        gap=instant - at,
        times=times,
        mixed=mixed,
        doubt=SEVERAL if several else DIPPED,
    )
    return Outcome(0, None, fallen)


def _times(before: Fall, instant: float) -> int:
    return before.times + 1 if 0 < instant - before.at <= DOUBT else 1


def _go_on(fall: Fall, instant: float, number: int) -> Outcome:
    later, step = fall.later + 1, max(fall.step, number - fall.low)
    if fall.mixed or fall.deep_at != fall.at or later < _LATER:
        return Outcome(0, None, fall._replace(seen=instant, low=number, later=later, step=step))
    likely = (number - fall.first) / (instant - fall.at) * fall.gap
    if 0 < likely * _IMPLAUSIBLE < fall.first:
        mixed = fall._replace(seen=instant, low=number, later=later, step=step, mixed=True, doubt=SEVERAL)
        return Outcome(0, None, mixed)
    reset = Fall(fall.at, instant, deep_at=fall.deep_at, peak=fall.peak, step=step, times=fall.times)
    return Outcome(number, number, reset)


def above(value: int, fall: Fall, instant: float, number: int) -> Outcome:
    """A value that is not below the maximum, of a series that fell before."""
    if fall.is_over(instant):
        return Outcome(number - value, number, None)
    if fall.low >= 0:
        return Outcome(number - value, number, fall._replace(seen=instant, low=-1, later=0, peak=0, mixed=False))
    returns = fall.peak and number >= fall.peak > value and number - value > _LEAP * max(fall.step, 1)
    if returns:
        # The reset was none: the old process answers again, and what it counted before is counted.
        return Outcome(number - fall.peak, number, fall._replace(at=instant, seen=instant, peak=0, doubt=SEVERAL))
    return Outcome(number - value, number, fall._replace(seen=instant, step=max(fall.step, number - value)))
