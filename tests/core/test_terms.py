"""What the terms of an action say: whom they protect, whose approval counts."""

from __future__ import annotations

import pytest

from alertd.core.actions.policy import ActionPolicy

NAMES = frozenset({"Prod-Search", "sk-1"})
LABELS = frozenset({("Team", "Search"), ("key", "Prod-Search")})


@pytest.mark.parametrize(
    "pattern", ["prod-*", "PROD-SEARCH", " prod-search ", "team=search", "TEAM=S*", "team = search", "sk-?"]
)
def test_a_protection_covers_a_name_or_a_label_however_either_is_spelt(pattern: str) -> None:
    terms = ActionPolicy("block", "block this key", protect=("staging-*", pattern))
    assert terms.protects(NAMES, LABELS) == pattern


@pytest.mark.parametrize("pattern", ["prod", "team=sear", "search", "owner=search", "team="])
def test_a_protection_covers_nothing_else(pattern: str) -> None:
    terms = ActionPolicy("block", "block this key", protect=(pattern,))
    assert terms.protects(NAMES | {""}, LABELS) == ""


@pytest.mark.parametrize(
    ("approvers", "person", "counts"),
    [((), "ann", True), ((), "  ", False), (("Ann",), " ann ", True), (("ann",), "bob", False), (("ann",), "", False)],
)
def test_an_approval_counts_by_name_and_only_of_an_approver(
    approvers: tuple[str, ...], person: str, *, counts: bool
) -> None:
    terms = ActionPolicy("block", "block this key", approvers=approvers)
    assert (terms.refuses_approver(person) == "") is counts
