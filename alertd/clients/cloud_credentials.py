"""Tokens for Azure's and Google's interfaces, and Alibaba Cloud's request signature; no library of theirs is needed.

Azure: a client secret, a workload identity (its federated token file), a managed identity. Google: the metadata server
(the service account of a machine or, by workload identity, of a pod), which may act as another service account; a key
file wants the extra `gcp`. `url` replaces the server of any of them (an emulator). Alibaba: signature V3,
ACS3-HMAC-SHA256; time and nonce are arguments.
Sources: Microsoft identity platform (client credentials), Azure Instance Metadata Service 2018-02-01, Google's metadata
server v1, IAM Credentials API v1 (generateAccessToken); Alibaba Cloud, "V3 request structure and signature", with its
published example.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from hmac import digest
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from alertd.clients.http import Http
from alertd.clients.json_fields import Fields
from alertd.clients.local_files import SECRET_BYTES, read_text
from alertd.plugin_options import Options, Secret, is_utf8, revealed
from alertd.ports import SourceError

#: A token is asked for again this long before it ends.
_RENEWED: Final = timedelta(minutes=5)
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LOGIN: Final = "https://login.microsoftonline.com"
_AZURE_MACHINE: Final = "http://169.254.169.254"
_GOOGLE_MACHINE: Final = "http://metadata.google.internal"
_GOOGLE_CREDENTIALS: Final = "https://iamcredentials.googleapis.com"
_GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class AzureOptions(Options):
    """Whose credentials are used: a client secret, else the pod's workload identity, else the managed identity."""

    tenant_id: str = Field("", description="The tenant (directory) of an app registration; default: AZURE_TENANT_ID")
    client_id: str = Field("", description="The app's or the managed identity's client id; default: AZURE_CLIENT_ID")
    client_secret: Secret | None = Field(None, description="The app's client secret, instead of an identity")


class GoogleOptions(Options):
    """Whose credentials are used: a key file, else the service account of the machine or pod."""

    credentials_file: Path | None = Field(
        None, description="A service account's key file or a workload federation's file, by the extra gcp"
    )
    impersonate: str = Field(
        "",
        description="The address of a service account to act as; the credentials may make tokens for it "
        "(roles/iam.serviceAccountTokenCreator)",
    )


