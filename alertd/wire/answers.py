"""What a server said, and what that means: is it a success, may the same be asked again, and when. It asks nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from alertd.ports import SourceError
from alertd.wire.secrecy import without

T = TypeVar("T")
#: What a status of 300 and above means: may the same request be tried again? Unlisted: 5xx yes, all else no.
RETRIED: Final[Mapping[int, bool]] = MappingProxyType(
    {408: True, 423: True, 425: True, 429: True, 501: False, 505: False, 511: False}
)
#: After these the request may have been carried out all the same.
_UNCERTAIN: Final = frozenset({408, 500, 502, 504})
_MEANING: Final[Mapping[int, str]] = MappingProxyType(
    {
        401: "it wants other credentials",
        403: "these credentials may not do this",
        404: "there is nothing at this address",
        407: "the proxy wants credentials",
        429: "too many requests",
    }
)
_LONGEST_WAIT: Final = timedelta(minutes=15)
_TEXT: Final = 200


class HttpProblem(SourceError):  # noqa: N818 - it is also raised to notifiers, for whom it is no source's error
    """An answer that is no success, or none at all. `status` is None without an answer.

    `uncertain`: the request may have been carried out. `text` is the beginning of the answer, without secrets.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        permanent: bool = False,
        uncertain: bool = False,
        retry_after: timedelta | None = None,
        text: str = "",
    ) -> None:
        super().__init__(message, permanent=permanent, retry_after=retry_after)
        self.status, self.uncertain, self.text = status, uncertain, text


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said, read to its end. `place` names it for people, without query and secrets."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    place: str = ""
    #: What is cut out of whatever is quoted of the body.
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """The beginning of the body on one line, without secrets."""
        return " ".join(without(self.secrets, self.body[:2000].decode(errors="replace")).split())[:_TEXT]

    def json(self) -> Any:
        """The body as JSON, its fractions as Decimal. HttpProblem where it is none (a page of a proxy, half a body)."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except (ValueError, InvalidOperation, RecursionError) as error:
            raise self.unreadable("is no JSON") from error

    def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as the decoder's type. HttpProblem where it is not."""
        try:
            return decoder.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self.unreadable(f"is not as expected: {error}") from error

    def unreadable(self, what: str) -> HttpProblem:
        """The problem of a body that cannot be used."""
        found = "is a web page; does a login or a proxy stand in front?" if self.is_html() else what
        return HttpProblem(f"{self.place}: the answer {found}", status=self.status)

    def is_html(self) -> bool:
        """Whether this is a page for people, such as a login in front of an API."""
        return "html" in self.headers.get("content-type", "") or self.body[:200].lstrip()[:5].lower() in {
            b"<html",
            b"<!doc",
        }

    def judged(self, allowed: frozenset[int] = frozenset()) -> Answer:
        """Itself where it is a success, or of a status in `allowed`; HttpProblem else."""
        if 200 <= self.status < 300 or self.status in allowed:  # noqa: PLR2004 - the class of successes
            return self
        text = "a web page" if self.is_html() else self.text()
        meaning = f" ({_MEANING[self.status]})" if self.status in _MEANING else ""
        raise HttpProblem(
            f"{self.place} answers {self.status}{meaning}" + (f": {text}" if text else ""),
            status=self.status,
            permanent=not may_retry(self.status),
            uncertain=self.status in _UNCERTAIN,
            retry_after=retry_after(self.headers),
            text=text,
        )


def may_retry(status: int) -> bool:
    """Whether the same request may succeed later, by the table."""
    return RETRIED.get(status, status >= 500)  # noqa: PLR2004 - the class of the server's faults


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """What Retry-After asks for, in seconds or as a date (counted from the answer's own Date), at most 15 minutes."""
    asked = headers.get("retry-after", "").strip()
    if not asked:
        return None
    if asked.isdecimal():
        return min(timedelta(seconds=min(int(asked), 10**6)), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(asked)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return min(max(until - now, timedelta(0)), _LONGEST_WAIT)
    except (TypeError, ValueError):
        return None
