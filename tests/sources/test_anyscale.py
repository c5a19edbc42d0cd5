"""Anyscale's platform usage under either of its wrappers, and files of tokens."""

from __future__ import annotations

import io
import json
import os
import zipfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alertd.sources.anyscale import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def held(**options: Any) -> SourceLedger:
    return SourceLedger(build("anyscale", Options.model_validate({"cli_token": "aks-secret", **options})))


def days(**dollars: float) -> list[dict[str, Any]]:
    return [
        {"date": f"2026-11-{day[1:]}", "dollar_value": cost, "anyscale_credits": cost} for day, cost in dollars.items()
    ]


@pytest.mark.parametrize("wrapper", ["result", "results"])
def test_a_days_dollars_are_exact_and_asked_for_with_the_command_lines_cookie(wrapper: str) -> None:
    with serving(lambda _: Reply({wrapper: days(d18=41.37, d19=0.1)})) as server:
        found = held(url=server.url).round(SINCE, NOW)
    assert found.days() == {date(2026, 11, 18): Decimal("41.37"), date(2026, 11, 19): Decimal("0.1")}
    assert server.asked[0].headers["cookie"] == "cli_token=aks-secret"
    assert (server.asked[0].one("start_date"), server.asked[0].one("end_date")) == ("2026-11-01", "2026-11-20")


def test_the_last_days_are_read_again_and_corrected() -> None:
    dollars = {"d18": 41.37}

    def answer(asked: Asked) -> Reply:
        first = date.fromisoformat(asked.one("start_date")).day
        return Reply({"results": [day for day in days(**dollars) if int(day["date"][-2:]) >= first]})

    with serving(answer) as server:
        found = held(url=server.url).round(SINCE, NOW)
        dollars |= {"d18": 40, "d02": 7}
        found.round(SINCE, NOW + timedelta(hours=1))
        assert server.asked[1].one("start_date") == "2026-11-17"
    assert found.cost() == 40


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply({"error": {"detail": "expired"}}, 401), "401"),
        (Reply({"error": {"detail": "hm"}}), "results is missing"),
        (Reply({"results": [{"date": "soon", "dollar_value": 1}]}), "a text of 4 characters, not a day"),
        (Reply({"results": [{"date": "2026-11-19", "dollar_value": None}]}), "dollar_value is missing, not a number"),
        (Reply({"results": [], "metadata": {"next_paging_token": "x"}}), "comes in pages"),
        (Reply("<html>login</html>", 200, {"Content-Type": "text/html"}), "web page"),
    ],
)
def test_what_is_not_as_it_is_known_is_an_error_and_no_empty_month(reply: Reply, said: str) -> None:
    with serving(lambda _: reply) as server:
        found = held(url=server.url).round(SINCE, NOW)
    assert said in str(found.error)
    assert "aks-secret" not in repr(found.error)
    assert not found.readings


def test_a_file_of_tokens_in_a_zip_is_usage_at_anyscale(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("usage.csv", "date,model,input_tokens,output_tokens,team\n2026-11-19,llama,100000,5,search\n")
    (tmp_path / "usage.zip").write_bytes(archive.getvalue())
    os.utime(tmp_path / "usage.zip", (NOW.timestamp(), NOW.timestamp()))
    found = held(read="file", path=str(tmp_path)).round(SINCE, NOW)
    assert found.error is None
    assert (found.tokens("input"), found.tokens("output")) == (100_000, 5)
    assert {key.line.provider for key, _, _ in found.buckets} == {"anyscale"}
    assert found.labels("team") == {"search"}
    assert found.until == datetime(2026, 11, 20, tzinfo=UTC)


def test_a_downloaded_file_of_dollars_is_read_by_its_headers(tmp_path: Path) -> None:
    (tmp_path / "usage.csv").write_text("Date,Cloud,Project,Dollar_Value\n2026-11-19,aws,rag,12.5\n")
    found = held(read="file", path=str(tmp_path)).round(SINCE, NOW)
    assert found.cost() == Decimal("12.5")
    assert found.labels("project") == {"rag"}


def cut(service: str, day: str, dollars: float, **more: Any) -> dict[str, Any]:
    return {"date": f"2026-11-{day}", "dollar_value": dollars, "anyscale_credits": dollars, "cluster_id": "ses_1",
            "service_name": service, "project_name": "llm", "user_email": "ana@example.com", **more}  # fmt: skip


def test_compute_is_cut_by_the_services_that_serve_models() -> None:
    pages = {
        "": {"results": [cut("llama-70b", "18", 41.37), cut("llama-70b", "18", 1), cut("", "18", 3, job_name="train")],
             "metadata": {"total": 4, "next_paging_token": "p 2"}},
        "p 2": {"results": [cut("qwen", "19", 0.1)], "metadata": {"next_paging_token": None}},
    }  # fmt: skip
    with serving(lambda asked: Reply(pages[asked.one("paging_token")])) as server:
        found = held(url=server.url, group_by="service", name_contains="l").round(SINCE, NOW)
        first = server.asked[0]
    assert found.error is None
    assert (first.method, first.path) == ("POST", "/api/v2/aggregated_instance_usage/cluster")
    assert json.loads(first.body) == {
        "start_date": "2026-11-01", "end_date": "2026-11-20", "group_by_date": True, "asc": True, "name_contains": "l",
    }  # fmt: skip
    assert found.cost(lambda key: dict(key.labels).get("service") == "llama-70b") == Decimal("42.37")
    assert found.days() == {date(2026, 11, 18): Decimal("45.37"), date(2026, 11, 19): Decimal("0.1")}
    assert found.labels("charge") == {"compute"}
    assert found.labels("job") == {"", "train"}


def test_a_cut_that_is_read_again_replaces_its_days() -> None:
    rows = [cut("llama-70b", "19", 5)]
    with serving(lambda _: Reply({"results": rows})) as server:
        found = held(url=server.url, group_by="project").round(SINCE, NOW)
        rows[0] = cut("llama-70b", "19", 6)
        found.round(SINCE, NOW + timedelta(hours=1))
    assert found.cost() == 6
