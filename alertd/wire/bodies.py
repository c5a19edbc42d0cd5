"""Bodies of HTTP answers, bounded after decompression: no server decides how much memory its answer takes.

One layer of gzip or deflate is undone, a piece at a time; of more layers, or of another encoding, nothing is.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

#: What `Accept-Encoding` of every request says.
ACCEPTED: Final = "gzip, deflate"
#: So much is inflated at once, and between two pieces others have their turn on the event loop.
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
        """What these bytes add. Undecodable where they are not encoded as the server says."""
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
