"""The threats of docs/threat-model.md, one test each: who does what, and what stops them."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alertd.core.actions.guards import GUARDS, is_own
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import OPEN, PAUSED, TRANSITIONS, Act, InvalidTransitionError, replayed
from alertd.core.events import ActionStep, Event
from alertd.core.messages import compose, text_of
from alertd.loops.executor import action_of, secrets_of
from alertd.ports import Target
from alertd.registry import kinds, load
from tests.action_scenario import ActionScenario, FakeKeyProvider
from tests.contracts.test_revokers import run, stopping
from tests.servers.billing import Asked, Reply, serving
from tests.servers.keys import PROVIDERS
from tests.stories.test_actions import SUNDAY, runaway, states, sunday

PAGE = Path(__file__).parents[2] / "docs" / "threat-model.md"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_every_threat_of_the_page_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text()))
    here = "".join(path.read_text() for path in (PAGE.parents[1] / "tests").rglob("test_*.py"))
    assert named
    assert {name for name in named if f"def {name}(" not in here} == set()


def test_every_guard_is_named_on_the_page_of_revocation() -> None:
    page = (PAGE.parent / "revocation.md").read_text()
    assert {guard.name for guard in GUARDS if f"**{guard.name}**" not in page} == set()


# --- a stolen Slack token, a forged button press ---


def test_a_chat_can_write_nothing_that_acts() -> None:
    """Whoever holds Slack's token writes in a channel. A notifier reads back receipts, and presses that it hands on."""
    for kind in kinds("notifiers"):
        source = Path(load("notifiers", kind).__file__ or "").read_text()
        acts = r"^\s*(?:from|import) alertd\.(?:core\.actions|operations|revokers|loops|stores)\b"
        assert not re.search(acts, source, re.MULTILINE), kind


async def test_an_approval_by_somebody_who_is_no_approver_is_refused_even_where_it_got_into_the_database():
    acting = await runaway(approvers=("@ana",))
    await acting.answer("approve", by="mallory", expires=acting.clock.at + timedelta(hours=2))
    assert await acting.round() == ["held"]
    assert acting.key_provider.written == []
    assert "mallory is not among its approvers" in acting.words()[-1]


@pytest.mark.parametrize("by", ["", "  "])
async def test_an_approval_without_a_name_is_none(by: str):
    acting = await runaway()
    await acting.answer("approve", by=by, expires=acting.clock.at + timedelta(hours=2))
    await acting.round()
    assert acting.key_provider.written == []


async def test_an_approval_is_used_once_and_not_after_its_time():
    acting = await runaway()
    await acting.answer("approve", expires=acting.clock.at + timedelta(hours=2))
    await acting.round()
    with pytest.raises(InvalidTransitionError):
        await acting.answer("approve")
    late = await runaway()
    late.clock.move(hours=2)
    late.world.now = late.clock.at
    await late.round()
    with pytest.raises(InvalidTransitionError, match="expired"):
        await late.answer("approve")


# --- a malicious label ---

ANY = st.text(max_size=40)


@given(label=ANY)
def test_whatever_a_label_says_a_message_stays_on_its_lines_and_shows_no_control_character(label: str) -> None:
    details = ActionStep("stop", "proposed", "stop it", label)
    message = compose([Event("e", "action", "critical", NOW, reason=label, handle="abc123", details=details)], NOW)
    for line in (message.headline, *message.body):
        text = text_of(line)
        assert all(unicodedata.category(char) not in {"Cc", "Zl", "Zp", "Cs"} for char in text)


@pytest.mark.parametrize(
    "name", ["../../users/user-1/lock", "apikey_02", "x?status=active", "x#", "apikey_01/../apikey_02", "\r\nX-Evil: 1"]
)
async def test_a_label_cannot_lead_a_request_to_another_address(name: str):
    """A key is found by its exact name or id among those that the provider lists; its id is quoted in every path."""
    provider = PROVIDERS[0]()
    asked: list[Asked] = []

    def answer(request: Asked) -> Reply:
        asked.append(request)
        return provider(request)

    with serving(answer) as server:
        plugin = load("revokers", "anthropic")
        revoker = plugin.build("stop", plugin.Options.model_validate({"url": server.url, "token": "acting-token"}))
        await revoker.read(Target(name))
        await revoker.close()
    assert [request.path.count("/") for request in asked] == [4]


async def test_a_protected_name_is_protected_in_any_spelling_of_upper_and_lower_case():
    acting = await runaway(mode="auto", protect=("Rag-INDEXER",))
    assert (states(acting), acting.key_provider.written) == (["held"], [])


# --- a compromised Prometheus ---


async def test_one_lying_reading_stops_nobody():
    acting = ActionScenario(sunday(), mode="auto")
    await acting.round()
    acting.world.spend(10**6, at=acting.clock.at, key="web", team="research")
    await acting.round()
    assert acting.key_provider.written == []


