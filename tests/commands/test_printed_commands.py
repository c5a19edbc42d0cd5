"""Every command that a message prints does what it says when pasted into a shell, in any folder, for any scope."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine

from alertd import registry
from alertd.cli import main
from alertd.commands._settings_args import add_settings_arguments
from alertd.commands._settings_args import settings_of as loaded
from alertd.core.counting.samples import Increment
from alertd.core.evaluation.keys import status_name
from alertd.core.evaluation.state import RAISED, RaisedAmount, State
from alertd.core.evaluation.values import Alert
from alertd.core.events import (
    ConfigurationRefused,
    DatabaseReplaced,
    Drift,
    DuplicateSourcesFound,
    Event,
    ModelsPriced,
    ModelsUnpriced,
    NotEvaluated,
    PricedModel,
    PricesDiffer,
    SecondDaemon,
    with_command_options,
)
from alertd.core.messages import CODE, compose
from alertd.core.messages.samples import SAMPLES
from alertd.core.pricing.exchange_rates import Rates
from alertd.core.pricing.price_book import PriceBook
from alertd.core.pricing.price_file import read_price_file
from alertd.core.pricing.tariffs import exchange_of
from alertd.core.usage import Line
from alertd.loops.evaluate import Evaluate, EvaluationConfig
from alertd.ports import SourceRow
from alertd.settings import Settings, load_settings
from tests.fakes import StoppedClock
from tests.scenario import PRICES

ODD = {
    "plain": "research",
    "blank": "data science",
    "two blanks": "a  b",
    "blanks around": " a ",
    "quote": "o'neil",
    "quotes": "say \"hi\" 'there'",
    "dollar": "$HOME and $(touch pwned)",
    "backtick": "`touch pwned`",
    "backslash": r"a\b\n",
    "bang": "wow!!",
    "glob": "*? [a-z] {x,y} ~",
    "semicolon": "a; touch pwned & b | c > d",
    "comma": "a,key=b",
    "equals": "a=b=c",
    "dash": "--scope",
    "unicode": "Ärzte 東京 🙂",
    "right to left": "צוות",
    "combining": "e\u0301quipe",
    "control": "a\tb\x1b[31m",
    "newline": "a\nb",
    "no-break": "a\u00a0b\u200b",
    "long": "x" * 300,
    "without": "",
}
NOW = datetime(2026, 11, 21, 7, 5, tzinfo=UTC)
FILE = """
ALERTD_DATABASE=sqlite:///{folder}/alertd.db
ALERTD_SOURCES__GATEWAY__KIND=prometheus
ALERTD_SOURCES__GATEWAY__URL=http://127.0.0.1:1
ALERTD_SOURCES__GATEWAY__PRESET=litellm
ALERTD_BUDGETS__TEAMS__AMOUNT={amount}
ALERTD_BUDGETS__TEAMS__PER=team,key
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with blanks and marks in its name; commands are typed in another one. At a month's end nothing warns."""
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    found = tmp_path / "my alert's $conf"
    found.mkdir()
    monkeypatch.chdir(tmp_path)
    with time_machine.travel(NOW, tick=True):
        yield found
    assert not list(tmp_path.rglob("pwned"))


def settings_of(folder: Path, amount: str) -> Settings:
    file = folder / "my alertd.env"
    file.write_text(FILE.format(folder=folder.parent, amount=amount))
    return load_settings({}, [file])


def options_of(folder: Path) -> str:
    """What the daemon that was started with this file has its messages print."""
    parser = argparse.ArgumentParser()
    add_settings_arguments(parser)
    return loaded(parser.parse_args(["--env-file", str(folder / "my alertd.env")])).command_options


def evaluated(settings: Settings, team: str, millions: float) -> list[Alert]:
    """The alerts of a daemon that saw this many million tokens of one team appear."""

    async def run() -> list[Alert]:
        store = registry.store(settings.database)
        await store.open()
        now = datetime.now(UTC)
        book = PriceBook((read_price_file("prices", PRICES),))
        configured = settings.sources["gateway"]
        source = registry.load("sources", configured.kind).build("gateway", configured.options)
        terms = EvaluationConfig(
            tuple(settings.budgets.values()), book, exchange_of(Rates()), {}, sources={"gateway": source}
        )
        evaluation = Evaluate(store, StoppedClock(now), terms, lambda: None)
        line, labels = Line("acme", "plain", "input"), {"team": team, "key": "rag"} if team else {"key": "rag"}
        minute = int(now.timestamp()) // 60 * 60
        found: list[Alert] = []
        for count, tokens in enumerate((1, int(millions * 1_000_000))):
            row = SourceRow("gateway", cursor=str(count), until=now, revision=count)
            assert await store.commit_counters(row, [Increment(line, labels, minute, 60, tokens)], {})
            await evaluation.tick()
            assert evaluation.latest is not None
            found += evaluation.latest.alerts
        await source.close()
        await store.close()
        return found

    return asyncio.run(run())


