"""Check who may use the page and the API: the length of the token, the file of tokens and users, the proxy's header."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from alertd.clients.local_files import read_text
from alertd.core.addresses import is_loopback
from alertd.core.config_errors import Fault, shortened
from alertd.settings.schema import HttpOptions, written
from alertd.settings.values import HttpSettings, KeyPath, Leaf
from alertd.web.identity import LEAST_TOKEN_LENGTH, ROLES, Person

_MOST_BYTES: Final = 1 << 20
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SECTIONS: Final = ("tokens", "users")
_ROLES: Final = f"write {', '.join(ROLES[:-1])} or {ROLES[-1]}"
_HASH_REMEDY: Final = 'write the SHA-256 of the token in hex: printf %s "$TOKEN" | sha256sum'


def read_http(options: HttpOptions, leaves: Mapping[KeyPath, Leaf], faults: list[Fault]) -> HttpSettings:
    """The section as a value. Its faults are added to `faults`, which never contain a token."""
    host, port = options.listen
    place = leaves.get(("http", "token")) or leaves.get(("http", "token_file"))
    token = options.token.get_secret_value() if options.token is not None else ""
    hosts = {host, *(options.allowance_listen or ())[:1]}
    if token and len(token) < LEAST_TOKEN_LENGTH and not all(map(is_loopback, hosts)):
        faults.append(
            Fault(
                place.place if place else written(("http", "token")),
                f"on any address but loopback a token needs at least {LEAST_TOKEN_LENGTH} characters, this one has "
                f"{len(token)}",
                "make one: openssl rand -base64 24",
            )
        )
    if bool(options.user_header) != bool(options.trusted_proxies):
        given, lacks = ("user_header", "trusted_proxies") if options.user_header else ("trusted_proxies", "user_header")
        example = "10.0.0.0/8" if lacks == "trusted_proxies" else "X-Forwarded-User"
        faults.append(
            Fault(
                leaves[("http", given)].place,
                f"does nothing without {written(('http', lacks))}",
                f"write {written(('http', lacks))}={example}",
            )
        )
    if options.mcp != "off" and find_spec("mcp") is None:
        faults.append(Fault(leaves[("http", "mcp")].place, "the MCP SDK is not installed", "pip install 'alertd[mcp]'"))
    people = tuple(_read_people(options.tokens_file, leaves, faults)) if options.tokens_file else ()
    return HttpSettings(
        host,
        port,
        options.token,
        options.open_metrics,
        people,
        options.user_header,
        tuple(options.trusted_proxies),
        options.mcp,
        options.allowance_listen,
    )


def _read_people(file: Path, leaves: Mapping[KeyPath, Leaf], faults: list[Fault]) -> Iterator[Person]:
    try:
        held = tomllib.loads(read_text(file, _MOST_BYTES))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        where = re.search(r"\(at .*\)", str(error))
        faults.append(
            Fault(shortened(str(file)), f"not valid TOML {where[0] if where else ''}".rstrip(), "see TOKENS_FILE")
        )
        return
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        faults.append(Fault(leaves[("http", "tokens_file")].place, problem, remedy))
        return
    for section, entries in held.items():
        if section not in _SECTIONS or not isinstance(entries, dict):
            faults.append(
                Fault(f"{file}: {shortened(section)}", "no such section", "write [tokens.NAME] or [users.NAME]")
            )
            continue
        for name, entry in entries.items():
            yield from _read_person(f"{file}: {section}.{shortened(name)}", section, name, entry, faults)


def _read_person(place: str, section: str, name: str, entry: object, faults: list[Fault]) -> Iterator[Person]:
    keys = ("role", "hash", "labels", "agent") if section == "tokens" else ("role", "labels")
    if not isinstance(entry, dict):
        faults.append(Fault(place, "no section", f"write [{section}.NAME] and its keys below: {', '.join(keys)}"))
        return
    unknown = [key for key in entry if key not in keys]
    faults += [Fault(f"{place}.{shortened(key)}", "no such key", f"there are: {', '.join(keys)}") for key in unknown]
    if unknown:
        return
    role, digest, labels = entry.get("role"), entry.get("hash", ""), entry.get("labels", {})
    agent = entry.get("agent", False)
    if role not in ROLES:
        faults.append(Fault(f"{place}.role", "none of its values" if "role" in entry else "required", _ROLES))
    elif section == "tokens" and not (isinstance(digest, str) and _HASH.fullmatch(digest.lower())):
        faults.append(Fault(f"{place}.hash", "no SHA-256" if digest else "required", _HASH_REMEDY))
    elif not (isinstance(labels, dict) and all(isinstance(value, str) and value for value in labels.values())):
        faults.append(Fault(f"{place}.labels", "no map of labels", 'write labels = {team = "research"}'))
    elif labels and role != "editor":
        faults.append(Fault(f"{place}.labels", "are for the role editor", "leave them out"))
    elif not isinstance(agent, bool):
        faults.append(Fault(f"{place}.agent", "neither true nor false", "write agent = true for a program's token"))
    else:
        yield Person(name, str(role), str(digest).lower(), tuple(sorted(labels.items())), agent)
