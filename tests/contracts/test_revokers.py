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
from alertd.core.actions.policy import ActionPolicy
from alertd.core.actions.state_machine import Act, Step, acts, replayed
from alertd.core.events import Event
from alertd.loops.execute import ActionLoop
from alertd.loops.executor import Action, ActionConfig, describe
from alertd.ports import Revoker
from tests.fakes import StoppedClock
from tests.memory_store import MemoryStore
from tests.servers.billing import Reply
from tests.servers.keys import NAME, PROVIDERS, LiteLLM, Provider

#: Kinds that look a key up by what the provider calls it.
BY_NAME = {"anthropic", "openai", "openrouter", "litellm", "together", "alibaba"}


@dataclass
class Run:
    """One act that has begun, in the hands of the act loop, with a real revoker."""

    revoker: Revoker
    actor: ActionLoop
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
    terms = ActionPolicy("stop", revoker.operation.what, reversible=revoker.operation.reversible, mode="auto")
    actor = ActionLoop(store, clock, ActionConfig({"stop": Action(terms, revoker)}), lambda: None)
    event = Event("e1", "action", "critical", clock.now(), reason="it ran away")
    act = Act("a" * 24, "stop", NAME, "key", "research//2026-11-01", "burn_rate/1", "burn_rate", revoker.operation.what,
              revoker.operation.reversible, revoker.operation.grade, event.to_json())  # fmt: skip
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
            **({"operation": provider.operation} if provider.operation else {}),
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
    if trouble == "gone" and provider.kind == "openai" and provider.operation != "delete":
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
    [p for p in PROVIDERS if p.reversible and p.kind != "openai"],  # whose operations are a project's, which never goes
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
    wrong = {"alibaba": {"access_key_id": "WRONG"}, "bedrock": {"access_key_id": "WRONG"}}
    wrong["vertex"] = wrong["vertex_quota"] = {"impersonate": "somebody@else.iam.gserviceaccount.com"}
    async with stopping(provider, token="wrong-secret-token", **wrong.get(provider.kind, {})) as going:
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
    assert (
        revoker.operation.reversible == bool(revoker.operation.undo and revoker.operation.grade != "delete")
        or kind == "command"
    )


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
        await going.put(replace(await going.act(), target=target, evidence={"groups": {"team": ["interns"]}}))
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
        going.actor.config = replace(going.actor.config, secrets=("sk-ant-api03-R2D-the-middle-igAA",))
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


@pytest.mark.parametrize("make", PROVIDERS, ids=lambda make: make.__name__)
async def test_who_approves_sees_what_the_provider_tells_of_the_key(make):
    provider = make()
    async with stopping(provider) as going:
        shown = await describe(await going.act(), going.actor.config.actions["stop"], (), going.clock.now())
    assert {name: shown.get(name) for name in provider.tells} == provider.tells
    assert "problem" not in shown
    assert shown["state"]


@pytest.mark.parametrize("make", PROVIDERS, ids=lambda make: make.__name__)
async def test_a_key_that_could_not_be_acted_upon_says_why_before_anybody_approves(make):
    provider = make()
    provider.there = False
    async with stopping(provider) as going:
        shown = await describe(await going.act(), going.actor.config.actions["stop"], (), going.clock.now())
    assert shown["problem"]


@pytest.mark.parametrize("make", [p for p in PROVIDERS if p.reversible and p.changes], ids=lambda make: make.__name__)
@pytest.mark.parametrize("when", ["before the next look", "after it"])
async def test_a_later_change_by_a_person_ends_the_undo(make, when):
    """Off for its budget, then changed by a person, for a leak say, while it stays off: alertd does not turn it on."""
    provider = make()
    async with stopping(provider) as going:
        await going.rounds(2)
        assert (await going.act()).state == "verified"
        provider.by_people += 1
        act = await (going.restored() if when == "before the next look" else going.rounds(2))
        steps = await going.sound()
    assert (act.state, len(provider.written)) == ("drifted", provider.moves)
    assert "its provider shows a change at 2026-11-21T10:" in steps[-1].reason


