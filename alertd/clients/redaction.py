"""Remove secrets from foreign text, and find the secrets in a URL. Stores nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

#: Shorter parts of a URL are not secrets; removing them would garble the text.
_LEAST: Final = 6


def in_address(url: str) -> tuple[str, ...]:
    """The secret parts of a URL that must not be shown, the longest first.

    The whole URL, its password, path and query, whole and in parts, percent-encoded and decoded.
    """
    parts = urlsplit(url)
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    found = (url, parts.password or "", parts.path.strip("/"), parts.query, *parts.path.split("/"), *values)
    return longest_first((form for part in found for form in (part, unquote(part))), _LEAST)


def longest_first(secrets: Iterable[str], least: int = 1) -> tuple[str, ...]:
    """The secrets of at least `least` characters, the longest first, so that no part of a longer one remains."""
    return tuple(sorted({secret for secret in secrets if len(secret) >= least}, key=len, reverse=True))


def without(secrets: Iterable[str], text: str) -> str:
    """The text with *** in place of each secret."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
