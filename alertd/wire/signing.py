"""How alertd signs what it posts, so that a receiver knows whom it is from and that it is not an old one."""

from __future__ import annotations

import hashlib
import hmac


def signature(secret: str, unix_time: int, body: bytes) -> str:
    """`t=<unix>,v1=<hex HMAC-SHA256 of "t.body">`: what a receiver verifies, and may refuse when t is old."""
    digest = hmac.new(secret.encode(), f"{unix_time}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={unix_time},v1={digest}"
