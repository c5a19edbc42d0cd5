"""Series of one counter whose labels go back and forth: which of them count, and with which samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Final

from alertd.core.counting.samples import CounterSamples, CounterState, kin_of
from alertd.core.counting.scrapes import seconds

#: A gap is `_GAP` times as long as the usual step, which more than `_FEW` samples show.
_GAP: Final = 1.5
_FEW: Final = 2


def interludes(given: Sequence[CounterSamples], states: Mapping[str, CounterState]) -> dict[str, str]:
    """The series that are seen only while another one of the same model, meter and target is not, with that other one.

    That is a relabel that was taken back: the other one's difference counts what it can.
    """
    new: dict[str, dict[str, list[float]]] = {}
    for series in given:
        state = states.get(series.fingerprint)
        if (state is None or state.heir) and series.points:
            instants = new.setdefault(kin_of(series), {}).setdefault(series.fingerprint, [])
            instants += (at for at, _ in series.points)
    if not new:
        return {}
    others: dict[str, dict[str, list[float]]] = {}
    for series in given:
        if (kin := kin_of(series)) in new:
            seen = others.setdefault(kin, {}).setdefault(series.fingerprint, [])
            state = states.get(series.fingerprint)
            if not seen and state is not None and not state.heir:
                seen.append(state.at)  # its samples of the readings before
            seen.extend(at for at, _ in series.points)
    found: dict[str, str] = {}
    for kin, each in new.items():
        gaps = _gaps(others[kin])
        by_name: dict[str, list[tuple[float, float]]] = {}
        for gap, own in gaps.items():
            for _, name in own:
                by_name.setdefault(name, []).append(gap)
        for name, instants in each.items():
            first = min(instants)
            around = (own for (begin, end), own in gaps.items() if begin < first < end)
            fits = [one for own in around for one in own if one[1] != name and _are_within(instants, by_name[one[1]])]
            if fits:
                found[name] = min(fits)[1]
    return found


def _are_within(instants: Sequence[float], gaps: Sequence[tuple[float, float]]) -> bool:
    """Whether each of these lies in a gap: in one, or where the labels changed several times in several."""
    first, last = min(instants), max(instants)
    if any(begin < first and last < end for begin, end in gaps):
        return True
    return all(any(begin < at < end for begin, end in gaps) for at in instants)


def joined(
    given: Sequence[CounterSamples], states: Mapping[str, CounterState]
) -> tuple[dict[str, CounterSamples], dict[str, str]]:
    """The series that came in place of others which are back between their samples, with these samples among theirs.

    Both names are then of one counter, which goes back and forth between them. And the ones that are back, with the
    fingerprint of the one that has their samples.
    """
    back = [one for one in given if one.points and (state := states.get(one.fingerprint)) is not None and state.heir]
    if not back:
        return {}, {}
    parts: dict[str, list[CounterSamples]] = {}
    for series in given:
        parts.setdefault(series.fingerprint, []).append(series)
    merged: dict[str, CounterSamples] = {}
    aside: dict[str, str] = {}
    for series in back:
        heir, passed = states[series.fingerprint].heir, {series.fingerprint}
        while heir not in passed and (state := states.get(heir)) is not None and state.heir:
            passed.add(heir)
            heir = state.heir
        own = parts.get(heir, [])
        if heir in passed or len(own) != 1 or len(parts[series.fingerprint]) != 1 or own[0].created != series.created:
            continue
        # What was there before this reading was looked at then.
        other, since = merged.get(heir, own[0]), states[series.fingerprint].at
        since = max(since, states[heir].at) if heir in states else since
        known, after = {at for at, _ in other.points}, [point for point in series.points if point[0] > since]
        if after and other.points and after[0][0] < other.points[-1][0] and known.isdisjoint(at for at, _ in after):
            points = sorted((*other.points, *after))
            if _drops(points) > _drops(other.points) + _drops(after):
                continue  # a sum of several, and no other name of one
            merged[heir] = other._replace(points=points)
            aside[series.fingerprint] = heir
    return merged, aside


def _drops(points: Sequence[tuple[float, str | float]]) -> int:
    """How often a value is lower than the one before."""
    values = [seconds(str(value)) for _, value in points]
    return sum(later < earlier for earlier, later in pairwise(values))


def _gaps(others: Mapping[str, Sequence[float]]) -> dict[tuple[float, float], list[tuple[int, str]]]:
    """The gaps between samples that usually follow each other sooner, each with the first two that have it, in order.

    A scrape that failed is a gap of every series of its target: of these there may be thousands.
    """
    found: dict[tuple[float, float], list[tuple[int, str]]] = {}
    own_steps = {name: list(pairwise(sorted(seen))) for name, seen in others.items()}
    pace = min((later - earlier for steps in own_steps.values() for earlier, later in steps), default=inf)
    for number, (name, seen) in enumerate(others.items()):
        steps = own_steps[name]
        # What few samples do not show, those of the others do: a sum that came while its parts were gone.
        usual = min((later - earlier for earlier, later in steps), default=inf) if len(seen) > _FEW else pace
        for gap in steps:
            if gap[1] - gap[0] > _GAP * usual and len(own := found.setdefault(gap, [])) < 2:  # noqa: PLR2004 - as said
                own.append((number, name))
    return found
