"""Stories of keys that are stopped, or are not, on a stopped clock: an evaluation, an act loop, a provider of keys."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alertd.core.actions.dry_run_report import dry_run_outcomes
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import PAUSED, Act
from alertd.core.budgets import Amount, parse_threshold
from alertd.core.evaluation.interactions import Interaction
from alertd.core.evaluation.state import RAISED, SILENCES, RaisedAmount, Silence, State
from alertd.core.evaluation.values import SourceView
from alertd.loops.executor import Action
from alertd.loops.interactions import InteractionDeps, InteractionLoop
from alertd.ports import Operation, RevokerError, Target
from tests.action_scenario import ActionScenario, FakeKeyProvider
from tests.scenario import Scenario, budget

#: Sunday, 15 November 2026, two in the morning.
SUNDAY = datetime(2026, 11, 15, 2, tzinfo=UTC)
BURN = "burn_rate 10x over 1h and 5m above 5 USD"


def sunday(**more) -> Scenario:
    """Two weeks of calm usage of two keys, in a budget of 500 USD with the action `stop`."""
    world = Scenario(budget(thresholds=["actual 100%", BURN], actions=("stop",), **more), at=SUNDAY)
    hours = [SUNDAY - timedelta(hours=hour + 1) for hour in range(24 * 14)]
    world.spend_at("0.30", hours, key="rag-indexer", team="research")
    world.spend_at("0.20", hours, key="web", team="research")
    world.told = {}
    return world


async def runaway(world: Scenario | None = None, *, rounds: int = 3, **terms) -> ActionScenario:
    """The key rag-indexer spends 4 USD every five minutes; the evaluation looks after each."""
    acting = ActionScenario(world or sunday(), **terms)
    await acting.round()
    for _ in range(rounds):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    return acting


def states(acting: ActionScenario) -> list[str]:
    return [event.details.state for event in acting.told]


def show(acting: ActionScenario) -> None:
    if os.environ.get("SHOW"):
        print("\n\n".join(acting.words()))


async def test_a_key_that_runs_away_on_a_sunday_is_stopped_once_approved_and_works_again_next_period():
    acting = await runaway()
    assert states(acting) == ["proposed"]
    proposal = acting.words()[0]
    assert "rag-indexer" in proposal
    assert proposal.startswith("Disable key rag-indexer?")
    assert "Can be undone." in proposal
    handle = (await acting.only()).handle
    assert f"alertd actions approve {handle}" in proposal
    assert acting.key_provider.keys["rag-indexer"] == "active"  # nothing is done yet

    await acting.answer("approve")
    assert await acting.round() == ["verified"]
    assert acting.key_provider.keys == {"rag-indexer": "inactive", "web": "active"}
    for _ in range(6):
        assert await acting.round() == []
    assert (await acting.only()).usage == "stopped"

    assert await acting.round(minutes=60 * 24 * 16) == ["restored"]
    assert acting.key_provider.keys == {"rag-indexer": "active", "web": "active"}
    assert acting.key_provider.written == [("rag-indexer", "inactive"), ("rag-indexer", "active")]
    steps = await acting.sound_audit()
    assert " ".join(step.what for step in steps) == (
        "propose ask approve begin read send verify stopped restore begin send restored"
    )
    assert [(step.what, step.by) for step in steps if step.by != "alertd"] == [("approve", "@ana")]
    show(acting)


async def test_the_proposal_shows_its_evidence_share_and_what_hangs_on_the_key():
    acting = await runaway()
    act = await acting.only()
    assert act.evidence["threshold"] == BURN
    assert Decimal(act.evidence["share"]) > Decimal("0.9")
    assert len(set(act.evidence["readings"])) == 2
    assert "of what this budget spent then" in acting.words()[0]
    assert "last used" in acting.words()[0]


class Described(FakeKeyProvider):
    """A provider that tells who a key belongs to; usage has its hash."""

    problem = ""

    async def find(self, target: str) -> Target:
        if self.problem:
            raise RevokerError(self.problem, permanent=True)
        used = datetime(2026, 11, 15, 2, 4, tzinfo=UTC)
        return Target(target, "checkout-production", "", {"team": ("t1", "shop")}, "ana@example.com", used)


async def test_who_approves_sees_name_owner_team_and_last_use_and_no_long_hash():
    hashed = "5f" * 32
    world = sunday()
    acting = ActionScenario(world, key_provider=Described({hashed: "active"}))
    await acting.round()
    for _ in range(3):
        world.spend(4, at=acting.clock.at, key=hashed, team="shop")
        await acting.round()
    proposal = acting.words()[0]
    assert proposal.startswith("Disable key checkout-production?")
    assert (
        "The provider shows: checkout-production (id 5f5f5f5f5f5f5f5f…), owner ana@example.com, team shop / t1, "
        "last used 02:04, status active"
    ) in proposal
    steps = await acting.sound_audit()
    assert steps[0].evidence["provider"]["owner"] == "ana@example.com"
    await acting.answer("approve")
    await acting.round()
    assert acting.words()[-1].startswith("Done and checked: disable key checkout-production")


async def test_a_proposal_that_its_provider_would_refuse_says_so_at_once():
    ring = Described()
    ring.problem = "2 keys are called 'rag-indexer' (a, b); say which in `targets`"
    acting = await runaway(key_provider=ring)
    assert states(acting) == ["proposed"]
    assert f"Its provider: {ring.problem}" in acting.words()[0]
    other = await runaway(key_provider=Described(), protect=("checkout-*",))
    assert "The provider shows: checkout-production" in other.words()[0]
    assert "Its provider: protected by checkout-*" in other.words()[0]


async def test_one_reading_proposes_nothing():
    acting = ActionScenario(sunday())
    await acting.round()
    acting.world.spend(30, at=acting.clock.at, key="rag-indexer", team="research")
    assert await acting.round() == []
    assert await acting.round(seen=False) == []  # the same data looked at twice are one reading
    assert {item.guard for item in await acting.refrained()} == {"confirmed"}
    assert await acting.acts() == []


def budget_of_actual() -> Scenario:
    """Half of 500 USD spent evenly over two weeks, by two keys; only the amount is watched."""
    world = Scenario(budget(thresholds=["actual 100%"], actions=("stop",)), at=SUNDAY)
    for hours in range(24 * 14):
        for key in ("rag-indexer", "web"):
            world.spend("0.35", at=SUNDAY - timedelta(hours=hours + 1), key=key, team="research")
    return world


@pytest.mark.parametrize("thresholds", [["actual 100%"], [BURN]], ids=["actual", "burn rate"])
async def test_a_jump_that_one_reading_explains_stops_nobody_however_long_ordinary_usage_goes_on(thresholds):
    world = budget_of_actual()
    world.budgets = (replace(world.budgets[0], thresholds=tuple(map(parse_threshold, thresholds))),)
    acting = ActionScenario(world, mode="auto", max_per_hour=9)
    await acting.round(minutes=1)
    world.spend(270, at=acting.clock.at, key="rag-indexer", team="research")  # a counter that was read wrong once
    for _ in range(40):
        await acting.round(minutes=1)
        world.spend("0.02", at=acting.clock.at, key="rag-indexer", team="research")
        world.spend("0.02", at=acting.clock.at, key="web", team="research")
    assert (states(acting), acting.key_provider.written) == (["held"], [])
    assert "one reading alone explains it: 270.00 USD at 02:" in acting.words()[0]
    assert "Check at the provider" in acting.words()[0]


async def test_a_jump_before_the_threshold_fires_does_not_count_towards_it_also_after_a_restart():
    world = budget_of_actual()
    acting = ActionScenario(world, mode="auto")
    await acting.round(minutes=1)
    world.spend(260, at=acting.clock.at, key="rag-indexer", team="research")
    await acting.round(minutes=1)
    acting.actors = [acting.replica(acting.key_provider, mode="auto")]
    for _ in range(60):
        world.spend("0.2", at=acting.clock.at, key="web", team="research")
        await acting.round(minutes=1)
    assert (states(acting), acting.key_provider.written) == (["held"], [])
    for _ in range(12):  # 270 more, over an hour: now it is exceeded without the jump, too
        world.spend(25, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round(minutes=5)
    assert acting.key_provider.written == [("rag-indexer", "inactive")]


async def test_a_second_look_sooner_than_the_source_is_read_is_the_same_reading():
    acting = ActionScenario(sunday(), mode="auto")
    acting.world.sources["gateway"] = SourceView(
        "gateway", SUNDAY, timedelta(minutes=15), interval=timedelta(minutes=4)
    )
    await acting.round()
    acting.world.spend(12, at=acting.clock.at, key="rag-indexer", team="research")
    await acting.round()
    acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
    await acting.round(minutes=1)
    assert await acting.acts() == []
    acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
    await acting.round(minutes=4)
    assert [act.target for act in await acting.acts()] == ["rag-indexer"]


async def test_after_a_restart_two_more_readings_are_needed_unless_one_was_kept():
    for kept, needed in ((False, 2), (True, 1)):
        acting = ActionScenario(sunday(), mode="auto")
        await acting.round()
        acting.world.spend(8, at=acting.clock.at, key="rag-indexer", team="research")
        if kept:
            await acting.round()
        acting.actors = [acting.replica(acting.key_provider, mode="auto")]
        if not kept:
            await acting.round()
        for count in range(needed):
            assert await acting.acts() == [], count
            acting.world.spend(6, at=acting.clock.at, key="rag-indexer", team="research")
            await acting.round()
        assert [act.target for act in await acting.acts()] == ["rag-indexer"]


async def test_in_dry_run_it_says_what_it_would_have_proposed_and_nobody_is_asked():
    acting = await runaway(mode="dry_run")
    assert states(acting) == ["rehearsed"]
    assert "Dry run" in acting.words()[0]
    for _ in range(30):
        assert await acting.round() == []
    assert acting.key_provider.written == []
    show(acting)


async def test_a_proposal_that_nobody_answers_expires_and_is_not_made_again_on_the_same_occasion():
    acting = await runaway()
    for _ in range(24):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    assert states(acting) == ["proposed", "expired"]
    assert acting.key_provider.written == []
    show(acting)


async def test_a_refused_proposal_stays_refused():
    acting = await runaway()
    await acting.answer("refuse")
    for _ in range(24):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    assert states(acting) == ["proposed"]
    assert acting.key_provider.written == []


async def test_on_stale_data_nothing_happens_and_it_says_so():
    acting = await runaway(rounds=2)
    for _ in range(4):
        await acting.round(seen=False)
    assert (states(acting), acting.key_provider.written) == (["held"], [])
    assert "stale" in acting.words()[0]
    show(acting)


async def test_what_was_approved_waits_while_the_data_are_stale_and_expires():
    acting = await runaway()
    await acting.answer("approve", expires=acting.clock.at + timedelta(hours=2))
    await acting.round(seen=False, minutes=30)
    assert (states(acting), acting.key_provider.written) == (["proposed", "held"], [])
    for _ in range(20):
        await acting.round(seen=False, minutes=10)
    assert (states(acting), acting.key_provider.written) == (["proposed", "held", "expired"], [])


@pytest.mark.parametrize("protect", ["rag-*", "RAG-indexer", "team=research"])
async def test_a_protected_key_is_never_touched_and_it_says_so(protect: str):
    acting = await runaway(mode="auto", protect=(protect,))
    assert (states(acting), acting.key_provider.written) == (["held"], [])
    assert "protected by" in acting.words()[0]


async def test_a_key_whose_name_at_the_provider_is_protected_is_not_touched_either():
    acting = await runaway(mode="auto", protect=("id-rag-indexer",))
    assert (states(acting), acting.key_provider.written) == (["approved", "failed"], [])


async def test_auto_acts_by_itself_but_what_cannot_be_undone_waits_for_a_person():
    acting = await runaway(mode="auto")
    assert states(acting) == ["approved", "verified"]
    final = await runaway(
        mode="auto",
        key_provider=FakeKeyProvider(operation=Operation("delete this key", "", "delete", reversible=False)),
    )
    assert (states(final), final.key_provider.written) == (["proposed"], [])
    assert "CANNOT be undone." in final.words()[0]


async def test_without_a_credential_of_its_own_nothing_acts():
    acting = await runaway(mode="auto", key_provider=FakeKeyProvider(lacks="it has no credential of its own"))
    assert (states(acting), acting.key_provider.written) == (["held"], [])


async def test_a_forecast_stops_nobody_unless_asked():
    world = sunday()
    world.budgets = (budget(thresholds=["forecast 100%"], actions=("stop",)),)
    for hours in (22, 23, 24):
        world.spend(90, at=SUNDAY - timedelta(hours=hours), key="rag-indexer", team="research")
    for on, expected in ((("actual 100%", "burn_rate"), []), (("forecast",), ["proposed", "proposed"])):
        acting = ActionScenario(world, on=on)
        for _ in range(3):
            world.spend("0.1", at=acting.clock.at, key="rag-indexer", team="research")
            await acting.round()
        assert states(acting) == expected
        world.now, world.told, world.state = SUNDAY, {}, State()


async def test_unpriced_usage_in_the_scope_keeps_everything_still():
    world = sunday()
    world.spend(1, at=SUNDAY - timedelta(hours=1), model="never-heard-of", key="web")
    acting = await runaway(world, mode="auto")
    assert (states(acting), acting.key_provider.written) == (["held"], [])
    assert "never-heard-of" in acting.words()[0]


async def test_back_filled_data_act_on_nobody():
    world = sunday()
    world.catching_up = frozenset({"gateway"})
    acting = await runaway(world, mode="auto")
    assert acting.key_provider.written == []
    assert "complete" in {item.guard for item in await acting.refrained()}


async def test_data_of_a_source_that_is_partial_act_on_nobody():
    acting = ActionScenario(sunday(), mode="auto")
    await acting.round()
    for _ in range(3):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        now = acting.clock.at + timedelta(minutes=5)
        acting.world.sources["gateway"] = SourceView("gateway", now, timedelta(minutes=15), degraded="half the pages")
        await acting.round(seen=False)
    assert (states(acting), acting.key_provider.written) == (["held"], [])


async def test_an_estimate_that_drifts_from_its_bill_acts_on_nobody():
    acting = ActionScenario(sunday(), mode="auto")
    acting.world.told["drift/acme/2026-11"] = SUNDAY
    acting = await runaway(acting.world, mode="auto")
    assert (states(acting), acting.key_provider.written) == (["held"], [])
    assert "drifts from its bill" in acting.words()[0]


async def test_a_pause_stops_everything_at_once_also_what_was_approved():
    acting = await runaway()
    await acting.answer("approve", expires=acting.clock.at + timedelta(hours=2))
    await acting.store.commit_decisions([], [], {PAUSED: ({"at": "2026-11-15T02:20:00", "by": "ana"}, 0)})
    assert await acting.round() == ["held"]
    assert acting.key_provider.written == []


async def test_the_last_hours_of_a_period_can_be_excluded():
    acting = await runaway(mode="auto", not_in_last=timedelta(days=20))
    assert (states(acting), acting.key_provider.written) == (["held"], [])


async def test_at_most_one_key_an_hour_is_acted_on_unless_raised():
    for most, expected in ((1, 1), (2, 2)):
        world = sunday()
        acting = ActionScenario(world, mode="auto", max_per_hour=most)
        await acting.round()
        for _ in range(6):
            world.spend(3, at=acting.clock.at, key="rag-indexer", team="research")
            world.spend(4, at=acting.clock.at, key="web", team="research")
            await acting.round()
        assert len(acting.key_provider.written) == expected
        assert acting.key_provider.written[0] == ("web", "inactive")  # the largest first


async def test_who_spends_as_usual_is_not_stopped_for_somebody_elses_runaway():
    world = sunday()
    for hours in range(24 * 14):
        world.spend(1, at=SUNDAY - timedelta(hours=hours + 1), key="production", team="research")
    world.budgets = (budget(amount="900 USD", thresholds=["actual 100%", BURN], actions=("stop",)),)
    acting = ActionScenario(world)
    await acting.round()
    for _ in range(4):
        world.spend(6, at=acting.clock.at, key="rag-indexer", team="research")
        world.spend("0.1", at=acting.clock.at, key="production", team="research")
        await acting.round()
    assert [act.target for act in await acting.acts()] == ["rag-indexer"]
    assert ("production", "cause") in {(item.target, item.guard) for item in await acting.refrained()}


async def test_a_budget_that_is_used_up_stops_whoever_goes_on_spending_largest_first():
    world = sunday()
    world.spend(400, at=SUNDAY - timedelta(days=2), key="web", team="research")
    acting = ActionScenario(world)
    for _ in range(3):
        world.spend("0.1", at=acting.clock.at, key="web", team="research")
        world.spend("0.1", at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    assert sorted(act.target for act in await acting.acts()) == ["rag-indexer", "web"]


async def test_usage_that_names_nobody_stops_nobody():
    world = Scenario(budget(thresholds=["actual 100%", BURN], actions=("stop",)), at=SUNDAY)
    acting = ActionScenario(world, mode="auto")
    await acting.round()
    for _ in range(4):
        world.spend(60, at=acting.clock.at, team="research")
        world.spend(60, at=acting.clock.at, team="search")
        await acting.round()
    assert (await acting.acts(), acting.key_provider.written) == ([], [])
    assert "nobody can be named" in {item.reason for item in await acting.refrained()}


async def test_a_raised_budget_undoes_what_alertd_did():
    acting = await runaway(mode="auto")
    (position,) = acting.world.evaluate().statuses
    acting.world.raised[position.name] = Amount(Decimal(5000), "USD")
    assert await acting.round() == ["restored"]
    assert acting.key_provider.keys["rag-indexer"] == "active"


async def _raise(acting: ActionScenario) -> None:
    (position,) = acting.world.evaluate().statuses
    acting.world.raised[position.name] = Amount(Decimal(5000), "USD")


async def _silence(acting: ActionScenario) -> None:
    silence = Silence("s1", {"budget": ("research",)}, acting.clock.at + timedelta(hours=5), "known", "ana")
    await acting.store.commit_decisions(
        [], [], {name: (value, 0) for name, value in SILENCES.put(silence, "s1").items()}
    )


async def _remove(acting: ActionScenario) -> None:
    acting.world.budgets = ()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (_raise, "the budget was raised to 5,000 USD"),
        (_silence, "its alerts are silenced until"),
        (_remove, "the budget research was removed"),
    ],
)
@pytest.mark.parametrize("approved", [False, True], ids=["waits for approval", "waits for its turn"])
async def test_what_waits_ends_with_its_reason_and_says_why(end, why, approved):
    acting = await runaway(mode="auto" if approved else "approve", max_per_hour=0)
    assert (await acting.only()).state == ("approved" if approved else "awaiting")
    await end(acting)
    assert (await acting.round())[-1:] == ["expired"]
    acting.clock.move(minutes=70)
    await acting.round()
    assert acting.key_provider.written == []
    assert any(why in event.reason for event in acting.told), [event.reason for event in acting.told]


async def _pause(acting: ActionScenario) -> None:
    await acting.store.commit_decisions([], [], {PAUSED: ({"at": "2026-11-15T02:20:00", "by": "ana"}, 0)})


@pytest.mark.parametrize(("end", "state"), [(_raise, "expired"), (_silence, "expired"), (_pause, "executing")])
async def test_a_try_that_sent_nothing_is_made_again_only_while_its_reason_holds_and_nothing_holds_it_back(end, state):
    acting = await runaway(mode="auto", key_provider=FakeKeyProvider(story=[RevokerError("refused")]))
    assert ((await acting.only()).state, (await acting.only()).sent) == ("executing", None)
    await end(acting)
    for _ in range(4):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    assert ((await acting.only()).state, acting.key_provider.written) == (state, [])


async def press(acting: ActionScenario, handle: str) -> str:
    """What a person reads who presses Approve below the proposal now, before anything is evaluated anew."""
    actor = acting.actors[0]
    policies = {name: action.terms for name, action in actor.config.actions.items()}
    deps = InteractionDeps(dict, lambda: policies, actor.write, actor.lost)
    loop = InteractionLoop(acting.store, acting.clock, deps)
    at = acting.clock.now()
    return await loop.take(
        Interaction(f"press-{at.timestamp()}", "approve", (handle,), "slack:U1", "ana (slack:U1)", at)
    )


async def _raise_in_the_database(acting: ActionScenario) -> None:
    raised = RaisedAmount(Decimal(5000), "USD", "ana", acting.clock.at)
    (position,) = acting.world.evaluate().statuses
    changed = RAISED.put(raised, position.name)
    await acting.store.commit_decisions([], [], {name: (value, 0) for name, value in changed.items()})


@pytest.mark.parametrize(
    ("end", "why"),
    [(_raise_in_the_database, "the budget's amount was changed"), (_silence, "its alerts are silenced until")],
)
async def test_a_button_that_approves_what_has_no_reason_any_more_says_so_and_does_nothing(end, why):
    acting = await runaway()
    handle = (await acting.only()).handle
    await end(acting)
    answer = await press(acting, handle)
    assert answer.startswith("Not approved: ")
    assert why in answer
    assert answer.endswith("nothing was done.")
    assert (await acting.only()).state == "awaiting"
    await acting.round()
    assert (await acting.only()).state == "expired"
    assert await press(acting, handle) == "It is expired already; nothing was changed."
    assert acting.key_provider.written == []


async def test_a_button_that_approves_what_still_has_its_reason_stops_the_key():
    acting = await runaway()
    answer = await press(acting, (await acting.only()).handle)
    assert answer == "You approved: disable this key rag-indexer."
    await acting.round()
    assert acting.key_provider.written == [("rag-indexer", "inactive")]


@pytest.mark.parametrize("steps", ["proposed", "approved", "verified"])
async def test_a_restart_at_any_step_proposes_and_acts_once(steps):
    acting = await runaway()
    handle = (await acting.only()).handle
    if steps != "proposed":
        await acting.answer("approve")
    if steps == "verified":
        await acting.round()
    acting.actors = [acting.replica(acting.key_provider)]
    for _ in range(3):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    act = await acting.only()
    assert (act.handle, act.state) == (handle, "awaiting" if steps == "proposed" else "verified")
    assert acting.key_provider.written == ([] if steps == "proposed" else [("rag-indexer", "inactive")])
    await acting.sound_audit()


@pytest.mark.parametrize(
    ("changed", "state", "why"),
    [
        ({"mode": "dry_run"}, "approved", "its mode is dry_run by now"),
        ({"approvers": ("@bo",)}, "approved", "is not among its approvers"),
        ({"protect": ("rag-*",)}, "approved", "protected by rag-*"),
        ({"lacks": "it has no credential of its own"}, "approved", "no credential of its own"),
        (None, "expired", "the action stop is not configured any more"),
    ],
    ids=["dry run", "other approvers", "protected", "no credential", "removed"],
)
async def test_a_reload_after_the_approval_counts_before_the_key_is_touched(changed, state, why):
    acting = await runaway()
    await acting.answer("approve", expires=acting.clock.at + timedelta(hours=2))
    actor = acting.actors[0]
    action = actor.config.actions["stop"]
    actions = {} if changed is None else {"stop": replace(action, terms=replace(action.terms, **changed))}
    actor.config = replace(actor.config, actions=actions)
    for _ in range(3):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    assert ((await acting.only()).state, acting.key_provider.written) == (state, [])
    assert why in acting.told[-1].reason


async def test_a_runaway_that_ended_while_its_stop_waited_for_the_hour_stops_nobody():
    acting = await runaway(mode="auto", max_per_hour=0, expiry=timedelta(hours=9))
    for _ in range(40):
        await acting.round()
    assert acting.key_provider.written == []
    assert "not done because the runaway is over" in acting.told[-1].reason.lower()


async def test_what_waits_behind_the_hours_limit_is_told_and_its_expiry_starts_with_its_turn():
    world = sunday()
    acting = ActionScenario(world, mode="auto", expiry=timedelta(minutes=20))
    await acting.round()
    for _ in range(18):
        world.spend(3, at=acting.clock.at, key="rag-indexer", team="research")
        world.spend(4, at=acting.clock.at, key="web", team="research")
        await acting.round()
    held = [event for event in acting.told if event.details.state == "held"]
    assert len(held) == 1
    assert "one key an hour; next at" in held[0].reason
    assert acting.key_provider.keys == {"rag-indexer": "inactive", "web": "inactive"}


async def test_undoing_for_one_budget_leaves_a_key_off_while_another_budget_is_over():
    world = sunday()
    small = replace(world.budgets[0], name="small", amount=Amount(Decimal(20), "USD"))
    world.budgets = (*world.budgets, small)
    acting = await runaway(world, mode="auto")
    assert acting.key_provider.keys["rag-indexer"] == "inactive"
    by_budget = {position.budget.name: position for position in world.evaluate().statuses}
    (done,) = [act for act in await acting.acts() if act.state == "verified"]
    raised = done.position.split("/")[0]
    other = by_budget["small" if raised != "small" else "research"]
    world.raised[done.position] = Amount(Decimal(5000), "USD")
    await acting.round()
    assert acting.key_provider.keys["rag-indexer"] == "inactive"
    world.raised[other.name] = Amount(Decimal(5000), "USD")
    await acting.round()
    assert acting.key_provider.keys["rag-indexer"] == "active"


async def two_actions() -> tuple[ActionScenario, Act, Act]:
    """Two budgets that a key has used up, each with an action of its own on it: the act that did it, and the other."""
    world = sunday()
    small = replace(world.budgets[0], name="small", amount=Amount(Decimal(20), "USD"), actions=("second",))
    world.budgets = (*world.budgets, small)
    acting = ActionScenario(world, mode="auto", max_per_hour=5)
    actor = acting.actors[0]
    first = actor.config.actions["stop"]
    second = Action(replace(first.terms, name="second"), first.revoker)
    actor.config = replace(actor.config, actions={"stop": first, "second": second})
    await acting.round()
    for _ in range(6):
        world.spend(3, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    did, other = sorted(
        (act for act in await acting.acts() if act.target == "rag-indexer"), key=lambda act: not act.ours
    )
    assert [(act.state, act.ours) for act in (did, other)] == [("verified", True), ("verified", False)]
    return acting, did, other


async def test_a_key_stays_off_while_another_action_asks_for_it_and_the_last_reason_to_end_turns_it_on():
    acting, did, other = await two_actions()
    acting.world.raised[did.position] = Amount(Decimal(5000), "USD")
    await acting.round()
    assert acting.key_provider.keys == {"rag-indexer": "inactive", "web": "active"}
    acting.world.raised[other.position] = Amount(Decimal(5000), "USD")
    await acting.round()
    assert acting.key_provider.keys["rag-indexer"] == "active"


async def test_a_key_that_a_person_took_out_of_alertds_hands_is_not_turned_on_for_another_act():
    acting, did, other = await two_actions()
    after, step = other.after("disown", acting.clock.at, "@ana", reason="it leaked")
    notes = await acting.store.memory()
    assert await acting.actors[0].write((), (step,), {other.note: (after.to_json(), notes[other.note][1])})
    acting.world.raised[did.position] = Amount(Decimal(5000), "USD")
    for _ in range(3):
        await acting.round()
    assert acting.key_provider.keys["rag-indexer"] == "inactive"


async def test_what_was_off_before_is_neither_switched_off_nor_on():
    ring = FakeKeyProvider({"rag-indexer": "inactive"})
    acting = await runaway(mode="auto", key_provider=ring)
    assert states(acting) == ["approved", "verified"]
    await acting.round(minutes=60 * 24 * 16)
    assert (ring.written, ring.keys) == ([], {"rag-indexer": "inactive"})


async def test_a_key_that_somebody_switched_on_again_is_said_and_left_alone():
    acting = await runaway(mode="auto")
    acting.key_provider.keys["rag-indexer"] = "active"
    for _ in range(4):
        await acting.round()
    assert states(acting) == ["approved", "verified", "drifted"]
    assert acting.key_provider.keys["rag-indexer"] == "active"
    await acting.round(minutes=60 * 24 * 16)
    assert acting.key_provider.written == [("rag-indexer", "inactive")]


async def test_usage_that_goes_on_after_the_key_was_stopped_is_said():
    acting = await runaway(mode="auto")
    for _ in range(6):
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
    assert states(acting) == ["approved", "verified", "not_effective"]


@pytest.mark.parametrize(
    ("story", "told", "written"),
    [
        ([RevokerError("timeout", uncertain=True)], ["approved", "verified"], 1),
        ([RevokerError("429", retry_after=timedelta(minutes=2))], ["approved", "verified"], 1),
        ([RevokerError("500")] * 3, ["approved", "verified"], 1),
        ([RevokerError("403", permanent=True)], ["approved", "failed"], 0),
        ([RevokerError("500")] * 9, ["approved", "failed"], 0),
    ],
)
async def test_whatever_the_provider_answers_the_key_is_written_at_most_once_and_it_is_told(story, told, written):
    acting = await runaway(mode="auto", key_provider=FakeKeyProvider(story=story))
    for _ in range(10):
        await acting.round()
    assert (states(acting), len(acting.key_provider.written)) == (told, written)
    await acting.sound_audit()


async def test_a_state_that_cannot_be_read_is_taken_by_the_answer_and_never_tried_twice_where_that_would_act_twice():
    command = Operation("run a command", "run it back", repeats=False)
    lucky = await runaway(mode="auto", key_provider=FakeKeyProvider(operation=command, unreadable=True))
    assert (states(lucky), len(lucky.key_provider.written)) == (["approved", "verified"], 1)
    cut = FakeKeyProvider(story=[RevokerError("no answer", uncertain=True)], operation=command, unreadable=True)
    acting = await runaway(mode="auto", key_provider=cut)
    for _ in range(10):
        await acting.round()
    assert (states(acting), len(cut.written)) == (["approved", "failed"], 1)


async def test_two_replicas_act_once(place):
    async with place.open() as store, place.open() as other:
        acting = ActionScenario(sunday(), mode="auto", store=store)
        second = acting.replica(acting.key_provider, mode="auto")
        second._store = other
        acting.actors.append(second)
        await acting.round()
        for _ in range(6):
            acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
            await acting.round()
        assert acting.key_provider.written == [("rag-indexer", "inactive")]
        await acting.sound_audit()


async def test_two_replicas_at_the_same_moment_act_once(place):
    async with place.open() as store, place.open() as other:
        acting = ActionScenario(sunday(), mode="auto", store=store)
        second = acting.replica(acting.key_provider, mode="auto")
        second._store = other
        await acting.round()
        for _ in range(2):
            acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
            await acting.round()
        acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        acting.actors, first = [], acting.actors[0]
        await acting.round()
        for _ in range(4):
            await asyncio.gather(first.tick(), second.tick())
        assert acting.key_provider.written == [("rag-indexer", "inactive")]
        await acting.sound_audit()


async def test_a_harder_operation_comes_only_after_the_gentler_one_was_done_and_the_usage_went_on():
    world = sunday()
    world.budgets = (budget(thresholds=["actual 100%", BURN], actions=("stop", "slow")),)
    slow = FakeKeyProvider(operation=Operation("slow this key down", "let it go", "throttle"))
    acting = ActionScenario(world, mode="auto", max_per_hour=9)
    gentle = ActionPolicy("slow", slow.operation.what, grade="throttle", mode="auto", max_per_hour=9)
    config = acting.actors[0].config
    acting.actors[0].config = replace(config, actions={**config.actions, "slow": Action(gentle, slow)})
    await acting.round()
    done: list[tuple[int, int]] = []
    for _ in range(9):
        world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round()
        done.append((len(slow.written), len(acting.key_provider.written)))
    assert (1, 0) in done
    assert done[-1] == (1, 1)
    assert "CONTINUES" in "".join(acting.words())


@pytest.mark.parametrize(("goes_on", "outcome"), [(True, "right"), (False, "wrong")])
async def test_hindsight_says_whether_a_dry_run_would_have_been_right(goes_on, outcome):
    acting = await runaway(mode="dry_run")
    for _ in range(24):
        if goes_on:
            acting.world.spend(4, at=acting.clock.at, key="rag-indexer", team="research")
        await acting.round(minutes=30)
    (found,) = dry_run_outcomes(await acting.acts(), acting.world.facts(), SUNDAY)
    assert found.outcome == outcome
    assert found.saved is not None
    assert (found.saved > 50) == goes_on
