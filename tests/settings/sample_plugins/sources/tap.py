"""A source that stands for any: an address, a credential, a choice."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from alertd.plugin_options import Secret, SourceOptions


class Options(SourceOptions):
    """What a tap can be told."""

    url: str = Field(description="The tap's address, http://host:port", examples=["http://tap:9090"])
    preset: Literal["litellm", "vllm"] = Field("litellm", description="What its counters are called")
    token: Secret | None = Field(None, description="Its Bearer token")
    matchers: str = Field("", description='Which series, {job="gateway"}')

    @field_validator("token")
    @classmethod
    def _sound(cls, value: Secret | None) -> Secret | None:
        if value is not None and " " in value.get_secret_value():
            raise ValueError(f"{value.get_secret_value()!r} has a blank")  # a careless plug-in
        return value


def build(name: str, options: Any) -> Any:
    return name, options
