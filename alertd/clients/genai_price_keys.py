"""The keys under which genai-prices lists a meter with its modifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alertd.core.pricing.modifiers import Size, context_size
from alertd.core.usage import Modifiers

#: A meter's keys in the order of preference: tokens without a price of their own cost what their class costs.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input_mtok",),
    "cached_input": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "batch_input": ("input_mtok",),
    "batch_output": ("output_mtok",),
    "requests": ("requests_kcount",),
    "minutes": ("input_audio_hours", "audio_hours"),
    "web_searches": ("web_searches_kcount",),
    "pages": ("input_document_kpages",),
    "characters": ("input_mchars",),
}
#: The same for tokens that are no text; where a model has no such price, the book asks for text.
_MODAL_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": ("input_{}_mtok",),
    "batch_input": ("input_{}_mtok",),
    "cached_input": ("cache_{}_read_mtok", "input_{}_mtok"),
    "output": ("output_{}_mtok",),
    "batch_output": ("output_{}_mtok",),
}
#: Said where a class of tokens is billed as another.
_AS_INPUT: Final = "no price of its own: billed as input"
OTHERWISE: Final = {"cached_input": _AS_INPUT, "cache_write": _AS_INPUT}
_MODALITIES: Final = frozenset({"audio", "image", "video"})
_ONE_HOUR_WRITE: Final = ("cache_write_1h_mtok",)
#: Modifiers that select a variant, under the name the library gives them.
_VARIANTS: Final = {"tier": "service_tier", "processing": "processing", "speed": "speed", "search_type": "search_type"}


@dataclass(frozen=True, slots=True)
class KeyQuery:
    """One question to the list: the keys that may price the meter, the variant, and how large each request was."""

    meter: str
    keys: tuple[str, ...]
    variant: Mapping[str, str]
    size: Size | None


def asked_of(meter: str, modifiers: Modifiers) -> KeyQuery | None:
    """The question for a meter with its modifiers; None where the list has no key for them."""
    given = dict(modifiers)
    keys = _KEYS.get(meter)
    if meter == "cache_write" and given.get("cache_ttl") == "1h":
        keys = _ONE_HOUR_WRITE
        del given["cache_ttl"]
    size = context_size(given.pop("context", ""))
    modality = given.pop("modality", "text").lower()
    if modality in _MODALITIES and meter in _MODAL_KEYS:
        keys = tuple(key.format(modality) for key in _MODAL_KEYS[meter])
    elif modality not in {"", "text"}:
        return None
    variant = {_VARIANTS.get(name, ""): value for name, value in given.items()}
    if keys is None or "" in variant:
        return None
    if meter.startswith("batch_"):
        variant["processing"] = "batch"
    return KeyQuery(meter, keys, variant, size)
