"""Parse database URLs, and show them without the password. No error quotes a URL.

Read by PostgreSQL's own rules (libpq), but strictly: a URL with an unquoted @, / or % in its password is refused
with the remedy, before a part of the password could be shown as a host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from alertd.core.config_errors import nearest

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
    if any(not sign.isprintable() for sign in url):
        raise ValueError("holds a control character; leave it out")
    if " " in url and not url.startswith(SQLITE):
        raise ValueError("holds a space or a control character; quote a space as %20")
    return _sqlite(url) if url.startswith(SQLITE) else _postgres(url)


def _sqlite(url: str) -> DatabaseUrl:
    name = url.removeprefix(SQLITE)
    if name in {"", ":memory:"}:
        raise ValueError("names no file; write sqlite:////var/lib/alertd/alertd.db")
    if "?" in name:
        raise ValueError("has options after the ?, which a file has not; leave them out")
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
    """A host's name and its port ("" without one)."""
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(
            "the host is not a name or an address; write an IPv6 address in brackets: [::1]:5432;"
            " and quote signs in the password: @ / : as %40, %2F, %3A"
        )
    port = found[2] or ""
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) <= _HIGHEST_PORT):
        raise ValueError(f"the port is not a number from 1 to 65535; {_QUOTE}")
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
            raise ValueError(f"option {number} after the ? is unknown to PostgreSQL; {remedy}")
        found[name] = unquote(value)
    return found


def _is_utf8(text: str) -> bool:
    try:
        unquote_to_bytes(text).decode()
    except UnicodeError:
        return False
    return True


_MOUNTS: Final = Path("/proc/self/mountinfo")
#: What Docker and Podman leave in a container. Others leave nothing: theirs is known by a root that is an overlay.
_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
#: File systems that are gone when the last process has ended.
_FLEETING: Final = frozenset({"tmpfs", "ramfs"})


class Mount(NamedTuple):
    """Where a file system is mounted, and of which type it is."""

    point: Path
    kind: str


def unmounted(url: str) -> Path | None:
    """The folder of a SQLite database that is gone with this container; None where it stays, or nothing is known."""
    if (file := read_url(url).file) is None:
        return None
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    folder = file.resolve().parent
    marked = any(mark.exists() for mark in _MARKS)
    return folder if is_lost(folder, mounts, marked=marked) else None


def is_lost(folder: Path, mounts: str, *, marked: bool) -> bool:
    """Whether the folder goes with its container. `mounts`: as in /proc/self/mountinfo; `marked`: it is a container.

    A volume may lie on the same device as the root (Docker on btrfs, a bound folder): its number does not show it.
    """
    found = [_mount(line) for line in mounts.splitlines()]
    root = next((mount for mount in reversed(found) if mount.point == Path("/")), None)
    if root is None or not (marked or root.kind == "overlay"):
        return False
    above = [mount for mount in reversed(found) if folder.is_relative_to(mount.point)]
    own = max(above, key=lambda mount: len(mount.point.parts))  # of equals the last, which hides those before it
    return own.point == Path("/") or own.kind in _FLEETING


def _mount(line: str) -> Mount:
    """Parse a line of mountinfo; " - " ends a list of any length before the type."""
    before, _, after = line.partition(" - ")
    point = before.split(" ")[4].replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")
    return Mount(Path(point), after.split(" ")[0])
