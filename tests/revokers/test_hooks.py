"""Hooks of one's own, good and bad: a signed post whose answer decides, and a command that may never end."""

from __future__ import annotations

import json
import sys
import time
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from alertd.ports import Observed, Revoker, RevokerError, SourceError, Target
from alertd.revokers import command, webhook
from tests.contracts.test_revokers import run
from tests.servers.billing import Asked, Reply, serving
from tests.servers.hanging_server import DEEDS, HangingServer
from tests.system.daemon import wait_for

SECRET = "a-signing-secret"
TARGET = Target("id-1", "rag-indexer")


def hook(url: str, **more: Any) -> Revoker:
    return webhook.build(
        "stop", webhook.Options.model_validate({"url": url, "secret": SECRET, "timeout": "60s", **more})
    )


def script(body: str, **more: Any) -> Revoker:
    given = {"command": [sys.executable, "-c", body], "timeout": "60s", **more}
    return command.build("stop", command.Options.model_validate(given))


async def act(revoker: Revoker) -> str:
    try:
        return (await revoker.act(TARGET, Observed(acted=None), "key-1", "it ran away")).said
    finally:
        await revoker.close()


def empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def alive(number: int) -> bool:
    """Whether a process runs; one that waits to be buried does not."""
    state = Path(f"/proc/{number}/stat")
    return state.exists() and state.read_text().split()[2] != "Z"


@pytest.mark.parametrize("printed", ["no json", "[1]", "[" * 50_000])
async def test_a_command_that_prints_no_object_leaves_its_state_unknown(printed: str):
    body = f"print({printed[:1]!r} * {len(printed)})" if len(set(printed)) == 1 else f"print({printed!r})"
    observed = await script(body, reads=True).read(TARGET)
    assert (observed.acted, observed.values, observed.present) == (None, {}, True)


async def test_a_hook_is_asked_by_a_signed_post_that_carries_no_secret():
    with serving(lambda _: Reply({"done": True, "said": "ticket 7"})) as server:
        assert await act(hook(f"{server.url}/stop?token=x")) == "ticket 7"
    (asked,) = server.asked
    Webhook(b64encode(SECRET.encode()).decode()).verify(asked.body, dict(asked.headers))
    assert asked.headers["webhook-id"] == "key-1"
    assert asked.headers["idempotency-key"] == "key-1"
    assert json.loads(asked.body) == {
        "version": 1, "do": "act", "action": "stop", "target": "id-1", "name": "rag-indexer", "id": "key-1",
        "reason": "it ran away", "before": {},
    }  # fmt: skip
    assert SECRET.encode() not in asked.body


@pytest.mark.parametrize(("secret", "taken"), [(SECRET, True), ("somebody else's key", False), ("", False)])
async def test_where_answers_are_verified_only_a_signed_one_counts(secret: str, taken: object):
    def answer(asked: Any) -> Reply:
        body = {"done": True, "said": "ticket 7"}
        sent = json.dumps(body).encode()
        at = datetime.now(UTC)
        key = b64encode(secret.encode()).decode()
        signed = Webhook(key).sign(asked.headers["webhook-id"], at, sent.decode()) if secret else ""
        headers = {"webhook-id": asked.headers["webhook-id"], "webhook-timestamp": str(int(at.timestamp())),
                   "webhook-signature": signed}  # fmt: skip
        return Reply(body, headers=headers if secret else {})

    with serving(answer) as server:
        if taken:
            assert await act(hook(server.url, verify_answers=True)) == "ticket 7"
            return
        with pytest.raises(RevokerError, match="not signed by SECRET") as told:
            await act(hook(server.url, verify_answers=True))
    assert told.value.uncertain


async def test_the_hooks_answer_decides():
    with (
        serving(lambda _: Reply({"done": False, "said": "change freeze"})) as server,
        pytest.raises(RevokerError, match="change freeze") as told,
    ):
        await act(hook(server.url))
    assert told.value.permanent
    assert not told.value.uncertain