async def test_what_another_act_of_alertd_changed_is_no_change_by_a_person():
    provider = next(p for p in PROVIDERS if p.__name__ == "LiteLLM")()
    async with stopping(provider) as going:
        act = await going.rounds(2)
        provider.by_people += 1
        other = replace(act, id="b" * 24, changed_at=provider.changed()["settings_updated_at"], ours=False)
        assert await going.store.commit_decisions([], [], {other.note: (other.to_json(), 0)})
        for _ in range(2):
            await going.actor.tick()
            going.clock.move(minutes=30)
        notes = await going.store.memory()
    assert notes[act.note][0]["state"] == "verified"


async def test_the_person_is_named_where_the_provider_names_another_than_after_the_act():
    class Named(LiteLLM):
        def changed(self):
            return {**super().changed(), "updated_by": "sec-team" if self.by_people else "alertd"}

    provider = Named()
    async with stopping(provider) as going:
        await going.rounds(2)
        provider.by_people += 1
        await going.rounds(1)
        steps = await going.sound()
    assert "shows a change by sec-team at" in steps[-1].reason


# --- lists of keys that are wrong, or made by whoever names his own key ---


def rows_of(kind: str, keys: list[tuple[Any, Any]]) -> Any:
    """A list of keys, as (id, name), in the form of a provider's last page."""
    fields = {"openrouter": ("hash", "name"), "alibaba": ("apiKeyId", "description")}.get(kind, ("id", "name"))
    rows = [dict(zip(fields, key, strict=True)) for key in keys]
    return {"success": True, "apiKeys": rows} if kind == "alibaba" else {"data": rows, "has_more": False}


def is_list(asked: Any) -> bool:
    """Whether it asks for the list that holds the keys."""
    return asked.method == "GET" and asked.path.endswith(
        ("/api_keys", "/keys", "/apikeys", "/endpoints", "/fine-tunes", "/workspaces")
    )


#: Kinds whose keys come as rows of a list, with the operations that act on one of them.
LISTED = [
    make for make in PROVIDERS if make.kind in BY_NAME - {"litellm"} and (make.kind != "openai" or not make.stopped)
]


@asynccontextmanager
async def listing(make, reply, **more):
    """A run before a provider whose list of keys is another."""

    class Other(make):
        def answer(self, asked):
            return reply(asked) if is_list(asked) else super().answer(asked)

    provider = Other()
    async with stopping(provider, **more) as going:
        yield provider, going


#: Lists of keys in which the key of the usage cannot be told, by (id, name), and what is said.
DOUBTFUL = {
    "an id that is another key's name": ([("id-1", NAME), (NAME, "production")], "the name of another"),
    "two keys of one name": ([("id-1", NAME), ("id-2", NAME)], "2 keys are called"),
    "names that differ in case": ([("id-1", NAME), ("id-2", NAME.upper())], "2 keys are called"),
    "names that differ in a space": ([("id-1", NAME), ("id-2", f"{NAME} ")], "2 keys are called"),
    "names that differ in what nobody sees": ([("id-1", NAME), ("id-2", f"{NAME}\u200b")], "2 keys are called"),
    "names that differ in a control character": ([("id-1", NAME), ("id-2", f"\x1b{NAME}")], "2 keys are called"),
    "only a name that looks like it": ([("id-2", f"{NAME}\u200b")], "there is no key"),
    "no key at all": ([], "there is no key"),
    "no id": ([("", NAME)], "an id that no key can have"),
    "an id that leads elsewhere": ([("..", NAME)], "an id that no key can have"),
    "an id with an escape sequence": ([("\x1b]0;x\x07", NAME)], "an id that no key can have"),
    "an id that is a list": ([([1], NAME)], "not a text"),
    "a name that is an object": ([("id-1", {"a": 1})], "not a text"),
    "a name that is true": ([("id-1", True)], "not a text"),
}


