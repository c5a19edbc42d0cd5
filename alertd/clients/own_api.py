"""A client of alertd's own API, with which `alertd mcp` and `alertd budgets` ask a running daemon. Shows no token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.types import ASGIApp

#: Seconds until an answer is given up.
_PATIENCE = 30.0


class OwnApiError(Exception):
    """The daemon refused, or does not answer; `status` is 0 where it does not."""

    def __init__(self, said: str, status: int = 0) -> None:
        self.status = status
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class OwnApi:
    """The API at `url`; with `app` of the application in this process, asked as the client at `address`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    app: ASGIApp | None = None
    address: tuple[str, int] = ("127.0.0.1", 0)

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON answer. Raises OwnApiError."""
        return (await self._ask("GET", path, params=params or {})).json()

    async def read(self, path: str) -> tuple[Any, str]:
        """The JSON answer and its ETag. Raises OwnApiError."""
        answer = await self._ask("GET", path)
        return answer.json(), answer.headers.get("etag", "")

    async def write(self, method: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
        """The JSON answer to a change. Raises OwnApiError."""
        return (await self._ask(method, path, json=dict(body), headers=headers)).json()

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = None if self.app is None else httpx.ASGITransport(app=self.app, client=self.address)
        headers = {**self.headers, **more.pop("headers", {})}
        try:
            async with httpx.AsyncClient(
                base_url=self.url, headers=headers, transport=transport, timeout=_PATIENCE, trust_env=self.app is None
            ) as client:
                answer = await client.request(method, path, **more)
        except UnicodeError:
            raise OwnApiError(
                "the token or the address has characters that no request can carry; set it again"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OwnApiError(f"alertd does not answer at {self.url} ({type(error).__name__})") from None
        if answer.is_success:
            return answer
        raise OwnApiError(_said(answer), answer.status_code)


def _said(answer: httpx.Response) -> str:
    """What a refusal says."""
    try:
        found = answer.json()
    except ValueError:
        return f"alertd answers {answer.status_code}"
    said = found.get("detail") or found.get("error") if isinstance(found, dict) else None
    return str(said or f"alertd answers {answer.status_code}")
