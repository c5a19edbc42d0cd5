"""Messages about prices and bills: no price, lists that disagree, estimate and bill, duplicate sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from alertd.core.events import (
    Drift,
    DuplicateSourcesFound,
    Event,
    ModelsPriced,
    ModelsUnpriced,
    PricesDiffer,
    details_of,
)
from alertd.core.messages import evidence
from alertd.core.messages.format import clock_time, lacking_rates, money, plural, share_percent, tokens, zone_of
from alertd.core.messages.rich_text import Fact, Line, Said, bold, clean, code, joined, name, plain

_TOP: Final = 3
_SEVERAL: Final = 2
#: Meters that are counted in units of their own.
_COUNTED: Final = frozenset({"requests", "minutes"})
_MOST_LINES: Final = 12


def unpriced(event: Event, now: datetime) -> Said:
    """gpt-6-mini has no price, so its cost is missing from every total"""
    if event.unpriced and all(item.rate for item in event.unpriced):
        return _without_rate(event)
    models = list(dict.fromkeys((item.model, item.provider) for item in event.unpriced))
    share = details_of(event, ModelsUnpriced).share
    first = models[0] if models else ("a model", "")
    more = f" and {plural(len(models) - 1, 'other model')} have" if len(models) > 1 else " has"
    whose = "their cost" if len(models) > 1 else "its cost"
    headline = (name(first[0], "bold"), bold(f"{more} no price, so {whose} is missing from every total"))
    rows = [_row(event, model, provider) for model, provider in models[:_TOP]]
    rest = (plain(f"… and {plural(len(models) - _TOP, 'other model')}"),) if len(models) > _TOP else ()
    costs = " of all tokens; what it costs is unknown"
    part: Line = () if share is None else (bold(share_percent(share)), plain(costs))
    counted = evidence.spent(event)
    facts = (
        Fact("Not counted", part),
        Fact("Counted without it" if len(models) < _SEVERAL else "Counted without them",
             (*evidence.who(event, "plain"), plain(" "), *counted.value) if event.spent is not None else ()),
    )  # fmt: skip
    lines = (*rows, rest, *_to_paste(event), evidence.to_do(event, commands=False))
    return Said(headline, lines, (), facts)


def _without_rate(event: Event) -> Said:
    """No exchange rate from USD to EUR, so $41.20 is missing from the total of research"""
    ((rate, figure), *_) = lacking_rates(event.unpriced)
    base, unit = rate.split(" to ")
    headline = (
        bold(f"No exchange rate from {rate}, so {figure} {'is' if ' and ' not in figure else 'are'} missing from "),
        *evidence.who(event),
    )
    fix = (
        plain("To fix it, set "), code(f"ALERTD_FX__{base}_{unit}"), plain(f" (what one {base} is in {unit}), or "),
        code("ALERTD_PRICES__RATES_URL"), plain(" for daily rates; what was spent before is then counted, too."),
    )  # fmt: skip
    counted = Fact("Counted without it", evidence.spent(event).value if event.spent is not None else ())
    return Said(headline, (fix, evidence.to_do(event, commands=False)), (), (counted,))


def disagreeing(found: PricesDiffer) -> Said:
    """Price lists disagree about grok-code-fast-1: 0.20 or 1.00 USD"""
    models, said = found.models, found.said
    more = f" and {plural(len(models) - 1, 'other model')}" if len(models) > 1 else ""
    headline = (bold("Price lists disagree about "), name((*models, "a model")[0], "code"), bold(more))
    lines = (
        *((plain(clean(text, 200)),) for text in said[:_TOP]),
        (plain(f"… and {len(said) - _TOP} more"),) if len(said) > _TOP else (),
        (
            plain("alertd uses the first one. A price in a file of "),
            code("ALERTD_PRICES__FILES"),
            plain(" settles it; "),
            code("alertd prices diff"),
            plain(" shows them all."),
        ),
    )
    return Said(headline, lines)


def priced(event: Event, found: ModelsPriced) -> Said:
    """gpt-6-mini has a price now: 41.20 USD since 1 November count in the figures"""
    rows = found.models
    first = rows[0].model if rows else "a model"
    more = f" and {plural(len(rows) - 1, 'other model')}" if len(rows) > 1 else ""
    have = "have" if more else "has"
    since = event.since
    lines = [(name(row.model, "code"), plain(f": {_came_to(row.spent)}")) for row in rows[:_TOP]]
    when: Line = () if since is None else (plain(f"Counted since {clock_time(since, zone_of(event), event.at)}"),)
    past: Line = (plain("Past usage is priced too: totals are higher than before, and thresholds fire as usual."),)
    headline = (name(first, "bold"), bold(f"{more} {have} a price now"))
    return Said(headline, (*lines, when, past), ("no action needed",))


def _came_to(spent: Mapping[str, Decimal]) -> str:
    return " and ".join(money(value, unit) for unit, value in spent.items()) or "nothing in the current periods"


def _to_paste(event: Event) -> Iterator[Line]:
    """Where a price goes, and the lines of the first block to paste."""
    yield (
        plain("To fix it, add the price to a file named in "),
        code("ALERTD_PRICES__FILES"),
        plain("; past usage is then priced too."),
    )
    blocks = details_of(event, ModelsUnpriced).blocks
    if blocks:
        yield (plain("To paste, with the provider's figures ("), code("alertd prices"), plain(" has all):"))
        yield from ((code(clean(line, 200)),) for line in blocks[0].splitlines()[:_MOST_LINES])


def _row(event: Event, model: str, provider: str) -> Line:
    items = [item for item in event.unpriced if (item.model, item.provider) == (model, provider)]
    meters = ", ".join(f"{tokens(item.quantity)} {clean(item.meter, 40)}" for item in items)
    meters += "" if any(item.meter in _COUNTED for item in items) else " tokens"
    nearest = next((item.nearest for item in items if item.nearest), "")
    by: Line = (plain(" ("), name(provider), plain(")")) if provider else ()
    hint: Line = (plain("nearest known price: "), name(nearest)) if nearest else ()
    reason = next((clean(item.reason).partition(": ")[0] for item in items if item.reason), "")
    reason = "" if clean(model) in reason or reason == "in no price list" else reason  # that is the headline
    return joined([(name(model), *by, plain(f": {meters}")), (plain(reason),) if reason else (), hint], "; ")


def drift(event: Event, found: Drift) -> Said:
    """openai billed $44.10; alertd had counted $41.20 (7% less)"""
    by = "" if found.drift is None else f" by {share_percent(abs(float(found.drift)))}"
    causes = [(plain(clean(cause)),) for cause in found.causes]
    ending: Line = (code("alertd reconcile"), plain(" shows every day"))
    provider = name(found.provider, "bold")
    days = Fact("Days compared", (plain(f"{found.first} to {found.last}"),) if found.first else ())
    if found.estimated is None or found.billed is None:
        return Said((bold("Estimate and bill of "), provider, bold(f" differ{by}")), (*causes, ending), (), (days,))
    estimated, billed = (money(value, event.currency) for value in (found.estimated, found.billed))
    if found.against == "report":
        headline: Line = (
            *joined([(name(one, "bold"),) for one in found.sources[:_TOP]], ", "), bold(f" reports {billed} for "),
            provider, bold(f"; alertd counted {estimated}"),
        )  # fmt: skip
        return Said(headline, (*causes, (plain("alertd counts its own estimate."),), ending), (), (days, _drift(found)))
    higher = "more" if found.estimated > found.billed else "less"
    factor = found.correction
    fix: Line = () if factor in {None, 1} else (plain(f"Days not billed yet: multiply by {factor:f} to correct them"),)
    headline = (provider, bold(f" billed {billed}; alertd had counted {estimated}"))
    so: Line = (plain(f"alertd counts {higher} than you pay."),)
    return Said(headline, (so, *causes, fix, ending), (), (days, _drift(found)))


def _drift(found: Drift) -> Fact:
    return Fact("Difference", () if found.drift is None else (bold(share_percent(abs(float(found.drift)))),))


def duplicate_sources(found: DuplicateSourcesFound) -> Said:
    """Sources gateway and bill seem to be one"""
    one, other = (*found.sources, "", "")[:2]
    headline = (bold("Sources "), name(one, "bold"), bold(" and "), name(other, "bold"), bold(" seem to be one"))
    lines = (
        (plain(clean(found.said)),),
        (plain("Until you set which one counts, both are added up, so totals may be too high."),),
    )
    return Said(headline, lines)