@pytest.mark.parametrize("case", DOUBTFUL)
@pytest.mark.parametrize("make", LISTED, ids=lambda make: make.__name__)
async def test_a_key_that_cannot_be_told_from_others_is_not_touched(make, case):
    keys, said = DOUBTFUL[case]
    async with listing(make, lambda _: Reply(rows_of(make.kind, keys))) as (provider, going):
        act = await going.rounds()
        await going.sound()
    assert (act.state, provider.written) == ("failed", [])
    assert said in act.error
    assert "\x1b" not in act.error


@pytest.mark.parametrize("make", LISTED, ids=lambda make: make.__name__)
async def test_the_same_key_twice_in_a_list_is_one_key(make):
    class Twice(make):
        def answer(self, asked):
            reply = super().answer(asked)
            if is_list(asked):
                name = "apiKeys" if make.kind == "alibaba" else "data"
                reply.body[name] = reply.body[name] * 2
            return reply

    provider = Twice()
    async with stopping(provider) as going:
        act = await going.rounds()
    assert (act.state, len(provider.written)) == ("verified", 1)


@pytest.mark.parametrize("body", [[], "", "null", {"data": None}, {"data": {"id": 1}}, {"data": [1]}, {"data": ["x"]},
                                  {"apiKeys": "x"}, {"apiKeys": [[]]}],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("make", LISTED, ids=lambda make: make.__name__)
async def test_a_list_of_keys_of_another_shape_is_a_failure_that_is_said(make, body):
    async with listing(make, lambda _: Reply(body)) as (provider, going):
        act = await going.rounds()
        await going.sound()
    assert (act.state, provider.written) == ("failed", [])
    assert act.error


@pytest.mark.parametrize(
    "make", [make for make in LISTED if make.kind in {"anthropic", "openai", "openrouter", "alibaba"}],
    ids=lambda make: make.__name__,
)  # fmt: skip
async def test_pages_that_go_in_a_circle_end_and_touch_no_key(make):
    def page(_):
        keys = [(f"id-{number}", f"key-{number}") for number in range(99)] + [("id-x", NAME)]
        more = {"has_more": True, "last_id": "id-x", "nextToken": "again"}
        return Reply({**rows_of(make.kind, keys), **more})

    async with listing(make, page) as (provider, going):
        act = await going.rounds()
    assert (act.state, provider.written) == ("failed", [])
    assert "in a circle" in act.error


@pytest.mark.parametrize(
    ("make", "groups", "theirs"),
    [
        ("Anthropic", {"workspace": ["default"]}, "wrkspc_01"),
        ("Alibaba", {"workspace": ["other"]}, "llm-1/w"),
        ("OpenAIDelete", {"project": ["other"]}, "p/proj_1"),
        ("LiteLLM", {"team": ["other"]}, "team-a"),
    ],
)
@pytest.mark.parametrize("settled", [False, True], ids=["by name", "by TARGETS"])
async def test_a_key_of_another_group_than_its_usage_is_not_touched_unless_targets_names_it(
    make, groups, theirs, settled
):
    provider = next(one for one in PROVIDERS if one.__name__ == make)()
    ids = {"Anthropic": "apikey_01", "Alibaba": "4711", "OpenAIDelete": "key_1", "LiteLLM": LiteLLM.hashed}
    more = {"targets": {NAME: ids[make]}} if settled else {}
    async with stopping(provider, **more) as going:
        await going.put(replace(await going.act(), evidence={"groups": groups}))
        act = await going.rounds()
    assert (act.state, len(provider.written)) == (("verified", 1) if settled else ("failed", 0))
    assert settled or f"{theirs}, the usage to" in act.error


@pytest.mark.parametrize("groups", [{"workspace": ["Research", "wrkspc_01"]}, {"team": ["interns"]}, {}], ids=str)
async def test_a_key_of_the_group_of_its_usage_or_of_an_unknown_one_is_stopped(groups):
    provider = PROVIDERS[0]()
    async with stopping(provider) as going:
        await going.put(replace(await going.act(), evidence={"groups": groups}))
        assert (await going.rounds()).state == "verified"
