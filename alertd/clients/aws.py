"""AWS: credentials by its own chain, requests signed by botocore (extra `aws`) and sent by our HTTP client.

botocore knows each operation's form; it is imported with the first call, and reads credentials off the event loop.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import Field

from alertd.clients.http import Access, Http
from alertd.clients.http_response import ERROR_CODES, NOT_SHOWN, Answer, HttpProblem, shown_code
from alertd.clients.json_fields import Fields
from alertd.plugin_options import Connection, Options, Secret, revealed
from alertd.ports import SourceError

#: Forms of requests that are used, the plainest first.
_PROTOCOLS: Final = ("json", "rest-json", "query")
#: Answers of 400 that a later try may not get.
_PASSING: Final = re.compile(r"(?i)throttl|TooManyRequests|RequestLimitExceeded|LimitExceededException|SlowDown")
_XML_ERROR: Final = re.compile(rb"<Code>(?P<code>[^<]*)</Code>\s*<Message>(?P<said>[^<]*)</Message>")
#: Temporary credentials are renewed this long before they end.
_RENEWED: Final = timedelta(minutes=5)
_SESSION: Final = "alertd"
NO_EXTRA: Final = "AWS wants the extra `aws`: pip install 'alertd[aws]'"


class AwsOptions(Options):
    """Whose credentials are used: by default those of AWS's own chain (environment, profile, role of the machine)."""

    access_key_id: str = Field("", description="An access key of its own, instead of AWS's chain of credentials")
    profile: str = Field("", description="A profile of ~/.aws/config, instead of the chain's own choice")
    assume_role: str = Field("", description="The ARN of a role that is assumed with these credentials")
    external_id: str = Field("", description="The external id that the role's trust policy asks for")


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """An access key as requests are signed with it."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Aws:
    """Calls to AWS under one identity. `url` is another endpoint for all services (an emulator, a VPC endpoint)."""

    def __init__(
        self, name: str, connection: Connection, options: AwsOptions, secret: Secret | None, url: str = ""
    ) -> None:
        self.name = name
        self._options, self._secret, self._url = options, revealed(secret), url.rstrip("/")
        hidden = (self._secret,) if self._secret else ()
        self._http = Http(
            Access(
                proxy=connection.proxy,
                ca_file=connection.ca_file,
                timeout=connection.timeout,
                hidden=hidden,
                error_fields=ERROR_CODES,
            )
        )
        self._session: Any = None
        self._chain: Any = None
        self._assumed: tuple[AwsKeys, datetime] | None = None

    async def call(self, service: str, operation: str, region: str, **params: object) -> Fields:
        """What an operation answers (botocore's names of services, operations and parameters).

        SourceError for all else; HttpProblem, with `status`, where AWS answered.
        """
        await self._open()
        keys = await self.keys()
        return await self._signed(service, operation, region, params, keys)

    async def keys(self) -> AwsKeys:
        """The credentials in force now: of the options or the chain, and those of the role that they assume."""
        await self._open()
        own = await self._own()
        if not self._options.assume_role:
            return own
        if self._assumed is None or self._assumed[1] - _RENEWED < datetime.now(UTC):
            wanted = {"RoleArn": self._options.assume_role, "RoleSessionName": _SESSION}
            if self._options.external_id:
                wanted["ExternalId"] = self._options.external_id
            answer = await self._signed("sts", "AssumeRole", self.region(), wanted, own)
            given = answer.child("Credentials")
            keys = AwsKeys(given.text("AccessKeyId"), given.text("SecretAccessKey"), given.text("SessionToken"))
            self._assumed = keys, given.instant("Expiration")
        return self._assumed[0]

    def region(self) -> str:
        """The region that AWS's own configuration names; us-east-1 without one. After the first call only."""
        return (self._session and self._session.get_config_variable("region")) or "us-east-1"

    async def regions_of(self, service: str) -> list[str]:
        """The regions that a service has, by botocore's own list."""
        await self._open()
        return sorted(await asyncio.to_thread(self._session.get_available_regions, service))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _open(self) -> None:
        if self._session is None:
            self._session = await asyncio.to_thread(self._opened)

    def _opened(self) -> object:
        if find_spec("botocore") is None:
            raise SourceError(f"{self.name}: {NO_EXTRA}", permanent=True)
        for module in ("auth", "awsrequest", "parsers", "serialize"):
            import_module(f"botocore.{module}")
        session = import_module("botocore.session").Session(profile=self._options.profile or None)
        if not (self._options.access_key_id and self._secret):
            self._chain = self._found(session)
        return session

    def _found(self, session: Any) -> Any:
        errors = import_module("botocore.exceptions")
        try:
            return session.get_credentials()
        except (errors.BotoCoreError, errors.ClientError) as error:
            raise SourceError(f"{self.name}: AWS credentials cannot be read ({type(error).__name__})") from None

    async def _own(self) -> AwsKeys:
        if self._options.access_key_id and self._secret:
            return AwsKeys(self._options.access_key_id, self._secret)
        if self._chain is None:
            self._chain = await asyncio.to_thread(self._found, self._session)
        if self._chain is None:
            raise SourceError(
                f"{self.name}: no AWS credentials were found: give the machine or pod a role, name a PROFILE, or set"
                " ACCESS_KEY_ID and its secret"
            )
        frozen = await asyncio.to_thread(self._chain.get_frozen_credentials)
        return AwsKeys(frozen.access_key, frozen.secret_key, frozen.token)

    async def _signed(
        self, service: str, operation: str, region: str, params: Mapping[str, Any], keys: AwsKeys
    ) -> Fields:
        model = await asyncio.to_thread(self._session.get_service_model, service)
        known = model.metadata.get("protocols") or [model.metadata["protocol"]]
        protocol = next(one for one in _PROTOCOLS if one in known)
        form = model.operation_model(operation)
        made = _serialized(self.name, protocol, form, params)
        host, scope = endpoint(service, model.endpoint_prefix, region)
        query = urlencode(made["query_string"], doseq=True) if made["query_string"] else ""
        url = (self._url or f"https://{host}") + made["url_path"] + (f"?{query}" if query else "")
        body = made["body"] if isinstance(made["body"], bytes) else urlencode(made["body"]).encode()
        request = import_module("botocore.awsrequest").AWSRequest(made["method"], url, dict(made["headers"]), body)
        import_module("botocore.auth").SigV4Auth(keys, model.signing_name, scope).add_auth(request)
        try:
            answer = await self._http.send(
                made["method"], url, headers=dict(request.headers.items()), content=body or None
            )
        except HttpProblem as problem:
            raise _worded(problem) from None
        return Fields(_parsed(answer, form) if protocol == "query" else answer.json(), self.name)


def _serialized(name: str, protocol: str, form: Any, params: Mapping[str, Any]) -> Any:
    """The request of an operation. SourceError for parameters that AWS would refuse."""
    try:
        return import_module("botocore.serialize").create_serializer(protocol).serialize_to_request(dict(params), form)
    except import_module("botocore.exceptions").ParamValidationError as error:
        said = " ".join(str(error).split())
        raise SourceError(f"{name}: AWS would refuse {form.name}: {said}", permanent=True) from None


def endpoint(service: str, prefix: str, region: str) -> tuple[str, str]:
    """The host of a service in a region, and the region that its signature names: IAM's and the bill's are one each."""
    china, gov = region.startswith("cn-"), region.startswith("us-gov-")
    suffix = "amazonaws.com.cn" if china else "amazonaws.com"
    if service == "iam":
        return {
            "cn": ("iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            "us-gov": ("iam.us-gov.amazonaws.com", "us-gov-west-1"),
        }.get("cn" if china else "us-gov" if gov else "", ("iam.amazonaws.com", "us-east-1"))
    if service == "ce":
        return (f"ce.cn-northwest-1.{suffix}", "cn-northwest-1") if china else (f"ce.us-east-1.{suffix}", "us-east-1")
    return f"{prefix}.{region}.{suffix}", region


def _parsed(answer: Answer, form: Any) -> Any:
    """An answer in XML as plain JSON values."""
    parsers = import_module("botocore.parsers")
    given = {"status_code": answer.status, "headers": dict(answer.headers), "body": answer.body}
    try:
        return _plain(parsers.create_parser("query").parse(given, form.output_shape))
    except parsers.ResponseParserError:
        raise answer.unreadable("is no XML of AWS") from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _worded(problem: HttpProblem) -> HttpProblem:
    """The same with the code of an XML error; what AWS calls throttling, under 400 too, may be tried again."""
    found = _XML_ERROR.search(problem.text.encode())
    said = str(problem)
    if found:
        said = said.replace(NOT_SHOWN, f": {shown_code(found['code'].decode())}")
    passing = _PASSING.search(problem.text) is not None
    return HttpProblem(
        said,
        status=problem.status,
        permanent=problem.permanent and not passing,
        uncertain=problem.uncertain,
        retry_after=problem.retry_after,
        text=problem.text,
    )
