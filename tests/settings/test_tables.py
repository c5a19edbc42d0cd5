"""A budget's table: what people keep in a spreadsheet, with every bad cell named."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from sample_plugins import Faults, Load

from alertd.core.budgets import Amount, Override, parse_threshold

T = "ALERTD_BUDGETS__TEAMS__"
BASE = {
    "ALERTD_NOTIFIERS__OPS__KIND": "echo",
    "ALERTD_NOTIFIERS__PAGER__KIND": "echo",
    "ALERTD_ACTIONS__STOP_RESEARCH__KIND": "stop",
    T + "AMOUNT": "100 USD",
    T + "PER": "team",
}


def with_table(tmp_path: Path, text: str, **keys: str) -> dict[str, str]:
    file = tmp_path / "teams.csv"
    file.write_bytes(text.encode())
    return {**BASE, T + "TABLE_FILE": str(file), **{T + key: value for key, value in keys.items()}}


def test_a_row_has_of_its_own_what_its_cells_say_and_nothing_else(load: Load, tmp_path: Path) -> None:
    text = (
        "team,amount,channel,owner,notify,thresholds,actions\n"
        'research,500 USD,#llm-research,@ana,"ops,pager","actual 50%,forecast 100% p70",stop_research\n'
        "\n"
        "search,250,,,,,\n"
        ',10,,,"{""critical"": [""pager""]}",,\n'
    )
    settings = load(with_table(tmp_path, text))
    table = settings.budgets["teams"].table
    assert table["research",] == Override(
        amount=Amount(Decimal(500), "USD"),
        channel="#llm-research",
        owner="@ana",
        notify=dict.fromkeys(("info", "warning", "critical"), ("ops", "pager")),
        thresholds=(parse_threshold("actual 50%"), parse_threshold("forecast 100% p70")),
        actions=("stop-research",),
    )
    assert table["search",] == Override(amount=Amount(Decimal(250), "USD"))
    assert table["",] == Override(amount=Amount(Decimal(10), "USD"), notify={"critical": ("pager",)})
    assert settings.watched == (tmp_path / "teams.csv",)


def test_the_key_of_a_row_is_in_the_order_of_per_whatever_that_of_the_columns(load: Load, tmp_path: Path) -> None:
    settings = load(with_table(tmp_path, "amount,project,team\n5,p,t\n", PER="team,project"))
    assert list(settings.budgets["teams"].table) == [("t", "p")]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffteam,amount\r\nresearch,250\r\n",
        "team,amount\rresearch,250\r",
        "Team,AMOUNT\nresearch,250\n",
        "team;amount\nresearch;250\n",
        ' team , amount \n research , "250 USD"\n',
    ],
    ids=["byte-order mark and CRLF", "CR", "capitals", "semicolons", "blanks"],
)
def test_a_table_is_read_as_spreadsheets_save_it(load: Load, tmp_path: Path, text: str) -> None:
    table = load(with_table(tmp_path, text)).budgets["teams"].table
    assert table == {("research",): Override(amount=Amount(Decimal(250), "USD"))}


def test_a_table_of_tokens(load: Load, tmp_path: Path) -> None:
    settings = load(with_table(tmp_path, "team,amount\nresearch,5M\n", AMOUNT="1M tokens"))
    assert str(settings.budgets["teams"].table["research",].amount) == "5,000,000 tokens"


HEADER = "team,amount,notify,thresholds,actions\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + "a,lots,,,\n", "2 amount: 'lots' is not an amount; write it as 500 USD or 5M tokens"),
        (HEADER + "a,5 EUR,,,\n", "2 amount: '5 EUR' is in EUR, but the currency here is USD; give one of them"),
        (HEADER + "\na,,opps,,\n", "3 notify: no 'opps' in notifiers; there are: ops, pager; did you mean ops?"),
        (HEADER + "a,,,actual,\n", "2 thresholds: 'actual': actual takes percent or amount; write it as actual 80%"),
        (
            HEADER + "a,,,actual 5 EUR,\n",
            "2 thresholds: 'actual 5 EUR' is in EUR, but the budget in USD; give both in one",
        ),
        (HEADER + "a,,,,stop\n", "2 actions: no 'stop' in actions; there are: stop-research"),
        (HEADER + "a,1,500,,,\n", "2: 6 cells, but 5 columns; put cells with commas in double quotes"),
        (HEADER + "a,1,,,\nb,1,,,\na,2,,,\n", "4 team: team a: given in line 2, too; keep one row"),
        (
            "team,amuont\na,5\n",
            (
                "1 amuont: no such column; "
                "there are: actions, amount, channel, notify, owner, team, thresholds; did you mean amount?"
            ),
        ),
        (
            "amount\n5\n",
            "1: no column 'team'; the first line names team, amount, channel, owner, notify, thresholds, actions",
        ),
        ("team,amount,amount\na,5,6\n", "1 amount: a column given twice; keep one of them"),
        (HEADER + 'a,"5,,,\n', "2: not valid CSV (unexpected end of data); put cells with commas in double quotes"),
        ("", "1: no column 'team'; the first line names team, amount, channel, owner, notify, thresholds, actions"),
    ],
)
def test_a_bad_cell_is_named_by_file_line_and_column(faults: Faults, tmp_path: Path, text: str, said: str) -> None:
    assert [str(fault) for fault in faults(with_table(tmp_path, text))] == [f"{tmp_path / 'teams.csv'}:{said}"]


def test_all_bad_cells_are_told_at_once_beside_what_is_wrong_elsewhere(faults: Faults, tmp_path: Path) -> None:
    env = with_table(tmp_path, HEADER + "a,x,opps,,\nb,1,,spent 1%,\n", PERIOD="moon")
    places = [fault.place.removeprefix(f"{tmp_path}/") for fault in faults(env)]
    assert places == [T + "PERIOD", "teams.csv:2 amount", "teams.csv:2 notify", "teams.csv:3 thresholds"]
