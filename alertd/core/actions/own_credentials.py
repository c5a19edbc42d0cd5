"""Whether a key that a provider shows is one of alertd's own credentials. It keeps none of them and shows none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

#: What providers put in place of the middle of a key: sk-...abcd, sk-ant-api03-R2D…igAA, sk-****cd.
_CUT: Final = re.compile(r"(?:\.{2,}|…|\*+|•+|x{4,})")
#: Fewer visible characters than this fit too many keys to say anything.
_TELLING: Final = 4


def is_own(secrets: Iterable[str], key_id: str, hint: str) -> bool:
    """Whether one of `secrets` is the key of this id (itself, or its SHA-256 as gateways store it) or of this hint."""
    return any(_same(secret, key_id, hint) for secret in secrets if secret)


def _same(secret: str, key_id: str, hint: str) -> bool:
    if key_id and key_id in {secret, sha256(secret.encode()).hexdigest()}:
        return True
    parts = _CUT.split(hint, maxsplit=1)
    if len(parts) != 2 or len(parts[1]) < _TELLING:  # noqa: PLR2004 - what stands before and behind the cut
        return bool(hint) and hint == secret
    begin, end = parts
    return len(secret) >= len(begin) + len(end) and secret.startswith(begin) and secret.endswith(end)
