"""Words about prices: a model without one, one that has been found since, two lists that disagree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from alertd.core.events import Event
from alertd.core.messages import details, evidence
from alertd.core.messages.dates import clock_time, zone_of
from alertd.core.messages.figures import amount, plural, share_percent, tokens
from alertd.core.messages.spans import Line, Said, bold, clean, code, joined, name, plain

_TOP: Final = 3
_MOST_LINES: Final = 12


def unpriced(event: Event, now: datetime) -> Said:
    """No price for gpt-6-mini (openai): 5.2M tokens count in no figure"""
    models = list(dict.fromkeys((item.model, item.provider) for item in event.unpriced))
    share = details.decimal(event, "share")
    first = models[0] if models else ("a model", "")
    more = f" and {plural(len(models) - 1, 'other model')}" if len(models) > 1 else ""
    headline = (bold("No price for "), name(first[0], "code"), bold(f"{more}: its spend counts in no figure"))
    rows = [_row(event, model, provider) for model, provider in models[:_TOP]]
    rest = (plain(f"… and {plural(len(models) - _TOP, 'other model')}"),) if len(models) > _TOP else ()
    lines = (
        *rows,
        rest,
        ()
        if share is None
        else (plain(f"{share_percent(float(share))} of all tokens: every total is too low by an unknown amount"),),
        *_to_paste(event),
        _whose(event) if event.spent is not None else (),
        evidence.contributors(event),
        evidence.to_do(event, commands=False),
    )
    return headline, lines, ()


def disagreeing(event: Event) -> Said:
    """Price lists disagree about grok-code-fast-1: 0.20 or 1.00 USD"""
    models = [str(model) for model in event.details.get("models", ())]
    more = f" and {plural(len(models) - 1, 'other model')}" if len(models) > 1 else ""
    headline = (bold("Price lists disagree about "), name((*models, "a model")[0], "code"), bold(more))
    said = [str(text) for text in event.details.get("said", ())]
    lines = (
        *((plain(clean(text, 200)),) for text in said[:_TOP]),
        (plain(f"… and {len(said) - _TOP} more"),) if len(said) > _TOP else (),
        (
            plain("alertd counts by the first of the two. A price in a file of "),
            code("ALERTD_PRICES__FILES"),
            plain(" settles it; "),
            code("alertd prices diff"),
            plain(" shows them all."),
        ),
    )
    return headline, lines, ()


def priced(event: Event) -> Said:
    """gpt-6-mini has a price now: 41.20 USD since 1 November count in the figures"""
    rows = details.rows(event, "models")
    first = str(rows[0].get("model", "")) if rows else "a model"
    more = f" and {plural(len(rows) - 1, 'other model')}" if len(rows) > 1 else ""
    have = "have" if more else "has"
    since = details.instant(event, "since")
    lines = [(name(str(row.get("model", "")), "code"), plain(f": {_came_to(row.get('spent'))}")) for row in rows[:_TOP]]
    when: Line = () if since is None else (plain(f"Counted since {clock_time(since, zone_of(event), event.at)}"),)
    past: Line = (plain("The past is priced, too: totals are higher than they were, and thresholds fire as usual."),)
    return (name(first, "code"), bold(f"{more} {have} a price now")), (*lines, when, past), ("no action needed",)


def _came_to(spent: object) -> str:
    found = spent if isinstance(spent, dict) else {}
    sums = [amount(value, unit) for unit, raw in found.items() if (value := details.as_decimal(raw)) is not None]
    return " and ".join(sums) or "nothing in the current periods"


def _to_paste(event: Event) -> Iterator[Line]:
    """Where a price goes, and the lines of the first block to paste."""
    yield (
        plain("Add its price to a file named in "),
        code("ALERTD_PRICES__FILES"),
        plain("; the past is then priced too."),
    )
    blocks = [str(block) for block in event.details.get("blocks", ())]
    if blocks:
        yield (plain("To paste, with the provider's figures ("), code("alertd prices"), plain(" has all):"))
        yield from ((code(clean(line, 200)),) for line in blocks[0].splitlines()[:_MOST_LINES])


def _whose(event: Event) -> Line:
    return (*evidence.who(event, "plain"), plain(" "), *evidence.standing(event))


def _row(event: Event, model: str, provider: str) -> Line:
    items = [item for item in event.unpriced if (item.model, item.provider) == (model, provider)]
    meters = ", ".join(f"{clean(item.meter, 40)} {tokens(item.quantity)}" for item in items)
    nearest = next((item.nearest for item in items if item.nearest), "")
    by: Line = (plain(" ("), name(provider), plain(")")) if provider else ()
    hint: Line = (plain("nearest known: "), name(nearest)) if nearest else ()
    reason = next((clean(item.reason).partition(": ")[0] for item in items if item.reason), "")
    reason = "" if clean(model) in reason else reason  # "no price is known for ..." is the headline
    return joined([(name(model), *by, plain(f": {meters}")), (plain(reason),) if reason else (), hint], "; ")
