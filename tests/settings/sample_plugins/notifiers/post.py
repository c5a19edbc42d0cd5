"""A notifier that stands for any: a secret address, a list, a number."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from alertd.plugin_options import NotifierOptions, Secret


class Options(NotifierOptions):
    """What a post can be told."""

    webhook_url: Secret | None = Field(None, description="Where to post, https://...")
    bot_token: Secret | None = Field(None, description="Or a bot's token")
    channel: str = Field("", description="Where it is read, #llm-{team}")
    to: list[str] = Field(default_factory=list, description="Addresses")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers of every post")
    port: int = Field(25, ge=1, le=65535, description="A port, 1 to 65535")

    @model_validator(mode="after")
    def _one_way(self) -> Options:
        if self.webhook_url and self.bot_token:
            raise ValueError(f"{self.webhook_url.get_secret_value()} beside BOT_TOKEN; keep one")  # careless again
        return self


def build(name: str, options: Any) -> Any:
    return name, options
