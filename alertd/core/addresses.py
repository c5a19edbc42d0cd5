"""Where a message goes when its address names labels: `#llm-{team}` filled from an event. Guesses no missing label."""

from __future__ import annotations

import re
from typing import Final

from alertd.core.events import Event

_FIELD: Final = re.compile(r"\{([\w.-]+)\}")


def fill(template: str, event: Event) -> str | None:
    """`#llm-{team}` with the label of the event's scope, `{budget}` and `{severity}` too; None where a label lacks."""
    values: dict[str, str | None] = {"budget": event.budget, "severity": event.severity, **dict(event.scope)}
    wanted = _FIELD.findall(template)
    if not all(values.get(label) for label in wanted):
        return None
    return _FIELD.sub(lambda field: values[field[1]] or "", template)


def labels_of(template: str) -> tuple[str, ...]:
    """The labels that an address needs, in order."""
    return tuple(dict.fromkeys(_FIELD.findall(template)))
