"""How people write values, and what they mean. Nothing is refused without a ValueError that has the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ValidationInfo

from alertd.core.billing.commitments import PERS
from alertd.core.budgets import SEVERITIES, TOKENS, Amount, Anomaly, BurnRate, Threshold, Where, parse_threshold
from alertd.core.faults import nearest, one_of
from alertd.core.periods import KINDS
from alertd.core.quiet import QuietHours
from alertd.options import canonical, read_json, read_list
from alertd.stores.urls import read_url

_LISTEN: Final = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\s\[\]/]+)):(?P<port>\d{1,5})")
_HIGHEST_PORT: Final = 65535
_DAY: Final = len("2026-11-10")
#: No budget is written with so many digits; TOML's 1e999999999 would be a gigabyte of zeros.
_MOST_DIGITS: Final = 30
#: A comma before three digits groups thousands: `burn_rate 10x over 1h and 5m above 1,000 USD`.
_BETWEEN: Final = re.compile(r"[,;](?!\d{3}(?!\d))")


def read_names(value: Any) -> tuple[str, ...]:
    """A list of names in their one spelling, from JSON, text or a list."""
    items = read_list(value)
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError('no list of names; write it as ops,pager or ["ops","pager"]')
    return tuple(dict.fromkeys(canonical(item) for item in items))


def read_notify(value: Any) -> Mapping[str, tuple[str, ...]]:
    """Names of notifiers by severity: a list goes to every severity, a map to those that it names."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = read_json(value)
    if not isinstance(value, Mapping):
        return dict.fromkeys(SEVERITIES, read_names(value))
    for severity in value:
        if severity not in SEVERITIES:
            raise ValueError(f"no severity {severity!r}; {one_of(str(severity), SEVERITIES)}")
    return {severity: read_names(listed) for severity, listed in value.items()}


def read_where(value: Any) -> Where:
    """Patterns by label, from `team=research,model=gpt-*` (a label may come twice), JSON or a map."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = read_json(value)
    patterns: dict[str, tuple[str, ...]] = {}
    for label, pattern in _map_pairs(value) if isinstance(value, Mapping) else _text_pairs(value):
        if not label or label.endswith(("!", "~")):
            raise ValueError(f"{label!r} is no label; write team=research, or team=!research for all others")
        if not pattern.strip("!"):
            raise ValueError(f"{label} has no pattern; write {label}=research, or {label}=!* for usage without {label}")
        patterns[label] = (*patterns.get(label, ()), pattern)
    return Where.of(patterns)


def _map_pairs(value: Mapping[Any, Any]) -> list[tuple[str, str]]:
    lists = {str(label): found if isinstance(found, list | tuple) else [found] for label, found in value.items()}
    if not all(isinstance(item, str) for items in lists.values() for item in items):
        raise ValueError('a pattern is text; write it as {"team":"research","model":["gpt-*","!gpt-4o-mini"]}')
    return [(label.strip(), item.strip()) for label, items in lists.items() for item in items or [""]]


def _text_pairs(value: Any) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in str(value).split(",") if part.strip()]
    for label, sign, _ in parts:
        if not sign:
            raise ValueError(f"{label.strip()!r} names no label; write it as team=research,model=gpt-*")
    return [(label.strip(), pattern.strip()) for label, _, pattern in parts]


def read_budget_thresholds(value: Any, info: ValidationInfo) -> tuple[Threshold, ...]:
    """The thresholds of a budget, whose amounts are in the budget's own unit."""
    amount = info.data.get("amount")
    return read_thresholds(value, amount.unit if amount else None)


def read_thresholds(value: Any, unit: str | None = None) -> tuple[Threshold, ...]:
    """Thresholds of the grammar, from a JSON list or between commas; every one that is none is named."""
    text = isinstance(value, str) and not value.lstrip().startswith("[")
    items = _BETWEEN.split(value) if text else read_list(value)
    if not isinstance(items, list | tuple):
        # a fault of what was written, not of a caller: pydantic reports ValueErrors only
        raise ValueError(  # noqa: TRY004 - see above
            'no list of thresholds; write it as ["actual 80%","forecast 100%"]'
        )
    found: list[Threshold] = []
    wrong: list[str] = []
    for item in items:
        try:
            found += [_threshold(str(item), unit)] if str(item).strip() else []
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError(" / ".join(wrong))
    return tuple(dict.fromkeys(found))


