"""Slack's incoming webhooks and Web API through slack_sdk's asynchronous clients, and the upload of a picture.

Every failure becomes a DeliveryError, by the tables of `slack_errors`; its text never holds a token or a webhook URL.
Retries are the outbox's: the clients' own are off, as are their logs (they would show the webhook's URL), redirects,
and proxies from the environment. Each call has a connection of its own, which ends with it, also where it is given up.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from alertd.clients.http import Access, trust
from alertd.clients.http_response import TooLarge, Undecodable, may_retry, read_body, retry_after
from alertd.clients.redaction import longest_first, without
from alertd.clients.slack_errors import PERMANENT, WEBHOOK_REMEDIES
from alertd.core.messages.rich_text import clean
from alertd.plugin_options import Connection
from alertd.ports import DeliveryError

Result = TypeVar("Result")

#: Both clients' logger, which says nothing: theirs print addresses, which for a webhook are its secret.
SILENT: Final = logging.getLogger("alertd.slack_sdk")
SILENT.setLevel(logging.CRITICAL + 1)

API_URL: Final = "https://slack.com/api/"
_CONNECT_SECONDS: Final = 10.0
_ANSWER_BYTES: Final = 1024 * 1024


class SlackError(DeliveryError):
    """What Slack's Web API answered with `ok: false`; `code` is its word for it."""

    def __init__(self, message: str, code: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.code = code


class NotSlackError(ValueError):
    """An answer of 200 that Slack would not give."""


class _RefusedError(Exception):
    """An answer of 300 or above: its status, Slack's words for it, text and headers (lower case)."""

    def __init__(self, answer: aiohttp.ClientResponse, text: str) -> None:
        super().__init__(answer.status)
        self.status, self.reason, self.text = answer.status, answer.reason or "", text
        self.headers = {name.lower(): value for name, value in answer.headers.items()}


class _Response(aiohttp.ClientResponse):
    """A response whose body is bounded after decompression, whatever length it announces."""

    async def read(self) -> bytes:
        """The whole body. NotSlackError if it is too large or cannot be decoded."""
        if self._body is None:
            try:
                self._body = await read_body(self.headers, self.content.iter_any(), _ANSWER_BYTES)
            except TooLarge as error:
                raise NotSlackError("its answer is larger than any of Slack's") from error
            except Undecodable as error:
                raise NotSlackError(f"it {error}") from error
            finally:
                self.close()
        return self._body


class _SlackClient:
    """What webhook and Web API share: trust, proxy, time limit, and what an outage is called."""

    def __init__(self, name: str, connection: Connection, *secrets: str) -> None:
        self.name = name
        self._secrets = longest_first((*secrets, *Access(proxy=connection.proxy).secrets()))
        self.timeout = connection.timeout.total_seconds()
        self.proxy = connection.proxy
        self.trust = trust(connection.ca_file)

    async def call(self, work: Callable[[aiohttp.ClientSession], Awaitable[Result]]) -> Result:
        """The result of `work` over connections of its own, within the time limit. DeliveryError for every outage."""
        try:
            async with asyncio.timeout(self.timeout), self._session() as session:
                return await work(session)
        except _RefusedError as error:
            raise self._refusal(error) from error
        except aiohttp.ClientHttpProxyError as error:  # its text is the proxy's address, with the password
            said = self.harmless(f"{error.status} {error.message}")
            raise DeliveryError(f"{self.name}: cannot connect to Slack: the proxy answers {said}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise DeliveryError(f"{self.name}: cannot connect to Slack: {self.harmless(str(error))}") from error
        except TimeoutError as error:
            raise DeliveryError(f"{self.name}: Slack did not answer in {self.timeout:g} s", uncertain=True) from error
        except (aiohttp.ClientError, OSError, ValueError, SlackClientError) as error:
            quotes = isinstance(error, aiohttp.ClientResponseError | SlackClientError)  # their text holds the answer's
            said = "" if quotes else self.harmless(str(error))
            said = said or type(error).__name__
            raise DeliveryError(f"{self.name}: no whole answer from Slack: {said}", uncertain=True) from error

    def harmless(self, text: str) -> str:
        """Foreign text, short, on one line and without this client's secrets."""
        return clean(without(self._secrets, text), 200)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=min(self.timeout, _CONNECT_SECONDS)),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            response_class=_Response,
            trust_env=False,
            middlewares=(self._checked,),
        )

    async def _checked(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A response below 300. Redirects fail, so that no other server gets a message or a token."""
        answer = await handler(request)
        if answer.status >= 300:  # noqa: PLR2004 - success ends there
            text = (await answer.content.read(_ANSWER_BYTES)).decode("utf-8", errors="replace")
            answer.close()
            raise _RefusedError(answer, text)
        return answer

    def _refusal(self, answer: _RefusedError) -> DeliveryError:
        word = answer.text.strip()
        known = word in WEBHOOK_REMEDIES or word in PERMANENT
        said = f"{word}: {WEBHOOK_REMEDIES.get(word) or PERMANENT[word]}" if known else ""
        return DeliveryError(
            f"{self.name}: Slack answered {answer.status} {answer.reason}{': ' + said if said else ''}",
            permanent=not may_retry(answer.status),
            retry_after=retry_after(answer.headers),
        )


class SlackWebhook(_SlackClient):
    """An incoming webhook: takes a message and answers `ok`, nothing else."""

    def __init__(self, name: str, url: str, connection: Connection) -> None:
        super().__init__(name, connection, url, urlsplit(url).path.rpartition("/")[2])
        self._url = url

    async def post(self, body: Mapping[str, object]) -> str:
        """Post a message and give Slack's answer, `ok`. Raises DeliveryError."""
        return await self.call(lambda session: self._post(dict(body), session))

    async def _post(self, body: dict[str, object], session: aiohttp.ClientSession) -> str:
        client = AsyncWebhookClient(self._url, ssl=self.trust, session=session, logger=SILENT, retry_handlers=[])
        client.proxy = self.proxy  # the client takes one from the environment where none is given
        answer = await client.send_dict(body)
        if answer.body.strip() != "ok":
            raise NotSlackError("it answers something else where Slack says ok; is this a Slack webhook?")
        return "ok"


class SlackBot(_SlackClient):
    """The Web API with a bot token, or an app-level one."""

    def __init__(self, name: str, token: str, api_url: str, connection: Connection) -> None:
        super().__init__(name, connection, token)
        self._token, self._connection = token, connection
        self.api_url = api_url

    async def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """What a method answers, with its headers (lower case) under `headers`. SlackError for `ok: false`."""
        try:
            return await self.call(lambda session: self._ask(method, arguments, session))
        except DeliveryError as error:
            if isinstance(error.__cause__, SlackApiError):
                raise self._said_no(method, error.__cause__.response) from error.__cause__
            raise

    async def send(self, url: str, content: bytes) -> None:
        """Post bytes to an address that Slack named. DeliveryError."""

        async def post(session: aiohttp.ClientSession) -> None:
            headers = {"Content-Type": "image/png"}
            async with session.post(url, data=content, headers=headers, ssl=self.trust, proxy=self.proxy) as answer:
                await answer.read()

        await self.call(post)

    async def respond(self, url: str, body: Mapping[str, object]) -> None:
        """Answer one person at the address that came with their command or press. DeliveryError."""
        if not _is_slacks(url, self.api_url):
            raise DeliveryError(f"{self.name}: an address for an answer is not Slack's", permanent=True)
        await SlackWebhook(self.name, url, self._connection).post({**body, "response_type": "ephemeral"})

    def client(self, session: aiohttp.ClientSession | None = None) -> AsyncWebClient:
        """slack_sdk's client with this token, trust and proxy."""
        client = AsyncWebClient(
            self._token, self.api_url, ssl=self.trust, session=session, logger=SILENT, retry_handlers=[]
        )
        client.proxy = self.proxy  # as above
        return client

    async def _ask(
        self, method: str, arguments: dict[str, object], session: aiohttp.ClientSession
    ) -> dict[str, object]:
        given = {name: value for name, value in arguments.items() if value is not None}
        body: dict[str, Any] = {"json": given} if method in _JSON_METHODS else {"data": given}
        answer = await self.client(session).api_call(method, **body)
        data = answer.data if isinstance(answer.data, dict) else {}
        return {**data, "headers": {name.lower(): value for name, value in answer.headers.items()}}

    async def _checked(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        answer = await super()._checked(request, handler)
        if str(request.url).startswith(self.api_url) and not _is_object(await answer.read()):
            raise NotSlackError("it does not answer as Slack does; is api_url Slack's?")
        return answer

    def _said_no(self, method: str, response: Any) -> SlackError:
        data = response.data if isinstance(response.data, dict) else {}
        code = self.harmless(str(data.get("error", "no reason given")))
        needed = self.harmless(str(data.get("needed", "")))
        more = [PERMANENT.get(code, ""), f"it needs {needed}" if needed else ""]
        more += [self.harmless(str(said)) for said in _messages(data)[:2]]
        return SlackError(
            f"{self.name}: Slack refused {method}: {'; '.join(part for part in (code, *more) if part)}",
            code,
            permanent=code in PERMANENT,
            retry_after=retry_after({name.lower(): value for name, value in response.headers.items()}),
        )


#: Methods that write take JSON; those that read take a form.
_JSON_METHODS: Final = frozenset({"chat.postMessage", "chat.update", "chat.postEphemeral", "views.publish"})


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _messages(data: Mapping[str, object]) -> list[object]:
    metadata = data.get("response_metadata")
    found = metadata.get("messages") if isinstance(metadata, dict) else None
    return found if isinstance(found, list) else []


_HOST: Final = ".slack.com"


async def upload(bot: SlackBot, filename: str, title: str, content: bytes) -> str:
    """The id of a file that a message's image block may name. Needs the scope files:write. DeliveryError."""
    ticket = await bot.ask("files.getUploadURLExternal", filename=filename, length=len(content))
    url, file = str(ticket.get("upload_url", "")), str(ticket.get("file_id", ""))
    if not _is_slacks(url, bot.api_url):
        raise DeliveryError(f"{bot.name}: Slack names an address for a picture that is not Slack's", permanent=True)
    await bot.send(url, content)
    await bot.ask("files.completeUploadExternal", files=json.dumps([{"id": file, "title": title}]))
    return file


async def forget(bot: SlackBot, file: str) -> None:
    """Remove a picture that no message shows any more. DeliveryError."""
    await bot.ask("files.delete", file=file)


def _is_slacks(url: str, api_url: str) -> bool:
    """Slack's host over TLS, or the very host and scheme of the configured API."""
    found, api = urlsplit(url), urlsplit(api_url)
    own = (found.scheme, found.hostname, found.port) == (api.scheme, api.hostname, api.port)
    return own or (found.scheme == "https" and (found.hostname or "").endswith(_HOST))
