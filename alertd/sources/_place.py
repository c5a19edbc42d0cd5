"""The cursor of a Prometheus source: the time that was read up to, and how a window moves it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final, Self

import msgspec

from alertd.core.counting.scrapes import Life, Targets
from alertd.ports import SourceError

#: Why nothing is read after what another kind of source left: it would count what that one has counted.
ANOTHER_KIND: Final = "it goes on where another kind of source has left off; give it a name of its own"
#: The number of scrapes by which a window begins earlier, so that a new series has a scrape before it; and a little
#: more.
_OVERLAP_SCRAPES: Final = 2
_OVERLAP_SECONDS: Final = 30.0
#: Until the pace of scrapes is known, and at most.
_UNKNOWN_STEP: Final = 300.0
_SLOWEST_STEP: Final = 3600.0
#: How long a partial answer is asked for again before what it gave has to do.
_PATIENCE: Final = 3600.0
#: From how many seconds after the beginning of a first window on a target came, and was not just there.
_CAME: Final = 600.0
#: How many seconds late an answer may be so that what it lacked is read after all.
_LATEST: Final = 86400.0
_MOST_TARGETS: Final = 500


class ReadPosition(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cursor, in Unix seconds: everything up to `at` was read, the newest scrape in it was at `seen`.

    Targets are scraped every `step` seconds, and were last at `scraped`. Since `held`, answers are partial.
    `begun` once a whole answer held anything. `came` are the targets that were seen coming,
    `copies` those that are others under another name. `replicas` are the labels that only distinguish copies.
    """

    at: float
    seen: float = 0.0
    step: float = 0.0
    scraped: dict[str, float] = {}
    came: dict[str, Life] = {}
    held: float = 0.0
    begun: bool = False
    copies: dict[str, str] = {}
    replicas: tuple[str, ...] = ()

    @classmethod
    def read(cls, cursor: str | None, since: datetime) -> Self:
        """The position in a cursor; the period's beginning without a cursor. SourceError for another's."""
        try:
            return cls(since.timestamp()) if cursor is None else msgspec.json.decode(cursor, type=cls)
        except msgspec.MsgspecError as error:
            raise SourceError(ANOTHER_KIND, permanent=True) from error

    def not_after(self, now: float) -> ReadPosition:
        """The same where the clock was not set back; else from now on: what was read before is not counted again."""
        return self if self.at <= now else msgspec.structs.replace(self, at=now, seen=min(self.seen, now), held=0.0)

    def text(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self).decode()

    def overlap(self, delay: float) -> float:
        """How many seconds before `at` the next window begins."""
        return max(_OVERLAP_SCRAPES * (self.step or _UNKNOWN_STEP) + _OVERLAP_SECONDS, delay)

    def begin(self, delay: float) -> float:
        """Where the next window begins: with what was read already, from the newest scrape on where answers lag."""
        seen = min(self.at, self.seen or self.at)
        return max(seen, self.at - _LATEST) - self.overlap(delay)

    def skipped(self, stop: float) -> ReadPosition:
        """After a window in which nothing was yet."""
        return msgspec.structs.replace(self, at=stop)

    def watches(self, target: str) -> bool:
        """Whether this target is new, or was seen coming."""
        return target in self.came or target not in self.scraped

    def seen_coming(self, lives: Mapping[str, Life], begin: float) -> tuple[dict[str, Life], set[str]]:
        """All targets that appeared after the first read, and those that appeared in the window from `begin` on."""
        fresh = {
            target
            for target, life in lives.items()
            if target and target not in self.scraped and (self.begun or life.first > begin + _CAME)
        }
        again = {
            target: known._replace(last=lives[target].last, largest=max(known.largest, lives[target].largest))
            for target, known in self.came.items()
            if target in lives
        }
        return {**self.came, **again, **{target: lives[target] for target in fresh}}, fresh

    def moved(
        self,
        stop: float,
        targets: Targets,
        *,
        partial: bool,
        now: float,
        delay: float,
        came: Mapping[str, Life] | None = None,
        copies: Mapping[str, str] | None = None,
        replicas: Collection[str] = (),
    ) -> ReadPosition:
        """After a window up to `stop`. A partial one holds the cursor, for an hour at most."""
        held = (self.held or now) if partial else 0.0
        waits = partial and now - held < _PATIENCE
        last = {target: instants[-1] for target, instants in targets.scrapes.items() if instants}
        scraped = self.scraped | last
        if len(scraped) > _MOST_TARGETS:
            newest = sorted(scraped.items(), key=lambda item: -item[1])
            scraped = dict(newest[:_MOST_TARGETS])
        return ReadPosition(
            at=self.at if waits else stop,
            seen=max(self.seen, self._seen(stop - delay, targets)),
            step=min(targets.step() or self.step, _SLOWEST_STEP),
            scraped=self.scraped if waits else scraped,
            came=self.came if waits else {one: life for one, life in (came or {}).items() if one in scraped},
            held=held,
            begun=self.begun or not waits,
            copies=dict(copies or {}),
            replicas=tuple(sorted(replicas)),
        )

    def with_last(self, targets: Targets) -> dict[str, tuple[float, ...]]:
        """When a window's targets were seen whole, and before that when the last one of an earlier window was."""
        return {
            target: (self.scraped[target] + targets.lag(target), *instants) if target in self.scraped else instants
            for target, instants in targets.complete_scrapes().items()
        }

    def _seen(self, stop: float, targets: Targets) -> float:
        newest = targets.newest()
        if newest is None:
            # Pushed series have no target to be down: where they are silent, nothing was used.
            return stop if set(self.scraped) == {""} else 0.0
        return newest
