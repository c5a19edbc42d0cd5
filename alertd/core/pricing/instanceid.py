"""Alibaba's Instance ID: what a line of a Model Studio bill was, and what it can be attributed by.

Source: Alibaba Cloud, billing for model services, 2025-04-03 (bills after 2024-09-07).
"""

from __future__ import annotations

import re
from typing import Final

from alertd.core.usage import Labels, Line

_METERS: Final = {
    "input_token": "input",
    "output_token": "output",
    "cached_token": "cached_input",
    "batch_input_token": "batch_input",
    "batch_output_token": "batch_output",
}
_LEAST_PARTS: Final = 4
_UNIT: Final = re.compile(r"(?:(1|1000|1000000)?(k|thousand|m|million)?tokens?)?\Z")
_SCALES: Final = {"k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}


def instance_line(instance: str, account: str = "") -> tuple[Line, Labels] | None:
    """An Alibaba Instance ID (text_token;llm-xxx;qwen-max;output_token;app) as a line and what it can be attributed by.

    None where it has another shape: bills before 2024-09-07, other products. Unknown types stay visible as meters.
    """
    parts = [part.strip() for part in instance.split(";")]
    if len(parts) < _LEAST_PARTS or not all(parts[:_LEAST_PARTS]):
        return None
    kind, workspace, model, token, *channel = parts
    token = token.removesuffix("s")
    meter = _METERS.get(token, token) if kind == "text_token" else f"{kind}:{token}"
    labels = {"workspace": workspace, "billing_type": kind}
    if channel and channel[0]:
        labels["channel"] = channel[0]
    return Line("alibaba", model, meter, (), account), labels


def tokens_per(unit: str) -> int:
    """How many tokens one of a bill's UsageUnit is (1K tokens: 1000). Raises ValueError for what it does not know."""
    found = _UNIT.match(re.sub(r"[\s,_]", "", unit.lower()))
    if found is None:
        raise ValueError(f"usage unit {unit!r} is not known: tokens, 1K tokens or million tokens")
    return int(found[1] or 1) * _SCALES.get(found[2], 1)
