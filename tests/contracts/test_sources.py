"""What every source keeps to, run over the folder: a new file is tried with options made from its declaration."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from alertd.clients.http_response import may_retry
from alertd.core.pricing.source_roles import SourceRole
from alertd.ports import Source, SourceError, role_of
from alertd.registry import kinds, load
from tests.plugins import SECRET, addressed, options_at
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE: Final = datetime(2026, 11, 18, tzinfo=UTC)
NOW: Final = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)

#: What a kind needs besides an address and its secrets.
BESIDES: Final[Mapping[str, Mapping[str, Any]]] = {
    "alibaba": {"access_key_id": "LTAI"},
    "aws_costs": {"access_key_id": "AKIA"},
    "azure_costs": {"tenant_id": "t", "client_id": "c", "client_secret": SECRET},
    "azure_openai": {"tenant_id": "t", "client_id": "c", "client_secret": SECRET},
    "bedrock": {"access_key_id": "AKIA", "regions": "us-east-1"},
    "github_copilot": {"organization": "o"},
    "prometheus": {"token": SECRET, "preset": "litellm"},
    "scaleway": {"organization_id": "o"},
    "scrape": {"token": SECRET, "preset": "litellm"},
}


def pointed(kind: str, url: str) -> dict[str, Any]:
    """Options that point a kind at a server; the secret is in all."""
    return {**options_at("sources", kind, url), **BESIDES.get(kind, {})}


#: Kinds of which the library is not installed: what they share with others is tried where it is.
ABSENT: Final = {
    kind for kind, module in {"bedrock": "botocore", "aws_costs": "botocore"}.items() if find_spec(module) is None
}


@pytest.mark.skipif(not ABSENT, reason="every kind's library is installed")
def test_kinds_without_their_library_are_named() -> None:
    pytest.skip(f"not tried, their libraries are not installed: {', '.join(sorted(ABSENT))}")


#: The kinds that talk HTTP; a database has an address of another kind.
STAGES: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    kind: partial(pointed, kind) for kind in addressed("sources") if kind not in {*ABSENT, "sql"}
}
#: Kinds that read files, with options that build.
FILES: Final[Mapping[str, dict[str, Any]]] = {
    "csv": {"path": "nowhere/*.csv"},
    "focus": {"path": "nowhere/*.csv"},
    "sql": {"url": "sqlite:///nowhere/usage.db", "query": "SELECT :start AS timestamp, :end AS end, 1 AS cost"},
}
#: Kinds that are sent to, and read nothing.
PUSHED: Final[dict[str, dict[str, Any]]] = {"otlp": {"token": SECRET}}
TRIED: Final = sorted({*STAGES, *FILES, *PUSHED})
#: Kinds whose every answer is JSON about money; counters have texts and rules of their own.
BILLS: Final = sorted(STAGES.keys() - {"prometheus", "scrape"})
#: Together says 404 where an organization has no such interface: what is left is asked for, and fails by itself.
STATUSES: Final = [status for status in HTTPStatus if status >= HTTPStatus.MULTIPLE_CHOICES]


def built(kind: str, url: str = "http://127.0.0.1:9", **options: Any) -> Source:
    plugin = load("sources", kind)
    given = STAGES[kind](url) if kind in STAGES else {**FILES, **PUSHED}[kind]
    source = plugin.build("under-test", plugin.Options.model_validate({**given, **options}))
    assert isinstance(source, Source)
    return source


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes a connection and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_every_source_has_a_place_here() -> None:
    assert set(kinds("sources")) - ABSENT == STAGES.keys() | FILES.keys() | PUSHED.keys()


@pytest.mark.parametrize("kind", TRIED)
def test_every_option_says_what_it_is_for(kind: str) -> None:
    options = load("sources", kind).Options
    assert [name for name, field in options.model_fields.items() if not field.description] == []
    assert options.__doc__


@pytest.mark.parametrize("kind", TRIED)
def test_secrets_show_neither_in_options_nor_in_a_source(kind: str) -> None:
    plugin = load("sources", kind)
    options = plugin.Options.model_validate(STAGES[kind]("http://x") if kind in STAGES else {**FILES, **PUSHED}[kind])
    assert SECRET not in repr(options)
    assert SECRET not in repr(plugin.build("under-test", options))


@pytest.mark.parametrize("kind", sorted(STAGES))
def test_building_and_closing_contacts_nobody_and_closing_twice_is_harmless(kind: str) -> None:
    with serving(lambda _: Reply({})) as server:
        source = built(kind, server.url)

        async def close() -> None:
            await source.close()
            await source.close()

        asyncio.run(close())
        assert server.asked == []


@pytest.mark.parametrize("kind", TRIED)
def test_a_source_has_a_pace_that_the_configuration_overrules(kind: str) -> None:
    source = built(kind)
    assert source.interval > timedelta(0)
    assert source.stale_after > timedelta(0)
    assert source.delay >= timedelta(0)
    set_by_hand = built(kind, interval="7m", delay="3h", stale_after="9h")
    wanted = (timedelta(minutes=7), timedelta(hours=3), timedelta(hours=9))
    assert (set_by_hand.interval, set_by_hand.delay, set_by_hand.stale_after) == wanted


@pytest.mark.parametrize("kind", sorted({*BILLS, *FILES}))
def test_a_source_of_bills_has_the_role_that_it_is_given(kind: str) -> None:
    assert role_of(built(kind)).role == "auto"
    assert role_of(built(kind, role="check")).role == "check"


def test_a_source_that_says_nothing_of_its_role_counts_like_any() -> None:
    assert role_of(object()) == SourceRole()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(STAGES))
def test_a_server_that_is_not_there_is_an_error_to_be_tried_again(kind: str) -> None:
    found = SourceLedger(built(kind)).round(SINCE, NOW)
    assert found.error is not None
    assert not found.error.permanent
    assert SECRET not in repr(found.error)
    assert "127.0.0.1:9" in str(found.error)


@pytest.mark.parametrize("kind", sorted(STAGES))
def test_a_server_that_never_answers_is_an_error_and_no_hang(kind: str, silent: str) -> None:
    found = SourceLedger(built(kind, silent, timeout=timedelta(milliseconds=200))).round(SINCE, NOW)
    assert "did not answer within 0.2 s" in str(found.error)


@pytest.mark.parametrize("deep", [b'{"data":' * 50_000 + b"1" + b"}" * 50_000, b"[" * 100_000 + b"]" * 100_000])
@pytest.mark.parametrize("kind", sorted(STAGES))
def test_an_answer_that_is_nested_without_end_is_an_error_and_no_surprise(kind: str, deep: bytes) -> None:
    with serving(lambda _: Reply(deep)) as server:
        found = SourceLedger(built(kind, server.url)).round(SINCE, NOW)
    assert found.error is not None


#: What the kinds leave as their cursors, and what none of them does.
LEFT: Final = (
    "2026-11-01T00:00:00+00:00/2026-11-20T10:00:00+00:00",
    '{"at":1763632800.0}',
    '{"read":"2026-11-19","days":{}}',
    '{"2026-11-01":{"updated":{},"days":{}}}',
    '{"begun":"2026-11-01T00:00:00+00:00","billed":false,"settled":null,"jobs":{},"lives":{},"looked":null}',
    "8c2f19 2026-11-01",
    "[]",
    "",
)


#: The cursors that the kinds of counters can read; with any other they do not read at all.
COUNTED: Final = {"prometheus": ('{"at":1763632800.0}',), "scrape": ('{"at":1763632800.0}', "")}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("kind", sorted(STAGES))
def test_what_another_kind_left_off_at_is_an_error_or_read_anew_and_no_surprise(kind: str, left: str) -> None:
    found = SourceLedger(built(kind), cursor=left).round(SINCE, NOW)
    assert found.error is not None
    reads = left in COUNTED.get(kind, LEFT)
    assert ("127.0.0.1:9" if reads else "give it a name of its own") in str(found.error)


@pytest.mark.parametrize("kind", BILLS)
def test_every_status_above_299_is_an_error_by_name_without_the_secret(kind: str) -> None:
    outcomes = {}
    for status in STATUSES:
        given = SECRET if SECRET in STAGES[kind]("").values() else "the identity of this machine"
        body = {"error": {"message": f"no, {given} will not do"}}
        with serving(lambda _, status=status, body=body: Reply(body, status)) as server:  # type: ignore[misc]
            found = SourceLedger(built(kind, server.url)).round(SINCE, NOW)
        assert found.error is not None, status
        assert SECRET not in f"{found.error!r} {found.error}"
        assert found.buckets == {}
        assert found.cursor is None
        outcomes[status] = found.error.permanent
    assert outcomes == {status: not may_retry(status) for status in STATUSES}


@pytest.mark.parametrize("kind", BILLS)
def test_the_wait_that_a_server_asks_for_is_handed_on(kind: str) -> None:
    with serving(lambda _: Reply({}, 429, {"Retry-After": "42"})) as server:
        found = SourceLedger(built(kind, server.url)).round(SINCE, NOW)
    assert found.error is not None
    assert found.error.retry_after == timedelta(seconds=42)


GARBAGE: Final = [
    "",
    "null",
    "[]",
    "{}",
    '{"data": null}',
    '{"data": {}}',
    "{",
    "<html>",
    '"ok"',
    "NaN",
    '{"data": [1]}',
]


@pytest.mark.parametrize("kind", BILLS)
def test_an_answer_of_200_that_is_no_answer_is_an_error_and_no_empty_month(kind: str) -> None:
    for body in GARBAGE:
        with serving(lambda _, body=body: Reply(body)) as server:  # type: ignore[misc]
            found = SourceLedger(built(kind, server.url)).round(SINCE, NOW)
        assert found.error is not None, body
        assert found.readings == []


@pytest.mark.parametrize("kind", BILLS)
def test_a_look_at_a_server_that_refuses_says_so(kind: str) -> None:
    with serving(lambda _: Reply({"message": "no"}, 403)) as server:
        source = built(kind, server.url)

        async def look() -> str:
            try:
                await source.look(NOW)
            except SourceError as error:
                return str(error)
            finally:
                await source.close()
            return ""

        assert "403" in asyncio.run(look())


@pytest.mark.parametrize("kind", BILLS)
def test_credentials_go_to_no_other_host(kind: str) -> None:
    with serving(lambda _: Reply({})) as thief:

        def away(_: Asked) -> Reply:
            return Reply({}, 302, {"Location": f"{thief.url.replace('127.0.0.1', 'localhost')}/x"})

        with serving(away) as server:
            found = SourceLedger(built(kind, server.url)).round(SINCE, NOW)
        assert found.error is not None
        assert thief.asked == []


@pytest.mark.parametrize("kind", sorted(FILES.keys() - {"sql"}))
def test_a_file_that_is_not_there_is_an_error_that_names_it(kind: str, tmp_path: Path) -> None:
    found = SourceLedger(built(kind, path=str(tmp_path / "*.csv"))).round(SINCE, NOW)
    assert f"{tmp_path}/*.csv: no file there yet" in str(found.error)


DOCS: Final = Path(__file__).parents[2] / "docs" / "sources.md"
#: These two are told of elsewhere: they read counters.
COUNTERS: Final = frozenset({"prometheus", "scrape"})


@pytest.mark.parametrize("kind", sorted(set(kinds("sources")) - COUNTERS))
def test_the_documentation_shows_every_kind_with_an_example_that_is_accepted(kind: str) -> None:
    section = next(part for part in DOCS.read_text("utf-8").split("\n## ") if f"· `{kind}`" in part.splitlines()[0])
    for said in ("Reads", "Least privilege", "Delay", "annot see"):
        assert said in section
    lines = [line for line in section.split("```")[1].splitlines()[1:] if line]
    given = dict(line.split("__", 2)[2].split("=", 1) for line in lines)
    assert given.pop("KIND") == kind
    assert len(lines) == 5
    known = {name.lower().removesuffix("_file"): value for name, value in given.items()}
    load("sources", kind).Options.model_validate(known)
