"""The one console of the commands: colours and tables by rich, on texts that hold no control character."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich import console as rich
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from alertd.terminal import raw, without_controls


class Console(rich.Console):
    """As rich's own, on the real stream: what it writes itself may move the cursor, what it is given may not."""

    def __init__(self, *, stderr: bool = False, highlight: bool = True, **more: Any) -> None:
        stream = raw(sys.stderr if stderr else sys.stdout)
        super().__init__(file=stream, emoji=False, highlight=highlight, **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            safe = segment.text if segment.control else without_controls(segment.text)
            yield segment if safe == segment.text else Segment(safe, segment.style)
