"""One-off questions to a Prometheus, by its client library, in a thread. Never on the way of a reading."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import Final

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import HTTPAdapter

from alertd.ports import SourceError
from alertd.wire.http import Access

logging.getLogger("urllib3").setLevel(logging.WARNING)
_TIMEOUT: Final = (3, 10)


class Discovery:
    """What a Prometheus has, by name. Blocks: call it in a thread."""

    def __init__(self, url: str, access: Access) -> None:
        session = requests.Session()
        # A .netrc would replace the bearer token, and proxies of the environment are not ours.
        session.trust_env = False
        session.max_redirects = 0
        session.verify = str(access.ca_file or ssl.get_default_verify_paths().cafile or True)
        if access.cert_file is not None:
            key = access.key_file or access.cert_file
            session.cert = (str(access.cert_file), str(key))
        if access.proxy:
            session.proxies = {"http": access.proxy, "https": access.proxy}
        headers = dict(access.headers)
        if access.bearer:
            headers["Authorization"] = f"Bearer {access.bearer}"
        self._client = PrometheusConnect(
            url.rstrip("/").removesuffix("/api/v1"),
            headers=headers,
            auth=(access.username, access.password) if access.username else None,
            session=session,
            timeout=_TIMEOUT,
        )
        session.mount(url, HTTPAdapter(max_retries=0))

    def names_like(self, words: Iterable[str]) -> list[str]:
        """The names of metrics that contain one of the words, without buckets and counts. SourceError."""
        try:
            names = self._client.all_metrics()
        except PrometheusApiClientException as error:
            raise SourceError("its list of metrics is not readable") from error
        except (requests.RequestException, ValueError, KeyError) as error:
            raise SourceError(f"its list of metrics is not readable: {type(error).__name__}") from error
        finally:
            self._client.close()
        found = (name for name in names if any(word in name for word in words))
        return sorted(name for name in found if not name.endswith(("_bucket", "_count", "_created")))
