"""The types of options, and the options that every plug-in has. Nothing here opens a file or a connection."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Self, Union, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from alertd.core.budgets import Actual, duration_text, parse_duration, parse_threshold
from alertd.core.counting.pseudonyms import Pseudonyms
from alertd.core.pricing.source_roles import CHARGE, Role

_SECRET_NAME: Final = re.compile(r"token|password|passwd|secret|webhook_url|key|credential|authorization|headers|dsn")
_JSON: Final = 'a list is written ["a","b"], a map {"a":"b"}'
#: Shorter secrets can be guessed by trying.
_LEAST_SECRET: Final = 16
#: Up to the last @: one that was not quoted is a part of the password, as a / before it may be.
_USER_INFO: Final = re.compile(r"://\S*@")
#: `?token=abc`, `&X-Amz-Signature=abc`: what a name in a query says to be secret.
_QUERY_SECRET: Final = re.compile(
    r"([?&;][\w.%-]*(?:token|key|secret|passw|pwd|sig|auth|credential|code)[\w.%-]*=)(?!\.\.\.)[^&;#\s\"']+",
    re.IGNORECASE,
)


def canonical(name: str) -> str:
    """The one spelling of a name of a source, budget, notifier or action: lower case, `-` for `_`."""
    return name.strip().lower().replace("_", "-")


def _name(value: object) -> object:
    return canonical(value) if isinstance(value, str) else value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8: it has no lone surrogate, which other bytes in the environment become."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(text: str) -> object:
    """The value of a JSON text; its fractions are exact. ValueError that does not repeat the text."""
    try:
        value = json.loads(text, parse_float=Decimal)
        if "\\u" in text and not is_utf8(json.dumps(value, ensure_ascii=False, default=str)):
            raise ValueError(f"JSON with half of a character (a \\ud... alone); write the character itself, {_JSON}")
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg} at character {error.pos + 1}); {_JSON}") from None
    except (RecursionError, InvalidOperation):
        raise ValueError(f"JSON that is nested too deeply or has too large a number; {_JSON}") from None
    return value


def read_list(value: object) -> object:
    """A list from JSON or from comma-separated text; any other value as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return read_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def read_map(value: object) -> object:
    """A map from JSON or from `team=search,env=production`; any other value as it is."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):
        return read_json(value)
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise ValueError("not a map; write it as team=search,env=production or as JSON")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{value!r} is not a time zone; write it as Europe/Berlin or UTC") from None
    return value


#: The name of an IANA time zone.
ZoneName = Annotated[str, AfterValidator(_known_zone)]


def _at_least(shortest: str) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if value < parse_duration(shortest):
            raise ValueError(f"{duration_text(value)} is too short; write {shortest} or longer")
        return value

    return AfterValidator(check)


#: `60s`, `5m`, `1h30m`, `2d`.
Duration = Annotated[timedelta, BeforeValidator(_duration), _at_least("0s")]
#: A duration that something may take.
Limit = Annotated[timedelta, BeforeValidator(_duration), _at_least("1ms")]
#: A duration between two rounds, at least 1 s, so that no loop runs without a pause.
Pace = Annotated[timedelta, BeforeValidator(_duration), _at_least("1s")]
#: A JSON list, or comma-separated.
TextList = Annotated[list[str], BeforeValidator(read_list)]
#: A JSON map, or `team=search,env=production`.
TextMap = Annotated[dict[str, str], BeforeValidator(read_map)]
#: The name of a source, budget, notifier or action, in its one spelling.
Name = Annotated[str, BeforeValidator(_name)]
Secret = SecretStr


def revealed(secret: Secret | None) -> str:
    """The secret as it is sent; "" if none is configured."""
    return "" if secret is None else secret.get_secret_value()


class ValuelessError(ValueError):
    """A fault whose text holds nothing of the value: it is shown for a secret, too."""


_HTTP: Final = re.compile(r"https?:", re.IGNORECASE)
_BLANK: Final = re.compile(r"[\s\x00-\x1f\x7f<>\"]")


def is_web_address(text: str) -> bool:
    """Whether a text is an http or https address of a host, with a port from 1 to 65535 if it has one."""
    try:
        parts = urlsplit(text)
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and not _BLANK.search(text.strip())
        )
    except ValueError:
        return False


def _web(value: Secret) -> Secret:
    if not is_web_address(value.get_secret_value()):
        raise ValuelessError("not a web address; it starts with https:// or http:// and names a host")
    return value


def _proxy(address: str | None) -> str | None:
    """A proxy's address. It may contain a password, so no error repeats it."""
    if not is_web_address(address or "http://none"):
        raise ValueError("not the address of a proxy; write it as http://proxy:3128")
    return address


