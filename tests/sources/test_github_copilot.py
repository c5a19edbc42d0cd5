"""GitHub Copilot's AI credits: net and gross, by user where asked, and never more than the organization's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alertd.sources.github_copilot import Options, build
from tests.servers.billing import Asked, Reply, serving
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 18, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def item(gross: float = 2.5, covered: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A line of the answer, in the form of GitHub's REST description."""
    return {
        "product": "Copilot", "sku": "Copilot AI Credits", "model": "Claude Sonnet 4.5", "unitType": "ai-credits",
        "pricePerUnit": 0.01, "grossQuantity": gross * 100, "grossAmount": gross, "discountQuantity": covered * 100,
        "discountAmount": covered, "netQuantity": (gross - covered) * 100, "netAmount": round(gross - covered, 6),
        **fields,
    }  # fmt: skip


class Github:
    """Items by day of November and user ("" for all)."""

    def __init__(self, **items: list[dict[str, Any]]) -> None:
        self.items = {(name[:3], name[3:].strip("_")): rows for name, rows in items.items()}

    def __call__(self, asked: Asked) -> Reply:
        assert asked.headers["authorization"] == "Bearer ghp-secret"
        assert asked.headers["x-github-api-version"] == "2026-03-10"
        assert (asked.one("year"), asked.one("month")) == ("2026", "11")
        rows = self.items.get((f"d{int(asked.one('day')):02d}", asked.one("user")), [])
        return Reply({"timePeriod": {"year": 2026}, "organization": "acme", "usageItems": rows})


def held(url: str, **options: Any) -> SourceLedger:
    known = {"token": "ghp-secret", "organization": "acme", "url": url, **options}
    return SourceLedger(build("copilot", Options.model_validate(known)))


@pytest.mark.parametrize(("amount", "wanted"), [("net", "1.75"), ("gross", "3")])
def test_net_is_what_is_billed_and_gross_what_was_used(amount: str, wanted: str) -> None:
    with serving(Github(d19=[item(), item(0.5, 0.25, model="GPT-5")])) as server:
        found = held(server.url, amount=amount).round(SINCE, NOW)
    assert found.error is None
    assert found.days() == {date(2026, 11, 19): Decimal(wanted)}
    assert server.asked[0].path == "/organizations/acme/settings/billing/ai_credit/usage"
    assert [asked.one("day") for asked in server.asked] == ["18", "19", "20"]


def test_users_are_asked_for_one_by_one_and_the_rest_is_nobodys() -> None:
    github = Github(d19=[item(6, 0)], d19_ana=[item(2, 0)], d19_ben=[item(1.5, 0)])
    with serving(github) as server:
        found = held(server.url, users=["ana", "ben"]).round(SINCE, NOW)
    spent = {
        who: found.cost(lambda key, who=who: dict(key.labels).get("user", "") == who) for who in ("ana", "ben", "")
    }
    assert spent == {"ana": 2, "ben": Decimal("1.5"), "": Decimal("2.5")}


def test_users_that_were_asked_a_moment_later_make_no_credit_of_the_rest() -> None:
    with serving(Github(d19=[item(2, 0)], d19_ana=[item(2.1, 0)])) as server:
        found = held(server.url, users=["ana"]).round(SINCE, NOW)
    assert found.cost() == Decimal("2.1")


def test_the_last_days_are_read_again_and_corrected() -> None:
    github = Github(d19=[item(2, 0)])
    with serving(github) as server:
        found = held(server.url).round(SINCE - timedelta(days=10), NOW)
        github.items["d19", ""] = [item(5, 0)]
        github.items["d08", ""] = [item(9, 0)]
        count = len(server.asked)
        found.round(SINCE, NOW + timedelta(hours=1))
        assert [asked.one("day") for asked in server.asked[count:]] == ["18", "19", "20"]
    assert found.cost() == 5


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply({"message": "Must have admin rights"}, 403), "403"),
        (Reply({"message": "Not Found"}, 404), "404"),
        (Reply({"items": []}), "usageItems is missing"),
        (Reply({"usageItems": [{"product": "Copilot", "netAmount": None}]}), "netAmount"),
    ],
)
def test_what_is_not_as_it_is_known_is_an_error_and_no_empty_month(reply: Reply, said: str) -> None:
    with serving(lambda _: reply) as server:
        found = held(server.url).round(SINCE, NOW)
    assert found.error is not None
    assert said in str(found.error)
    assert "ghp-secret" not in str(found.error)


def test_an_enterprise_has_its_own_path_and_one_of_both_is_needed() -> None:
    with serving(Github()) as server:
        held(server.url, organization="", enterprise="big co").round(SINCE, NOW)
    assert server.asked[0].path == "/enterprises/big%20co/settings/billing/ai_credit/usage"
    with pytest.raises(ValueError, match="name an organization, or an enterprise"):
        Options.model_validate({"token": "ghp-secret"})
