"""Modifiers of a meter in one spelling, size bands of models and contexts, and the billed tokens of a fine-tuning job.

Nothing here knows a price: a job becomes one line of `training` tokens with the modifiers that the price book knows.
Sources: Together AI, fine-tuning pricing ("Up to 16B, 16.1-69B, 70-100B") and its FAQ, 2025.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from alertd.core.usage import Line, Modifiers

_BILLION: Final = 1_000_000_000
_SEVENTY: Final = 70 * _BILLION
#: The size classes of the price list by their largest count of parameters; the printed bounds (16.1-69B) leave gaps.
_BANDS: Final = ((16 * _BILLION, "<=16B"), (_SEVENTY - 1, "<=69B"), (100 * _BILLION, "<=100B"))
_LARGEST_CLASS: Final = ">100B"
_SIZE_IN_NAME: Final = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")


def size_band(parameters: int) -> str:
    """The class of a model by its number of parameters: up to 16B, below 70B, up to 100B, above."""
    return next((name for largest, name in _BANDS if parameters <= largest), _LARGEST_CLASS)


def size_band_of_name(model: str) -> str:
    """The size class in a model's name (Meta-Llama-3.1-8B, Mixtral-8x7B); "" without one."""
    found = _SIZE_IN_NAME.findall(model.lower())
    if not found:
        return ""
    experts, size = max(found, key=lambda pair: Decimal(pair[1]) * int(pair[0] or 1))
    return size_band(int(Decimal(size) * int(experts or 1) * _BILLION))


def size_class(written: str) -> str:
    """The class of a size as people write it: a class (<=16B), a count of parameters, or a name (8B, Llama-3-8B)."""
    if written.startswith(("<", ">")):
        return written.upper()
    return size_band(int(written)) if written.isdecimal() else size_band_of_name(written)


_SUFFIXES: Final = {"": 1, "k": 1_000, "m": 1_000_000}
_NUMBER: Final = re.compile(r"(\d[\d,_]*(?:\.\d+)?)\s*([km]?)(?![a-z0-9])")
_ABOVE: Final = re.compile(r">|\u2265|\u2267|\+|\b(?:above|over|more than|greater|beyond|larger|exceed\w*)\b")
_BELOW: Final = re.compile(r"<|\u2264|\u2266|\b(?:below|under|up to|less|at most|within|smaller)\b")
_NOT: Final = re.compile(r"\b(?:no|not)\b")
_LONG: Final = re.compile(r"\blong\b|\blarge\b|\bextended\b")
_SHORT: Final = re.compile(r"\bshort\b|\bsmall\b|\bstandard\b|\bdefault\b|\bbase\b")


class Size(NamedTuple):
    """The least and the most tokens of each request; `long` and `short` where a console says only that."""

    least: int = 1
    most: int | None = None
    long: bool = False
    short: bool = False


def context_size(text: str) -> Size | None:
    """The bounds that a text states (`> 200k`, `0-200k`, `<=128K`, `128K<Token<=256K`, `long`), or None."""
    plain = text.lower().replace("_", " ").strip()
    if not plain.isascii():
        plain = "".join(one if one.isascii() or one in "\u2264\u2265\u2266\u2267\u2013" else " " for one in plain)
    numbers = [int(Decimal(digits.replace(",", "").replace("_", "")) * _SUFFIXES[suffix])
               for digits, suffix in _NUMBER.findall(plain)]  # fmt: skip
    if len(numbers) > 1:
        low, high = numbers[0], numbers[1]
        return Size(low + 1 if low else 1, high) if low < high else None
    if not numbers:
        if _LONG.search(plain):
            return Size(long=True)
        return Size(short=True) if _SHORT.search(plain) else None
    above, below = _ABOVE.search(plain), _BELOW.search(plain)
    if _NOT.search(plain):
        above, below = below, above
    if below:
        return Size(1, numbers[0])
    if above:
        return Size(numbers[0] + 1)
    return Size(numbers[0], numbers[0])


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

    Without a size, the model's name may contain it.
    """
    given = {name: value.strip().lower() for name, value in modifiers}
    band = size_class(given.pop("size", "") or model)
    return tuple(sorted({**given, **({"size": band} if band else {})}.items()))


Method = Literal["sft", "dpo"]
Type = Literal["lora", "full"]


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What a job's price depends on besides its tokens; `parameters` is 0 where only the name shows the size."""

    model: str
    method: Method = "sft"
    type: Type = "lora"
    parameters: int = 0

    @property
    def line(self) -> Line:
        """The line that the job's tokens are billed as; without a known size it has none, and so no price."""
        size = size_band(self.parameters) if self.parameters else size_band_of_name(self.model)
        modifiers = [("method", self.method), ("type", self.type), *([("size", size)] if size else [])]
        return Line("together", self.model, "training", tuple(sorted(modifiers)))


def tokens_processed(*, epochs: int, training_tokens: int, evaluations: int = 0, validation_tokens: int = 0) -> int:
    """The tokens that a whole job is billed for, before (estimated tokens) or after tokenization (counted tokens)."""
    return epochs * training_tokens + evaluations * validation_tokens


def tokens_unpacked(*, examples: int, longest_sequence: int) -> int:
    """The tokens of a dataset without packing: every example counts as the longest allowed sequence."""
    return examples * longest_sequence
