"""`alertd reconcile` over a database that the collectors filled: usage and bill from files, told side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine

from alertd.cli import main
from alertd.loops.collect import Collect
from alertd.registry import load
from alertd.stores.sqlite import build

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
NOW = FIRST + timedelta(days=20, hours=12)


@pytest.fixture(autouse=True)
def the_21st_of_november() -> Iterator[None]:
    """The command asks the machine's clock, which stands still."""
    with time_machine.travel(NOW, tick=False):
        yield


class Now:
    def now(self) -> datetime:
        return NOW


def collected(folder: Path, **paths: Path) -> Path:
    """An env file of csv sources whose files were read into a database."""
    database = f"sqlite:///{folder / 'alertd.db'}"
    plugin = load("sources", "csv")

    async def collect() -> None:
        store = build(database)
        await store.open()
        for name, path in paths.items():
            source = plugin.build(name, plugin.Options.model_validate({"path": str(path)}))
            await Collect(source, store, Now(), lambda _: FIRST - timedelta(days=31)).tick()
        await store.close()

    asyncio.run(collect())
    env = [f"ALERTD_DATABASE={database}", "ALERTD_BUDGETS__ALL__AMOUNT=500 USD", "ALERTD_NOTIFIERS__OUT__KIND=console"]
    for name, path in paths.items():
        env += [f"ALERTD_SOURCES__{name.upper()}__KIND=csv", f"ALERTD_SOURCES__{name.upper()}__PATH={path}"]
    (folder / "alertd.env").write_text("\n".join(env) + "\n")
    return folder / "alertd.env"


def test_a_discount_that_began_is_told_with_its_day_and_its_factor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage, bill = ["date,provider,model,meter,quantity"], ["date,provider,model,cost,currency"]
    for number in range(20):
        day, tokens = FIRST + timedelta(days=number), 4_000_000 + number % 5 * 500_000
        cost = Decimal(tokens) * Decimal("2.5") / 10**6 * (1 if number < 9 else Decimal("0.8"))
        usage.append(f"{day:%Y-%m-%d},openai,gpt-4o,input,{tokens}")
        bill.append(f"{day:%Y-%m-%d},openai,gpt-4o,{cost},USD")
    (tmp_path / "usage.csv").write_text("\n".join(usage))
    (tmp_path / "bill.csv").write_text("\n".join(bill))
    env = collected(tmp_path, gateway=tmp_path / "usage.csv", bill=tmp_path / "bill.csv")
    assert main(["reconcile", "--env-file", str(env), "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["reconciled"]
    assert found["provider"] == "openai"
    assert found["factor"] == "0.8000"
    assert [cause["kind"] for cause in found["causes"]] == ["price_changed"]
    assert f"from {FIRST + timedelta(days=9):%Y-%m-%d} on 0.80 times" in found["causes"][0]["said"]
    assert main(["reconcile", "--env-file", str(env), "--level", "20"]) == 0
    assert "correction for days that are not billed yet: times 0.8000" in capsys.readouterr().out


def test_two_files_of_one_traffic_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{FIRST + timedelta(days=n):%Y-%m-%d},openai,gpt-4o,input,{1000 * (n + 1)}" for n in range(10)]
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["date,provider,model,meter,quantity", *rows]))
    env = collected(tmp_path, one=tmp_path / "one.csv", two=tmp_path / "two.csv")
    assert main(["reconcile", "--env-file", str(env)]) == 1
    assert "one and two seem to read the same traffic (gpt-4o, 10 days)" in capsys.readouterr().out
    with env.open("a") as file:
        file.write("ALERTD_SOURCES__TWO__ROLE=check\n")
    assert main(["reconcile", "--env-file", str(env)]) == 0