@pytest.mark.parametrize("body", ["ok", ""])
async def test_a_plain_yes_counts_as_done(body: str):
    with serving(lambda _: Reply(body)) as server:
        assert await act(hook(server.url)) == "taken"


async def test_a_login_page_is_no_yes():
    with (
        serving(lambda _: Reply("<!doctype html><title>Log in", headers={"Content-Type": "text/html"})) as server,
        pytest.raises(RevokerError, match="web page"),
    ):
        await act(hook(server.url))


@pytest.mark.parametrize(
    ("status", "permanent", "uncertain"),
    [(500, False, True), (503, False, False), (403, True, False), (404, True, False), (409, False, False)],
)
async def test_what_a_hooks_status_means(status, permanent, uncertain):
    with serving(lambda _: Reply("no", status)) as server, pytest.raises(RevokerError) as told:
        await act(hook(server.url))
    assert (told.value.permanent, told.value.uncertain) == (permanent, uncertain)


async def test_a_hook_that_redirects_to_another_host_is_not_followed_and_the_signed_body_stays_here():
    with serving(lambda _: Reply("yes")) as elsewhere:
        away = {"Location": elsewhere.url.replace("127.0.0.1", "localhost")}
        with (
            serving(lambda _: Reply("", 307, away)) as server,
            pytest.raises(RevokerError, match="not followed") as told,
        ):
            await act(hook(server.url))
    assert (elsewhere.asked, told.value.permanent) == ([], True)


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
async def test_a_hook_from_hell_ends_as_an_error_that_may_have_been_carried_out(deed):
    with HangingServer(deed) as hanging, pytest.raises(RevokerError) as told:
        await act(hook(f"{hanging.url}/secret-path", timeout="1s"))
    assert told.value.uncertain
    assert "secret-path" not in str(told.value)


async def test_a_hook_is_asked_again_under_the_same_key_until_it_answers():
    answers = iter([Reply("", 500), Reply("", 503), Reply({"done": True})])
    with serving(lambda _: next(answers)) as server:
        async with run("webhook", {"url": server.url, "secret": SECRET}) as going:
            assert (await going.rounds()).state == "verified"
            await going.sound()
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == 3


async def test_a_hook_that_is_asked_for_the_state_gets_it_back_to_restore():
    state = {"acted": False}

    def answer(asked: Asked) -> Reply:
        question = json.loads(asked.body)
        if question["do"] == "read":
            return Reply({**state, "state": {"plan": "pro"}, "said": "seen"})
        state["acted"] = question["do"] == "act"
        if question["do"] == "restore":
            assert question["before"] == {"plan": "pro"}
        return Reply({"done": True})

    with serving(answer) as server:
        async with run("webhook", {"url": server.url, "secret": SECRET, "reads": True}) as going:
            assert (await going.rounds(1)).state == "verified"
            assert (await going.restored()).state == "restored"
    assert [json.loads(asked.body)["do"] for asked in server.asked] == [
        "read", "act", "read", "read", "restore", "read",
    ]  # fmt: skip


#: States of every kind that JSON has.
STATES = {
    "off": False,
    "count": 3,
    "share": 0.25,
    "note": None,
    "plan": "pro",
    "models": ["a", 1],
    "limits": {"rpm": 5},
}


async def test_the_values_of_a_state_may_be_of_any_kind_and_come_back_as_they_were():
    off = {"acted": False}
    came_back: list[Any] = []

    def answer(asked: Asked) -> Reply:
        question = json.loads(asked.body)
        if question["do"] == "read":
            return Reply({**off, "state": {**STATES, "off": off["acted"]}})
        off["acted"] = question["do"] == "act"
        came_back.append(question["before"])
        return Reply({"done": True})

    with serving(answer) as server:
        async with run("webhook", {"url": server.url, "secret": SECRET, "reads": True}) as going:
            assert (await going.rounds(1)).state == "verified"
            assert (await going.restored()).state == "restored"
    assert came_back == [STATES, STATES]


