"""Questions to a Prometheus by its client library: bounded in size, layers and time, as ourselves and nobody else."""

from __future__ import annotations

import gzip
import json
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from alertd.clients.http import MEGABYTE, Access
from alertd.clients.prometheus_discovery import Discovery
from alertd.ports import SourceError
from tests.servers import hanging_server
from tests.servers.billing import Reply, serving


def names(url, **access):
    return Discovery(url, Access(**access)).names(1000.0, 2000.0)


def packed(body, layers):
    for _ in range(layers):
        body = gzip.compress(body)
    return body


class Zipped:
    """A server whose every answer is these bytes, said to be encoded so."""

    def __init__(self, body, encoding):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Encoding", encoding)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def listed(*found):
    return {"status": "success", "data": list(found)}


def test_the_names_of_a_time_without_buckets_asked_as_ourselves_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login eve password x\n")
    with serving(lambda _: Reply(listed("b_total", "a_sum", "a_bucket", "a_count", "b_created"))) as server:
        assert names(f"{server.url}/prefix/api/v1/", bearer="t0ken", headers={"X-Scope-OrgID": "a"}) == [
            "a_sum", "b_total",
        ]  # fmt: skip
    (asked,) = server.asked
    assert asked.path == "/prefix/api/v1/label/__name__/values"
    assert (asked.one("start"), asked.one("end")) == ("1000", "2000")
    assert (asked.headers["authorization"], asked.headers["x-scope-orgid"]) == ("Bearer t0ken", "a")


@pytest.mark.parametrize(
    ("body", "encoding", "said"),
    [
        (packed(bytes(100 * MEGABYTE), 1), "gzip", "sends more than 16 MB"),
        (packed(bytes(100 * MEGABYTE), 2), "gzip, gzip", "2 times over"),
        (b"x", "br", "'br', which was not asked for"),
    ],
    ids=["one layer", "two layers", "another encoding"],
)
def test_a_compressed_answer_is_bounded_after_every_layer(body, encoding, said):
    with Zipped(body, encoding) as url, pytest.raises(SourceError, match=said):
        names(url)


def test_a_small_compressed_answer_is_read():
    with Zipped(packed(json.dumps(listed("a_total")).encode(), 1), "gzip") as url:
        assert names(url) == ["a_total"]


@pytest.mark.parametrize("deed", [hanging_server.hang, hanging_server.drip])
def test_a_server_that_never_ends_is_given_up_in_time(deed):
    begun = time.monotonic()
    with hanging_server.HangingServer(deed) as server, pytest.raises(SourceError, match="did not answer within 1 s"):
        names(server.url, timeout=timedelta(seconds=1))
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    "body",
    ["[]", '{"status": "success"}', '{"data": null}', '{"data": {"a": 1}}', '{"data": [1, null]}', "<html>",
     '{"data": ' + "[" * 100_000],
)  # fmt: skip
def test_what_is_no_list_of_names_is_said_and_not_quoted(body):
    with (
        serving(lambda _: Reply(body)) as server,
        pytest.raises(SourceError, match="its list of metrics is not readable"),
    ):
        names(server.url)


@pytest.mark.parametrize("status", [301, 401, 404, 503])
def test_a_status_that_is_no_success_is_told_once_without_secrets(status):
    reply = Reply("no t0ken here", status, {"Location": "http://127.0.0.1:1/"})
    with serving(lambda _: reply) as server, pytest.raises(SourceError) as caught:
        names(server.url, bearer="t0ken")
    assert "t0ken" not in str(caught.value)
    assert len(server.asked) == 1
