"""What a response means (success, may be retried, when), and its body, bounded after decompression. Sends nothing.

One layer of gzip or deflate is decoded, a piece at a time; a body with more layers or another encoding is not decoded.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec

from alertd.clients.redaction import without
from alertd.ports import SourceError

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
#: Where providers write the code of an error, and all that is shown of an error's body: other text may quote a prompt
#: or a token.
ERROR_CODES: Final = ("code", "Code", "type", "__type", "status")
#: A code is one word without digits (no key looks like that); a sentence has several.
_CODE: Final = re.compile(r"[A-Za-z]+(?:[._#-][A-Za-z]+)*")
_SENTENCE: Final = re.compile(r"[A-Za-z]+(?:[ .,:'()_/-]+[A-Za-z]+)*[.)]*")
_CODE_LENGTH: Final = 80
#: What follows the status where nothing of the body may be shown.
NOT_SHOWN: Final = "; the server's answer is not shown"
_TEXT: Final = 2_000


class HttpProblem(SourceError):  # noqa: N818 - it is also raised to notifiers, for whom it is no source's error
    """A response that is not a success, or no response at all (`status` is then None).

    `uncertain`: the request may have been carried out. `text` is the beginning of the body, for code that looks for a
    known word in it; it is never shown or logged, because it may quote a prompt or a token.
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
    """A complete response. `place` names the server for people, without query and secrets."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    place: str = ""
    #: What is cut out of whatever is quoted of the body.
    secrets: tuple[str, ...] = field(default=(), repr=False)
    #: The fields of an error's JSON that may be shown; none where its schema is not known.
    error_fields: tuple[str, ...] = ()

    def shown_error(self) -> str:
        """What may be shown of an error's body, to follow the status: its code, or that it is not shown; "" if empty.

        The fields are read at the top, in `error` and in the first of `errors`.
        """
        if self.is_html():
            return ": a web page"
        if not self.body.strip():
            return ""
        found = dict.fromkeys(value for object_ in self._error_objects() for value in self._codes(object_))
        return f": {', '.join(found)}" if found else NOT_SHOWN

    def _error_objects(self) -> list[Mapping[str, object]]:
        try:
            whole = json.loads(self.body) if self.error_fields else None
        except (ValueError, RecursionError):
            return []
        if not isinstance(whole, dict):
            return []
        several = whole.get("errors")
        inner = [whole.get("error"), *(several[:1] if isinstance(several, list) else ())]
        return [whole, *(one for one in inner if isinstance(one, dict))]

    def _codes(self, error: Mapping[str, object]) -> Iterator[str]:
        for name in self.error_fields:
            value = error.get(name)
            shape = _CODE if name in ERROR_CODES else _SENTENCE
            if isinstance(value, str) and len(value) <= _CODE_LENGTH and shape.fullmatch(value):
                yield without(self.secrets, value)

    def json(self) -> Any:
        """The body as JSON, its fractions as Decimal.

        HttpProblem if it is not JSON (a page of a proxy, half a body).
        """
        try:
            return json.loads(self.body, parse_float=Decimal)
        except (ValueError, InvalidOperation, RecursionError) as error:
            raise self.unreadable("is no JSON") from error

    def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as the decoder's type. HttpProblem where it is not."""
        try:
            return decoder.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
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

    def checked(self, allowed: frozenset[int] = frozenset()) -> Answer:
        """The answer itself if its status is 2xx or in `allowed`. HttpProblem otherwise."""
        if 200 <= self.status < 300 or self.status in allowed:  # noqa: PLR2004 - the class of successes
            return self
        meaning = f" ({_MEANING[self.status]})" if self.status in _MEANING else ""
        raise HttpProblem(
            f"{self.place} answers {self.status}{meaning}{self.shown_error()}",
            status=self.status,
            permanent=not may_retry(self.status),
            uncertain=self.status in _UNCERTAIN,
            retry_after=retry_after(self.headers),
            text=self.body[:_TEXT].decode(errors="replace"),
        )


def shown_code(text: str) -> str:
    """A provider's code of an error if it is one word without digits: neither a key nor a sentence; else a remark."""
    return text if len(text) <= _CODE_LENGTH and _CODE.fullmatch(text) else "its code is not shown"


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


#: What `Accept-Encoding` of every request says.
ACCEPTED: Final = "gzip, deflate"
#: The size of one decompressed piece; between two pieces other tasks run on the event loop.
_PIECE: Final = 1 << 18
_GZIP: Final = 16 + zlib.MAX_WBITS
_NAMED: Final = 60
_NOT_SO: Final = "broke off: its answer is not compressed as it says"


class TooLarge(Exception):  # noqa: N818 - a state of the body, which http.py words
    """The decoded body has more bytes than the limit; `head` is what came before."""

    def __init__(self, head: bytes) -> None:
        super().__init__()
        self.head = head


class Undecodable(Exception):  # noqa: N818 - the same
    """The body's encoding is not undone, or the body is not encoded as it says; worded as what the server does."""


async def read_body(headers: Mapping[str, str], parts: AsyncIterator[bytes], limit: int) -> bytes:
    """The whole decoded body, of at most `limit` bytes. TooLarge or Undecodable else."""
    inflate = _inflater(headers.get("content-encoding", ""))
    body, received = bytearray(), 0
    async for part in parts:
        received += len(part)
        if received > limit:
            raise TooLarge(bytes(body))
        for piece in (part,) if inflate is None else inflate.pieces(part):
            if len(body) + len(piece) > limit:
                raise TooLarge(bytes(body + piece[: limit - len(body)]))
            body += piece
            if len(piece) == _PIECE:
                await asyncio.sleep(0)
    if inflate is not None and not inflate.is_whole():
        raise Undecodable("broke off: its compressed answer has no end")
    return bytes(body)


def _inflater(encoding: str) -> _Inflater | None:
    layers = [layer for text in encoding.lower().split(",") if (layer := text.strip()) not in {"", "identity"}]
    if not layers:
        return None
    if len(layers) > 1:
        raise Undecodable(f"compresses its answer {len(layers)} times over; one layer is undone, more are refused")
    if layers[0] not in {"gzip", "x-gzip", "deflate"}:
        raise Undecodable(f"encodes its answer as {layers[0][:_NAMED]!r}, which was not asked for")
    return _Inflater(is_gzip=layers[0] != "deflate")


class _Inflater:
    """Undoes one layer, in pieces of bounded size."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._begun, self._head = False, b""
        self._stream = zlib.decompressobj(_GZIP if is_gzip else zlib.MAX_WBITS)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The decoded pieces of these bytes. Undecodable if they are not encoded as announced."""
        while data:
            if self._stream.eof:  # a further member of a gzip file; what follows a deflate stream is no part of it
                if not self._is_gzip or not data.strip(b"\0"):
                    return
                self._stream = zlib.decompressobj(_GZIP)
            piece = self._inflated(data)
            self._begun = True
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    def _inflated(self, data: bytes) -> bytes:
        try:
            piece = self._stream.decompress(data, _PIECE)
        except zlib.error as error:
            if self._is_gzip or len(self._head) > 1:
                raise Undecodable(_NOT_SO) from error
        else:
            self._head = (self._head + data)[:2]
            return piece
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)  # some servers call raw deflate that, too
        data, self._head = self._head + data, b"raw"
        try:
            return self._stream.decompress(data, _PIECE)
        except zlib.error as error:
            raise Undecodable(_NOT_SO) from error

    def is_whole(self) -> bool:
        """Whether the stream came to its end; an empty body (of a 304, of a HEAD) has none."""
        return not self._begun or self._stream.eof
