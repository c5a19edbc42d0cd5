"""A database that came back from a backup: what was announced after the backup was made is not announced again.

The judge cannot know what was. So it announces nothing, and remembers everything as told, until every source that
answers has been read up to the present.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from alertd.core.evaluation.state import RESTORED, State
from alertd.core.judgement.positions import SourceView


def caught_up(state: State, behind: Collection[str], views: Mapping[str, SourceView]) -> bool:
    """Whether a restored database has seen the present; `behind` names sources that were being read up to it.

    A source that fails is not waited for. False where nothing was restored.
    """
    return RESTORED.get(state) is not None and all(
        (view := views.get(name)) is not None and view.error for name in behind
    )
