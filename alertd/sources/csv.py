"""Files of usage, costs or both: exports, logs, spreadsheets. docs/files.md says what is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final

from pydantic import Field

from alertd.core.pricing.source_roles import SourceRole
from alertd.ports import Look, Reading
from alertd.wire.billing import Pace
from alertd.wire.imports import by_files, look_at_files
from alertd.wire.noticed import Noticed
from alertd.wire.ownfiles import Defaults, FileOptions, own_files

#: A file says nothing of the time after its last row: whoever writes it daily has a day.
PACE: Final = Pace(timedelta(minutes=5), timedelta(hours=24), timedelta(hours=24))


class Options(FileOptions):
    """A file that somebody or something writes. alertd needs to be able to read it, nothing else."""

    path: str = Field(
        description="A file of any known layout (docs/files.md), a folder of them or a glob; ** goes into folders"
    )
    provider: str = Field("", description="The provider of rows that name none")
    currency: str = Field("USD", description="The currency of costs that name none")


def build(name: str, options: Options) -> Csv:
    """The source; opens nothing yet."""
    return Csv(name, options)


class Csv:
    """Files that are read anew whenever they change."""

    def __init__(self, name: str, options: Options) -> None:
        pace = PACE.set_by(options)
        self.name = name
        self.interval, self.delay, self.stale_after = pace.interval, pace.delay, pace.stale_after
        self.standing = SourceRole(options.role, "bill")
        self._path = options.path
        self._noticed = Noticed(name)
        self._import = own_files(Defaults(name, options, options.provider, options.currency))

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        """Every month of the files, when one of them changed."""
        async for step in by_files(self._path, self._import, cursor=cursor, since=since, noticed=self._noticed.once):
            yield step

    async def look(self, now: datetime) -> Look:
        """What the files hold."""
        return await look_at_files(self._path, self._import, now)

    async def close(self) -> None:
        """Nothing is held open between two rounds."""
