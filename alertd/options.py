"""The types that options are written in, and what every plug-in can be told. Nothing here opens anything."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from alertd.core.budgets import parse_duration


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _list(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


#: `60s`, `5m`, `1h30m`, `2d`.
Duration = Annotated[timedelta, BeforeValidator(_duration)]
#: A JSON list, or comma-separated.
TextList = Annotated[list[str], BeforeValidator(_list)]
Secret = SecretStr


class Options(BaseModel):
    """What every plug-in's options hold to: unknown keys are faults, secrets do not show in a repr."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Connection(Options):
    """How to reach an HTTP server."""

    proxy: str | None = Field(
        None, description="Proxy for this connection, http://host:port; none is taken from the environment"
    )
    ca_file: Path | None = Field(
        None, description="A PEM file of certificate authorities to trust instead of the system's"
    )
    timeout: Duration = Field(timedelta(seconds=30), description="How long one request may take")


class SourceOptions(Connection):
    """What every source can be told."""

    interval: Duration | None = Field(
        None, description="How often it is read; ALERTD_POLL_INTERVAL or the source's own pace where absent"
    )
    delay: Duration | None = Field(None, description="How late its data arrive; the source's own figure where absent")
    stale_after: Duration | None = Field(
        None, description="How old the newest data may be before its budgets are unknown"
    )
    drop_labels: TextList = Field(default_factory=list, description="Labels that are never stored, such as end_user")
    account: str = Field("", description="The billing account that its usage belongs to, where free tiers are shared")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels added to all its usage, such as team=search"
    )


class NotifierOptions(Connection):
    """What every notifier can be told."""

    fallback: str | None = Field(None, description="The notifier that gets what this one could not deliver")
