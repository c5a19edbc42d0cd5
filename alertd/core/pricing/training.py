"""What a fine-tuning job processes and costs at Together AI: an estimate, the final figure, or its completed steps.

Nothing here knows a rate; a job becomes one line of `training` tokens whose modifiers the price book knows.
Source: Together AI, fine-tuning pricing and its FAQ, 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from alertd.core.pricing.modelsize import size_band, size_band_of_name
from alertd.core.usage import Line

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


def tokens_of_steps(
    *, context_length: int, batch_size: int, steps: int, evaluations: int = 0, validation_tokens: int = 0
) -> int:
    """The tokens that a job which was cancelled is billed for: its completed steps, and the evaluations it ran.

    `steps` are all steps done, over all epochs: they are not multiplied by epochs once more.
    """
    return context_length * batch_size * steps + evaluations * validation_tokens


def tokens_unpacked(*, examples: int, longest_sequence: int) -> int:
    """The tokens of a dataset without packing: every example counts as the longest allowed sequence."""
    return examples * longest_sequence
