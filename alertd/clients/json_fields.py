"""One JSON object of a provider's response, field by field (money is never a float); lists that come in pages.

A value of another type than documented is a SourceError that names the field. Unknown fields are tolerated.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alertd.core.messages.rich_text import clean
from alertd.core.money import Money
from alertd.core.usage import LARGEST_EXPONENT
from alertd.ports import SourceError

#: Nothing was used or billed in another year; what is near the end of the calendar cannot be added to.
_YEARS: Final = range(1970, 2200)
_SHOWN: Final = 40
#: Text that is made of figures: a number, a date, a time.
_FIGURES: Final = re.compile(r"[0-9+\-.,:/TZeE% ]{0,40}")


class Fields:
    """A JSON object and its place in an answer."""

    __slots__ = ("_values", "place")

    def __init__(self, values: object, place: str) -> None:
        if not isinstance(values, Mapping):
            raise SourceError(f"{place} is {_shown(values)}, not an object")
        self._values: Mapping[str, Any] = values
        self.place = place

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def beyond(self, known: Iterable[str]) -> tuple[str, ...]:
        """The names of unknown fields."""
        return tuple(sorted(set(self._values) - set(known)))

    def text(self, name: str) -> str:
        """A text, or a number as text; "" where it is absent or null."""
        value = self._values.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self._wrong(name, "a text")
        return str(value)

    def flag(self, name: str) -> bool | None:
        """A truth, also written as text or number; None where it is absent."""
        value = self._values.get(name)
        known = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
        return None if value is None else known.get(str(value).lower())

    def number(self, name: str) -> Decimal:
        """An exact number, also where it is written as text. SourceError where it is absent."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self._wrong(name, "a number")
        try:
            found = Decimal(value)
        except InvalidOperation:
            raise self._wrong(name, "a number") from None
        if not found.is_finite() or found.adjusted() >= LARGEST_EXPONENT:
            raise self._wrong(name, "a number")
        return found

    def whole(self, name: str) -> int:
        """A whole number, 0 where it is absent or null."""
        if self._values.get(name) is None:
            return 0
        found = self.number(name)
        if found != found.to_integral_value():
            raise self._wrong(name, "a whole number")
        return int(found)

    def money(self, name: str, currency: str, scale: Decimal = Decimal(1)) -> Money:
        """An amount in the currency's main unit: `scale` is what one of the field's units is worth of it."""
        try:
            return Money(self.number(name) * scale, currency.strip().upper())
        except ValueError:
            raise SourceError(f"{self.place}: {currency[:_SHOWN]!r} is no currency (three letters, USD)") from None

    def instant(self, name: str, zone: tzinfo = UTC) -> datetime:
        """An aware time of Unix seconds or ISO text; text without a zone is of `zone`. SourceError where absent."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self._wrong(name, "a time")
        try:
            if isinstance(value, str):
                found = datetime.fromisoformat(value)
            else:
                found = datetime.fromtimestamp(int(self.number(name)), UTC)
        except (ValueError, OverflowError, OSError):
            raise self._wrong(name, "a time") from None
        if found.year not in _YEARS:
            raise self._wrong(name, "a time")
        return found if found.tzinfo is not None else found.replace(tzinfo=zone)

    def day(self, name: str) -> date:
        """A calendar day; a time behind it is left out. SourceError where it is absent."""
        text = self.text(name)
        try:
            found = date.fromisoformat(text[:8] if text[:8].isdigit() else text[:10])
        except ValueError:
            raise self._wrong(name, "a day") from None
        if found.year not in _YEARS:
            raise self._wrong(name, "a day")
        return found

    def child(self, name: str) -> Fields:
        """The object under a name; an empty one where it is absent or null."""
        value = self._values.get(name)
        return Fields({} if value is None else value, f"{self.place}.{name}")

    def items(self, name: str, *, required: bool = True) -> list[Fields]:
        """The objects of a list. A missing list is not an empty month: SourceError, unless `required` is False."""
        value = self._values.get(name)
        if value is None and not required:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return [Fields(item, f"{self.place}.{name}[{number}]") for number, item in enumerate(value)]

    def instant_or_none(self, name: str) -> datetime | None:
        """A time, or None where it is absent, null or empty."""
        return self.instant(name) if self._values.get(name) not in (None, "") else None

    def value(self, name: str) -> object:
        """Whatever JSON has under a name; None where it is absent."""
        return self._values.get(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty where it is absent."""
        value = self._values.get(name)
        return tuple(str(item) for item in value) if isinstance(value, list) else ()

    def children(self, name: str) -> dict[str, Fields]:
        """The objects of a map by their keys; empty where it is absent."""
        inner = self.child(name)
        return {key: inner.child(key) for key in inner}

    def _wrong(self, name: str, wanted: str) -> SourceError:
        return SourceError(f"{self.place}.{name} is {_shown(self._values.get(name))}, not {wanted}")


def _shown(value: object) -> str:
    """A value of the wrong kind in words. A number or a date is shown; other text is not, as it may be a prompt."""
    match value:
        case None:
            return "missing"
        case str() if not _FIGURES.fullmatch(value):
            return f"a text of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
        case Mapping():
            return "an object"
    return clean(json.dumps(value, default=str), _SHOWN)


_MOST_PAGES: Final = 10_000


async def every_page(
    ask: Callable[[str], Awaitable[Fields]], next_of: Callable[[Fields], str], place: str, most: int = _MOST_PAGES
) -> AsyncIterator[Fields]:
    """Every page of a list; `ask` gets "" at first. SourceError if a page names an earlier one as the next."""
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
