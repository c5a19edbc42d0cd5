"""Lists that come in pages: every page to the documented end, or an error. It asks nobody itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from alertd.ports import SourceError
from alertd.wire.fields import Fields

_MOST_PAGES: Final = 10_000


async def every_page(
    ask: Callable[[str], Awaitable[Fields]], next_of: Callable[[Fields], str], place: str, most: int = _MOST_PAGES
) -> AsyncIterator[Fields]:
    """Every page until there is no next one; `ask` gets "" at first. A page that names an earlier one: SourceError."""
    seen: set[str] = {""}
    cursor = ""
    for _ in range(most):
        page = await ask(cursor)
        yield page
        cursor = next_of(page)
        if not cursor:
            return
        if cursor in seen:
            raise SourceError(f"{place}: its pages go in a circle")
        seen.add(cursor)
    raise SourceError(f"{place}: more than {most} pages")


def last_id(page: Fields) -> str:
    """The id that the next page begins behind, as OpenAI and Anthropic name it; "" on the last page."""
    return page.text("last_id") if page.flag("has_more") else ""
