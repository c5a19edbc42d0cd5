"""A notifier without options of its own."""

from __future__ import annotations

from typing import Any

from alertd.plugin_options import NotifierOptions as Options

__all__ = ["Options", "build"]


def build(name: str, options: Any) -> Any:
    return name, options
