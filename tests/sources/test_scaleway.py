"""Scaleway's bill against a server written from its OpenAPI file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alertd.core.billing.read_plan import Month, remembered, to_remember
from alertd.sources.scaleway import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def line(units: Any, nanos: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "consumer_id": "6867048b-fe12-4e96-835e-41c79a39604b", "project_id": "105bdce1-64c0-48ab-899d-868455867ecf",
        "project_name": "prod", "category_name": "AI", "product_name": "Generative APIs",
        "resource_name": "llama-3.3-70b-instruct - Output tokens", "sku": "/ai/generative-apis/llama/output",
        "unit": "million_tokens", "billed_quantity": "3",
        "value": {"currency_code": "EUR", "units": units, "nanos": nanos}, **fields,
    }  # fmt: skip


def bill(lines: list[dict[str, Any]], at: str, discount: float = 0, total: int | None = None) -> dict[str, Any]:
    return {
        "total_count": len(lines) if total is None else total,
        "total_discount_untaxed_value": discount, "updated_at": at, "consumptions": lines,
    }  # fmt: skip


def paged(whole: dict[str, Any]) -> Callable[[Asked], Reply]:
    """A server of one bill, in pages as they are asked for."""

    def answer(asked: Asked) -> Reply:
        size, page = int(asked.one("page_size")), int(asked.one("page"))
        return Reply({**whole, "consumptions": whole["consumptions"][(page - 1) * size : page * size]})

    return answer


def in_turn(*bills: dict[str, Any]) -> Callable[[Asked], Reply]:
    """A server whose bill is another at every look, and stays the last."""
    looks = iter([*map(paged, bills), *[paged(bills[-1])] * 20])

    def answer(asked: Asked) -> Reply:
        return next(looks)(asked)

    return answer


def held(url: str, **options: Any) -> SourceLedger:
    given_options = {"secret_key": "very-secret", "organization_id": "org-1", "url": url, **options}
    return SourceLedger(build("scaleway", Options.model_validate(given_options)))


def test_units_and_nanos_add_up_whether_units_come_as_number_or_text() -> None:
    lines = [line(2, 700_000_000), line("1", 5, resource_name="mistral-small - Input tokens"), line(-1, -500_000_000)]
    with serving(paged(bill(lines, "2026-11-20T04:12:33Z"))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert found.cost(currency="EUR") == Decimal("2.200000005")
    assert {key.line.model for key, _, _ in found.buckets} == {"llama-3.3-70b-instruct", "mistral-small"}
    assert server.asked[0].headers["x-auth-token"] == "very-secret"
    assert found.until == datetime(2026, 11, 20, 4, 12, 33, tzinfo=UTC)


def test_what_grew_between_two_looks_is_given_to_the_days_between_them_and_the_month_stays_exact() -> None:
    first, second = bill([line(20)], "2026-11-19T00:00:00Z"), bill([line(26)], "2026-11-20T06:00:00Z")
    with serving(in_turn(first, second)) as server:
        found = held(server.url).round(SINCE, NOW - timedelta(days=1))
        assert found.days("EUR")[date(2026, 11, 5)] == pytest.approx(Decimal(20) / 18)
        found.round(SINCE, NOW)
    assert found.cost(currency="EUR") == 26
    assert found.days("EUR")[date(2026, 11, 19)] == Decimal("4.8")
    assert found.days("EUR")[date(2026, 11, 20)] == Decimal("1.2")


def test_a_correction_lowers_the_month_and_reading_it_again_changes_nothing() -> None:
    bills = [bill([line(20)], "2026-11-19T00:00:00Z"), bill([line(18)], "2026-11-20T00:00:00Z")]
    with serving(in_turn(*bills)) as server:
        found = held(server.url).round(SINCE, NOW)
        found.round(SINCE, NOW)
        once = dict(found.buckets)
        found.round(SINCE, NOW + timedelta(hours=1))
    assert found.cost(currency="EUR") == 18
    assert found.buckets == once


def test_a_bill_of_three_pages_is_read_whole() -> None:
    lines = [line(1, project_name=f"p{number}", project_id=f"id-{number}") for number in range(250)]
    with serving(paged(bill(lines, "2026-11-20T00:00:00Z"))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.cost(currency="EUR") == 250
    assert [asked.one("page") for asked in server.asked] == ["1", "2", "3"]
    assert len(found.labels("project")) == 250


def faulty(kind: str) -> Callable[[Asked], Reply]:
    whole = bill([line(1, project_id=f"id-{n}") for n in range(150)], "2026-11-20T00:00:00Z")

    def answer(asked: Asked) -> Reply:
        if asked.one("page") == "1":
            return paged(whole)(asked)
        return {
            "a page lost": Reply({**whole, "consumptions": []}),
            "token expired": Reply({"message": "authentication is denied", "type": "denied_authentication"}, 401),
            "a storm of 429": Reply({"message": "too many requests"}, 429, {"Retry-After": "30"}),
            "refreshed meanwhile": Reply(
                {**whole, "updated_at": "2026-11-20T09:00:00Z", "consumptions": [line(1)] * 50}
            ),
            "no JSON": Reply("<html>maintenance</html>"),
            "200 that means failure": Reply({"message": "try again", "type": "transient_state"}),
        }[kind]

    return answer


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("a page lost", "100 of 150 lines"),
        ("token expired", "401"),
        ("a storm of 429", "429"),
        ("refreshed meanwhile", "was refreshed while"),
        ("no JSON", "web page"),
        ("200 that means failure", "consumptions is missing"),
    ],
)
def test_a_bill_that_arrives_in_part_changes_nothing_and_says_why(kind: str, said: str) -> None:
    with serving(paged(bill([line(7)], "2026-11-19T00:00:00Z"))) as server:
        found = held(server.url).round(SINCE, NOW)
    with serving(faulty(kind)) as server:
        again = held(server.url)
        again.cursor, again.buckets = found.cursor, dict(found.buckets)
        again.round(SINCE, NOW)
    assert again.error is not None
    assert said in str(again.error)
    assert "very-secret" not in repr(again.error)
    assert again.buckets == found.buckets
    assert again.cursor == found.cursor


def test_the_wait_that_a_429_asks_for_is_handed_on() -> None:
    with serving(faulty("a storm of 429")) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is not None
    assert found.error.retry_after == timedelta(seconds=30)
    assert not found.error.permanent


def test_a_bill_that_suddenly_holds_nothing_is_not_believed() -> None:
    bills = [bill([line(20)], "2026-11-19T00:00:00Z"), bill([], "2026-11-20T00:00:00Z")]
    with serving(in_turn(*bills)) as server:
        found = held(server.url).round(SINCE, NOW)
        found.round(SINCE, NOW)
    assert "holds nothing any more" in str(found.error)
    assert found.cost(currency="EUR") == 20


def test_an_empty_month_is_a_month_that_cost_nothing() -> None:
    with serving(paged(bill([], "2026-11-20T00:00:00Z"))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is None
    assert found.until == datetime(2026, 11, 20, tzinfo=UTC)
    assert found.buckets == {}


def test_an_answer_older_than_the_last_one_changes_nothing() -> None:
    bills = [bill([line(20)], "2026-11-19T00:00:00Z"), bill([line(15)], "2026-11-18T00:00:00Z")]
    with serving(in_turn(*bills)) as server:
        found = held(server.url).round(SINCE, NOW)
        found.round(SINCE, NOW)
    assert found.cost(currency="EUR") == 20
    assert found.until == datetime(2026, 11, 19, tzinfo=UTC)


def test_last_month_is_read_until_it_has_settled_and_what_comes_late_falls_on_its_last_day() -> None:
    def answer(asked: Asked) -> Reply:
        if asked.one("billing_period") == "2026-11":
            late = len(server.asked) > 1
            return paged(bill([line(33 if late else 30)], "2026-12-02T03:00:00Z" if late else "2026-12-01T00:00:00Z"))(
                asked
            )
        return paged(bill([line(1)], "2026-12-02T03:00:00Z"))(asked)

    with serving(answer) as server:
        found = held(server.url).round(SINCE, datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
        found.round(datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, 4, tzinfo=UTC))
        assert [asked.one("billing_period") for asked in server.asked[1:]] == ["2026-11", "2026-12"]
        found.round(datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 7, 4, tzinfo=UTC))
        assert [asked.one("billing_period") for asked in server.asked[3:]] == ["2026-12"]
    assert sum(amount for day, amount in found.days("EUR").items() if day.month == 11) == 33
    assert found.days("EUR")[date(2026, 11, 30)] == 4


def test_months_begin_in_the_zone_of_the_bill() -> None:
    with serving(paged(bill([line(2)], "2026-11-20T00:00:00Z"))) as server:
        found = held(server.url, timezone="Europe/Paris").round(SINCE, NOW)
    assert found.readings[0].window == (datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC))


def test_projects_are_asked_for_one_by_one_and_labelled() -> None:
    def answer(asked: Asked) -> Reply:
        name = asked.one("project_id")
        return paged(bill([line(1 if name == "a" else 2, project_id=name, project_name="")], "2026-11-20T00:00:00Z"))(
            asked
        )

    with serving(answer) as server:
        found = held(server.url, organization_id="", project_ids="a,b").round(SINCE, NOW)
    assert found.cost(currency="EUR") == 3
    assert found.labels("project") == {"a", "b"}
    assert all("organization_id" not in asked.query for asked in server.asked)


@pytest.mark.parametrize(
    ("others", "discounts", "total"),
    [(False, "auto", "1.80"), (True, "auto", "2.70"), (True, "include", "1.80"), (False, "leave_out", "2.70")],
)
def test_discounts_count_where_they_can_only_be_for_what_is_taken(*, others: bool, discounts: str, total: str) -> None:
    lines = [line(2, 700_000_000)] + [line(50, product_name="Instances", category_name="Compute", sku="/vm",
                                           resource_name="DEV1-S")] * others  # fmt: skip
    with serving(paged(bill(lines, "2026-11-20T00:00:00Z", discount=-0.9))) as server:
        found = held(server.url, discounts=discounts).round(SINCE, NOW)
    assert found.cost(currency="EUR") == Decimal(total)


def test_a_discount_of_the_account_is_shared_over_its_projects_to_the_cent_and_is_no_project() -> None:
    dev = {"project_name": "dev", "project_id": "p2"}
    lines = [line(0, 900_000_000, sku="/in"), line(2, 700_000_000), line(0, 150_000_000, **dev, sku="/in"),
             line(0, 350_000_000, **dev)]  # fmt: skip
    with serving(paged(bill(lines, "2026-11-20T00:00:00Z", discount=-0.9))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.labels("project") == {"prod", "dev"}
    for project, net in (("prod", "2.81"), ("dev", "0.39")):
        own = found.cost(lambda key, project=project: dict(key.labels)["project"] == project, "EUR")  # type: ignore[misc]
        assert own == Decimal(net)


def test_a_currency_never_seen_is_kept_apart_and_what_is_none_is_named() -> None:
    swiss = line(3)
    swiss["value"]["currency_code"] = "CHF"
    with serving(paged(bill([line(1), swiss], "2026-11-20T00:00:00Z"))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert (found.cost(currency="EUR"), found.cost(currency="CHF")) == (1, 3)
    swiss["value"]["currency_code"] = "credits"
    with serving(paged(bill([swiss], "2026-11-20T00:00:00Z"))) as server:
        found = held(server.url).round(SINCE, NOW)
    assert "three capital letters" in str(found.error)


def test_either_an_organization_or_projects_are_named() -> None:
    with pytest.raises(ValidationError, match="either organization_id or project_ids"):
        Options.model_validate({"secret_key": "x"})


@given(
    figures=st.lists(st.tuples(st.integers(0, 29 * 86400), st.integers(-(10**9), 10**15)), min_size=1, max_size=8),
    late=st.integers(0, 10**15),
)
def test_the_days_of_a_month_always_add_up_to_its_last_figure(figures: list[tuple[int, int]], late: int) -> None:
    month = Month(date(2026, 11, 1))
    for seconds, total in sorted(figures):
        assert month.update("", SINCE + timedelta(seconds=seconds), {("a",): total}, UTC)
        assert month.total("") == total
    month = remembered(to_remember({month.first: month}, month.first))[month.first]
    assert month.update("", SINCE + timedelta(days=33), {("a",): late}, UTC)
    assert month.total("") == late
