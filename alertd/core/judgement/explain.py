"""Why a budget fired, or did not: every threshold with its inputs and its answer, silences, and what was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from alertd.core.budgets import Threshold, duration_text
from alertd.core.evaluation.state import LIFECYCLES, AlertLifecycle, episode_of, silence_of, silences_of
from alertd.core.judgement.assess import Facts
from alertd.core.judgement.positions import Position
from alertd.core.judgement.thresholds import key_of, stands, thresholds_of


@dataclass(frozen=True, slots=True)
class Reason:
    """One threshold of one position: whether it stands, the inputs that decided, and whether it was told."""

    threshold: str
    stands: bool
    because: str
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One position explained. `hindrances` are why nothing would be told now although a threshold may stand."""

    position: Position
    price_version: str
    reasons: tuple[Reason, ...]
    hindrances: tuple[str, ...] = ()
    lives: Mapping[str, AlertLifecycle] = field(default_factory=dict)


def explain(facts: Facts, positions: tuple[Position, ...], budget: str) -> list[Explanation]:
    """The explanations of a budget's scopes, as things stand."""
    return [_explained(facts, position) for position in positions if position.budget.name == budget]


def _explained(facts: Facts, position: Position) -> Explanation:
    reasons = tuple(_reason(facts, position, threshold) for threshold in thresholds_of(position))
    own = {
        identity: life for identity, life in LIFECYCLES.items(facts.state) if life.key.startswith(f"{position.name}/")
    }
    return Explanation(position, facts.around.tariff.version, reasons, tuple(_hindrances(facts, position)), own)


def _reason(facts: Facts, position: Position, threshold: Threshold) -> Reason:
    now = facts.around.now
    if threshold.basis == "actual":
        at = threshold.reached_at(position.amount)
        key = key_of(position, threshold, position.amount.value)
        told = facts.told.get(key)
        return Reason(
            str(threshold), position.spent >= at, f"spent {_plain(position.spent)} against {_plain(at)}", told
        )
    episode = episode_of(facts.state, position.name, threshold)
    told = facts.told.get(key_of(position, threshold, episode.number))
    return Reason(str(threshold), bool(stands(position, threshold, now)), _inputs(position, threshold), told)


def _inputs(position: Position, threshold: Threshold) -> str:
    """The figures that a forecast or burn-rate threshold was decided on."""
    if threshold.basis == "forecast":
        if position.projection is None:
            return "nothing can be projected yet: no data"
        level = threshold.reached_at(position.amount)
        bound = position.projection.fires_below(threshold.probability)
        chance = position.projection.probability_over(float(level))
        return (
            f"it alerts for levels below {bound:.2f}, this one is {_plain(level)}; the total exceeds it with a "
            f"probability of {chance:.0%} ({position.projection.method})"
        )
    if threshold.basis == "burn_rate":
        windows = [position.burns[window] for window in threshold.windows if window in position.burns]
        seen = (f"{duration_text(b.window)}: {_plain(b.spent)} = {b.factor:.1f} times even pace" for b in windows)
        return "; ".join(seen) or "no usage in its windows"
    return "not judged"


def _hindrances(facts: Facts, position: Position) -> list[str]:
    now = facts.around.now
    found = [f"{name} shows no fresh data: forecasts and burn rates are paused" for name in position.stale_sources]
    hush = silence_of(silences_of(facts.state), position.budget.name, position.scope, now)
    if hush is not None:
        found.append(f"silenced until {hush.until:%Y-%m-%d %H:%M} UTC by {hush.by}: {hush.reason}")
    found += [f"{item.model} {item.meter} counts in no figure: {item.reason}" for item in position.unpriced]
    if not position.matched:
        found.append("no usage matches this budget")
    if position.complete_from is not None:
        found.append(f"figures are complete only from {position.complete_from:%Y-%m-%d %H:%M} UTC")
    return found


def _plain(value: Decimal | Any) -> str:
    return f"{value.quantize(Decimal('0.01')):f}"
