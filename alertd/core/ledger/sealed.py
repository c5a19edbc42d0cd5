"""Bytes compressed under a checksum, as a store keeps blocks: what was changed since is noticed. Knows no content."""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import Final

_FORM: Final = b"u2"
_CHECK: Final = 8
#: Where the content begins.
_BEGIN: Final = len(_FORM) + _CHECK


def seal(content: bytes, level: int) -> bytes:
    """The content as a block, compressed at a level of zlib."""
    packed = zlib.compress(content, level)
    return _head(packed) + packed


def unseal(block: bytes) -> bytes:
    """The content of a block. ValueError where it is not as it was written."""
    if not is_whole(block):
        raise ValueError("its checksum does not match")
    return zlib.decompress(block[_BEGIN:])


def is_whole(block: bytes) -> bool:
    """Whether a block is as it was written."""
    return block[:_BEGIN] == _head(block[_BEGIN:])


def _head(packed: bytes) -> bytes:
    return _FORM + blake2b(packed, digest_size=_CHECK).digest()