async def test_a_command_may_tell_a_state_of_any_kind_too():
    said = json.dumps({"acted": True, "state": STATES, "said": "seen", "owner": "ana"})
    observed = await script(f"print({said!r})", reads=True).read(TARGET)
    assert (observed.acted, observed.values, observed.said, observed.impact) == (True, STATES, "seen", {"owner": "ana"})


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("off", "not an object"),
        ([1], "not an object"),
        ({"x": "y" * 20_000}, "larger than 16,384 bytes"),
        ({"x": [[[[[[[[[1]]]]]]]]]}, "more than 8 objects inside one another"),
        ({"n": 10**301}, "more than 300 digits"),
    ],
    ids=["a text", "a list", "too large", "too deep", "too long a number"],
)
async def test_a_state_that_cannot_be_kept_is_refused_with_its_place(state: Any, said: str):
    with serving(lambda _: Reply({"acted": False, "state": state})) as server:
        revoker = hook(server.url, reads=True)
        with pytest.raises(SourceError, match=rf"stop\.state .*{said}"):
            await revoker.read(TARGET)
        await revoker.close()
        async with run("webhook", {"url": server.url, "secret": SECRET, "reads": True}) as going:
            act_now = await going.rounds()
    assert act_now.state == "failed"
    assert {json.loads(asked.body)["do"] for asked in server.asked} == {"read"}


@pytest.mark.parametrize("told", [{"changed_at": "10:05", "changed_by": "sec"}, {"changed_at": "10:05"}], ids=str)
async def test_a_hook_that_tells_who_changed_the_key_ends_the_undo_by_a_later_change(told: dict[str, str]):
    off: dict[str, Any] = {"acted": False, "changed_at": "10:01", "changed_by": "alertd"}

    def answer(asked: Asked) -> Reply:
        what = json.loads(asked.body)["do"]
        if what == "act":
            off["acted"] = True
        return Reply(off if what == "read" else {"done": True})

    with serving(answer) as server:
        async with run("webhook", {"url": server.url, "secret": SECRET, "reads": True}) as going:
            assert (await going.rounds(1)).state == "verified"
            off.update(told)
            assert (await going.restored()).state == "drifted"
    assert "restore" not in {json.loads(asked.body)["do"] for asked in server.asked}


def test_a_hook_that_cannot_tell_who_asks_may_not_act():
    unsigned = webhook.build("stop", webhook.Options.model_validate({"url": "http://127.0.0.1:9"}))
    assert "SECRET" in unsigned.lacks


# --- commands ---


async def test_a_command_gets_json_on_standard_input_and_is_done_at_status_0():
    body = "import json,sys; asked=json.load(sys.stdin); print(asked['do'], asked['target'], asked['name'])"
    assert await act(script(body)) == "act id-1 rag-indexer"


async def test_a_label_is_data_for_a_command_and_never_a_word_of_a_shell(tmp_path: Path):
    evil = Target(f"$(touch {tmp_path}/pwned); `touch {tmp_path}/pwned`", "x; rm -rf /")
    revoker = script("import json,sys; print(json.load(sys.stdin)['target'])")
    assert (await revoker.act(evil, Observed(acted=None), "k", "r")).said == evil.id
    assert empty(tmp_path)


async def test_a_command_gets_none_of_alertds_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALERTD_SOURCES__X__TOKEN", "secret")
    said = await act(script("import os; print(sorted(os.environ))"))
    assert "ALERTD" not in said
    assert "PATH" in said


@pytest.mark.parametrize(
    ("body", "permanent", "said"),
    [
        ("import sys; print('change freeze', file=sys.stderr); sys.exit(1)", True, "ended with 1: change freeze"),
        ("import sys; sys.exit(75)", False, "ended with 75"),
        ("import os; os.kill(os.getpid(), 9)", True, "ended with -9"),
    ],
)
async def test_another_status_is_a_refusal_and_75_asks_for_later(body, permanent, said):
    with pytest.raises(RevokerError, match=said) as told:
        await act(script(body))
    assert told.value.permanent == permanent


