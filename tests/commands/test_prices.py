"""`alertd prices`: every used model with its price; what has none with the lines to paste; where lists disagree."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alertd import registry
from alertd.cli import main
from alertd.core.counting.samples import Increment
from alertd.core.usage import Line
from alertd.ports import SourceRow
from tests.prices.test_second_opinion import TABLE

ENV = """
ALERTD_DATABASE=sqlite:///alertd.db
ALERTD_SOURCES__GATEWAY__KIND=prometheus
ALERTD_SOURCES__GATEWAY__URL=http://127.0.0.1:1
ALERTD_SOURCES__GATEWAY__PRESET=litellm
ALERTD_BUDGETS__ALL__AMOUNT=100 USD
ALERTD_PRICES__FILES=["own.toml"]
ALERTD_PRICES__SECOND_OPINION=table.json
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    (tmp_path / "alertd.env").write_text(ENV)
    (tmp_path / "own.toml").write_text("")
    (tmp_path / "table.json").write_text(json.dumps(TABLE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def use(*lines: Line) -> None:
    async def write() -> None:
        store = registry.store("sqlite:///alertd.db")
        await store.open()
        minute = int(datetime.now(UTC).timestamp()) // 60 * 60
        used = [Increment(line, {}, minute, 60, 7) for line in lines]
        await store.commit_counters(SourceRow("gateway", cursor="1", until=datetime.now(UTC)), used, {})
        await store.close()

    asyncio.run(write())


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    status = main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_every_used_model_has_its_price_source_and_the_other_list_s_figure(capsys) -> None:
    use(Line("openai", "gpt-4o", "input"), Line("x-ai", "grok-code-fast-1", "input"))
    status, found = answer(capsys, "prices")
    assert status == 0
    first, second = found["prices"]
    assert (first["model"], first["price"], first["currency"], first["per"]) == ("gpt-4o", "2.50", "USD", 1_000_000)
    assert first["source"].startswith("genai-prices")
    assert first["other"]["price"] == "2.50"
    assert [one["disagree"] for one in (first, second)] == [False, True]


def test_where_lists_disagree_diff_says_so_and_ends_with_1(capsys) -> None:
    use(Line("x-ai", "grok-code-fast-1", "input"))
    assert main(["prices", "diff"]) == 1
    assert "grok-code-fast-1 input: prices disagree: 0.20 USD" in capsys.readouterr().out
    status, found = answer(capsys, "prices", "diff")
    assert status == 1
    assert [(one["price"], one["other"]) for one in found["disagreements"]] == [("0.20", "1.00")]


def test_lists_that_agree_end_with_0(capsys) -> None:
    use(Line("openai", "gpt-4o", "input"))
    assert main(["prices", "diff"]) == 0
    assert "The lists agree" in capsys.readouterr().out


def test_a_model_launched_today_has_lines_to_paste_and_is_priced_when_they_are(here: Path, capsys) -> None:
    use(Line("openai", "gpt-9", "input"), Line("openai", "gpt-9", "output"))
    status, found = answer(capsys, "prices")
    assert status == 1
    assert ["gpt-9" in row["nearest"] for row in found["prices"]] == [False, False]
    (here / "own.toml").write_text("\n".join(found["blocks"]))
    status, found = answer(capsys, "prices")
    assert status == 0
    assert [row["price"] for row in found["prices"]] == ["7.00", "21.00"]


def test_check_names_what_has_no_price_and_where_lists_disagree(capsys) -> None:
    use(Line("openai", "gpt-9", "input"), Line("x-ai", "grok-code-fast-1", "input"))
    main(["check", "--json"])
    said = [row["said"] for row in json.loads(capsys.readouterr().out)["checks"] if row["what"] == "price"]
    assert any("no price is known for openai/gpt-9" in text and "alertd prices" in text for text in said)
    assert any("grok-code-fast-1 input: prices disagree: 0.20 USD" in text for text in said)


def test_without_a_second_list_diff_says_what_to_give(here: Path, capsys) -> None:
    (here / "alertd.env").write_text(ENV.replace("ALERTD_PRICES__SECOND_OPINION=table.json", ""))
    use(Line("openai", "gpt-4o", "input"))
    assert main(["prices", "diff"]) == 1
    assert "there is no list to compare with; give --with FILE" in capsys.readouterr().err
    assert main(["prices", "diff", "--with", "table.json"]) == 0


def test_a_table_that_is_not_there_is_one_fault_at_its_variable(here: Path, capsys) -> None:
    (here / "table.json").unlink()
    assert main(["prices"]) == 1
    error = capsys.readouterr().err
    assert "SECOND_OPINION" in error
    assert "cannot be read (No such file or directory); check the path" in error


def test_an_update_needs_an_address_and_a_file(here: Path, capsys) -> None:
    assert main(["prices", "update"]) == 1
    assert "the download address is not set" in capsys.readouterr().err
    (here / "alertd.env").write_text(f"{ENV}\nALERTD_PRICES__UPDATE_URL=http://127.0.0.1:1/data.json\n")
    assert main(["prices", "update"]) == 1
    assert "set ALERTD_PRICES__LIST_FILE" in capsys.readouterr().err