def printed(alerts: list[Alert], options: str) -> list[str]:
    messages = [compose([with_command_options(alert.event, options)], datetime.now(UTC)) for alert in alerts]
    spans = [span.text for message in messages for line in message.body for span in line if span.style == CODE]
    return [text for text in spans if text.startswith("alertd ")]


def typed(command: str) -> int:
    """The exit status of a command as bash reads it."""
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True)
    program, *words = read.stdout.removesuffix("\0").split("\0")
    assert program == "alertd"
    return main(words)


def raised(settings: Settings) -> list[tuple[str, RaisedAmount]]:
    async def read() -> list[tuple[str, RaisedAmount]]:
        store = registry.store(settings.database)
        await store.open()
        found = list(RAISED.items(State.of(await store.memory())))
        await store.close()
        return found

    return asyncio.run(read())


@pytest.mark.parametrize("team", ODD.values(), ids=ODD.keys())
def test_each_command_of_an_alert_works_as_printed_and_raises_above_what_is_spent(
    team: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(folder, "5 USD")
    options = options_of(folder)
    alerts = evaluated(settings, team, 6.3)
    commands = printed([alert for alert in alerts if alert.event.kind == "threshold"], options)
    assert {command.split()[1] for command in commands} >= {"raise", "ack"}
    for command in dict.fromkeys(commands):
        assert typed(command) == 0, command
    assert "check the spelling" not in capsys.readouterr().err
    ((name, found),) = raised(settings)
    assert found.amount > Decimal("6.3")
    assert name == status_name("teams", (("team", team or None), ("key", "rag")), f"{datetime.now(UTC):%Y-%m}-01")


@pytest.mark.parametrize(("amount", "millions"), [("3 USD", 2.8), ("0.02 USD", 0.019), ("1M tokens", 0.9)], ids=str)
def test_a_small_and_a_token_budget_is_raised_above_itself(amount: str, millions: float, folder: Path) -> None:
    settings = settings_of(folder, amount)
    alerts = [one for one in evaluated(settings, "a", millions) if one.event.kind == "threshold"]
    for command in printed(alerts, options_of(folder)):
        assert typed(command) == 0, command
    assert raised(settings)
    for _, found in raised(settings):
        (budget,) = settings.budgets.values()
        assert found.amount >= budget.amount.value * Decimal("1.2") * Decimal("0.999")


#: What no sample shows: everything else that an event can say.
OTHERS = {
    "source_stale": (
        ConfigurationRefused(("ALERTD_X: unknown",)), DatabaseReplaced("torn", "/var/old.db"),
        DatabaseReplaced(replaced=True), SecondDaemon(), NotEvaluated("KeyError"),
    ),
    "recovered": (ConfigurationRefused(), SecondDaemon(), NotEvaluated()),
    "summary": (
        Drift("openai", estimated=Decimal(4), billed=Decimal(5), drift=Decimal("-0.2"), first="a", last="b"),
        Drift("openai", "report", Decimal(4), Decimal(5), Decimal("-0.2"), first="a", last="b", sources=("gateway",)),
        DuplicateSourcesFound(("one", "other"), "one and other look alike"), PricesDiffer(("gpt-5",), ("1 or 2 USD",)),
        ModelsPriced((PricedModel("openai", "gpt-5", {"USD": Decimal(4)}),)),
    ),
    "unpriced": (ModelsUnpriced(0.1, ("[[price]]",)),),
}  # fmt: skip


def test_every_command_that_any_message_prints_is_one_that_the_command_line_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    messages = [events for make in SAMPLES.values() for events in ([one] for one in make(NOW))]
    messages += [list(make(NOW)) for make in SAMPLES.values()]
    messages += [[Event("a", kind, "warning", NOW, details=one)] for kind, found in OTHERS.items() for one in found]
    lines = [line for events in messages for line in compose(events, NOW).body]
    commands = {span.text for line in lines for span in line if span.style == CODE and span.text.startswith("alertd ")}
    assert {command.split()[1] for command in commands} == {
        "ack", "actions", "check", "db", "prices", "raise", "reconcile", "status"
    }  # fmt: skip
    for command in sorted(commands):
        with pytest.raises(SystemExit) as left:
            typed(f"{command} --help")
        assert left.value.code == 0, command
    assert "usage: alertd" in capsys.readouterr().out
