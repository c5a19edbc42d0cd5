"""Compact or delete old data in short steps; notice other daemons on the database, and changed files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from alertd.core.evaluation.health import announce_other_daemon
from alertd.core.evaluation.state import OTHER_DAEMON, OtherDaemon, State
from alertd.core.evaluation.values import Decisions
from alertd.loops.evaluate import Evaluate
from alertd.ports import Clock, Store

Marks = dict[Path, tuple[int, ...] | None]


class Watch:
    """The files of a configuration. One that is being written is left until two looks in a row see it the same."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._known = self._seen = _marks(files)

    def look(self) -> bool:
        """Whether a file is another than before and stays so: True once for each change."""
        marks = _marks(self._known)
        changed, still = marks != self._known, marks == self._seen
        self._seen = marks
        if changed and still:
            self._known = marks
        return changed and still

    def renew(self, files: Iterable[Path] | None = None) -> None:
        """Watch them, or those so far, as they are now."""
        self._known = _marks(self._known if files is None else files)


def _marks(files: Iterable[Path]) -> Marks:
    """An identity that changes when a file is replaced; None for a missing file."""
    marks: Marks = {}
    for file in files:
        try:
            found = file.stat()
        except OSError:
            marks[file] = None
        else:
            marks[file] = (found.st_mtime_ns, found.st_size, found.st_ino)
    return marks


log = logging.getLogger(__name__)

#: Usage older than this is compacted, by the quarter of an hour: the finest border that a zone's midnight falls on.
_FINE: Final = timedelta(days=2)
#: A daemon that is alone learns within this time that a second one uses its database.
_ALONE_FOR: Final = timedelta(minutes=1)


class Maintenance:
    """`tick` is one round. `obsolete_before` says which usage to delete; None where all is kept for good.

    `idle_before` says by label since when a value must be unused to become a pseudonym.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        obsolete_before: Callable[[datetime], datetime | None],
        idle_before: Callable[[datetime], Mapping[str, datetime]] = lambda _: {},
    ) -> None:
        self._store = store
        self._clock = clock
        self._obsolete_before = obsolete_before
        self._idle_before = idle_before

    async def tick(self) -> None:
        now = self._clock.now()
        await self._store.prune(now)
        while await self._store.compact(now - _FINE):
            pass
        await self._forget(now)
        for label, before in self._idle_before(now).items():
            if count := await self._store.erase_idle(label, before, now):
                log.info("%d values of %s became pseudonyms: unused since %s", count, label, f"{before:%Y-%m-%d}")

    async def _forget(self, now: datetime) -> None:
        """Delete usage that is older than it is to be kept; what an evaluation reads stays."""
        before, deleted = self._obsolete_before(now), 0
        if before is None:
            return
        while gone := await self._store.forget(before):
            deleted += gone
        if deleted:
            log.info("deleted %d blocks, rows and series of usage: what ended before %s", deleted, f"{before:%Y-%m-%d}")


class OtherDaemonCheck:
    """Announces that two daemons use one SQLite file, and logs it in both. `place` is the database without secrets."""

    def __init__(self, store: Store, evaluate: Evaluate, clock: Clock, place: str) -> None:
        self._store, self._evaluate, self._clock, self._place = store, evaluate, clock, place
        self._is_shared = False
        #: When the last look at the database found that one daemon uses it; None where it did not.
        self._alone_at: datetime | None = None

    async def tick(self) -> None:
        contended = await self._store.is_contended()
        now, alone_at = self._clock.now(), self._alone_at
        if not contended and alone_at is not None and timedelta() <= now - alone_at < _ALONE_FOR:
            return  # the database is asked once a minute whether another daemon found this one there

        def say(state: State) -> Decisions:
            decisions = announce_other_daemon(self._place, state, self._clock.now(), contended=contended)
            record = OTHER_DAEMON.get(State({**state.records, **decisions.changes}, {})) or OtherDaemon()
            if record.since is not None and not self._is_shared:
                log.warning("another alertd uses %s: stop one; one SQLite file serves one alertd", self._place)
            self._is_shared = record.since is not None
            self._alone_at = None if contended or self._is_shared or decisions.changes else now
            return decisions

        await self._evaluate.announce(say)
