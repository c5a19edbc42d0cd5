"""`alertd actions`: through the database, with names, and with a word of remedy for whatever is not possible."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alertd import registry
from alertd.cli import main
from alertd.core.actions.state_machine import Act
from alertd.core.events import Event
from alertd.loops.executor import action_of
from alertd.stores import sqlite


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A configuration with an action, and a database in which a proposal waits."""
    file = tmp_path / "alertd.env"
    file.write_text(
        f"ALERTD_DATABASE=sqlite:///{tmp_path / 'alertd.db'}\n"
        "ALERTD_SOURCES__GATEWAY__KIND=prometheus\nALERTD_SOURCES__GATEWAY__URL=http://127.0.0.1:1\n"
        "ALERTD_SOURCES__GATEWAY__PRESET=litellm\n"
        "ALERTD_BUDGETS__RESEARCH__AMOUNT=500 USD\nALERTD_BUDGETS__RESEARCH__ACTIONS=stop\n"
        "ALERTD_ACTIONS__STOP__KIND=anthropic\nALERTD_ACTIONS__STOP__MODE=approve\nALERTD_ACTIONS__STOP__TOKEN=t\n"
        "ALERTD_ACTIONS__STOP__APPROVERS=@ana\n"
    )
    asyncio.run(_propose(f"sqlite:///{tmp_path / 'alertd.db'}"))
    return file


async def _propose(url: str, **more: Any) -> None:
    more = {"amount": "500", **more}
    now = datetime.now(UTC)
    event = Event("e", "action", "critical", now, reason="Spent 41.30 USD in the last 1h", budget="research")
    act = Act("abc123" * 4, "stop", "rag-indexer", "key", "research//2026-11-01", "burn_rate/1", "burn_rate",
              "disable this key", True, "disable", event.to_json(), evidence={"recent": "41.3"}, **more)  # fmt: skip  # noqa: FBT003
    act, first = act.after("propose", now)
    act, second = act.after("ask", now, expires=now + timedelta(hours=1))
    store = sqlite.build(url)
    await store.open()
    assert await store.commit_decisions([], [], {act.note: (act.to_json(), 0)}, [first, second])
    await store.close()


def listed(house: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["actions", "list", "--json", "--env-file", str(house)]) == 0
    (act,) = json.loads(capsys.readouterr().out)
    return act


def test_an_approver_approves_by_the_handle_and_it_is_audited(house, capsys):
    assert main(["actions", "approve", "abc123", "--by", "ana", "--reason", "agreed", "--env-file", str(house)]) == 0
    act = listed(house, capsys)
    assert (act["state"], act["approved_by"]) == ("approved", "ana")
    assert [(step["what"], step["by"], step["reason"]) for step in act["audit"]][-1] == ("approve", "ana", "agreed")


def test_what_was_raised_meanwhile_is_not_approved_and_the_answer_says_why(house, capsys):
    assert main(["raise", "research", "900 USD", "--env-file", str(house)]) == 0
    assert main(["actions", "approve", "abc123", "--by", "ana", "--env-file", str(house)]) == 1
    assert "nothing was done: the budget was raised to 900 USD" in capsys.readouterr().err
    assert listed(house, capsys)["state"] == "awaiting"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["approve", "abc123", "--by", "mallory"], "mallory is not among its approvers"),
        (["approve", "abc123", "--by", " "], "nobody approved it by name"),
        (["approve", "zzz", "--by", "ana"], "no action has this handle; there are: abc123 (awaiting, rag-indexer)"),
        (["approve"], "no action has this handle"),
        (["restore", "abc123"], "an act that is awaiting cannot restore"),
        (["report", "--since", "soon"], "is no duration"),
    ],
)
def test_what_is_not_possible_is_said_with_the_remedy_and_changes_nothing(house, capsys, words, said):
    assert main(["actions", *words, "--env-file", str(house)]) == 1
    assert said in capsys.readouterr().err
    assert listed(house, capsys)["state"] == "awaiting"


def test_refused_is_refused(house, capsys):
    assert main(["actions", "refuse", "abc1", "--by", "bo", "--env-file", str(house)]) == 0
    assert listed(house, capsys)["state"] == "refused"
    assert main(["actions", "approve", "abc1", "--by", "ana", "--env-file", str(house)]) == 1


def test_the_list_shows_every_act_with_its_history_and_what_an_action_lacks(house, capsys):
    assert main(["actions", "--env-file", str(house)]) == 0
    shown = capsys.readouterr().out
    assert "stop: disable this Anthropic key, mode approve" in shown
    assert "abc123  awaiting" in shown
    assert "propose by alertd" in shown


def test_a_pause_is_seen_and_lifted(house, capsys):
    assert main(["actions", "pause", "--by", "ana", "--env-file", str(house)]) == 0
    capsys.readouterr()
    assert main(["actions", "--env-file", str(house)]) == 0
    assert "by ana; to continue: alertd actions pause --off" in capsys.readouterr().out
    assert main(["actions", "pause", "--off", "--env-file", str(house)]) == 0
    capsys.readouterr()
    assert main(["actions", "--env-file", str(house)]) == 0
    assert "paused" not in capsys.readouterr().out


@pytest.mark.parametrize("what", ["plan", "report"])
def test_a_plan_and_a_report_of_nothing_are_empty_json(house, capsys, what):
    assert main(["actions", what, "--json", "--env-file", str(house)]) == 0
    assert json.loads(capsys.readouterr().out) in ([], {"would": [], "would_not": []})


async def _verify(url: str) -> None:
    """The proposal of the fixture was approved and carried out."""
    store = sqlite.build(url)
    await store.open()
    ((name, (value, revision)),) = [one for one in (await store.memory()).items() if one[0].startswith("action/")]
    act, steps = Act.from_json(value), []
    for what in ("approve", "begin", "verify"):
        act, step = act.after(what, datetime.now(UTC), **({"ours": True} if what == "verify" else {}))
        steps.append(step)
    assert await store.commit_decisions([], [], {name: (act.to_json(), revision)}, steps)
    await store.close()


def test_an_action_that_is_disowned_stays_as_it_is_and_nothing_undoes_it_any_more(house, capsys):
    asyncio.run(_verify(f"sqlite:///{house.parent / 'alertd.db'}"))
    assert main(["actions", "disown", "abc123", "--by", "sec", "--reason", "leaked", "--env-file", str(house)]) == 0
    act = listed(house, capsys)
    assert (act["state"], act["ours"]) == ("disowned", False)
    assert [(step["what"], step["by"], step["reason"]) for step in act["audit"]][-1] == ("disown", "sec", "leaked")
    assert main(["actions", "restore", "abc123", "--env-file", str(house)]) == 1
    assert "an act that is disowned cannot restore" in capsys.readouterr().err


def test_what_turns_a_key_off_is_undone_by_hand_unless_the_configuration_says_otherwise():
    plugin = registry.load("revokers", "anthropic")
    for given, expected in (({}, "by_hand"), ({"undo": "auto"}, "auto")):
        options = plugin.Options.model_validate({"token": "t", **given})
        assert action_of("stop", options, plugin.build("stop", options), {}).terms.undone == expected
    plugin = registry.load("revokers", "litellm")
    gentle = plugin.Options.model_validate({"url": "http://l", "token": "t", "operation": "budget", "max_budget": "2"})
    assert action_of("stop", gentle, plugin.build("stop", gentle), {}).terms.undone == "auto"
