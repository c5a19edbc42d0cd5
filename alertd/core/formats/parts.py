"""Whether cached or reasoning tokens are included in their totals: decided for a whole file, not row by row.

the layout, what was said (--cached), the columns' names, all rows together, the provider's own convention, else asked
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final, Literal, NamedTuple

from alertd.core.formats.table import FormatError
from alertd.core.usage import Modifiers

Cached = Literal["auto", "included", "disjoint"]
#: A meter as a file counts it: its name and what refines it.
Slot = tuple[str, Modifiers]
#: What a part is: cached tokens, audio and other modalities of the input and the output, reasoning.
Kind = Literal["cache", "input_modality", "output_modality", "reasoning"]

INPUT: Final[Slot] = ("input", ())
OUTPUT: Final[Slot] = ("output", ())
WRITE: Final[Slot] = ("cache_write", ())
#: Providers whose own interfaces count cached tokens within the input; Anthropic's do not.
_WITHIN: Final = frozenset(
    [
        "openai",
        "azure",
        "google",
        "mistral",
        "deepseek",
        "x-ai",
        "groq",
        "alibaba",
        "moonshotai",
        "zai",
        "together",
        "fireworks",
        "openrouter",
        "perplexity",
        "cohere",
        "cerebras",
        "scaleway",
        "novita",
        "databricks",
    ]
)


class Token(NamedTuple):
    """A column of tokens: where it is in the row's counts, and what it counts."""

    at: int
    name: str
    slot: Slot
    exclusive: bool


def kind_of(slot: Slot) -> Kind | None:
    """The total that a meter may be a part of."""
    meter, modifiers = slot
    if meter in {"cached_input", "cache_write"}:
        return "cache"
    if meter == "reasoning":
        return "reasoning"
    if any(name == "modality" for name, _ in modifiers):
        return "output_modality" if meter == "output" else "input_modality"
    return None


@dataclass(slots=True)
class Seen:
    """Evidence of one group's or provider's rows: sums, and the first line where a part exceeds its total."""

    exceeds: dict[Kind, int] = field(default_factory=dict)
    within: dict[Kind, int] = field(default_factory=dict)
    beside: dict[Kind, int] = field(default_factory=dict)
    unaccounted: int = 0

    def add(self, other: Seen) -> None:
        """Add what another group proves."""
        for mine, others in ((self.exceeds, other.exceeds), (self.within, other.within), (self.beside, other.beside)):
            for kind, line in others.items():
                mine.setdefault(kind, line)
        self.unaccounted += other.unaccounted


class Parts:
    """The token columns of one file, and whether parts (cached tokens) are included in the totals."""

    def __init__(self, columns: Sequence[Token], total: int | None, includes: frozenset[str] | None) -> None:
        self.columns = columns
        self.includes = includes
        self._total = total
        self.kinds: dict[Kind, list[int]] = {}
        for column in columns:
            kind = kind_of(column.slot)
            if kind and not (column.slot == WRITE and self._has_ttls()):
                self.kinds.setdefault(kind, []).append(column.at)
        self._input = [one.at for one in columns if one.slot == INPUT and not one.exclusive]
        self._apart = [one.at for one in columns if one.slot == INPUT and one.exclusive]
        self._output = [one.at for one in columns if one.slot == OUTPUT]
        self.names = frozenset(one.name for one in columns)
        #: Whether rows have to be compared one by one.
        self.open = includes is None and bool(self.kinds)

    def _has_ttls(self) -> bool:
        return any(one.slot[0] == "cache_write" and one.slot[1] for one in self.columns)

    def observe(self, counts: Sequence[int], seen: Seen, line: int) -> None:
        """Add what one row proves."""
        inputs = sum(counts[at] for at in self._input)
        outputs = sum(counts[at] for at in self._output)
        amounts: dict[Kind, int] = {}
        for kind, places in self.kinds.items():
            amount = sum(counts[at] for at in places)
            if amount > 0:
                amounts[kind] = amount
                if amount > (inputs if kind in {"cache", "input_modality"} else outputs):
                    seen.exceeds.setdefault(kind, line)
        if self._total is not None and counts[self._total] > 0:
            self._compare(
                counts[self._total], inputs + outputs + sum(counts[at] for at in self._apart), amounts, seen, line
            )

    def _compare(self, total: int, base: int, amounts: Mapping[Kind, int], seen: Seen, line: int) -> None:
        """Which parts a row's total includes: the one combination that adds up to it."""
        kinds = list(amounts)
        fitting = [
            set(chosen)
            for size in range(len(kinds) + 1)
            for chosen in combinations(kinds, size)
            if base + sum(amounts[kind] for kind in chosen) == total
        ]
        if len(fitting) == 1:
            for kind in kinds:
                (seen.beside if kind in fitting[0] else seen.within).setdefault(kind, line)
        elif not fitting:
            seen.unaccounted += max(0, total - base - sum(amounts.values()))

    def disjoint_by_name(self) -> bool:
        """Whether the input holds no cached token by its column's name."""
        return bool(self._apart) and not self._input

    def is_anthropics(self) -> bool:
        """Whether the columns are Anthropic's triple: input_tokens beside cache_creation_... and cache_read_..."""
        written = any("cache_creation" in name or "cache_write" in name for name in self.names)
        read = any("cache_read" in name for name in self.names)
        return written and read and not any("prompt" in name for name in self.names)

    def slots(self, counts: Sequence[int], beside: frozenset[Kind]) -> dict[Slot, int]:
        """The disjoint meters of a group's summed counts, with these kinds of parts beside their totals."""
        found: dict[Slot, int] = {}
        for column in self.columns:
            found[column.slot] = found.get(column.slot, 0) + counts[column.at]
        written = sum(n for slot, n in found.items() if slot[0] == "cache_write" and slot[1])
        if written and found.get(WRITE, 0):
            if found[WRITE] < written:
                raise ValueError("the cache writes of 5 minutes and of 1 hour are more than all cache writes")
            found[WRITE] -= written
        for total, text in ((INPUT, ("input_text", ())), (OUTPUT, ("output_text", ()))):
            amount = found.pop(text, 0)
            if total not in found and amount:
                found[total] = amount
        found.pop(("predicted", ()), None)
        for slot in [slot for slot in found if kind_of(slot) is not None]:
            kind = kind_of(slot)
            if kind not in beside:
                whole = OUTPUT if kind in {"reasoning", "output_modality"} else INPUT
                if kind == "reasoning":
                    found.pop(slot)
                elif whole in found:
                    found[whole] -= found[slot]
        reasoning = found.pop(("reasoning", ()), 0)
        if reasoning:
            found[OUTPUT] = found.get(OUTPUT, 0) + reasoning
        tools = found.pop(("tool_input", ()), 0)
        if tools:
            found[INPUT] = found.get(INPUT, 0) + tools
        if any(n < 0 for n in (found.get(INPUT, 0), found.get(OUTPUT, 0))) and min(counts, default=0) >= 0:
            raise ValueError("tokens of a part are more than the total that includes them; say --cached disjoint")
        return found


