"""What a counter value lower than before means: a reset, another process, or a dip. The one place that decides.

    seen                                                        counts
    its process began after the last sample                     the whole value: a reset
    it began a little before that, or within five seconds of    the difference: its clock may have been set
    the start that is known, and the value is no lower
    its start is known and older than the last sample           nothing: another process or an old page
    no start, under half of the maximum, and two samples go on  the whole value: a reset
    no start, under half twice within an hour                   nothing: several processes answer as this series
    no start, any other fall                                    nothing until it passes its old maximum
    no start, past the maximum before a reset within an hour    what is above that: the old process may be back

Whatever counts nothing is a lower bound and is said for an hour, so that nobody acts on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

#: How far the clocks of a target and of its scraper may differ.
SKEW: Final = 60.0
#: Starts of one process differ by no more than this.
SAME_START: Final = 1.0
#: Seconds within which no process ends, begins anew and counts: where a start moved by no more, its clock was set.
_SET: Final = 5.0
#: How long a fall keeps the figures of its series in doubt.
DOUBT: Final = 3600.0
#: The number of samples that have to go on from a fall before it is a reset.
_LATER: Final = 2
#: A step this many times the largest one since a reset, beyond the old maximum, is the old process again.
_LEAP: Final = 10
#: A new process cannot have counted this many times what its later rate gives for the time since the last sample.
_IMPLAUSIBLE: Final = 100
#: From this many falls on, each within an hour of the one before, the values alternate.
_ALTERNATES: Final = 3

WENT_BACK: Final = (
    "it went back though its process did not restart: an old page, from a cache or another replica, is not counted"
)
DIPPED: Final = (
    "it went back and nothing shows a restart: it counts on once it passes its old maximum; the figure is a lower bound"
)
CLOCK_SET: Final = (
    "its start moved, by seconds or to before its last sample, and its value did not fall: its clock was set, or its"
    " process began anew; only the difference counts; the figure is a lower bound"
)
MAY_BE_BACK: Final = (
    "it passed the maximum from before a restart that nothing confirms: it may be the process from before, so only what"
    " is above counts; the figure is a lower bound"
)
SEVERAL: Final = (
    "several processes answer as this series (a load balancer, or workers without multiprocess mode):"
    " only one of them is counted, the figure is a lower bound"
)


class Fall(NamedTuple):
    """What is known of a series that went back; kept with its state.

    `at` is the last fall and `deep_at` the last one under half of the maximum; `seen` is the last sample looked at.
    `low` is the newest value, -1 where they are not below the maximum, and `later` how many samples went on
    from there. `peak` is the maximum before a reset, `step` the largest step since. `first` is the value that it fell
    to, `gap` the seconds since the sample before. `times` counts falls that follow each other within an hour; `mixed`
    says that lower values are other processes and no resets. `doubt` is what is said. `ended` is the value of the
    process before the last known restart, `ended_start` its start, 0 where that is not known.
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
    ended_start: float = 0.0

    def is_doubtful(self, instant: float) -> bool:
        """Whether the figures of this series are still a lower bound only."""
        return bool(self.doubt) and (self.low >= 0 or instant - self.at <= DOUBT)

    def reason(self) -> str:
        """Why the figures are a lower bound; where it is known, how much more a restart would count."""
        other = self.low >= 0 and self.first > 0 and self.doubt == DIPPED
        return f"{self.doubt}; had its process begun anew, by {self.first:,} at least" if other else self.doubt

    def is_restart(self) -> bool:
        """Whether it was a restart for certain, or as good as certain: two samples went on."""
        return self.low < 0 and self.peak > 0 and not self.doubt

    def is_in_question(self) -> bool:
        """Whether a fall may turn out not to be one. One that a known start shows to be a restart is certain."""
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
    """A value below the maximum `value`, last seen `at`, of a counter whose start is not known."""
    if fall is not None and 0 <= fall.low <= number and not _is_back(fall, value, number):
        return _go_on(fall, instant, number)
    before, deep = fall or Fall(instant), is_deep(number, value)
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


def _is_back(fall: Fall, value: int, number: int) -> bool:
    """Whether a leap from a low value to near the maximum is the process from before, and a dip of it."""
    return not is_deep(number, value) and number - fall.low > _LEAP * max(fall.step, fall.low, 1)


def is_deep(number: int, value: int) -> bool:
    """Whether a value is so far below the maximum that its process may have begun anew."""
    return 2 * number < value


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
    if number >= fall.peak > value:
        # Perhaps the reset was none: the old process answers again, and what it counted before is counted.
        said = SEVERAL if number - value > _LEAP * max(fall.step, 1) else MAY_BE_BACK
        return Outcome(number - fall.peak, number, fall._replace(at=instant, seen=instant, peak=0, doubt=said))
    return Outcome(number - value, number, fall._replace(seen=instant, step=max(fall.step, number - value)))


def is_known(created: float | None, before: float | None, passed: float) -> bool:
    """Whether a start is known, or was `passed` seconds before: a lower value is then no restart by itself."""
    return created is not None or (before is not None and passed <= DOUBT)


def process(at: float, known: float | None, created: float | None) -> tuple[bool, bool]:
    """Whether a counter of the start `known`, last seen `at`, began anew since, though it may stand higher by now.

    And whether a process answers that is not the one that is followed.
    """
    if created is None or known is None:
        return created is not None and created > at, False
    anew = created > at - SKEW and created > known + SAME_START
    return anew, not anew and abs(created - known) > SAME_START


def is_clock_set(at: float, known: float | None, created: float | None) -> bool:
    """Whether a start that moved may be the same start on another clock, as long as the value is no lower."""
    return created is not None and (created <= at or (known is not None and created - known <= _SET))
