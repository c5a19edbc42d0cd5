"""Alibaba Cloud's request signature V3, ACS3-HMAC-SHA256. Pure: the time and the nonce are given to it.

Source: Alibaba Cloud, "V3 request structure and signature", with its published example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_SIGNED: Final = ("content-type", "host")
_UNRESERVED: Final = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; `security_token` comes with a temporary one (STS)."""

    key_id: str
    secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of which host: its action and version, the query by name, and when, with a nonce."""

    method: str
    host: str
    path: str
    action: str
    version: str
    at: datetime
    nonce: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def signed_headers(call: Call, credentials: Credentials) -> dict[str, str]:
    """All headers that the call has to be sent with, `Authorization` among them; names are lower case but for it."""
    headers = {name.lower(): value.strip() for name, value in call.headers.items()}
    headers |= {
        "host": call.host,
        "x-acs-action": call.action,
        "x-acs-content-sha256": sha256(call.body).hexdigest(),
        "x-acs-date": call.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": call.nonce,
        "x-acs-version": call.version,
    }
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
    names = ";".join(_signed_names(headers))
    to_sign = f"{_ALGORITHM}\n{sha256(canonical_request(call, headers).encode()).hexdigest()}"
    signature = digest(credentials.secret.encode(), to_sign.encode(), "sha256").hex()
    proof = f"{_ALGORITHM} Credential={credentials.key_id},SignedHeaders={names},Signature={signature}"
    return {**headers, "Authorization": proof}


def canonical_request(call: Call, headers: Mapping[str, str]) -> str:
    """The text that both sides make of a request, and of which the signature proves that it was not changed."""
    names = _signed_names(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    return "\n".join(
        (call.method, call.path or "/", canonical_query(call.query), lines, ";".join(names),
         headers["x-acs-content-sha256"])
    )  # fmt: skip


def canonical_query(query: Sequence[tuple[str, str]]) -> str:
    """The query as it is signed and has to be sent: sorted by name, everything but A-Z a-z 0-9 - _ . ~ in %XX."""
    return "&".join(
        f"{quote(name, safe=_UNRESERVED)}={quote(value, safe=_UNRESERVED)}" for name, value in sorted(query)
    )


def _signed_names(headers: Mapping[str, str]) -> list[str]:
    return sorted(name for name in headers if name in _SIGNED or name.startswith("x-acs-"))
