"""Single queries to a Prometheus through prometheus-api-client; our own bounded HTTP client sends its requests.

For `check` and discovery, never for readings. Timeout, size limit, TLS and credentials are those of `Http`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any, Final

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import BaseAdapter

from alertd.clients.http import MEGABYTE, Access, Http
from alertd.clients.http_response import Answer
from alertd.ports import SourceError

#: How long a question takes at most, from the first byte sent to the last one received.
_TIMEOUT: Final = timedelta(seconds=10)
#: 100,000 names of metrics are 3 MB.
_LIMIT: Final = 16 * MEGABYTE
#: The endings of series that no total is read from.
_NO_TOTALS: Final = ("_bucket", "_count", "_created")


class Discovery:
    """What a Prometheus has, by name. Blocks: call it in a thread without an event loop of its own."""

    def __init__(self, url: str, access: Access) -> None:
        address = url.rstrip("/").removesuffix("/api/v1")
        session = requests.Session()
        # A .netrc and the environment's proxies are not ours.
        session.trust_env = False
        self._client = PrometheusConnect(address, session=session)
        carrier = _Carrier(replace(access, timeout=min(access.timeout, _TIMEOUT)))
        for prefix in ("http://", "https://", address):  # the library has mounted an adapter of its own at the address
            session.mount(prefix, carrier)

    def names(self, begin: float, end: float) -> list[str]:
        """The names of all metrics with samples between two instants (Unix seconds), without buckets and counts.

        Raises HttpProblem for a server that does not answer, SourceError for an answer that is no list of names.
        """
        try:
            found = self._client.all_metrics(params={"start": f"{begin:.0f}", "end": f"{end:.0f}"})
        except SourceError:
            raise
        except (PrometheusApiClientException, requests.RequestException) as error:
            raise SourceError("its list of metrics is not readable") from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise SourceError(f"its list of metrics is not readable: {type(error).__name__}") from error
        finally:
            self._client.close()
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise SourceError("its list of metrics is not readable: it holds no names")
        return sorted(name for name in found if not name.endswith(_NO_TOTALS))


class _Carrier(BaseAdapter):
    """Carries the library's requests by `Http`: bounded in time and, after decompression, in size."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def send(  # noqa: PLR0917 - the library's signature
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,
        verify: Any = True,  # noqa: FBT002
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """The complete response. HttpProblem for every response that is not a success."""
        answer = asyncio.run(self._sent(request))
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status, request.url or "", request
        response.raw, response.encoding = BytesIO(answer.body), "utf-8"
        return response

    def close(self) -> None:
        """Does nothing: no connection stays open between requests."""

    async def _sent(self, request: requests.PreparedRequest) -> Answer:
        http = Http(self._access)
        try:
            return await http.send(request.method or "GET", request.url or "", limit=_LIMIT)
        finally:
            await http.close()
