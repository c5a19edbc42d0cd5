"""Parse values as people write them. Each refusal is a ValueError that contains the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ValidationInfo

from alertd.core.billing.commitments import PERS
from alertd.core.budgets import (
    SEVERITIES,
    TOKENS,
    Amount,
    Anomaly,
    BurnRate,
    CreditEntry,
    Novel,
    Threshold,
    Where,
    duration_text,
    parse_duration,
    parse_threshold,
    typed_amount,
)
from alertd.core.config_errors import nearest, one_of
from alertd.core.periods import KINDS, ROLLING, WINDOW, QuietHours
from alertd.plugin_options import canonical, is_web_address, read_json, read_list, read_map
from alertd.stores.urls import read_url

_LISTEN: Final = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\s\[\]/]+)):(?P<port>\d{1,5})")
_HIGHEST_PORT: Final = 65535
_DAY: Final = len("2026-11-10")
#: The most digits of an amount; TOML's 1e999999999 would be a gigabyte of zeros.
_MOST_DIGITS: Final = 30
#: A comma before three digits groups thousands: `burn_rate 10x over 1h and 5m above 1,000 USD`.
_BETWEEN: Final = re.compile(r"[,;](?!\d{3}(?!\d))")


def read_names(value: object) -> tuple[str, ...]:
    """A list of names in their one spelling, from JSON, text or a list."""
    items = read_list(value)
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise ValueError('not a list of names; write it as ops,pager or ["ops","pager"]')
    return tuple(dict.fromkeys(canonical(item) for item in items))


def read_notify(value: object) -> Mapping[str, tuple[str, ...]]:
    """Names of notifiers by severity: a list is for every severity, a map for the severities in it."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = read_json(value)
    if not isinstance(value, Mapping):
        return dict.fromkeys(SEVERITIES, read_names(value))
    for severity in value:
        if severity not in SEVERITIES:
            raise ValueError(f"no severity {severity!r}; {one_of(str(severity), SEVERITIES)}")
    return {severity: read_names(listed) for severity, listed in value.items()}


def read_where(value: object) -> Where:
    """Patterns by label, from `team=research,model=gpt-*` (a label may come twice), JSON or a map."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = read_json(value)
    patterns: dict[str, tuple[str, ...]] = {}
    for label, pattern in _map_pairs(value) if isinstance(value, Mapping) else _text_pairs(value):
        if not label or label.endswith(("!", "~")):
            raise ValueError(f"{label!r} is not a label pattern; write team=research, or team=!research for all others")
        if not pattern.strip("!"):
            raise ValueError(f"{label} has no pattern; write {label}=research, or {label}=!* for usage without {label}")
        patterns[label] = (*patterns.get(label, ()), pattern)
    return Where.of(patterns)


def _map_pairs(value: Mapping[Any, Any]) -> list[tuple[str, str]]:
    lists = {str(label): found if isinstance(found, list | tuple) else [found] for label, found in value.items()}
    if not all(isinstance(item, str) for items in lists.values() for item in items):
        raise ValueError('a pattern is text; write it as {"team":"research","model":["gpt-*","!gpt-4o-mini"]}')
    return [(label.strip(), item.strip()) for label, items in lists.items() for item in items or [""]]


def _text_pairs(value: object) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in str(value).split(",") if part.strip()]
    for label, sign, _ in parts:
        if not sign:
            raise ValueError(f"{label.strip()!r} has no label; write it as team=research,model=gpt-*")
    for _, _, pattern in parts:
        if re.search(r"(?:\s|;)(?:and\b|or\b|&&?|\|\|?|;)?\s*[A-Za-z_]\w*\s*=", pattern, re.IGNORECASE):
            raise ValueError(f"{pattern.strip()!r} has a second condition; write a comma between: team=web,model=gpt-*")
    return [(label.strip(), pattern.strip()) for label, _, pattern in parts]


def read_budget_thresholds(value: object, info: ValidationInfo) -> tuple[Threshold, ...]:
    """The thresholds of a budget, whose amounts are in the budget's own unit."""
    amount = info.data.get("amount")
    return read_thresholds(value, amount.unit if amount else None)


