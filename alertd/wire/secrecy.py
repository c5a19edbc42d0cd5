"""Secrets in foreign text: what of an address is one, and how they are cut out of whatever is quoted. It keeps none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

#: Of an address, what is shorter is no secret, and cutting it out would only garble what is said.
_LEAST: Final = 6


def in_address(url: str) -> tuple[str, ...]:
    """What must not be shown of an address that is a secret, the longest first.

    All of it, its password, its path and its query: whole and in parts, as they are sent and as they read.
    """
    parts = urlsplit(url)
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    found = (url, parts.password or "", parts.path.strip("/"), parts.query, *parts.path.split("/"), *values)
    return longest_first((form for part in found for form in (part, unquote(part))), _LEAST)


def longest_first(secrets: Iterable[str], least: int = 1) -> tuple[str, ...]:
    """Those of `least` characters and more, in the order in which they are cut out: no part is left of a longer one."""
    return tuple(sorted({secret for secret in secrets if len(secret) >= least}, key=len, reverse=True))


def without(secrets: Iterable[str], text: str) -> str:
    """The text with stars in their place."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
