"""What a database URL means, and the place that may be shown of it. No error repeats any of it: it holds a password.

Read by PostgreSQL's own rules (libpq), but strictly: what an unquoted @, / or % in a password makes of a URL is refused
with the remedy before anything of it is taken for a host and shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from alertd.core.faults import nearest

SQLITE: Final = "sqlite:///"
_POSTGRES: Final = re.compile(r"postgres(?:ql)?://")
_DRIVER: Final = re.compile(r"postgres(?:ql)?\+\w+://")
_QUOTE: Final = "quote @ and / in the password: %40, %2F"
_HIGHEST_PORT: Final = 65535
#: A password of fewer characters would garble what a server says where it is cut out of that.
_LEAST_SECRET: Final = 3
#: A host, or a socket's folder with its / as %2F; an IPv6 address in brackets, with its zone after %25.
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%25[\w.-]+)?\]|(?:[\w.~-]|%[0-9A-Fa-f]{2})*)(?::([^:]*))?")
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_SECRETS: Final = ("password", "sslpassword", "oauth_client_secret")
#: The options of libpq 18.
_OPTIONS: Final = frozenset(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_issuer",
        "oauth_scope",
        "options",
        "passfile",
        "password",
        "port",
        "replication",
        "require_auth",
        "requirepeer",
        "scram_client_key",
        "scram_server_key",
        "service",
        "ssl",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslkeylogfile",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ]
)


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A sound URL. `file` is SQLite's, None for PostgreSQL; `place` may be shown, `secrets` may not."""

    url: str = field(repr=False)
    place: str
    file: Path | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)


def read_url(url: str) -> DatabaseUrl:
    """The URL of a SQLite file or a PostgreSQL database. ValueError, as `problem; remedy`, for any other text."""
    if _DRIVER.match(url):
        raise ValueError("names a driver; leave out + and what follows it: postgresql://host/alertd")
    if not url.startswith(SQLITE) and not _POSTGRES.match(url):
        raise ValueError("no database; write sqlite:////var/lib/alertd/alertd.db or postgresql://host/alertd")
    if any(not sign.isprintable() or sign.isspace() for sign in url):
        raise ValueError("holds a space or a control character; quote a space as %20")
    return _sqlite(url) if url.startswith(SQLITE) else _postgres(url)


def _sqlite(url: str) -> DatabaseUrl:
    name = url.removeprefix(SQLITE)
    if name in {"", ":memory:"}:
        raise ValueError("names no file; write sqlite:////var/lib/alertd/alertd.db")
    return DatabaseUrl(url, name, Path(name))


def _postgres(url: str) -> DatabaseUrl:
    rest = url[url.index("://") + 3 :]
    before = re.match(r"[^@/]*@", rest)
    user, rest = (before[0][:-1], rest[before.end() :]) if before else ("", rest)
    if "@" in rest:
        raise ValueError(f"holds an @ that is not the one before the host; {_QUOTE}")
    if _BROKEN_ESCAPE.search(f"{user}@{rest}"):
        raise ValueError("holds a % without the two digits of a quoted character; quote % in the password: %25")
    if "\ufffd" in unquote(user + rest) and not _is_utf8(user + rest):
        raise ValueError("holds quoted bytes that are no UTF-8; quote each character as its UTF-8 bytes")
    where, _, query = rest.partition("?")
    hosts, _, database = where.partition("/")
    if "/" in database or "#" in database:
        raise ValueError(f"the name of the database holds a / or #; quote it there (%2F, %23), or {_QUOTE}")
    options = _options(query)
    named = [_host(host) for host in hosts.split(",")]
    host = options.get("host") or ",".join(host for host, _ in named)
    port = options.get("port") or ",".join(port or "5432" for _, port in named)
    place = f"postgresql://{host}:{port}/{options.get('dbname') or unquote(database)}"
    password = user.partition(":")[2]
    secrets = (password, unquote(password), *(options.get(name, "") for name in _SECRETS))
    found = sorted({secret for secret in secrets if len(secret) >= _LEAST_SECRET}, key=len, reverse=True)
    return DatabaseUrl(url, place, secrets=tuple(found))


def _host(text: str) -> tuple[str, str]:
    """A host's name and its port, "" where it has none."""
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(
            "what stands in the host's place is no name or address; an IPv6 address stands in brackets: [::1]:5432;"
            " and quote signs in the password: @ / : as %40, %2F, %3A"
        )
    port = found[2] or ""
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= _HIGHEST_PORT):
        raise ValueError(f"what stands in the port's place is no number from 1 to 65535; {_QUOTE}")
    return unquote(found[1]), port


def _options(query: str) -> dict[str, str]:
    """The options after the ?, values unquoted. They are counted, not shown: one may be a piece of a password."""
    found: dict[str, str] = {}
    for number, pair in enumerate(query.split("&") if query else [], start=1):
        name, sign, value = pair.partition("=")
        if not sign:
            raise ValueError(f"option {number} after the ? has no =; quote ? and & in the password: %3F, %26")
        if name not in _OPTIONS:
            meant = nearest(name, _OPTIONS)
            remedy = f"did you mean {meant}?" if meant else "leave it out, or quote ? and & in the password: %3F, %26"
            raise ValueError(f"option {number} after the ? is none that PostgreSQL knows; {remedy}")
        found[name] = unquote(value)
    return found


def _is_utf8(text: str) -> bool:
    try:
        unquote_to_bytes(text).decode()
    except UnicodeError:
        return False
    return True