def read_thresholds(value: Any, unit: str | None = None) -> tuple[Threshold, ...]:
    """Parse thresholds from a JSON list or comma-separated text. ValueError lists every invalid threshold."""
    text = isinstance(value, str) and not value.lstrip().startswith("[")
    items = _BETWEEN.split(value) if text else read_list(value)
    if not isinstance(items, list | tuple):
        # the user's mistake, not the caller's: pydantic reports only ValueErrors
        raise ValueError(  # noqa: TRY004 - see above
            'not a list of thresholds; write it as ["actual 80%","forecast 100%"]'
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
    amount = None if isinstance(threshold, BurnRate | Anomaly | Novel) else threshold.amount
    if unit and amount is not None and amount.unit != unit:
        raise ValueError(f"{text.strip()!r} is in {amount.unit}, but the budget in {unit}; give both in one")
    return threshold


def read_amount(value: object, info: ValidationInfo) -> Amount:
    """An amount; a number without a unit is in the budget's currency, or in that of the context (ALERTD_DEFAULTS)."""
    if isinstance(value, Decimal) and not (value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS):
        raise ValueError(f"{str(value)[:40]!r} is not an amount; write it as 500 USD")
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    read = Amount.parse if isinstance(value, Decimal) else typed_amount
    own, default = info.data.get("currency"), (info.context or {}).get("currency")
    if own is None and default is not None:
        try:
            return read(text)
        except ValueError:
            return read(text, default)
    return read(text, own)


def read_opening(value: object, info: ValidationInfo) -> Decimal:
    """What was spent before the first sample, in the unit of the amount."""
    amount = info.data.get("amount")
    return typed_amount(str(value), amount.unit if amount else None if _has_unit(value) else TOKENS).value


def read_bound(value: object, info: ValidationInfo) -> Amount | Decimal:
    """`10%` of the amount, or an amount in its unit."""
    text = str(value).strip()
    if percent := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)\s*%", text):
        return Decimal(percent[1])
    amount = info.data.get("amount")
    try:
        return typed_amount(text, amount.unit if amount else None)
    except ValueError as error:
        raise ValueError(f"{error}; or as a share of the amount, 10%") from None


def read_amounts(value: object, info: ValidationInfo) -> tuple[tuple[date, Amount], ...]:
    """Amounts by the day from which they hold: `2027-01-01=600 USD,2027-04-01=800 USD`, or as a JSON map."""
    amount = info.data.get("amount")
    found: dict[date, Amount] = {}
    written = read_map(value)
    if not isinstance(written, dict):
        raise ValueError("not a map of days and amounts; write 2027-01-01=600 USD")  # noqa: TRY004 - pydantic reports it
    for day, text in written.items():
        try:
            since = date.fromisoformat(day if len(day) > len("2027-01") else f"{day}-01")
        except ValueError:
            raise ValueError(f"{day!r} is no day; write 2027-01-01=600 USD") from None
        found[since] = typed_amount(str(text), amount.unit if amount else None)
    return tuple(sorted(found.items()))


def read_durations(value: object) -> tuple[tuple[str, timedelta], ...]:
    """`user=90d,end_user=30d`, or a JSON map: how long, by label."""
    written = read_map(value)
    pairs = written.items() if isinstance(written, Mapping) else [("", "")]
    if not all(str(label) and str(length) for label, length in pairs):
        raise ValueError("no durations by label; write user=90d,end_user=30d")
    found = {str(label): parse_duration(str(length)) for label, length in pairs}
    if short := [label for label, length in found.items() if length < timedelta(days=1)]:
        raise ValueError(f"{short[0]}: shorter than a day; write {short[0]}=90d")
    return tuple(found.items())


