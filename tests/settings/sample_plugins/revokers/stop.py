"""A revoker that stands for any."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from alertd.plugin_options import RevokerOptions


class Options(RevokerOptions):
    """What a stop can be told."""

    key_id: str = Field("", description="Which key")


def build(name: str, options: Any) -> Any:
    return name, options
