"""A history of money told at today's mix: usage comes in bursts, what a token costs moves in steps and stays."""

from __future__ import annotations

from typing import Final

import numpy as np

from alertd.core.projection.series import Floats

#: A unit price is what the last active days paid: half as much weight for each two days further back.
_HALF_LIFE_ACTIVE_DAYS: Final = 2.0


def at_todays_mix(volumes: Floats, costs: Floats) -> Floats:
    """What each day would have cost at what its parts (keys, teams) pay per token now: [parts x days] -> [days].

    `volumes` are what each part used in any one unit (tokens, requests), `costs` what it cost, oldest day first. A part
    that moved to a dearer model is told as if it had used that model all along, at the volume that it had. Days on
    which a part cost something without any volume keep their cost.
    """
    if volumes.shape != costs.shape:
        raise ValueError(f"volumes and costs are of the same parts and days, not {volumes.shape} and {costs.shape}")
    told: Floats = np.where(volumes > 0.0, volumes * unit_prices(volumes, costs)[:, None], costs).sum(0)
    return told


def unit_prices(volumes: Floats, costs: Floats) -> Floats:
    """What each part pays for one unit of its volume now: [parts]; 0 for a part that never had any."""
    used = volumes > 0.0
    ago: Floats = np.cumsum(used[:, ::-1], axis=1)[:, ::-1] - used
    memory = used * 0.5 ** (ago / _HALF_LIFE_ACTIVE_DAYS)
    price = np.where(used, costs, 0.0) / np.where(used, volumes, 1.0)
    prices: Floats = (memory * price).sum(1) / np.maximum(memory.sum(1), 1e-12)
    return prices
