"""What refines a meter, without what changes no price: the spellings of sources become one, standard tiers go."""

from __future__ import annotations

import re
from typing import Final

from alertd.core.pricing.modelsize import size_class
from alertd.core.usage import Modifiers

_STANDARD: Final = {
    "tier": frozenset({"", "standard", "default", "auto", "on_demand", "scale"}),
    "speed": frozenset({"", "standard"}),
    "processing": frozenset({"", "realtime", "interactive"}),
    "region": frozenset({"", "global", "not_available"}),
    "cache_ttl": frozenset({"", "5m"}),
    "context": frozenset({""}),
}
#: What a column of batches holds for a batch: a truth, the word, or the batch's id.
_BATCH: Final = re.compile(r"(?:true|1|yes|y|batch[\w-]*)\Z")
_BATCH_METER: Final = {"input": "batch_input", "output": "batch_output"}


def normalised(meter: str, modifiers: Modifiers) -> tuple[str, Modifiers]:
    """A line's meter and modifiers without what changes no price: standard tiers go, batch becomes the batch meter."""
    left: dict[str, str] = {}
    for written, value in modifiers:
        name = "tier" if written == "service_tier" else written
        if name == "batch":
            name, value = "processing", "batch" if _BATCH.match(value.strip().lower()) else ""  # noqa: PLW2901 - one meaning, two spellings
        if name == "tier" and value.lower() == "batch":
            name, value = "processing", "batch"  # noqa: PLW2901 - as above
        if value.lower() not in _STANDARD.get(name, frozenset({""})):
            left[name] = value
    if left.get("processing") == "batch" and (meter in _BATCH_METER or meter in _BATCH_METER.values()):
        del left["processing"]
        meter = _BATCH_METER.get(meter, meter)
    if meter != "cache_write":
        left.pop("cache_ttl", None)
    return meter, tuple(sorted(left.items()))


def of_training(model: str, modifiers: Modifiers) -> Modifiers:
    """A training job's modifiers as the price files write them: lower case, and the size as its class.

    Without a size the model's own name may tell it.
    """
    given = {name: value.strip().lower() for name, value in modifiers}
    band = size_class(given.pop("size", "") or model)
    return tuple(sorted({**given, **({"size": band} if band else {})}.items()))
