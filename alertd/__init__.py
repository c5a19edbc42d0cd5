"""alertd: budget alerts for LLM usage, in money, with how sure they are."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
