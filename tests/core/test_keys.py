"""Keys: what makes an alert unique is injective for any label values, and comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from alertd.core.evaluation.keys import (
    AlertKey,
    SourceKey,
    StatusKey,
    alert_key,
    announced_of,
    announced_since,
    parse_alert,
    parse_source,
    parse_status,
    status_name,
)

NASTY = st.text(alphabet="ab,=/%2F é", min_size=1, max_size=8)
VALUES = NASTY | st.none()
KEYS = st.builds(
    StatusKey,
    NASTY.filter(lambda name: name != "source"),
    st.lists(st.tuples(NASTY, VALUES), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
    st.just("2026-11-01"),
)


@given(KEYS)
def test_a_status_key_comes_back_from_its_text(key: StatusKey):
    assert parse_status(str(key)) == key


@given(KEYS, KEYS)
def test_two_scopes_never_share_a_key(one: StatusKey, other: StatusKey):
    assert (str(one) == str(other)) == (one == other)


@given(KEYS, st.sampled_from(["actual", "forecast", "burn_rate"]), st.decimals("0.01", "10000", places=2))
def test_a_threshold_s_key_comes_back_from_its_text(key: StatusKey, basis: str, level: Decimal):
    found = parse_alert(alert_key(str(key), basis, level, Decimal("500.00")))
    assert found == AlertKey(key, basis, f"{level.normalize():f}", "500")
    assert str(found) == alert_key(str(key), basis, level, Decimal(500))


@given(NASTY, st.integers(0, 99))
def test_a_source_s_key_comes_back_from_its_text_and_is_no_threshold_s(name: str, episode: int):
    key = SourceKey(name, "stale", episode)
    assert parse_source(str(key)) == key
    assert parse_alert(str(key)) is None
    assert parse_status(str(key)) is None


def test_without_a_label_and_with_an_empty_one_is_the_same_key():
    assert status_name("teams", (("team", None),), "2026-11-01") == status_name("teams", (("team", ""),), "2026-11-01")


def test_only_thresholds_count_as_announced():
    status = status_name("research", (), "2026-11-01")
    level, episode = (
        alert_key(status, "actual", Decimal(80), Decimal(500)),
        alert_key(status, "forecast", Decimal(9), 1),
    )
    others = [f"{status}/summary/first", f"{status}/digest/2026-11-02", f"{episode}/recovered", f"{episode}/reminder/3"]
    assert announced_of([level, episode, *others, "research2//2026-11-01/actual/80/500"], status) == [level, episode]
    start = datetime(2026, 11, 1, tzinfo=UTC)
    announced = {level: start, episode: start + timedelta(days=1), others[0]: start + timedelta(days=1)}
    assert announced_since(announced, start + timedelta(hours=1)) == {status: 1}