async def test_a_source_that_goes_on_lying_reaches_one_key_an_hour_at_most_and_never_a_protected_one():
    world = sunday()
    ring = FakeKeyProvider(dict.fromkeys(("web", "rag-indexer", "prod-a", "prod-b"), "active"))
    acting = ActionScenario(world, key_provider=ring, mode="auto", protect=("prod-*",), who="all")
    await acting.round()
    for _ in range(11):
        for name in ring.keys:
            world.spend(50, at=acting.clock.at, key=name, team="research")
        await acting.round()
    assert len(ring.written) == 1
    assert not any(name.startswith("prod") for name, _ in ring.written)


async def test_by_default_a_lying_source_can_make_alertd_ask_and_nothing_else():
    acting = await runaway()
    for _ in range(12):
        await acting.round()
    assert acting.key_provider.written == []


# --- alertd's own credentials ---


@given(begin=st.text("abc-", min_size=3, max_size=8), middle=st.text("xyz", max_size=9), end=st.text("def", min_size=4))
def test_a_masked_key_is_known_as_ones_own_by_both_its_ends(begin: str, middle: str, end: str) -> None:
    secret = f"{begin}{middle}{end}"
    assert is_own([secret], "", f"{begin}...{end}")
    assert not is_own([secret], "", f"{begin}!...{end}")
    assert is_own([secret], secret, "")


def test_a_credential_in_a_header_is_a_credential_like_any():
    given = {"url": "http://gateway", "preset": "litellm", "token": "t0ken", "headers": {"X-Api-Key": "in-a-header"}}
    options = load("sources", "prometheus").Options.model_validate(given)
    assert set(secrets_of(options)) == {"t0ken", "in-a-header"}


def test_a_credential_that_reads_is_no_credential_to_act():
    plugin = load("revokers", "anthropic")
    options = plugin.Options.model_validate({"token": "sk-ant-admin-shared", "mode": "auto"})
    action = action_of("stop", options, plugin.build("stop", options), {"sk-ant-admin-shared": "sources.claude"})
    assert action.terms.lacks == "its credential is that of sources.claude, too: give it one of its own"


# --- whoever can write the database, or stops alertd halfway ---


@given(st.lists(st.sampled_from(sorted({what for _, what in TRANSITIONS})), max_size=30))
def test_no_order_of_events_leads_to_the_key_without_a_proposal_and_an_answer(events: list[str]) -> None:
    act = Act("a" * 24, "stop", "k", "key", "b//p", "o", "actual", "stop it", True, "disable", {})  # noqa: FBT003
    steps = []
    for what in events:
        if (act.state, what) in TRANSITIONS:
            act, step = act.after(what, NOW)
            steps.append(step)
        else:
            with pytest.raises(InvalidTransitionError):
                act.after(what, NOW)
    done = [step.what for step in steps]
    if "send" in done:
        assert done.index("propose") < done.index("begin") < done.index("send")
        assert {"approve", "permit"} & set(done[: done.index("begin")])
    assert replayed(steps) == act.state
    assert act.state in OPEN or not any(state == act.state for state, _ in TRANSITIONS) or not act.state


async def test_a_pause_holds_what_was_approved_and_what_is_automatic_and_people_may_still_undo():
    acting = await runaway(mode="auto")
    await acting.store.commit_decisions([], [], {PAUSED: ({"at": SUNDAY.isoformat(), "by": "ana"}, 0)})
    assert await acting.round(minutes=60 * 24 * 16) == []  # the next period's restore waits, too
    await acting.answer("restore")
    assert await acting.round() == ["restored"]


async def test_a_secret_key_is_never_held_only_its_id_and_its_state():
    async with stopping(PROVIDERS[0]()) as going:
        act = await going.rounds(1)
        assert act.before == {"values": {"status": "active"}, "said": "status active"}
        assert "acting-token" not in str(act.to_json()) + str(await going.sound())


async def test_a_hook_on_another_host_is_not_followed():
    with serving(lambda _: Reply("yes")) as elsewhere:
        away = {"Location": elsewhere.url.replace("127.0.0.1", "localhost")}
        with serving(lambda _: Reply("", 308, away)) as server:
            async with run("webhook", {"url": server.url, "secret": "s" * 20}) as going:
                assert (await going.rounds()).state == "failed"
    assert elsewhere.asked == []


def test_every_kind_has_every_guard_on_by_default() -> None:
    for kind in kinds("revokers"):
        plugin = load("revokers", kind)
        fields = plugin.Options.model_fields
        assert fields["mode"].default == "dry_run"
        assert fields["max_per_hour"].default == 1
        assert fields["on"].default == ["actual 100%", "burn_rate"]
        assert fields["who"].default == "cause"
    assert ActionPolicy("x", "y").mode_in_force(dry_run=False) == "dry_run"
