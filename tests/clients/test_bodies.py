"""Answers that are compressed: one layer is undone within the limit, more are refused, and memory stays bounded."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from datetime import timedelta
from functools import partial

import pytest

from alertd.clients.http import MEGABYTE, Access, Http
from alertd.clients.http_response import HttpProblem, TooLarge, Undecodable, read_body
from tests.servers.billing import Reply, serving

#: Always the same bytes: they are the names of tests, which several processes collect.
zipped = partial(gzip.compress, mtime=0)

TEXT = b'{"status": "success"}' * 100
RAW = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
DEFLATED = RAW.compress(TEXT) + RAW.flush()


def bomb(layers, size=300 * MEGABYTE):
    """Zeros, compressed so many times over."""
    packer, packed = zlib.compressobj(9, zlib.DEFLATED, 31), b""
    for _ in range(size // MEGABYTE):
        packed += packer.compress(bytes(MEGABYTE))
    packed += packer.flush()
    for _ in range(layers - 1):
        packed = gzip.compress(packed)
    return packed


def read(body, encoding, limit=MEGABYTE, step=1000):
    """The body as a server that sends `step` bytes at a time gives it."""

    async def parts():
        for place in range(0, len(body), step):
            yield body[place : place + step]

    return asyncio.run(read_body({"content-encoding": encoding}, parts(), limit))


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(TEXT, ""), (TEXT, "identity"), (zipped(TEXT), "gzip"), (zipped(TEXT), "X-GZIP"),
     (zipped(TEXT), "identity, gzip"), (zlib.compress(TEXT), "deflate"), (DEFLATED, "deflate"),
     (zipped(TEXT[:50]) + zipped(TEXT[50:]), "gzip")],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_one_layer_of_compression_is_undone_however_it_arrives(body, encoding, step):
    assert read(body, encoding, step=step) == TEXT


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(zipped(zipped(TEXT)), "gzip, gzip"), (TEXT, "gzip,deflate"), (TEXT, "br"), (TEXT, "zstd"),
     (TEXT, "gzip"), (TEXT, "deflate"), (zipped(TEXT)[:-20], "gzip"), (TEXT, "gzip, gzip, gzip")],
)  # fmt: skip
def test_what_is_encoded_otherwise_or_not_as_it_says_is_refused(body, encoding):
    with pytest.raises(Undecodable):
        read(body, encoding)


def test_an_empty_body_may_claim_any_one_encoding():
    assert read(b"", "gzip") == b""


def test_the_limit_holds_for_what_arrives_as_for_what_comes_of_it():
    assert len(read(gzip.compress(bytes(MEGABYTE)), "gzip")) == MEGABYTE
    with pytest.raises(TooLarge):
        read(gzip.compress(bytes(MEGABYTE + 1)), "gzip")
    with pytest.raises(TooLarge):  # members that hold nothing: no output, and no end
        read(gzip.compress(b"") * 60_000, "gzip", step=10_000)


@pytest.mark.parametrize(("layers", "encoding"), [(1, "gzip"), (2, "gzip, gzip")])
def test_a_body_of_a_few_kilobytes_never_takes_more_memory_than_the_limit(layers, encoding):
    body = bomb(layers)
    tracemalloc.start()
    try:
        with pytest.raises((TooLarge, Undecodable)):
            read(body, encoding, step=1 << 16)
        assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    finally:
        tracemalloc.stop()


def answered(status, encoding, body, **request):
    """The answer of a server that says `encoding` whatever the body is."""

    async def ask(url):
        http = Http(Access(timeout=timedelta(seconds=20)))
        try:
            return await http.send("POST", url, **request)
        finally:
            await http.close()

    with serving(lambda _: Reply(body, status, {"Content-Encoding": encoding})) as server:
        answer = asyncio.run(ask(server.url))
        assert server.asked[0].headers["accept-encoding"] == "gzip, deflate"
        return answer


@pytest.mark.parametrize(("encoding", "body"), [("gzip, gzip", "x"), ("br", "x"), ("", "x" * (MEGABYTE + 1))])
def test_where_the_status_says_it_all_an_unreadable_body_changes_nothing(encoding, body):
    assert answered(200, encoding, body, only_status=True, limit=MEGABYTE).status == 200
    with pytest.raises(HttpProblem) as caught:
        answered(200, encoding, body, limit=MEGABYTE)
    assert caught.value.uncertain
    with pytest.raises(HttpProblem, match="503") as caught:
        answered(503, encoding, body, limit=MEGABYTE)
    assert caught.value.status == 503