def decide(
    parts: Parts, provider: str, seen: Seen, cached: Cached, used: Iterable[Kind]
) -> tuple[frozenset[Kind], tuple[str, ...]]:
    """Which parts are not included in their totals in this provider's rows, and remarks about it.

    FormatError where the rows contradict each other, or nothing shows which.
    """
    beside: set[Kind] = set()
    notes: list[str] = []
    who = provider or "rows without a provider"
    for kind in used:
        if kind == "cache" and cached != "auto" and parts.includes is None:
            if cached == "disjoint":
                beside.add(kind)
                notes.append(f"{who}: cached tokens are taken as beside the input, as was said")
            continue
        if parts.includes is not None:
            if kind not in parts.includes:
                beside.add(kind)
            continue
        answer, note = _of(parts, kind, provider, seen)
        if answer:
            beside.add(kind)
        if note:
            notes.append(f"{who}: {note}")
    return frozenset(beside), tuple(notes)


def _of(parts: Parts, kind: Kind, provider: str, seen: Seen) -> tuple[bool, str]:  # noqa: PLR0911 - one line a rule
    """Whether parts of a kind are beside their total, and why, where that is worth saying."""
    what = {"cache": "cached", "reasoning": "reasoning"}.get(kind, "audio and image")
    whole = "output" if kind in {"reasoning", "output_modality"} else "input"
    if kind == "cache" and parts.disjoint_by_name():
        return True, ""
    proofs_beside = seen.exceeds.get(kind) or seen.beside.get(kind)
    if proofs_beside and (within := seen.within.get(kind)):
        raise FormatError(
            f"{what} tokens are beside the {whole} in line {proofs_beside} and within it in line {within};"
            " say which one it is (--cached disjoint or --cached included)"
        )
    if kind == "reasoning" and any(one.exclusive for one in parts.columns if one.slot[0] == "reasoning"):
        return True, ""
    if proofs_beside:
        return True, f"{what} tokens are taken as beside the {whole}: line {proofs_beside} has more of them"
    if seen.within.get(kind):
        return False, ""
    if kind == "cache":
        return _convention(parts, provider)
    if kind == "reasoning" and any("candidates" in name for name in parts.names):
        return True, "reasoning tokens are taken as beside the candidates, as Gemini counts"
    return False, "" if kind == "reasoning" else f"{what} tokens are taken as within the {whole}, as OpenAI counts"


def _convention(parts: Parts, provider: str) -> tuple[bool, str]:
    if any("prompt" in name for name in parts.names):
        return False, ""
    if provider == "anthropic" or (parts.is_anthropics() and provider in {"aws", "google", ""}):
        return True, "cached tokens are taken as beside the input, as Anthropic counts (--cached says otherwise)"
    if provider in _WITHIN:
        return False, f"cached tokens are taken as within the input, as {provider} counts (--cached says otherwise)"
    raise FormatError(
        f"nothing shows whether the input tokens of {provider or 'rows without a provider'} hold the cached ones;"
        " say it: --cached included or --cached disjoint"
    )


def kinds_used(parts: Parts, groups: Iterable[Sequence[int]]) -> tuple[Kind, ...]:
    """The kinds of parts that have tokens in any group."""
    places = {one.at: kind for one in parts.columns if (kind := kind_of(one.slot)) is not None}
    used = {at for counts in groups for at in places if counts[at]}
    return tuple(dict.fromkeys(places[at] for at in sorted(used)))
