"""The size class of a model, by which Together AI prices its training. A name that tells no size is given none.

Source: Together AI, fine-tuning pricing ("Up to 16B, 16.1-69B, 70-100B").
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_BILLION: Final = 1_000_000_000
_SEVENTY: Final = 70 * _BILLION
#: The size classes of the price list by their largest count of parameters; the printed bounds (16.1-69B) leave gaps.
_BANDS: Final = ((16 * _BILLION, "<=16B"), (_SEVENTY - 1, "<=69B"), (100 * _BILLION, "<=100B"))
_ABOVE: Final = ">100B"
_SIZE_IN_NAME: Final = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)b(?![a-z0-9])")


def size_band(parameters: int) -> str:
    """The class of a model by its number of parameters: up to 16B, below 70B, up to 100B, above."""
    return next((name for largest, name in _BANDS if parameters <= largest), _ABOVE)


def size_band_of_name(model: str) -> str:
    """The class that a model's name tells (Meta-Llama-3.1-8B, Mixtral-8x7B); "" where it tells none."""
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
