"""Credits and discounts are shared over what they are for: sums stay, no charge falls below zero, order is nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.billing.deductions import share_deductions
from alertd.core.evaluation.values import SourceView
from alertd.core.money import Money
from alertd.core.pricing.source_roles import SourceRole
from alertd.core.usage import BilledCost, Line, Usage
from alertd.loops.collect import Collect
from alertd.ports import Look, Reading, Source
from alertd.sources import focus
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.scenario import Scenario, budget
from tests.sources import test_focus

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
#: Labels that say whose a cost is.
WHOSE = ("project", "key")


def cost(amount: str, day: int = 1, model: str = "", days: int = 1, **labels: str) -> BilledCost:
    start = NOVEMBER + (day - 1) * DAY
    return BilledCost("acme", start, start + days * DAY, Money(Decimal(amount), "EUR"), labels, model, "bill")


def by(label: str, records: Iterable[BilledCost | Usage]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for one in records:
        assert isinstance(one, BilledCost)
        found[one.labels.get(label, "")] += one.cost.amount
    return dict(found)


@pytest.mark.parametrize(
    ("records", "shared"),
    [
        pytest.param([cost("3.60", project="prod"), cost("0.50", project="dev"), cost("-0.90")],
                     {"prod": "2.809756098", "dev": "0.390243902"}, id="a free tier of the account"),
        pytest.param([cost("3", project="prod"), cost("5", project="dev"), cost("-1", project="prod")],
                     {"prod": "2", "dev": "5"}, id="a credit of one project"),
        pytest.param([cost("3", project="prod", project_id="p"), cost("5", project="dev"), cost("-1", project_id="p")],
                     {"prod": "2", "dev": "5"}, id="a credit that names the project's id"),
        pytest.param([cost("3", day=2, project="prod"), cost("5", day=9, project="dev"), cost("-4", day=30)],
                     {"prod": "1.5", "dev": "2.5"}, id="a coupon on the last day of the month"),
        pytest.param([cost("3", day=2, project="prod"), cost("5", day=9, project="dev"), cost("-4", day=2)],
                     {"prod": "0", "dev": "4"}, id="its own day first, then its month"),
        pytest.param([cost("3", line="input", project="a"), cost("3", line="output", project="b"),
                      cost("-3", line="input")], {"a": "0", "b": "3"}, id="what it is for first"),
        pytest.param([cost("3", project="a"), cost("-1", project="a", category="credit", service="refunds")],
                     {"a": "2"}, id="what it is called matters to nobody"),
        pytest.param([cost("3", project="a"), cost("-5")], {"a": "0", "": "-2"}, id="more back than was charged"),
        pytest.param([cost("3", project="a"), cost("-1", project="b")], {"a": "3", "b": "-1"}, id="another's refund"),
    ],
)  # fmt: skip
def test_a_deduction_is_of_those_it_is_for(records: list[BilledCost], shared: dict[str, str]) -> None:
    assert by("project", share_deductions(records)) == {name: Decimal(amount) for name, amount in shared.items()}


nanos = st.integers(0, 10**12).map(lambda whole: Decimal(whole).scaleb(-9))
labels = st.dictionaries(st.sampled_from([*WHOSE, "line", "category"]), st.sampled_from("ab"), max_size=3)
records = st.lists(
    st.builds(
        lambda amount, sign, day, days, model, own: cost(str(amount * sign), day, model, days, **own),
        nanos, st.sampled_from([1, 1, -1]), st.integers(1, 28), st.sampled_from([1, 1, 28]),
        st.sampled_from(["", "m", "n"]), labels,
    ),
    max_size=12,
)  # fmt: skip


@given(records)
def test_the_sum_stays_and_so_does_that_of_whoever_is_named(bill: list[BilledCost]) -> None:
    shared = share_deductions(bill)
    assert sum(by("", shared).values()) == sum(by("", bill).values())
    named = [one for one in bill if one.cost.amount >= 0 or all(name in one.labels for name in WHOSE)]
    charged = {tuple(one.labels.get(name, "") for name in WHOSE) for one in bill if one.cost.amount > 0}
    if (
        len(named) == len(bill)
        and {tuple(one.labels[n] for n in WHOSE) for one in bill if one.cost.amount < 0} <= charged
    ):
        for name in WHOSE:
            assert by(name, shared) == by(name, bill)


def charges(bill: Iterable[BilledCost]) -> Counter[tuple[object, ...]]:
    return Counter((one.start, one.end, one.model, *sorted(one.labels.items())) for one in bill if one.cost.amount >= 0)


@given(records)
def test_no_charge_falls_below_zero_and_only_more_than_was_charged_is_left(bill: list[BilledCost]) -> None:
    shared = [one for one in share_deductions(bill) if isinstance(one, BilledCost)]
    whole = sum(one.cost.amount for one in bill)
    nameless = all(set(one.labels) <= {"line", "category"} for one in bill if one.cost.amount < 0)
    if nameless and whole >= 0:
        assert all(one.cost.amount >= 0 for one in shared)
    assert charges(shared) == charges(bill)


@given(records, st.randoms(use_true_random=False))
def test_the_order_of_a_bill_changes_nothing(bill: list[BilledCost], chance: object) -> None:
    mixed = list(bill)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert sorted(map(repr, share_deductions(mixed))) == sorted(map(repr, share_deductions(bill)))


def test_usage_beside_the_bill_and_other_currencies_are_not_touched() -> None:
    usage = Usage(Line("acme", "m", "input"), NOVEMBER, NOVEMBER + DAY, 7, {}, "bill")
    dollars = BilledCost("acme", NOVEMBER, NOVEMBER + DAY, Money(Decimal(9), "USD"))
    found = share_deductions([usage, dollars, cost("3", project="a"), cost("-1")])
    assert usage in found
    assert dollars in found


class Billed:
    """A bill that is read once, whole."""

    name, interval, delay, stale_after = "bill", DAY, DAY, DAY
    standing = SourceRole("auto", "bill")

    def __init__(self, records: Iterable[BilledCost | Usage]) -> None:
        self.records = tuple(records)

    async def read(self, cursor: str | None, since: datetime, now: datetime) -> AsyncIterator[Reading]:
        yield Reading("1", now, records=self.records, window=(NOVEMBER, NOVEMBER + 30 * DAY))

    async def look(self, now: datetime) -> Look:
        return Look("a fake")

    async def close(self) -> None: ...


async def spent(source: Source, label: str, currency: str) -> dict[str | None, Decimal]:
    """What each scope of a budget by this label spent, after collect and one evaluation."""
    store, now = MemoryStore(), NOVEMBER + 20 * DAY
    await Collect(source, store, StoppedClock(now), lambda _: NOVEMBER).tick()
    world = Scenario(budget("b", f"3 {currency}", per=(label,)), at=now)
    world.ledger.add_series(await store.series())
    world.ledger.apply((await store.usage(NOVEMBER - DAY, 0))[0])
    world.sources = {source.name: SourceView(source.name, now, DAY)}
    world.standings = {source.name: SourceRole("auto", "bill")}
    return {one.scope[0][1]: one.spent for one in world.evaluate().statuses}


async def test_a_discount_of_the_account_is_no_scope_of_its_own_and_no_project_is_over_by_it() -> None:
    bill = Billed([cost("3.60", project="prod"), cost("0.50", project="dev"), cost("-0.90", category="discount")])
    found = await spent(bill, "project", "EUR")
    assert {name: round(amount, 2) for name, amount in found.items()} == {
        "prod": Decimal("2.81"),
        "dev": Decimal("0.39"),
    }


async def test_the_credits_of_a_focus_file_are_its_accounts(tmp_path: Path) -> None:
    credit = {"ChargeCategory": "Credit", "SubAccountName": "", "Tags": "", "RegionId": "", "ServiceName": "Credits"}
    rows = [{"BilledCost": "6", "SubAccountName": "prod"}, {"BilledCost": "2", "SubAccountName": "dev"},
            {"BilledCost": "-4", **credit}]  # fmt: skip
    (tmp_path / "f.csv").write_text(test_focus.text(*rows))
    source = focus.build("cloud", focus.Options(path=str(tmp_path / "f.csv")))
    assert await spent(source, "subaccount", "USD") == {"prod": Decimal(3), "dev": Decimal(1)}
