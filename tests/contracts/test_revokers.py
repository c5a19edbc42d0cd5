"""What every revoker keeps, over small servers written from the providers' references, through the act loop itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from alertd import registry
from alertd.core.actions.act import Act, Step, acts, replayed
from alertd.core.actions.terms import Terms
from alertd.core.events import Event
from alertd.loops.action_config import Action, ActionConfig
from alertd.loops.execute import Actor
from alertd.ports import Revoker
from alertd.stores.memory import MemoryStore
from tests.fakes import StoppedClock
from tests.servers.billing import Reply
from tests.servers.keys import NAME, PROVIDERS, LiteLLM, Provider

#: Kinds that look a key up by what the provider calls it.
BY_NAME = {"anthropic", "openai", "openrouter", "litellm", "together", "alibaba"}


@dataclass
class Run:
    """One act that has begun, in the hands of the act loop, with a real revoker."""

    revoker: Revoker
    actor: Actor
    store: MemoryStore
    clock: StoppedClock

    async def rounds(self, count: int = 8) -> Act:
        """The act after so many rounds, half an hour apart."""
        for _ in range(count):
            await self.actor.tick()
            self.clock.move(minutes=30)
        return await self.act()

    async def act(self) -> Act:
        notes = await self.store.memory()
        (act,) = acts({name: value for name, (value, _) in notes.items()}).values()
        return act

    async def put(self, act: Act, *steps: Step) -> None:
        revision = (await self.store.memory()).get(act.note, (None, 0))[1]
        assert await self.store.commit_decisions([], [], {act.note: (act.to_json(), revision)}, steps)

    async def restored(self) -> Act:
        act, step = (await self.act()).after("restore", self.clock.now(), "ana")
        await self.put(replace(act, attempts=0, sent=None), step)
        return await self.rounds()

    async def sound(self) -> list[Step]:
        steps = await self.store.audit()
        assert replayed(steps) == (await self.act()).state
        return steps


@asynccontextmanager
async def run(kind: str, options: dict[str, Any]) -> AsyncIterator[Run]:
    """An approved act on the key rag-indexer that has begun."""
    plugin = registry.load("revokers", kind)
    revoker: Revoker = plugin.build("stop", plugin.Options.model_validate(options))
    store, clock = MemoryStore(), StoppedClock()
    terms = Terms("stop", revoker.lever.what, reversible=revoker.lever.reversible, mode="auto")
    actor = Actor(store, clock, ActionConfig({"stop": Action(terms, revoker)}), lambda: None)
    event = Event("e1", "action", "critical", clock.now(), reason="it ran away")
    act = Act("a" * 24, "stop", NAME, "key", "research//2026-11-01", "burn_rate/1", "burn_rate", revoker.lever.what,
              revoker.lever.reversible, revoker.lever.grade, event.to_json())  # fmt: skip
    steps = []
    for what in ("propose", "permit", "begin"):
        act, step = act.after(what, clock.now(), **({"lease_until": clock.now()} if what == "begin" else {}))
        steps.append(step)
    found = Run(revoker, actor, store, clock)
    await found.put(act, *steps)
    try:
        yield found
    finally:
        await revoker.close()


@asynccontextmanager
async def stopping(provider: Provider, **more: Any) -> AsyncIterator[Run]:
    with provider.serve() as server:
        options = {
            "url": server.url,
            "token": "acting-token",
            "lever": provider.lever,
            "timeout": "60s",
            "mode": "auto",
        }
        async with run(provider.kind, {**options, **provider.options, **more}) as found:
            yield found


def patience(trouble: str) -> str:
    """How long a request may take: short where one is never answered, else as long as a busy machine may need."""
    return "1s" if trouble == "no answer though done" else "60s"


#: What may happen to a write, and what then becomes of the act, and how often the key is written.
TROUBLES = [
    ("", "verified", 1),
    ("403", "failed", 0),
    ("409", "verified", 1),
    ("429", "verified", 1),
    ("503", "verified", 1),
    ("500 though done", "verified", 1),
    ("no answer though done", "verified", 1),
    ("gone", "verified", 0),
]


@pytest.mark.parametrize(("trouble", "state", "written"), TROUBLES, ids=[t or "nothing" for t, _, _ in TROUBLES])
@pytest.mark.parametrize("make", PROVIDERS, ids=lambda make: make.__name__)
async def test_whatever_happens_to_the_request_the_key_is_written_once_at_most_and_the_end_is_known(
    make, trouble, state, written
):
    provider = make()
    provider.troubles.extend([trouble] if trouble else [])
    if trouble == "gone" and provider.kind == "openai" and provider.lever != "delete":
        state = "failed"  # a project is archived, never deleted: there is none where one was found is no success
    async with stopping(provider, timeout=patience(trouble)) as going:
        act = await going.rounds()
        await going.sound()
    assert (act.state, len(provider.written)) == (state, written * provider.moves)
    if written:
        assert provider.state == {**provider.first(), **provider.stopped}
        assert provider.there == (provider.stopped != {})


@pytest.mark.parametrize("make", [p for p in PROVIDERS if p.stopped], ids=lambda make: make.__name__)
async def test_what_is_so_already_is_not_written_and_is_not_ours_to_undo(make):
    provider = make()
    provider.state |= provider.stopped
    async with stopping(provider) as going:
        act = await going.rounds()
        await going.sound()
    assert (act.state, act.ours, provider.written) == ("verified", False, [])


@pytest.mark.parametrize("make", [p for p in PROVIDERS if p.reversible], ids=lambda make: make.__name__)
@pytest.mark.parametrize("trouble", ["", "429", "500 though done", "no answer though done"])
async def test_a_restore_gives_back_exactly_what_was_there_before(make, trouble):
    provider = make()
    async with stopping(provider, timeout=patience(trouble)) as going:
        await going.rounds()
        provider.troubles.extend([trouble] if trouble else [])
        act = await going.restored()
        await going.sound()
    plain = [
        {n: bool(v) if n == "blocked" else v for n, v in state.items()} for state in (provider.first(), provider.state)
    ]
    assert (act.state, plain[1], len(provider.written)) == ("restored", plain[0], 2 * provider.moves)


@pytest.mark.parametrize("make", [p for p in PROVIDERS if p.reversible], ids=lambda make: make.__name__)
async def test_what_somebody_else_undid_is_said_and_left_alone(make):
    provider = make()
    async with stopping(provider) as going:
        await going.rounds(1)
        provider.state = provider.first()
        act = await going.rounds(2)
        assert (act.state, len(provider.written)) == ("drifted", provider.moves)


@pytest.mark.parametrize("make", [p for p in PROVIDERS if p.stopped], ids=lambda make: make.__name__)
async def test_what_somebody_else_stopped_after_a_refusal_is_not_ours_to_undo(make):
    provider = make()
    provider.troubles.append("429")
    async with stopping(provider) as going:
        await going.rounds(1)
        written = len(provider.written)
        provider.state |= provider.stopped
        act = await going.rounds()
        steps = await going.sound()
    assert (act.state, act.ours, len(provider.written)) == ("verified", False, written)
    assert steps[-1].reason.startswith("it was so already")


@pytest.mark.parametrize("make", [p for p in PROVIDERS if p.reversible], ids=lambda make: make.__name__)
async def test_what_somebody_else_undid_after_a_restore_was_refused_is_said_to_be_theirs(make):
    provider = make()
    async with stopping(provider) as going:
        await going.rounds()
        provider.troubles.append("429")
        act, step = (await going.act()).after("restore", going.clock.now(), "ana")
        await going.put(replace(act, attempts=0, sent=None), step)
        await going.rounds(1)
        provider.state = provider.first()
        act = await going.rounds()
        steps = await going.sound()
    assert (act.state, len(provider.written)) == ("drifted", provider.moves)
    assert steps[-1].reason.startswith("somebody else undid it")


@pytest.mark.parametrize(
    "make",
    [p for p in PROVIDERS if p.reversible and p.kind != "openai"],  # whose levers are a project's, which never goes
    ids=lambda make: make.__name__,
)
async def test_a_key_that_somebody_else_deleted_is_said_and_not_restored(make):
    provider = make()
    async with stopping(provider) as going:
        await going.rounds(1)
        provider.there = False
        act = await going.restored()
        await going.sound()
    assert (act.state, len(provider.written)) == ("drifted", 1)


@pytest.mark.parametrize("make", PROVIDERS, ids=lambda make: make.__name__)
async def test_a_key_that_nobody_knows_is_a_failure_that_says_so(make):
    provider = make()
    provider.there = False
    async with stopping(provider) as going:
        act = await going.rounds()
    if provider.kind == "scaleway":  # named by its id: what is gone by then is stopped
        assert (act.state, act.ours) == ("verified", False)
    else:
        assert act.state == "failed"
        assert NAME in act.error
    assert provider.written == []


@pytest.mark.parametrize("make", PROVIDERS, ids=lambda make: make.__name__)
async def test_a_wrong_credential_acts_on_nothing_and_never_shows(make):
    provider = make()
    async with (
        stopping(provider, token="wrong-secret-token", access_key_id="WRONG")
        if provider.kind == "alibaba"
        else (stopping(provider, token="wrong-secret-token")) as going
    ):
        act = await going.rounds()
        steps = await going.sound()
    assert (act.state, provider.written) == ("failed", [])
    assert "wrong-secret-token" not in repr((act, steps, going.revoker.__dict__))


@pytest.mark.parametrize("kind", registry.kinds("revokers"))
def test_every_revoker_says_what_it_lacks_before_anything_is_asked(kind):
    plugin = registry.load("revokers", kind)
    given = {"url": "http://127.0.0.1:9"} if "url" in plugin.Options.model_fields else {"command": ["true"]}
    revoker: Revoker = plugin.build("stop", plugin.Options.model_validate(given))
    assert bool(revoker.lacks) == (kind != "command")
    assert revoker.lever.reversible == bool(revoker.lever.undo and revoker.lever.grade != "delete") or kind == "command"


async def test_a_name_that_two_keys_have_stops_neither():
    class Twice(PROVIDERS[0]):
        def answer(self, asked):
            reply = super().answer(asked)
            if asked.one("after_id"):
                reply.body["data"][0]["name"] = NAME
            return reply

    provider = Twice()
    async with stopping(provider) as going:
        act = await going.rounds()
    assert (act.state, provider.written) == ("failed", [])
    assert "apikey_01, apikey_02" in act.error


OWN, PROD = "a" * 64, "b" * 64


class Gateway(LiteLLM):
    """A LiteLLM gateway with the keys of `rows`, by hash: alias and team."""

    rows: ClassVar[dict[str, tuple[str, str]]] = {}

    def first(self):
        return {"blocked": None}

    def answer(self, asked):
        what = asked.path.removeprefix("/key/")
        if what == "list":
            wanted = asked.one("key_alias")
            return Reply({"keys": [h for h, (alias, _) in self.rows.items() if alias.lower() == wanted.lower()]})
        if what == "/team/info":
            return self.missing()
        named = asked.one("key") or json.loads(asked.body)["key"]
        if named not in self.rows:
            return self.missing()
        if what == "info":
            alias, team = self.rows[named]
            return Reply({"key": named, "info": {"key_alias": alias or None, "team_id": team, **self.state}})
        self.write(asked, blocked=True)
        return Reply({})


@pytest.mark.parametrize(
    ("target", "rows", "more", "said"),
    [
        # The intern's key is called by production's id.
        (PROD, {PROD: ("checkout", "shop"), OWN: (PROD, "interns")}, {}, "the name of another"),
        # The intern's key was deleted after its usage: only production's id is left.
        (PROD, {PROD: ("checkout", "shop")}, {}, "one with that id is called 'checkout'"),
        (PROD, {PROD: ("checkout", "shop")}, {"found_by": "name"}, "one with that id is called 'checkout'"),
        ("ci", {OWN: ("ci", "interns"), PROD: ("ci", "shop")}, {}, "2 keys are called 'ci'"),
        ("ci", {OWN: ("ci", "interns"), PROD: ("CI", "shop")}, {}, "2 keys are called 'ci'"),
        ("ci", {OWN: ("CI", "interns")}, {}, "there is no key 'ci'"),
        ("ci", {OWN: ("ci", "interns")}, {"label": "key_id"}, "no key has the id 'ci', only the name"),
        ("ci", {OWN: ("ci", "shop")}, {}, "the key belongs to team shop, the usage to interns"),
        ("ci", {OWN: ("ci", "interns")}, {}, ""),
        (OWN, {OWN: ("", "interns")}, {}, ""),
        (OWN, {OWN: ("ci", "interns")}, {"label": "hashed_api_key"}, ""),
        ("ci", {PROD: ("other", "interns")}, {"targets": {"ci": PROD}}, ""),
    ],
)
async def test_a_key_is_stopped_only_where_it_carries_the_very_label_the_usage_has(target, rows, more, said):
    provider = Gateway()
    provider.rows = rows
    async with stopping(provider, **more) as going:
        await going.put(replace(await going.act(), target=target, evidence={"teams": ["interns"]}))
        act = await going.rounds()
    assert (act.state, len(provider.written)) == (("failed", 0) if said else ("verified", 1))
    assert said in act.error


@pytest.mark.parametrize("kind", [make for make in PROVIDERS if make.kind in BY_NAME], ids=lambda make: make.__name__)
async def test_an_id_whose_key_has_a_name_is_not_looked_up_as_a_name(kind):
    provider = kind()
    async with stopping(provider) as going:
        await going.rounds()
        there = (await going.act()).there.rpartition("/")[2]
    provider = kind()
    async with stopping(provider) as going:
        await going.put(replace(await going.act(), target=there))
        act = await going.rounds()
    assert (act.state, provider.written) == ("failed", [])
    assert "FOUND_BY=id" in act.error
    provider = kind()
    async with stopping(provider, found_by="id") as going:
        await going.put(replace(await going.act(), target=there))
        assert (await going.rounds()).state == "verified"


async def test_a_key_that_shows_itself_as_alertds_own_is_not_stopped():
    provider = PROVIDERS[0]()
    async with stopping(provider) as going:
        going.actor.orders = replace(going.actor.orders, secrets=("sk-ant-api03-R2D-the-middle-igAA",))
        act = await going.rounds()
    assert (act.state, provider.written) == ("failed", [])
    assert "a credential of alertd itself" in act.error


async def test_a_scaleway_policy_of_alertds_own_application_is_not_detached():
    provider = next(p for p in PROVIDERS if p.__name__ == "Scaleway")()
    provider.state["application_id"] = "app-own"
    async with stopping(provider) as going:
        act = await going.rounds()
    assert (act.state, provider.written) == ("failed", [])
    assert "alertd itself" in act.error


async def test_every_step_carries_the_providers_own_id_of_the_request():
    provider = PROVIDERS[0]()
    async with stopping(provider) as going:
        await going.rounds(1)
        steps = await going.sound()
    assert [(step.what, step.request) for step in steps if step.request] == [("read", "req_011"), ("verify", "req_011")]


async def test_a_retry_waits_as_long_as_the_provider_asks():
    provider = PROVIDERS[0]()
    provider.troubles.append("429")
    async with stopping(provider) as going:
        await going.actor.tick()
        act = await going.act()
        assert act.not_before == going.clock.now() + timedelta(seconds=7)
        await going.actor.tick()
        assert provider.written == []
