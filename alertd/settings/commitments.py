"""From a commitment as it is written to one as it is charged: its zone, its first and last instant, its labels."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from alertd.core.budgets import TOKENS
from alertd.core.money import Money
from alertd.core.usage import CHARGE_LABEL, DIMENSIONS, Committed
from alertd.settings.checking import Part
from alertd.settings.document import CommitmentOptions

#: The source that charges what is configured; no other may have its name.
COMMITMENTS: Final = ("sources", "commitments")
#: Without FROM it has run for longer than anybody looks back.
_LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
_OWN: Final = frozenset({*DIMENSIONS, CHARGE_LABEL, "commitment"}) - {"provider", "model"}


def read_commitment(name: str, part: Part, default_currency: str | None, zone: ZoneInfo) -> Committed | None:
    """One commitment, or None with its faults recorded in `part`."""
    if "from" in part.leaves:  # no field of a model may be named like this
        part.leaves["from_"] = part.leaves.pop("from")
    options = part.read(CommitmentOptions, {"currency": default_currency})
    if options is None:
        return None
    before = len(part.faults)
    zone = options.timezone or zone
    start, end = (_instant(moment, zone) for moment in (options.from_, options.until))
    if options.amount.unit == TOKENS:
        part.fault("amount", "counts tokens", "a commitment is money: write it as 1200 USD")
    if options.amount.value <= 0:
        part.fault("amount", "is nothing", "write what is charged, as 1200 USD")
    if start and end and end <= start:
        part.fault("until", "is not after FROM", "it is exclusive: the first day that is not charged any more")
    for label in sorted(_OWN & options.labels.keys()):
        part.fault("labels", f"{label} is a name of alertd's own", "give the label another name")
    if len(part.faults) > before:
        return None
    labels = {label: value for label, value in options.labels.items() if label not in {"provider", "model"}}
    return Committed(
        provider=options.labels.get("provider", ""),
        start=start or _LONG_AGO,
        end=end,
        cost=Money(options.amount.value, options.amount.unit),
        labels={CHARGE_LABEL: "commitment", "commitment": name, **labels},
        model=options.labels.get("model", ""),
        counted=True,
        name=name,
        per=options.per,
        zone=zone.key,
    )


def _instant(moment: date | datetime | None, zone: ZoneInfo) -> datetime | None:
    """The instant that a day begins, or a time means, in a zone; as aware UTC."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - the zone follows
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