def read_credit(value: object, info: ValidationInfo) -> tuple[CreditEntry, ...]:
    """`2026-11-01=500 USD,2026-12-01=left 412.30 USD`, a JSON map, or the lines of a CSV file: day, amount[, left]."""
    amount = info.data.get("amount")
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        lines = [line.strip() for line in value.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        if "=" in value:
            pairs = [(day, text) for part in _BETWEEN.split(",".join(lines)) if part.strip()
                     for day, _, text in [part.partition("=")]]  # fmt: skip
        else:
            cells = [[cell.strip().strip('"') for cell in re.split("[;,]", line)] for line in lines]
            rows = cells[1:] if cells and not cells[0][0][:1].isdigit() else cells
            pairs = [(row[0], " ".join([*row[2:], *row[1:2]])) for row in rows]
    elif isinstance(read := read_map(value), Mapping):
        pairs = [(str(day), str(text)) for day, text in read.items()]
    else:
        raise ValueError("no top-ups by day; write 2026-11-01=500 USD,2026-12-01=left 412.30 USD")
    return tuple(sorted((_credit_entry(day.strip(), text.strip(), amount) for day, text in pairs), key=_by_day))


def _by_day(entry: CreditEntry) -> date:
    return entry.day


def _credit_entry(day: str, text: str, budget: Amount | None) -> CreditEntry:
    sets = text.lower().startswith("left")
    try:
        paid = typed_amount(text[4:] if sets else text, budget.unit if budget else None)
        found = CreditEntry(date.fromisoformat(day), paid.value, sets)
    except ValueError as error:
        said = str(error) if "amount" in str(error) or "currency" in str(error) else f"{day[:20]!r} is no day"
        raise ValueError(f"{said.partition(';')[0]}; write 2026-11-01=500 USD,2026-12-01=left 412.30 USD") from None
    if paid.unit == TOKENS:
        raise ValueError("a credit is money; write 2026-11-01=500 USD")
    return found


def _has_unit(value: object) -> bool:
    return str(value).strip()[-1:].isalpha()


def read_currency(value: object) -> str:
    """A currency code, or `tokens`."""
    text = str(value).strip()
    if text.lower() in {"token", TOKENS}:
        return TOKENS
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError(f"{text!r} is not a currency; write a code such as USD, or tokens")
    return text.upper()


def read_zone(value: object) -> ZoneInfo:
    """A zone by its IANA name."""
    name = str(value)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        meant = nearest(name, _zones()) or "Europe/Berlin"
    raise ValueError(f"{name!r} is not a time zone; write an IANA name such as {meant}")


@cache
def _zones() -> frozenset[str]:
    """All zone names: read from the disk once, and only if a name is wrong."""
    return frozenset(available_timezones())


def read_period(value: object) -> str:
    """A kind of period."""
    kind, _, length = str(value).strip().partition(" ")
    if kind == ROLLING:
        return f"{ROLLING} {duration_text(_rolling(length))}"
    if kind == WINDOW:
        return f"{WINDOW} {duration_text(_window(length))}"
    if value not in KINDS:
        raise ValueError(f"no period {value!r}; {one_of(str(value), (*KINDS, 'rolling 5h', 'window 5h'))}")
    return str(value)


def _window(text: str) -> timedelta:
    """The length of a window that first use opens, in whole hours."""
    length = parse_duration(text)
    if not timedelta(hours=1) <= length <= timedelta(days=7) or length % timedelta(hours=1):
        raise ValueError(f"{text!r} is no length of a window; write whole hours up to 7d, as window 5h")
    return length


def _rolling(text: str) -> timedelta:
    """The length of a window that rolls, in whole hours."""
    length = parse_duration(text)
    if not timedelta(hours=1) <= length <= timedelta(days=90) or length % timedelta(hours=1):
        raise ValueError(f"{text!r} is no length of a rolling window; write whole hours up to 90d, as rolling 5h")
    return length


def read_per(value: object) -> str:
    """The time that one charge of a commitment is for."""
    text = str(value).strip().lower().removesuffix("ly")
    if text not in PERS:
        raise ValueError(f"{str(value)[:40]!r} is not a length of time; {one_of(text, PERS)}")
    return text


def read_moment(value: object) -> date | datetime:
    """A day (2026-11-10) in a zone that is known later, or an instant with its offset."""
    if isinstance(value, date):
        return value
    text = str(value).strip()
    try:
        return date.fromisoformat(text) if len(text) <= _DAY else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a day or an instant; write it as 2026-11-10 or 2026-11-10T08:00:00+01:00") from None


def read_quiet_hours(value: object) -> QuietHours:
    """`22:00-07:00`."""
    return QuietHours.parse(str(value))


def read_address(value: object) -> str:
    """An http or https address without a slash at its end. It may contain a secret, so no error repeats it."""
    if not is_web_address(str(value).strip()):
        raise ValueError("not a web address; write it as https://host/path")
    return str(value).strip().rstrip("/")


def read_page(value: object) -> str:
    """An address that messages show: nothing secret may stand in it."""
    address = read_address(value)
    if urlsplit(address).username is not None:
        raise ValueError("holds a user or password, which every message would show; leave out what is before the @")
    return address


def read_database(value: object) -> str:
    """The address of a database. It may contain a password, so no error repeats it."""
    return read_url(str(value).strip()).url


def read_listen(value: object) -> tuple[str, int]:
    """`host:port`; an IPv6 host is in brackets."""
    found = _LISTEN.fullmatch(str(value).strip())
    if found is None or int(found["port"]) > _HIGHEST_PORT:
        raise ValueError(
            f"{str(value)!r} is not a host and port; write it as 127.0.0.1:9480, or 0.0.0.0:9480 for everywhere"
        )
    return found["six"] or found["host"], int(found["port"])


Network = IPv4Network | IPv6Network


def read_header(value: object) -> str:
    """The name of a header."""
    text = str(value).strip()
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", text):
        raise ValueError(f"{text[:40]!r} is not the name of a header; write it as X-Forwarded-User")
    return text


def read_networks(value: object) -> tuple[Network, ...]:
    """Networks or single addresses, as a list or separated by commas."""
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    found: list[Network] = []
    for part in parts:
        try:
            found.append(ip_network(str(part).strip()))
        except ValueError:
            raise ValueError(f"{str(part)[:40]!r} is not a network; write it as 10.0.0.0/8 or 10.0.0.7") from None
    return tuple(found)
