"""How fresh the sources of a scope are, together: what they show, which lag behind, which speak for the present."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from alertd.core.evaluation.values import (
    EvaluationContext,
    LateSource,
    SourceView,
)
from alertd.core.periods import Period

#: A source whose data end this long before now is named as late.
_LATE: Final = timedelta(hours=1)
#: One whose data end this long before the newest ones says nothing of the present: it adds nothing to a burn rate.
_APART: Final = timedelta(hours=2)


class Feed(NamedTuple):
    """What the sources that feed a scope say together.

    `current` are the watermarks of those that are near enough to the newest data to speak for the same moment; a late
    one adds nothing to a burn rate.
    """

    names: frozenset[str]
    data_until: datetime | None
    seen_until: datetime | None
    complete_from: datetime | None
    stale: tuple[str, ...]
    late: tuple[LateSource, ...]
    current: tuple[tuple[str, datetime], ...]
    silent: bool
    closed: bool


def feed_of(feeding: set[str], context: EvaluationContext, period: Period) -> Feed:
    """What these sources say of a period together."""
    views = [view for name, view in sorted(context.sources.items()) if name in feeding]
    untils = {view.name: min(view.until, period.end) for view in views if view.until is not None}
    present = min(context.now, period.end)
    stale = frozenset(view.name for view in views if view.stale(context.now))
    late = [LateSource(name, at, name in stale) for name, at in untils.items()
            if name in stale or present - at > _LATE]  # fmt: skip
    silent = not untils.keys() - stale
    newest = max((at for name, at in untils.items() if silent or name not in stale), default=None)
    near = {name: at for name, at in untils.items() if newest and newest - at <= _APART
            and (silent or name not in stale)}  # fmt: skip
    return Feed(
        frozenset(feeding),
        min(untils.values(), default=None),
        max(untils.values(), default=None),
        _complete_from(views, period),
        tuple(sorted(stale)),
        tuple(sorted(late, key=lambda one: (one.until, one.name))),
        tuple(sorted(near.items())),
        silent,
        closed=context.now >= period.end + max((view.delay for view in views), default=timedelta(0)),
    )


def _complete_from(views: Sequence[SourceView], period: Period) -> datetime | None:
    starts = [view.complete_from for view in views if view.complete_from is not None]
    latest = max(starts, default=None)
    return latest if latest is not None and latest > period.start else None