class Tokens:
    """Tokens by what they are for, kept until shortly before they end."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, datetime]] = {}

    async def header(self, scope: str) -> dict[str, str]:
        """The header that a request for a scope is sent with."""
        held = self._held.get(scope)
        if held is None or held[1] - _RENEWED < datetime.now(UTC):
            held = self._held[scope] = await self.ask(scope)
        return {"Authorization": f"Bearer {held[0]}"}

    async def ask(self, scope: str) -> tuple[str, datetime]:
        """A new token and when it ends."""
        raise NotImplementedError


class AzureTokens(Tokens):
    """Tokens of Microsoft Entra."""

    def __init__(self, name: str, http: Http, options: AzureOptions, url: str = "") -> None:
        super().__init__()
        self._name, self._http, self._options, self._url = name, http, options, url

    async def ask(self, scope: str) -> tuple[str, datetime]:
        options = self._options
        tenant = options.tenant_id or self._variable("AZURE_TENANT_ID")
        client = options.client_id or self._variable("AZURE_CLIENT_ID")
        federated = os.environ.get("AZURE_FEDERATED_TOKEN_FILE", "")
        form = {"grant_type": "client_credentials", "client_id": client, "scope": f"{scope}/.default"}
        if options.client_secret is not None:
            form["client_secret"] = revealed(options.client_secret)
        elif tenant and client and federated:
            try:
                given = await asyncio.to_thread(read_text, Path(federated), SECRET_BYTES)
            except ValueError as error:
                raise SourceError(f"{self._name}: AZURE_FEDERATED_TOKEN_FILE: {error}") from None
            form |= {"client_assertion_type": _ASSERTION, "client_assertion": given.strip()}
        else:
            return await self._of_the_machine(scope, client)
        if not tenant or not client:
            raise SourceError(f"{self._name}: a client secret wants TENANT_ID and CLIENT_ID", permanent=True)
        url = f"{self._url or _LOGIN}/{quote(tenant, safe='')}/oauth2/v2.0/token"
        return _token(await self._http.send("POST", url, form=form), self._name)

    def _variable(self, name: str) -> str:
        value = os.environ.get(name, "")
        if not is_utf8(value):
            raise SourceError(f"{self._name}: the variable {name} is no UTF-8 text; set it again", permanent=True)
        return value

    async def _of_the_machine(self, scope: str, client: str) -> tuple[str, datetime]:
        query = {"api-version": "2018-02-01", "resource": scope, **({"client_id": client} if client else {})}
        url = f"{self._url or _AZURE_MACHINE}/metadata/identity/oauth2/token"
        return _token(await self._http.send("GET", url, params=query, headers={"Metadata": "true"}), self._name)


class GoogleTokens(Tokens):
    """Tokens of Google Cloud."""

    def __init__(self, name: str, http: Http, options: GoogleOptions, url: str = "") -> None:
        super().__init__()
        self._name, self._http, self._options, self._url = name, http, options, url

    async def ask(self, scope: str) -> tuple[str, datetime]:
        other = self._options.impersonate
        if not other:
            return await self._own(scope)
        token = (await self._own(_GOOGLE_SCOPE))[0]
        place = f"/v1/projects/-/serviceAccounts/{quote(other, safe='@')}:generateAccessToken"
        answer = await self._http.send(
            "POST", f"{self._url or _GOOGLE_CREDENTIALS}{place}", data={"scope": [scope], "lifetime": "3600s"},
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        said = Fields(answer.json(), self._name)
        if not said.text("accessToken"):
            raise SourceError(f"{answer.place} gives no token")
        return said.text("accessToken"), said.instant("expireTime")

    async def _own(self, scope: str) -> tuple[str, datetime]:
        file = self._options.credentials_file
        if file is not None:
            return await asyncio.to_thread(self._of_file, file, scope)
        url = f"{self._url or _GOOGLE_MACHINE}/computeMetadata/v1/instance/service-accounts/default/token"
        answer = await self._http.send("GET", url, params={"scopes": scope}, headers={"Metadata-Flavor": "Google"})
        return _token(answer, self._name)

    def _of_file(self, file: Path, scope: str) -> tuple[str, datetime]:
        if find_spec("google") is None or find_spec("google.auth") is None:
            raise SourceError(f"{self._name}: CREDENTIALS_FILE wants the extra `gcp`: pip install 'alertd[gcp]'")
        auth, errors = import_module("google.auth"), import_module("google.auth.exceptions")
        try:
            credentials: Any = auth.load_credentials_from_file(str(file), scopes=[scope])[0]
            credentials.refresh(import_module("google.auth.transport.requests").Request())
        except (errors.GoogleAuthError, OSError, ValueError) as error:
            raise SourceError(f"{self._name}: CREDENTIALS_FILE gives no token ({type(error).__name__})") from None
        return credentials.token, credentials.expiry.replace(tzinfo=UTC)


def _token(answer: Any, name: str) -> tuple[str, datetime]:
    said = Fields(answer.json(), name)
    if not said.text("access_token"):
        raise SourceError(f"{answer.place} gives no token")
    return said.text("access_token"), datetime.now(UTC) + timedelta(seconds=said.whole("expires_in"))


async def get_json(http: Http, url: str, query: Mapping[str, object], headers: Mapping[str, str], name: str) -> Fields:
    """The JSON object at an address."""
    return Fields((await http.send("GET", url, params=query or None, headers=headers)).json(), name)


_ALGORITHM: Final = "ACS3-HMAC-SHA256"
_SIGNED: Final = ("content-type", "host")
_UNRESERVED: Final = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; `security_token` comes with a temporary one (STS)."""

    key_id: str
    secret: str = field(repr=False)
    security_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to Alibaba: host, action, version, query, time and nonce."""

    method: str
    host: str
    path: str
    action: str
    version: str
    at: datetime
    nonce: str
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def signed_headers(call: Call, credentials: Credentials) -> dict[str, str]:
    """All headers that the call has to be sent with, `Authorization` among them; names are lower case but for it."""
    headers = {name.lower(): value.strip() for name, value in call.headers.items()}
    headers |= {
        "host": call.host,
        "x-acs-action": call.action,
        "x-acs-content-sha256": sha256(call.body).hexdigest(),
        "x-acs-date": call.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": call.nonce,
        "x-acs-version": call.version,
    }
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
    names = ";".join(_signed_names(headers))
    to_sign = f"{_ALGORITHM}\n{sha256(canonical_request(call, headers).encode()).hexdigest()}"
    signature = digest(credentials.secret.encode(), to_sign.encode(), "sha256").hex()
    proof = f"{_ALGORITHM} Credential={credentials.key_id},SignedHeaders={names},Signature={signature}"
    return {**headers, "Authorization": proof}


def canonical_request(call: Call, headers: Mapping[str, str]) -> str:
    """The canonical text of a request, which client and server both compute and which is signed."""
    names = _signed_names(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    return "\n".join(
        (call.method, call.path or "/", canonical_query(call.query), lines, ";".join(names),
         headers["x-acs-content-sha256"])
    )  # fmt: skip


def canonical_query(query: Sequence[tuple[str, str]]) -> str:
    """The query as it is signed and has to be sent: sorted by name, everything but A-Z a-z 0-9 - _ . ~ in %XX."""
    return "&".join(
        f"{quote(name, safe=_UNRESERVED)}={quote(value, safe=_UNRESERVED)}" for name, value in sorted(query)
    )


def _signed_names(headers: Mapping[str, str]) -> list[str]:
    return sorted(name for name in headers if name in _SIGNED or name.startswith("x-acs-"))
