"""Slack's two doors, incoming webhooks and the Web API, through slack_sdk's synchronous clients in a few threads.

All that can go wrong becomes a DeliveryError here, by the tables below; no token and no webhook URL is ever in its
text. Retries are the outbox's: the clients' own are off, as are their logs (which would show the webhook's URL),
redirects, and proxies from the environment. A call that is given up has its socket shut, so that no thread outlives it.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from alertd.core.messages.spans import clean
from alertd.options import Connection
from alertd.ports import DeliveryError
from alertd.wire.answers import may_retry, retry_after
from alertd.wire.endable import Line, opener
from alertd.wire.secrecy import longest_first, without
from alertd.wire.slack_errors import PERMANENT, WEBHOOK_REMEDIES
from alertd.wire.trust import trust

Result = TypeVar("Result")

#: Both clients' logger, which says nothing: theirs print addresses, which for a webhook are its secret.
_SILENT: Final = logging.getLogger("alertd.slack_sdk")
_SILENT.setLevel(logging.CRITICAL + 1)

API_URL: Final = "https://slack.com/api/"
_THREADS: Final = 4
_ANSWER_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of Slack: status, its words for it, text, headers (lower case)."""

    status: int
    reason: str
    text: str
    headers: Mapping[str, str]


class SlackError(DeliveryError):
    """What Slack's Web API answered with `ok: false`; `code` is its word for it."""

    def __init__(self, message: str, code: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.code = code


class NotSlackError(ValueError):
    """An answer of 200 that Slack would not give."""


class _Answered(Exception):  # noqa: N818 - it carries an answer past slack_sdk's own treatment of errors
    """An answer that is not a 200 with what the door promises."""

    def __init__(self, answer: Said) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _Door:
    """What both doors share: who opens connections, the threads, and what an outage is called."""

    def __init__(self, name: str, connection: Connection, *secrets: str) -> None:
        self.name = name
        self._secrets = longest_first(secrets)
        self.timeout = connection.timeout.total_seconds()
        self._proxy = connection.proxy
        self._trust = trust(connection.ca_file)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="slack")

    async def call(self, work: Callable[[Line], Result]) -> Result:
        """The result of `work` in a thread, within the time limit. DeliveryError for every outage."""
        line = Line()
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, line)
        except _Answered as error:
            raise self._refusal(error.answer) from error
        except TimeoutError as error:
            raise DeliveryError(f"{self.name}: Slack did not answer in {self.timeout:g} s", uncertain=True) from error
        except URLError as error:
            raise DeliveryError(f"{self.name}: cannot connect to Slack: {self.harmless(str(error.reason))}") from error
        except (OSError, http.client.HTTPException, ValueError, SlackClientError) as error:
            said = self.harmless(str(error)) or type(error).__name__
            raise DeliveryError(f"{self.name}: no whole answer from Slack: {said}", uncertain=True) from error
        finally:
            line.end()

    def opened(self, request: Request, line: Line) -> Said:
        """The answer to one request, in a thread. _Answered where it is no success."""
        try:
            with opener(line, self._trust, self._proxy).open(request, timeout=self.timeout) as response:
                return _read(response.status, response)
        except HTTPError as error:
            with error:
                raise _Answered(_read(error.code, error)) from None

    def harmless(self, text: str) -> str:
        """Foreign text, short, on one line and without this door's secrets."""
        return clean(without(self._secrets, text), 200)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refusal(self, answer: Said) -> DeliveryError:
        word = self.harmless(answer.text)
        said = ": ".join(filter(None, (word, WEBHOOK_REMEDIES.get(word, ""))))
        return DeliveryError(
            f"{self.name}: Slack answered {answer.status} {answer.reason}{': ' + said if said else ''}",
            permanent=not may_retry(answer.status),
            retry_after=retry_after(answer.headers),
        )


class SlackWebhook(_Door):
    """An incoming webhook: takes a message, says `ok`, tells nothing else."""

    def __init__(self, name: str, url: str, connection: Connection) -> None:
        super().__init__(name, connection, url, urlsplit(url).path.rpartition("/")[2])
        self._url = url

    async def post(self, body: Mapping[str, Any]) -> str:
        """Post a message; what Slack said, which is `ok`. DeliveryError."""
        return await self.call(lambda line: self._post(dict(body), line))

    def _post(self, body: dict[str, Any], line: Line) -> str:
        answer = _Webhook(self, self._url, line).send_dict(body)
        if answer.body.strip() != "ok":
            raise NotSlackError(f"it says {answer.body[:80]!r} where Slack says ok; is this a Slack webhook?")
        return "ok"


class SlackBot(_Door):
    """The Web API with a bot token."""

    def __init__(self, name: str, token: str, api_url: str, connection: Connection) -> None:
        super().__init__(name, connection, token)
        self._token = token
        self.api_url = api_url

    async def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        """What a method answers, with its headers (lower case) under `headers`. SlackError for `ok: false`."""
        try:
            return await self.call(lambda line: self._ask(method, arguments, line))
        except DeliveryError as error:
            if isinstance(error.__cause__, SlackApiError):
                raise self._said_no(method, error.__cause__.response) from error.__cause__
            raise

    def _ask(self, method: str, arguments: dict[str, Any], line: Line) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        client = _Web(self, self._token, self.api_url, line)
        answer = client.api_call(method, json=given) if method in _JSON_METHODS else client.api_call(method, data=given)
        data = answer.data if isinstance(answer.data, dict) else {}
        return {**data, "headers": {name.lower(): value for name, value in answer.headers.items()}}

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
_JSON_METHODS: Final = frozenset({"chat.postMessage", "chat.update", "chat.postEphemeral"})


class _Webhook(WebhookClient):
    """slack_sdk's client over this file's connections."""

    def __init__(self, door: SlackWebhook, url: str, line: Line) -> None:
        super().__init__(url, timeout=int(door.timeout) or 1, logger=_SILENT, retry_handlers=[])
        self._door, self._line = door, line

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        answer = self._door.opened(req, self._line)
        return WebhookResponse(url=url, status_code=answer.status, body=answer.text, headers=dict(answer.headers))


class _Web(WebClient):
    """slack_sdk's client over this file's connections."""

    def __init__(self, door: SlackBot, token: str, api_url: str, line: Line) -> None:
        super().__init__(token, api_url, timeout=int(door.timeout) or 1, logger=_SILENT, retry_handlers=[])
        self._door, self._line = door, line

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        answer = self._door.opened(req, self._line)
        if not _is_object(answer.text):
            raise NotSlackError("it does not answer as Slack does; is api_url Slack's?")
        return {"status": answer.status, "headers": dict(answer.headers), "body": answer.text}


def _read(status: int, response: Any) -> Said:
    read = response.read(_ANSWER_BYTES)
    missing = getattr(response, "length", None)  # what the headers promised beyond what came
    if missing and len(read) < _ANSWER_BYTES:
        raise http.client.IncompleteRead(read, missing)
    text = read.decode("utf-8", errors="replace")
    return Said(status, response.reason, text, {name.lower(): value for name, value in response.headers.items()})


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _messages(data: Mapping[str, Any]) -> list[Any]:
    told = data.get("response_metadata")
    found = told.get("messages") if isinstance(told, dict) else None
    return found if isinstance(found, list) else []
