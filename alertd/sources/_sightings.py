"""Describe the counters that were found: one spelling for each, their labels, and remarks about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from math import inf
from typing import Final

from alertd.core.counting.rules import TOKEN_WORDS
from alertd.core.counting.samples import CounterSamples
from alertd.core.messages.format import plural
from alertd.core.messages.rich_text import clean
from alertd.core.usage import COST_METER, Line
from alertd.ports import Look
from alertd.sources._counting import CounterOptions

_NAMED: Final = 5
_SIMILAR: Final = 10
_NAME_LENGTH: Final = 120
_MAP: Final = "TYPE_MAP says what they are, as audio_input=input"
_NO_COST: Final = (
    "this money is an exporter's own estimate: it is compared with what other sources count, and is in no figure."
    " Where the exporter has no token counters, ROLE=authoritative makes it the cost"
)


def one_spelling(found: Iterable[tuple[str, CounterSamples]], spellings: Mapping[str, int]) -> list[CounterSamples]:
    """The counters by metric, without the samples that a target shows under a better spelling at the same time.

    A counter beside its deprecated gauge, a metric's old name beside its new one: the same tokens, counted once.
    """
    given = list(found)
    if len({spellings.get(metric, 0) for metric, _ in given}) < 2:  # noqa: PLR2004 - one spelling is the rule
        return [series for _, series in given]
    best: dict[tuple[str, Line, int], tuple[int, float, float]] = {}
    for metric, series in given:
        if not series.points:
            continue
        key, rank = (series.target, series.line, id(series.labels)), spellings.get(metric, 0)
        first, last = series.points[0][0], series.points[-1][0]
        known = best.get(key)
        if known is None or rank < known[0]:
            best[key] = rank, first, last
        elif rank == known[0]:
            best[key] = rank, min(first, known[1]), max(last, known[2])
    kept = []
    for metric, series in given:
        rank, first, last = best.get((series.target, series.line, id(series.labels)), (0, inf, -inf))
        if spellings.get(metric, 0) == rank or not series.points:
            kept.append(series)
            continue
        alone = [point for point in series.points if not first <= point[0] <= last]
        if alone:
            kept.append(series if len(alone) == len(series.points) else series._replace(points=alone))
    return kept


def unknown_types(found: Mapping[str, bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remarks about series that match no rule: those that make the figures doubtful, and those that do not.

    Tokens that by their name may be among the input already, at another price, could make a figure too high. All
    others make it a lower bound, upon which an action may be taken.
    """
    within = {name for name, counts in found.items() if counts and _may_be_input(name)}
    doubts = (f"no rule takes {_listed(within)}: these may be input tokens of another price; {_MAP}",) if within else ()
    beside = found.keys() - within
    assumed = (f"no rule takes {_listed(beside)}: what they count is taken to be in no figure; {_MAP}",)
    return doubts, assumed if beside else ()


def _may_be_input(name: str) -> bool:
    value = name.rpartition("=")[2].lower()
    return any(word in value for word in ("input", "prompt", "cache"))


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def like_tokens(names: Iterable[str]) -> str:
    """A remark about metrics whose names look like token counters; "" without any."""
    found = sorted({name for name in names if any(word in name for word in TOKEN_WORDS)})
    named = ", ".join(clean(name, _NAME_LENGTH) for name in found[:_SIMILAR])
    return f"; these look like token counters: {named}" if found else ""


def seen(
    samples: Collection[CounterSamples],
    latest: datetime,
    options: CounterOptions,
    problems: tuple[str, ...],
    remarks: tuple[str, ...],
) -> Look:
    """What `alertd check` says of counters that were found, those of money apart."""
    money = [series for series in samples if series.line.meter == COST_METER]
    used = len(samples) - len(money)
    models = plural(len({series.line.model for series in samples}), "model")
    counters = plural(len(money), "money counter")
    if not used and not options.counts_money_only():
        said = f"only {counters}: an exporter's own estimate is compared with tokens, and there are no token counters"
        return Look("no token counters yet", latest, (*problems, said))
    if used:
        more = f", and {counters} to compare with" if money else ""
        return Look(f"{plural(used, 'token counter')} of {models}{more}", latest, problems, labels_of(samples), remarks)
    cost = options.money_is_cost()
    summary = f"{counters} of {models}" + (": what they count is the cost" if cost else "")
    return Look(summary, latest, problems, labels_of(samples), remarks if cost else (*remarks, _NO_COST))


def labels_of(samples: Iterable[CounterSamples]) -> dict[str, tuple[str, ...]]:
    """The labels that budgets can be cut by, with the values seen."""
    found: dict[str, set[str]] = {}
    for series in samples:
        for name, value in {**series.labels, "model": series.line.model, "provider": series.line.provider}.items():
            found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}
