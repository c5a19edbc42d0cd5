"""Whatever comes in from outside is read or refused by the error that is promised, soon, and in bounded memory.

Good documents are cut, spliced and filled with what breaks parsers. `make test` runs a seeded slice; `make chaos` runs
FUZZ_EXAMPLES (20,000) of each and prints how long they took.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from alertd.clients.http_response import Answer
from alertd.clients.prometheus import Prometheus
from alertd.clients.tables import open_table
from alertd.core.budgets import Amount, parse_duration, parse_threshold
from alertd.core.config_errors import SettingsError
from alertd.core.counting.counters import count
from alertd.core.counting.matchers import parse_matchers, parse_selector
from alertd.core.formats.records import read_table
from alertd.core.formats.table import FormatError
from alertd.core.pricing.price_file import PriceFileError, read_price_file
from alertd.ports import SourceError
from alertd.registry import load
from alertd.settings import load_settings
from alertd.sources._windows import Windows
from alertd.sources.prometheus import Options
from alertd.sources.scrape import parsed
from tests.memory_store import MemoryStore

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
SLICE, LONG = 40, int(os.environ.get("FUZZ_EXAMPLES", "20000"))
#: No document is larger than some kilobytes: what takes longer hangs, what takes more grows without bound.
SECONDS, BYTES = 2.0, 64 << 20
#: What a counter may come to, at most: the widest whole number that a database keeps.
WIDEST = 2**63

HOSTILE = [
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b";",
    b"=", b"#", b"-", b"NaN", b"Infinity", b"-Infinity", b"+Inf", b"1e308", b"1e999999999", b"-1", b"0", b"-0.0",
    b"9" * 400, b"0." + b"0" * 400 + b"1", b"18446744073709551616", b"null", b"true", b"[[[[[[[[", b'{"a":' * 60,
    "\u202e".encode(), "\ud7ff".encode(), b"1970-01-01", b"0000-00-00", b"99999-12-31", b"2026-02-30T25:61:61Z",
    b"2026-11-01T00:00:00+99:99", b"a" * 3000, b"\xc3\x28", b"%00", b"__name__", b"[1]", b"{}", b"../../etc/passwd",
]  # fmt: skip

PROMETHEUS = b"""{"status":"success","data":{"resultType":"matrix","result":[
{"metric":{"__name__":"litellm_input_tokens_metric_total","job":"gateway","instance":"a:4000","model":"gpt-5",
"team_alias":"a"},"values":[[1795168800,"100"],[1795168860,"160"]]},
{"metric":{"__name__":"litellm_output_tokens_metric_total","job":"gateway","instance":"a:4000","model":"gpt-5"},
"values":[[1795168800,"5"],[1795168860,"7"]]}]},"warnings":["partial"]}"""
EXPOSITION = b"""# HELP litellm_input_tokens_metric_total Tokens
# TYPE litellm_input_tokens_metric_total counter
litellm_input_tokens_metric_total{model="gpt-5",team_alias="a\\"b"} 1.5e3 1795168800000
litellm_input_tokens_metric_created{model="gpt-5"} 1.7951688e9
process_start_time_seconds 1795160000.1
# EOF
"""
USAGE = b"""provider,model,meter,quantity,timestamp,team,account
openai,gpt-5,input,1000000,2026-11-03T10:00:00Z,a,x
scaleway,llama-3.3-70b-instruct,output,5,2026-11-04,b,
"""
FOCUS = b"""BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName,ProviderName,ChargeCategory,Tags
1.25,USD,2026-11-03T00:00:00Z,2026-11-04T00:00:00Z,Bedrock,AWS,Usage,"{""team"":""a""}"
"""
PRICES = (Path(__file__).parents[2] / "config" / "prices.example.toml").read_bytes()
TOML = (Path(__file__).parents[2] / "config" / "alertd.example.toml").read_bytes()
ENV = b"""ALERTD_SOURCES__GATEWAY__KIND=prometheus
ALERTD_SOURCES__GATEWAY__URL=http://localhost:9090
ALERTD_SOURCES__GATEWAY__PRESET=litellm
ALERTD_BUDGETS__RESEARCH__AMOUNT="500 USD"
ALERTD_BUDGETS__RESEARCH__WHERE={"team":"research"}
"""
WORDS = b'burn_rate 10x over 1h and 5m above 20 USD\nactual 80%\n{job="gateway",team=~"a|b"}\n5M tokens\n1h30m\n'


class Fixed:
    """HTTP that answers one body to everything."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def send(self, *_: object, **__: object) -> Answer:
        return Answer(200, {"content-type": "application/json"}, self._body, "http://fuzz")


def prometheus(body: bytes) -> None:
    options = Options(url="http://fuzz:9090", preset="litellm")
    windows = Windows(Prometheus(Fixed(body), options.url), options.conditions(), options.attributor())

    async def read() -> None:
        window = await windows.raw(1795168740.0, 1795168860.0)
        samples = list(windows.samples(window))
        counted = count({}, samples, window.targets.scrapes, first_read=True, period_start=1793491200.0)
        assert all(0 < one.quantity < WIDEST for one in counted.increments)
        assert all(state.value < WIDEST for state in counted.states.values())

    asyncio.run(read())


def exposition(body: bytes) -> None:
    for kind in ("text/plain", "application/openmetrics-text"):
        answer = Answer(200, {"content-type": kind}, body, "http://fuzz")
        try:
            parsed(answer, ["litellm_input_tokens_metric_total"])
        except SourceError as error:
            assert "http://fuzz" in str(error)  # noqa: PT017 - the other kind is asked, too


def usage(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes(body)
        read_table(open_table(path))


def of_file(kind: str, body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "f.csv").write_bytes(body)
        plugin = load("sources", kind)
        source = plugin.build("fuzz", plugin.Options.model_validate({"path": f"{folder}/*.csv"}))

        async def read() -> None:
            store = MemoryStore()
            async for reading in source.read(None, datetime(2026, 11, 1, tzinfo=UTC), NOW):
                assert await store.commit_records(await store.source("fuzz"), reading)

        asyncio.run(read())


def configuration(name: str, body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / name
        place.write_bytes(body)
        load_settings({}, [place] if name == "env" else [], place if name == "toml" else None)


def words(body: bytes) -> None:
    for line in body.decode(errors="replace").splitlines():
        for parse in (parse_threshold, parse_matchers, parse_selector, parse_duration, Amount.parse):
            try:
                parse(line)
            except ValueError as error:
                assert str(error)  # noqa: PT017 - each of five parsers is asked


#: Who reads what, and the only errors that may come of it.
PARSERS = {
    "prometheus": (PROMETHEUS, prometheus, SourceError),
    "exposition": (EXPOSITION, exposition, SourceError),
    "usage": (USAGE, usage, FormatError),
    "csv": (USAGE, lambda body: of_file("csv", body), SourceError),
    "focus": (FOCUS, lambda body: of_file("focus", body), SourceError),
    "prices": (PRICES, lambda body: read_price_file("f", body.decode(errors="replace")), PriceFileError),
    "toml": (TOML, lambda body: configuration("toml", body), SettingsError),
    "env": (ENV, lambda body: configuration("env", body), SettingsError),
    "words": (WORDS, words, ()),
}


@st.composite
def mutants(draw, good):
    """A good document with a few pieces of it cut out, doubled, or replaced by what is hostile."""
    body = bytearray(good)
    for _ in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, len(body)))
        end = min(len(body), begin + draw(st.sampled_from([0, 1, 2, 5, 20, 200, 10_000])))
        piece = draw(st.one_of(st.sampled_from(HOSTILE), st.binary(max_size=12)))
        kind = draw(st.sampled_from(["replace", "cut", "double"]))
        body[begin:end] = {"replace": piece, "cut": b"", "double": bytes(body[begin:end]) * 2}[kind]
        del body[100_000:]
    return bytes(body)


def holds(name: str, body: bytes) -> None:
    """The promise for one document."""
    _, read, refused = PARSERS[name]
    began = time.process_time()
    try:
        read(body)
    except refused as error:
        assert str(error), "a refusal says why"  # noqa: PT017 - most documents are not refused
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize("name", PARSERS)
def test_a_good_document_is_read(name):
    good, read, _ = PARSERS[name]
    read(good)


@pytest.mark.parametrize("name", PARSERS)
def test_a_broken_document_is_read_or_refused_by_name_and_nothing_else_happens(name):
    good = PARSERS[name][0]

    @seed(20261121)
    @settings(max_examples=SLICE)
    @given(st.one_of(mutants(good), st.binary(max_size=300)))
    def broken(body):
        holds(name, body)

    broken()


@pytest.mark.parametrize("name", PARSERS)
def test_one_hostile_piece_in_place_of_any_number_does_not_take_memory(name):
    good = PARSERS[name][0]
    tracemalloc.start()
    try:
        for piece in HOSTILE:
            holds(name, good.replace(b"100", piece).replace(b"1.25", piece).replace(b"10x", piece))
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.chaos
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", PARSERS)
def test_thousands_of_broken_documents(name):
    good = PARSERS[name][0]
    began = time.process_time()

    @settings(max_examples=LONG)
    @given(st.one_of(mutants(good), st.binary(max_size=2000)))
    def broken(body):
        holds(name, body)

    broken()
    print(f"{name}: {LONG:,} documents in {time.process_time() - began:.0f} s of CPU")


@pytest.mark.parametrize("value", ["1e308", "1e999999999", "9" * 30, str(2**63)])
def test_a_counter_beyond_what_a_database_holds_is_refused_and_said(value):
    body = PROMETHEUS.replace(b'"160"', f'"{value}"'.encode())
    prometheus(body)
    assert Decimal(value) >= WIDEST
