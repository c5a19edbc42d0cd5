"""A database that came back from a backup: what was announced after the backup was made is not announced again.

The judge cannot know what was. So it announces nothing, and remembers everything as told, until every source that
answers has been read up to the present.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from alertd.core.judgement.positions import SourceView

#: The note that `alertd db restore` leaves, and the judge takes away.
NOTE: Final = "restored"


def catching_up(notes: Mapping[str, Any], behind: Collection[str], views: Mapping[str, SourceView]) -> bool | None:
    """Whether a restored database is still behind the world (`behind` names sources being read up to it).

    None where it was never restored. A source that fails is not waited for.
    """
    if NOTE not in notes:
        return None
    return any(not (view := views.get(name)) or not view.error for name in behind)