async def test_a_command_that_is_not_there_is_told_by_name():
    revoker = command.build("stop", command.Options.model_validate({"command": ["/no/such/program"]}))
    with pytest.raises(RevokerError, match="/no/such/program cannot be run"):
        await act(revoker)


async def test_a_command_that_prints_10_mb_is_read_up_to_a_bound():
    said = await act(script("import sys; sys.stdout.write('x' * 10_000_000); sys.stderr.write('y' * 10_000_000)"))
    assert len(said) <= 300


@pytest.mark.parametrize("body", ["while :; do echo xxxxxxxxxx; done", "sleep 99"])
async def test_a_command_that_never_ends_is_killed_with_all_that_it_started(body: str, tmp_path: Path):
    child = tmp_path / "child"
    argv = ["/bin/sh", "-c", f"sleep 99 & echo $! > {child}; {body}"]
    revoker = command.build("stop", command.Options.model_validate({"command": argv, "timeout": "3s"}))
    begin = time.monotonic()
    with pytest.raises(RevokerError, match="did not end within 3 s") as told:
        await act(revoker)
    assert told.value.uncertain
    assert time.monotonic() - begin < 60
    number = int(child.read_text())
    wait_for("its child's end", lambda: not alive(number))  # the kill was sent; the kernel finds its own time


async def test_a_command_that_was_cut_off_is_not_run_a_second_time(tmp_path: Path):
    runs = tmp_path / "runs"
    body = f"open({str(runs)!r},'a').write('x'); import time; time.sleep(99)"
    options = {"command": [sys.executable, "-c", body], "timeout": "3s"}
    async with run("command", options) as going:
        act_now = await going.rounds()
        await going.sound()
    assert (act_now.state, runs.read_text()) == ("failed", "x")
    assert "look by hand" in act_now.error


async def test_an_undo_that_was_cut_off_is_not_run_a_second_time(tmp_path: Path):
    runs = tmp_path / "runs"
    body = (
        "import json,sys,time; do=json.load(sys.stdin)['do']\n"
        f"open({str(runs)!r},'a').write(do + ' ')\n"
        "if do == 'restore': time.sleep(99)"
    )
    options = {"command": [sys.executable, "-c", body], "timeout": "3s", "reversible": True}
    async with run("command", options) as going:
        assert (await going.rounds(1)).state == "verified"
        act_now = await going.restored()
        await going.sound()
    assert (act_now.state, runs.read_text()) == ("stuck", "act restore ")
    assert "it may have been undone, and its state cannot be read: look by hand" in act_now.error


async def test_a_command_that_asked_for_later_is_run_again_to_stop_and_to_undo(tmp_path: Path):
    """A refusal is certain: nothing may have been done, and nobody has to look by hand."""
    runs = tmp_path / "runs"
    body = (
        "import json,os,sys; do=json.load(sys.stdin)['do']; path=" + repr(str(runs)) + "\n"
        "seen=open(path).read() if os.path.exists(path) else ''\n"
        "open(path,'a').write(do + ' ')\n"
        "sys.exit(0 if do in seen else 75)"
    )
    options = {"command": [sys.executable, "-c", body], "timeout": "60s", "reversible": True}
    async with run("command", options) as going:
        assert (await going.rounds(3)).state == "verified"
        assert (await going.restored()).state == "restored"
        await going.sound()
    assert runs.read_text() == "act act restore restore "


async def test_a_command_that_tells_the_state_is_run_again_only_where_it_is_as_before(tmp_path: Path):
    state = tmp_path / "stopped"
    body = (
        "import json,os,sys,time; asked=json.load(sys.stdin); path=" + repr(str(state)) + "\n"
        "if asked['do']=='read': print(json.dumps({'acted': os.path.exists(path)}))\n"
        "else: open(path,'a').write('x'); time.sleep(99)"
    )
    options = {"command": [sys.executable, "-c", body], "timeout": "3s", "reads": True}
    async with run("command", options) as going:
        act_now = await going.rounds()
    assert (act_now.state, state.read_text()) == ("verified", "x")
