"""The simple file: usage, money or both; what is unclear is refused with its line."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alertd.sources.csv import Options, build
from tests.servers.source_ledger import SourceLedger

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def held(path: Path, **options: Any) -> SourceLedger:
    return SourceLedger(build("own", Options.model_validate({"path": str(path), **options})))


def test_usage_and_money_of_one_row_are_both_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "date,provider,model,meter,quantity,cost,currency,team\n"
        "2026-11-18,mistralai,mistral-large,input,1000,0.50,eur,search\n"
        "2026-11-19,mistralai,mistral-large,output,50,,,search\n"
    )
    found = held(tmp_path / "a.csv").round(SINCE, NOW)
    assert found.error is None
    assert (found.tokens("input"), found.tokens("output")) == (1000, 50)
    assert found.days("EUR") == {date(2026, 11, 18): Decimal("0.5")}
    assert {key.line.provider for key, _, _ in found.buckets} == {"mistral"}
    assert found.labels("team") == {"search"}


def test_a_glob_sees_new_files(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("date,provider,cost\n2026-11-18,x,1\n")
    found = held(tmp_path / "*.csv").round(SINCE, NOW)
    (tmp_path / "2.csv").write_text("date,provider,cost\n2026-11-19,x,2\n")
    found.round(SINCE, NOW)
    assert found.cost() == 3


def test_rows_of_a_time_to_come_do_not_make_what_is_read_newer(tmp_path: Path) -> None:
    file = tmp_path / "1.csv"
    file.write_text("date,provider,cost\n2026-11-18,x,1\n2026-11-28,x,2\n2027-01-05,x,500\n")
    os.utime(file, (NOW.timestamp(), NOW.timestamp()))
    found = held(file).round(SINCE, NOW)
    assert found.error is None
    assert (found.until, found.cost()) == (datetime(2026, 11, 19, tzinfo=UTC), 503)


def test_a_row_that_is_taken_out_of_the_file_is_taken_out_of_the_ledger(tmp_path: Path) -> None:
    file = tmp_path / "1.csv"
    file.write_text("date,provider,cost\n2026-11-17,x,1\n2026-11-18,x,2\n2026-11-19,x,4\n")
    found = held(file).round(SINCE, NOW)
    file.write_text("date,provider,cost\n2026-11-17,x,1\n2026-11-19,x,4.5\n")
    found.round(SINCE, NOW)
    assert found.cost() == Decimal("5.5")


def test_the_first_and_the_last_day_of_a_bill_may_be_taken_back_to_nothing(tmp_path: Path) -> None:
    file = tmp_path / "1.csv"
    file.write_text("date,provider,cost\n2026-11-16,x,8\n2026-11-17,x,1\n2026-11-18,x,2\n2026-11-19,x,4\n")
    found = held(file).round(SINCE, NOW)
    file.write_text("date,provider,cost\n2026-11-17,x,0\n2026-11-18,x,2\n2026-11-19,x,0\n")
    found.round(SINCE, NOW)
    assert found.days("USD") == {date(2026, 11, 16): Decimal(8), date(2026, 11, 18): Decimal(2)}  # nothing of the 16th


def test_amounts_are_read_as_people_write_them_and_labels_are_added_and_dropped(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text('date,provider,cost,user,team\n2026-11-18,x,"$1,234.50",bob,a\n')
    found = held(tmp_path, drop_labels="user", labels="env=prod").round(SINCE, NOW)
    assert found.cost() == Decimal("1234.50")
    ((key, _, _),) = found.buckets
    assert dict(key.labels) == {"team": "a", "env": "prod"}


def test_a_hashed_label_is_stored_as_its_hash_alone(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("date,provider,cost,user,team\n2026-11-18,x,1,bob,a\n2026-11-19,x,1,bob,a\n")
    found = held(tmp_path, hash_labels="user", hash_secret="0123456789abcdef").round(SINCE, NOW)
    (key,) = {key for key, _, _ in found.buckets}
    labels = dict(key.labels)
    assert labels["team"] == "a"
    assert labels["user"].startswith("h-")
    assert "bob" not in str(found.buckets)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider,cost\nx,1\n", "no column of times"),
        ("date,provider\n2026-11-18,x\n", "are no usage and no cost"),
        (
            "date,provider,cost\n2026-11-18,x,one\n",
            "line 2: column cost holds no number; correct it, or leave it out (COLUMNS=cost=ignore)",
        ),
        ("date,provider,cost,currency\n2026-11-18,x,1,euro\n", "three capital letters"),
        ("date,provider,cost\nyesterday,x,1\n", "line 2: a time is a day or an instant"),
        (
            "date,provider,model,meter,quantity\n2026-11-18,x,m,input,1.5\n",
            "line 2: column quantity is not a whole number",
        ),
    ],
)
def test_what_is_unclear_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    found = held(tmp_path / "bad.csv").round(SINCE, NOW)
    assert said in str(found.error)
    assert "bad.csv" in str(found.error)


def test_a_file_that_is_not_there_yet_is_said(tmp_path: Path) -> None:
    assert "no file there yet" in str(held(tmp_path / "*.csv").round(SINCE, NOW).error)
    assert "No such file" in str(held(tmp_path / "a.csv").round(SINCE, NOW).error)


def test_a_pipe_in_a_folder_is_left_alone_and_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("date,provider,cost\n2026-11-18,x,5\n")
    os.mkfifo(tmp_path / "pipe.csv")
    world = held(tmp_path)
    assert world.round(SINCE, NOW).error is None
    assert world.cost(currency="USD") == 5
    (tmp_path / "gone.csv").symlink_to("/nowhere")
    assert str(world.round(SINCE, NOW).error) == f"{tmp_path}/gone.csv: a link to a file that is not there"
    (tmp_path / "gone.csv").unlink()
    assert world.round(SINCE, NOW).error is None
    assert str(held(tmp_path / "pipe.csv").round(SINCE, NOW).error).endswith("pipe.csv: a pipe or a device, not a file")


def test_equal_rows_of_two_files_are_asked_about_with_both_sums(tmp_path: Path) -> None:
    row = "2026-11-20,openai,gpt-4o,5.00\n"
    (tmp_path / "team-a.csv").write_text(f"date,provider,model,cost\n{row}2026-11-19,openai,gpt-4o,7.00\n")
    (tmp_path / "team-b.csv").write_text(f"date,provider,model,cost\n{row}2026-11-19,openai,gpt-4o,8.00\n")
    asked = held(tmp_path / "*.csv").round(SINCE, NOW)
    assert asked.cost() == 20
    (question,) = asked.warnings
    assert "1 row of one file is in another, too" in question
    assert "counts once (20.00 USD)" in question
    assert "all counts (25.00 USD)" in question
    assert "EQUAL_ROWS=each" in question
    each = held(tmp_path / "*.csv", equal_rows="each").round(SINCE, NOW)
    assert (each.cost(), each.warnings) == (25, ())
    once = held(tmp_path / "*.csv", equal_rows="once").round(SINCE, NOW)
    assert (once.cost(), once.warnings) == (20, ())


def test_what_a_file_does_not_say_is_said_in_the_options(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Tag;Modell;Betrag\n03/04/2026;m;1,234\n")
    options = {"columns": "Tag=date,Modell=model,Betrag=cost", "decimals": "comma", "dates": "dmy", "provider": "x"}
    found = held(tmp_path / "a.csv", **options).round(datetime(2026, 4, 1, tzinfo=UTC), NOW)
    assert found.days() == {date(2026, 4, 3): Decimal("1.234")}


def test_no_word_of_a_log_reaches_an_error(tmp_path: Path) -> None:
    secret = "my password is hunter2, please fix the payroll script"
    (tmp_path / "a.jsonl").write_text(f'{{"type":"user","message":{{"content":"{secret}"}}}}\n' * 500)
    error = str(held(tmp_path / "a.jsonl").round(SINCE, NOW).error)
    assert "hunter2" not in error
    assert len(error) < 600