def _threshold(text: str, unit: str | None) -> Threshold:
    threshold = parse_threshold(text)
    amount = None if isinstance(threshold, BurnRate | Anomaly) else threshold.amount
    if unit and amount is not None and amount.unit != unit:
        raise ValueError(f"{text.strip()!r} is in {amount.unit}, but the budget in {unit}; give both in one")
    return threshold


def read_amount(value: Any, info: ValidationInfo) -> Amount:
    """An amount; a bare number is in the budget's own currency, or in that of the context (ALERTD_DEFAULTS)."""
    if isinstance(value, Decimal) and not (value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS):
        raise ValueError(f"{str(value)[:40]!r} is no amount; write it as 500 USD")
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    own, default = info.data.get("currency"), (info.context or {}).get("currency")
    if own is None and default is not None:
        try:
            return Amount.parse(text)
        except ValueError:
            return Amount.parse(text, default)
    return Amount.parse(text, own)


def read_opening(value: Any, info: ValidationInfo) -> Decimal:
    """What was spent before the first sample, in the unit of the amount."""
    amount = info.data.get("amount")
    return Amount.parse(str(value), amount.unit if amount else None if _has_unit(value) else TOKENS).value


def _has_unit(value: Any) -> bool:
    return str(value).strip()[-1:].isalpha()


def read_currency(value: Any) -> str:
    """A currency code, or `tokens`."""
    text = str(value).strip()
    if text.lower() in {"token", TOKENS}:
        return TOKENS
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError(f"{text!r} is no currency; write a code such as USD, or tokens")
    return text.upper()


def read_zone(value: Any) -> ZoneInfo:
    """A zone by its IANA name."""
    name = str(value)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        meant = nearest(name, _zones()) or "Europe/Berlin"
    raise ValueError(f"{name!r} is no time zone; write an IANA name such as {meant}")


@cache
def _zones() -> frozenset[str]:
    """The names there are: read from the disk once, and only where one is wrong."""
    return frozenset(available_timezones())


def read_period(value: Any) -> str:
    """A kind of period."""
    if value not in KINDS:
        raise ValueError(f"no period {value!r}; {one_of(str(value), KINDS)}")
    return str(value)


def read_per(value: Any) -> str:
    """How long one charge of a commitment is for."""
    text = str(value).strip().lower().removesuffix("ly")
    if text not in PERS:
        raise ValueError(f"{str(value)[:40]!r} is no stretch of time; {one_of(text, PERS)}")
    return text


def read_moment(value: Any) -> date | datetime:
    """A day (2026-11-10), which begins in a zone to be known later, or an instant with its offset."""
    if isinstance(value, date):
        return value
    text = str(value).strip()
    try:
        return date.fromisoformat(text) if len(text) <= _DAY else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("no day or instant; write it as 2026-11-10 or 2026-11-10T08:00:00+01:00") from None


def read_quiet_hours(value: Any) -> QuietHours:
    """`22:00-07:00`."""
    return QuietHours.parse(str(value))


def read_address(value: Any) -> str:
    """An http or https address, without a slash at its end. It may hold a secret: no error repeats it."""
    try:
        parts = urlsplit(str(value).strip())
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("no web address; write it as https://host/path")
    return str(value).strip().rstrip("/")


def read_database(value: Any) -> str:
    """The address of a database. It may hold a password: no error repeats it."""
    return read_url(str(value).strip()).url


def read_listen(value: Any) -> tuple[str, int]:
    """`host:port`; an IPv6 host stands in brackets."""
    found = _LISTEN.fullmatch(str(value).strip())
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise ValueError(
            f"{str(value)!r} is no host and port; write it as 127.0.0.1:9480, or 0.0.0.0:9480 for everywhere"
        )
    return found["six"] or found["host"], int(found["port"])


Network = IPv4Network | IPv6Network


def read_header(value: object) -> str:
    """The name of a header."""
    text = str(value).strip()
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", text):
        raise ValueError(f"{text[:40]!r} is no header's name; write it as X-Forwarded-User")
    return text


def read_networks(value: object) -> tuple[Network, ...]:
    """Networks or single addresses, as a list or separated by commas."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    found: list[Network] = []
    for part in parts:
        try:
            found.append(ip_network(str(part).strip()))
        except ValueError:
            raise ValueError(f"{str(part)[:40]!r} is no network; write it as 10.0.0.0/8 or 10.0.0.7") from None
    return tuple(found)