#: A web address that is itself a secret, such as a webhook: anybody who knows it can post.
SecretAddress = Annotated[Secret, AfterValidator(_web)]
_PREFIX: Final = "whsec_"
_SHORTEST_KEY: Final = 24
_SHORTEST_TEXT: Final = 16


def signing_key(secret: str) -> bytes:
    """The key of a secret: the bytes behind `whsec_` in standard base64, else those of the text. ValueError."""
    if not secret.startswith(_PREFIX):
        if len(secret) < _SHORTEST_TEXT:
            raise ValueError(
                f"shorter than {_SHORTEST_TEXT} characters; make one: echo whsec_$(openssl rand -base64 32)"
            )
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < _SHORTEST_KEY:
        raise ValueError(
            f"not {_SHORTEST_KEY} bytes or more in standard base64; make one: echo whsec_$(openssl rand -base64 32)"
        )
    return key


def _signing(value: Secret) -> Secret:
    signing_key(value.get_secret_value())
    return value


#: A secret that signs webhooks.
SigningSecret = Annotated[Secret, AfterValidator(_signing)]

_READERS: Final[Mapping[Any, Any]] = {
    **dict.fromkeys((list, tuple, set, frozenset, Sequence), read_list),
    **dict.fromkeys((dict, Mapping), read_map),
}


def is_secret(name: str, field: FieldInfo | None = None) -> bool:
    """Whether an option's value must not be shown, by its type or its name (token, password, key, ...)."""
    typed = field is not None and "Secret" in str(field.annotation)
    return typed or _SECRET_NAME.search(name.lower()) is not None


def shown(name: str, value: Any, field: FieldInfo | None = None) -> Any:
    """An option's value for logs: secrets become stars, and URLs lose user and password."""
    if value and is_secret(name, field) and not isinstance(value, bool | int | Path):
        return "**********"
    return without_password(value) if isinstance(value, str) else value


def without_password(text: str) -> str:
    """The text without user and password in its addresses, and without the values of a query that names a secret."""
    return _QUERY_SECRET.sub(r"\1***", _USER_INFO.sub("://***@", text))


class Options(BaseModel):
    """The base of every plug-in's options: unknown keys are faults, and a repr shows no secret.

    Lists and maps may be written as JSON or comma-separated text, whatever a field's own type.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields.get(info.field_name or "")
        if not isinstance(value, str) or field is None or any(isinstance(m, PlainValidator) for m in field.metadata):
            return value
        shapes = {get_origin(part) or part for part in _parts(field.annotation)}
        reader = next((read for shape, read in _READERS.items() if shape in shapes), None)
        if reader is None or str in shapes:
            nested = any(isinstance(shape, type) and issubclass(shape, BaseModel) for shape in shapes)
            return read_json(value) if nested else value
        return reader(value)

    @field_validator("url", "api_url", "webhook_url", "endpoint", check_fields=False)
    @classmethod
    def _can_be_asked(cls, value: object) -> object:
        """An http address has a host and a port that there are. It may be a secret, so no error repeats it."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and _HTTP.match(text) and not is_web_address(text):
            raise ValuelessError("not a web address; write it as https://host:port/path, the port from 1 to 65535")
        return value

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        fields = type(self).model_fields
        for name, value in super().__repr_args__():
            yield name, shown(name or "", value, fields.get(name or ""))


def _parts(annotation: object) -> tuple[object, ...]:
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(part for union in get_args(annotation) for part in _parts(union))
    return (annotation,)


class Connection(Options):
    """How to reach an HTTP server."""

    proxy: Annotated[str | None, AfterValidator(_proxy)] = Field(
        None, description="The proxy for this connection, http://host:port; alertd reads none from the environment"
    )
    ca_file: Path | None = Field(
        None, description="A PEM file of certificate authorities to trust instead of the system's"
    )
    timeout: Limit = Field(timedelta(seconds=30), description="How long one request may take")


