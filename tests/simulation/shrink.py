"""The shortest story in which the same promise is broken: fewer accidents, fewer daemons, fewer hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.story import Outcome, play


@dataclass
class Shortest:
    """The shortest story found so far, and how many more may be tried."""

    outcome: Outcome
    tries: int

    def attempt(self, hours: float, only: frozenset[int], replicas: int) -> bool:
        """Play a shorter one; True where it breaks the same promise."""
        if self.tries <= 0:
            return False
        self.tries -= 1
        found = play(self.outcome.seed, hours, only=only, replicas=replicas)
        if not found.failures or promise(found.failures[0]) != promise(self.outcome.failures[0]):
            return False
        self.outcome = found
        return True


def promise(failure: str) -> str:
    """Which promise a failure is of."""
    return failure[12:].partition(":")[0]


def shorten(outcome: Outcome, tries: int = 60, told: Callable[[str], None] = lambda _: None) -> Outcome:
    """A story of the same seed that breaks the same promise, as short as `tries` tries find it."""
    one = Shortest(outcome, tries)
    hours, replicas = outcome.hours, outcome.replicas
    for fewer in range(1, replicas):
        if one.attempt(hours, _numbers(one.outcome), fewer):
            replicas = fewer
            break
    size = max(1, len(one.outcome.happenings) // 2)
    while one.tries > 0:
        kept = sorted(_numbers(one.outcome))
        removed = False
        for part in _parts(kept, size):
            if one.attempt(hours, _numbers(one.outcome) - set(part), replicas):
                removed = True
                told(f"{len(one.outcome.happenings)} accidents are left")
        if size == 1 and not removed:
            break
        size = max(1, size // 2)
    while hours > 0.5 and one.attempt(hours / 2, _numbers(one.outcome), replicas):
        hours /= 2
    return one.outcome


def tell(outcome: Outcome) -> str:
    """A story in words, with the line that plays it again."""
    only = ", ".join(str(number) for number in sorted(_numbers(outcome)))
    daemons = "one daemon" if outcome.replicas == 1 else f"{outcome.replicas} daemons"
    again = f"play({outcome.seed}, {outcome.hours:g}, only=frozenset({{{only}}}), replicas={outcome.replicas})"
    head = f"Seed {outcome.seed}, {daemons}, {outcome.hours:g} hours:"
    return "\n".join([head, *(f"  {line}" for line in outcome.log),
                      *(f"  BROKEN: {line[:2000]}" for line in outcome.failures[:3]), f"  again: {again}"])  # fmt: skip


def _numbers(outcome: Outcome) -> frozenset[int]:
    return frozenset(one.number for one in outcome.happenings)


def _parts(kept: Sequence[int], size: int) -> list[Sequence[int]]:
    return [kept[at : at + size] for at in range(0, len(kept), size)]
