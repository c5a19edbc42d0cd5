"""Series of one counter whose labels go back and forth: which of them count, and with which samples."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Final

from alertd.core.counting.samples import CounterSamples, CounterState, kin_of

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
            instants += (series.points[0][0], series.points[-1][0])
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
        whole = [(name, sorted(seen)) for name, seen in others[kin].items() if len(seen) > _FEW]
        for name, instants in each.items():
            fits = [other for other, seen in whole if name != other and _lies_within(instants, seen)]
            if fits:
                found[name] = fits[0]
    return found


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
        other, since = merged.get(heir, own[0]), states[heir].at if heir in states else -inf
        known, after = {at for at, _ in other.points}, [point for point in series.points if point[0] > since]
        if after and other.points and after[0][0] < other.points[-1][0] and known.isdisjoint(at for at, _ in after):
            merged[heir] = other._replace(points=sorted((*other.points, *after)))
            aside[series.fingerprint] = heir
    return merged, aside


def _lies_within(instants: Sequence[float], seen: Sequence[float]) -> bool:
    """Whether all of them lie in one gap of the other's samples, which usually follow each other sooner."""
    place = bisect_left(seen, min(instants))
    if not 0 < place < len(seen) or max(instants) >= seen[place]:
        return False
    return seen[place] - seen[place - 1] > _GAP * min(later - earlier for earlier, later in pairwise(seen))