class SourceOptions(Connection):
    """The options of every source."""

    interval: Pace | None = Field(
        None,
        description="How often it is read. Default: ALERTD_POLL_INTERVAL, or the interval of its kind",
    )
    delay: Duration | None = Field(None, description="How late its data arrive. Default: the delay of its kind")
    stale_after: Limit | None = Field(
        None, description="How old its newest data may be before its budgets become unknown"
    )
    drop_labels: TextList = Field(default_factory=list, description="Labels that are never stored, such as end_user")
    hash_labels: TextList = Field(
        default_factory=list, description="Labels that are stored as a keyed hash only, such as user"
    )
    hash_secret: Secret | None = Field(
        None, description="The key of these hashes, 16 characters or more; the same for all sources: HASH_SECRET_FILE"
    )
    role: Role = Field(
        "auto",
        description="authoritative or check, where two sources see the same traffic: only the authoritative one counts."
        " auto counts, unless another source is authoritative, or this source has only the bill of usage that "
        "another one counts",
    )
    account: str = Field("", description="The billing account that its usage belongs to, where free tiers are shared")
    labels: TextMap = Field(default_factory=dict, description="Labels added to all its usage, such as team=search")

    @model_validator(mode="after")
    def _can_hash(self) -> Self:
        secret = revealed(self.hash_secret)
        if self.hash_labels and len(secret) < _LEAST_SECRET:
            raise ValueError("hash_labels wants a hash_secret of 16 characters or more; openssl rand -hex 16 makes one")
        if CHARGE in self.hash_labels:
            raise ValueError(f"hash_labels names {CHARGE}, which is alertd's own and names nobody; leave it out")
        return self

    def pseudonyms(self) -> Pseudonyms:
        """What hashes its labels."""
        secret = revealed(self.hash_secret)
        return Pseudonyms(frozenset(self.hash_labels), secret)


class NotifierOptions(Connection):
    """The options of every notifier."""

    fallback: Name | None = Field(
        None, description="The notifier that sends the messages which this one could not deliver"
    )


class RevokerOptions(Connection):
    """The options of every action."""

    mode: Literal["dry_run", "approve", "auto"] = Field(
        "dry_run", description="dry_run says what it would do, approve waits for a person, auto acts"
    )
    token: Secret | None = Field(
        None, description="The action's own credential, never a source's; best from a file: TOKEN_FILE"
    )
    approvers: TextList = Field(
        default_factory=list, description="The people who may approve. Default: anybody with access to alertd"
    )
    protect: TextList = Field(
        default_factory=list,
        description="Keys that are never touched, by name or alias; patterns such as prod-* are allowed",
    )
    max_per_hour: int = Field(1, ge=0, description="The most keys that all actions together may change in an hour")
    label: str = Field("key", description="The usage label whose values name the keys to stop")
    targets: TextMap = Field(
        default_factory=dict,
        description="The provider's id for a label's value, if the name is not enough: ci=apikey_01Rj",
    )
    found_by: Literal["auto", "name", "id"] = Field(
        "auto",
        description="Whether the label contains the provider's names or ids; auto: ids if the label's name says "
        "so (key_id, "
        "hashed_api_key), otherwise names, and ids of keys without a name",
    )
    on: TextList = Field(
        ["actual 100%", "burn_rate"],
        description="The thresholds that it acts on: actual with a level, burn_rate, forecast (a forecast only if "
        "it is listed here)",
    )
    who: Literal["cause", "all"] = Field(
        "cause",
        description="cause: the keys that caused it, largest first, until the spend fits the budget; all: every "
        "key in scope",
    )
    expiry: Duration = Field(timedelta(hours=1), description="How long a proposal waits for an answer")
    not_in_last: Duration = Field(
        timedelta(0), description="It does nothing in this time before the end of the budget's period"
    )
    undo: Literal["auto", "by_hand"] | None = Field(
        None,
        description="auto: undone when the next period starts or the budget is raised; by_hand: only by command. "
        "The default is by_hand for turning a key off, auto for a limit or a warning",
    )

    def looks_up(self) -> str:
        """Whether the usage names a key by its name or by its id at the provider: name or id."""
        if self.found_by != "auto":
            return self.found_by
        return "id" if self.label.lower().endswith(("_id", "_hash", "hashed_api_key")) else "name"

    def lacks_token(self) -> str:
        """The fault if it has no credential of its own; "" if it has one."""
        return "" if self.token else "it has no credential of its own: set TOKEN or TOKEN_FILE"

    @field_validator("on")
    @classmethod
    def _known_basis(cls, value: list[str]) -> list[str]:
        for text in value:
            if text not in {"burn_rate", "forecast"} and not isinstance(parse_threshold(text), Actual):
                raise ValueError(f"{text!r} is not a threshold to act on; write actual 100%, burn_rate or forecast")
        return value
