"""Files of no known layout: columns, numbers, signs and times by the file's own habit, or a fault that asks."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from alertd.clients.price_files import price_book
from alertd.clients.tables import open_table
from alertd.core.formats.plan import FileHints
from alertd.core.formats.records import Contents, read_table
from alertd.core.formats.table import FormatError
from alertd.core.pricing.rating import rate


@pytest.fixture
def read(tmp_path: Path):
    def of(text: str, **said) -> Contents:
        path = tmp_path / "usage.csv"
        path.write_text(text, encoding="utf-8")
        return read_table(open_table(path), FileHints(**said))

    return of


def rated(contents: Contents) -> Decimal:
    bill = rate(contents.usage, price_book([]))
    assert not bill.unpriced
    return bill.totals["USD"]


def meters(contents: Contents) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for one in contents.usage:
        found[" ".join([one.line.meter, *(f"{name}={value}" for name, value in one.line.modifiers)])] += one.quantity
    return dict(found)


def billed(contents: Contents) -> dict[str, Decimal]:
    found: dict[str, Decimal] = defaultdict(Decimal)
    for one in contents.costs:
        found[one.cost.currency] += one.cost.amount
    return dict(found)


@pytest.mark.parametrize(
    ("columns", "row", "truth"),
    [
        pytest.param("input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens,provider,model",
                     "59200,10646,5760,53440,openai,gpt-4o", "0.24726", id="a total beside its parts"),
        pytest.param("provider,model,input_tokens,cache_creation_5m_tokens,cache_creation_1h_tokens,output_tokens",
                     "anthropic,claude-sonnet-4-5,3,1000,1000000,0", "6.003759", id="writes of one hour"),
        pytest.param("provider,model,prompt_tokens,candidates_tokens,thoughts_tokens",
                     "google,gemini-2.5-flash,15,359,661", "0.0025545", id="thoughts beside candidates"),
        pytest.param("provider,model,input_tokens,output_tokens,reasoning_tokens",
                     "google,gemini-2.5-flash,15,359,661", "0.0025545", id="more reasoning than output"),
        pytest.param("provider,model,input_tokens,output_tokens,reasoning_tokens",
                     "openai,gpt-5,0,1000000,400000", "10", id="reasoning within the output"),
        pytest.param("provider,model,input_tokens,prompt_tokens,output_tokens,completion_tokens",
                     "openai,gpt-4o,1000000,1000000,100000,100000", "3.50", id="one meter by two names"),
        pytest.param("provider,model,input_tokens,cached_tokens,cache_read_input_tokens,output_tokens",
                     "openai,gpt-4o,1000000,400000,400000,0", "2.00", id="cached by two names"),
        pytest.param("provider,model,input_tokens,cache_creation_input_tokens,cache_read_input_tokens,output_tokens",
                     "anthropic,claude-sonnet-4-5,2000000,0,1000000,0", "6.30", id="Anthropic's own triple"),
        pytest.param("provider,model,prompt_tokens,cache_read_input_tokens,completion_tokens",
                     "anthropic,claude-sonnet-4-20250514,2459,2455,23", "0.0010935", id="a gateway's prompt tokens"),
        pytest.param("provider,model,gen_ai.usage.input_tokens,gen_ai.usage.output_tokens",
                     "openai,gpt-4o,1000000,100000", "3.50", id="OpenTelemetry's dots"),
        pytest.param("provider,model,inputTokens,outputTokens", "openai,gpt-4o,1000000,100000", "3.50",
                     id="camel case"),
        pytest.param("provider,model,Input Tokens,Output Tokens", 'openai,gpt-4o,"1,000,000","100,000"', "3.50",
                     id="thousands"),
    ],
)  # fmt: skip
def test_every_column_of_tokens_counts_once(read, columns, row, truth) -> None:
    assert rated(read(f"date,{columns}\n2026-11-20,{row}\n")) == Decimal(truth)


def test_audio_beside_text_is_a_meter_of_its_own(read) -> None:
    head = "date,provider,model,input_tokens,input_audio_tokens,output_tokens,output_audio_tokens\n"
    apart = read(f"{head}2026-11-20,openai,gpt-realtime,100000,1000000,100000,1000000\n")
    within = read(f"{head}2026-11-20,openai,gpt-realtime,1100000,1000000,1100000,1000000\n")
    assert meters(apart) == meters(within)
    assert meters(apart)["input modality=audio"] == 1_000_000
    assert meters(apart)["input"] == 100_000


def test_whether_cached_tokens_are_within_the_input_is_decided_for_all_rows_of_a_provider(read) -> None:
    rows = "2026-10-08,anthropic,claude-sonnet-4-5,10000,5000\n2026-10-08,anthropic,claude-sonnet-4-5,10,5000\n"
    contents = read(f"date,provider,model,input_tokens,cache_read_input_tokens\n{rows}")
    assert rated(contents) == Decimal("0.03303")
    assert any("beside the input" in note for note in contents.notes)


def test_a_total_of_each_row_tells_whether_cached_tokens_are_within_the_input(read) -> None:
    head = "date,provider,model,input_tokens,cached_tokens,output_tokens,total_tokens\n"
    assert meters(read(f"{head}2026-11-20,acme,m,100,40,10,110\n")) == {"input": 60, "cached_input": 40, "output": 10}
    assert meters(read(f"{head}2026-11-20,acme,m,100,40,10,150\n")) == {"input": 100, "cached_input": 40, "output": 10}


def test_where_nothing_tells_how_cached_tokens_count_it_is_asked(read) -> None:
    text = "date,provider,model,input_tokens,cached_tokens\n2026-11-20,acme,m,100,40\n"
    with pytest.raises(FormatError, match="--cached included or --cached disjoint"):
        read(text)
    assert meters(read(text, cached="included"))["input"] == 60
    assert meters(read(text, cached="disjoint"))["input"] == 100


def test_columns_of_one_meter_that_differ_are_a_fault_with_its_remedy(read) -> None:
    text = "date,provider,model,input_tokens,prompt_tokens\n2026-11-20,openai,gpt-4o,10,11\n"
    with pytest.raises(FormatError, match="line 2: columns input_tokens and prompt_tokens count the same and differ"):
        read(text)
    assert meters(read(text, columns={"prompt_tokens": "ignore"})) == {"input": 10}


@pytest.mark.parametrize("name", ["weird_tokens", "tokensSpecial", "extra_cost", "Amount Charged", "surcharge_usd"])
def test_a_column_that_counts_and_is_not_understood_is_never_a_label(read, name) -> None:
    text = f"date,provider,model,input_tokens,{name}\n2026-11-20,openai,gpt-4o,10,11\n"
    with pytest.raises(FormatError, match=f"column {name} counts tokens or money and is not understood.*--columns"):
        read(text)
    assert meters(read(text, columns={name: "output_tokens"})) == {"input": 10, "output": 11}
    (label,) = {value for used in read(text, columns={name: "label"}).usage for value in used.labels.values()}
    assert label == "11"


@pytest.mark.parametrize(
    "name",
    ["max_tokens", "latency_ms", "tokens_per_second", "cost_center", "token_limit", "api_token", "max_output_tokens",
     "time_to_first_token_ms", "spend_limit", "cost_allocation_tag"],
)  # fmt: skip
def test_parameters_limits_and_names_count_nothing(read, name) -> None:
    contents = read(f"date,provider,model,input_tokens,{name}\n2026-11-20,openai,gpt-4o,10,11\n")
    assert meters(contents) == {"input": 10}


@pytest.mark.parametrize(
    ("text", "money"),
    [
        pytest.param('date;cost;currency\n2026-11-20;12,50;EUR\n2026-11-21;"1.234,50";EUR\n', {"EUR": "1247.00"},
                     id="decimal comma"),
        pytest.param('date,cost\n2026-11-20,"1,234.50"\n2026-11-20,"$12.50"\n', {"USD": "1247.00"}, id="point"),
        pytest.param("date,cost\n2026-11-20,€12.50\n2026-11-20,£3.10\n", {"EUR": "12.50", "GBP": "3.10"}, id="signs"),
        pytest.param("date,cost\n2026-11-20,12.50 EUR\n2026-11-20,USD 3\n", {"EUR": "12.50", "USD": "3"}, id="codes"),
        pytest.param("date,cost\n2026-11-20,1.2E-7\n", {"USD": "1.2E-7"}, id="exponent"),
        pytest.param("date,cost\n2026-11-20,(12.50)\n2026-11-20,−2.5\n", {"USD": "-15.00"}, id="negative"),
        pytest.param("date;cost\n2026-11-20;1'234.50\n2026-11-20;1 000.50\n", {"USD": "2235.00"}, id="blanks"),
        pytest.param("date,cost_eur\n2026-11-20,5\n", {"EUR": "5"}, id="currency in the name"),
        pytest.param("date,input_cost,output_cost,total_cost\n2026-11-20,1,2,3\n", {"USD": "3"}, id="total and parts"),
        pytest.param("date,input_cost,output_cost\n2026-11-20,1,2\n", {"USD": "3"}, id="parts alone"),
    ],
)  # fmt: skip
def test_money_is_read_by_the_files_own_habit(read, text, money) -> None:
    assert billed(read(text)) == {currency: Decimal(amount) for currency, amount in money.items()}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("date,cost,currency\n2026-11-20,€12.50,USD\n", "line 2: column cost has the sign of EUR, and its"),
        ("date;cost\n2026-11-20;12,50\n2026-11-21;12.55\n", "written in two ways"),
        ("date;cost\n2026-11-20;1,234\n", "--decimals point or --decimals comma"),
        ("date,cost\n2026-11-20,¥5\n", "sign of JPY or CNY"),
        ("date;model;input_tokens\n2026-11-20;m;12.000\n2026-11-21;m;3.000\n", "a point may be of thousands or of"),
        ("date,model,input_tokens\n2026-11-20,m,12.000\n", "--decimals point or --decimals comma"),
        ("date;cost\n2026-11-20;1.234\n", "line 2: a point may be of thousands or of decimals"),
        ("date,Cost (€),currency\n2026-11-20,10,USD\n", "line 2: column Cost (€) is in EUR by its name, and its"),
        (
            "date,cost\n2026-11-20,one\n",
            "line 2: column cost holds no number; correct it, or leave it out (--columns 'cost=ignore')",
        ),
        ("date,cost,spend\n2026-11-20,1,2\n", "columns cost and spend are both the cost and differ"),
        ("date,provider,model,input_tokens\n2026-11-20,x,m,1.5\n", "line 2: column input_tokens is not a whole number"),
        ("date,provider,model,input_tokens\n2026-11-20,x,m,0\n", "hold no token and no money"),
        ("date,provider,model,input_tokens\n", "a header and no row"),
        ("date,provider,model,input_tokens\n2026-11-20,x,,5\n", "line 2: model: required"),
        ("date,provider,model,input_tokens\n03/01/2026,x,m,5\n", "--dates dmy or --dates mdy"),
        ("date,provider,model,input_tokens\n13/01/2026,x,m,5\n01/13/2026,x,m,5\n", "day first and month first"),
        ("date,provider,model,input_tokens\nyesterday,x,m,5\n", "line 2: a time is a day or an instant"),
        ("date,provider,model,input_tokens\n2026-11-20 10:00:00 PST,x,m,5\n", "line 2: a time is a day or an instant"),
        ("date,provider,model,input_tokens\n2026-11-20T10:00:31Z,x,m,5\n2026-11-20T10:00:31 EST,x,m,5\n",
         "line 3: a time is a day or an instant"),
        ("provider,model,input_tokens\nx,m,5\n", "no column of times"),
        ("date,provider,model,input_tokens\n0001-01-01T00:00:00Z,x,m,5\n", "line 2: the time is in 1, as programs"),
        ("date,provider,model,input_tokens\n1970-01-01,x,m,5\n", "line 2: the time is in 1970, as programs write"),
        ("date,provider,model,input_tokens\n2026-W47,x,m,5\n", "line 2: a time is a day or an instant"),
        ("date,provider,model,input_tokens\n2026-11-20,x,m,1,000,000\n", "line 2 has 6 cells, and the header 4"),
        ("date,cost\n2026-11-20,12,50\n", "line 2 has 3 cells, and the header 2"),
        (f"date,provider,model,input_tokens\n2026-11-20,x,m,{'1' * 5000}\n", "is larger than any quantity"),
        ("date,provider,model,input_tokens,cost\n2026-11-20,x,m,5,1\n2026-11-20,x,m,6", "line 3: the file ends inside"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_or_cannot_be_told_is_a_fault(read, text, fault) -> None:
    with pytest.raises(FormatError) as error:
        read(text)
    assert fault in str(error.value)


def test_rows_that_leave_empty_cells_out_are_whole_where_it_is_the_files_habit(read) -> None:
    text = "date,provider,model,input_tokens,output_tokens\n2026-11-20,x,m,5,1\n2026-11-20,x,m,6\n2026-11-21,x,m,7\n"
    assert meters(read(text)) == {"input": 18, "output": 1}


def test_empty_cells_behind_the_last_column_are_no_cells(read) -> None:
    assert meters(read("date,provider,model,input_tokens\n2026-11-20,x,m,5,,\n")) == {"input": 5}


DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("written", "start", "length"),
    [
        (["2026-03-04"], "2026-03-04T00:00", DAY),
        (["2026-03"], "2026-03-01T00:00", 31 * DAY),
        (["2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z"], "2026-03-04T00:00", DAY),
        (["2026-03-04 00:00:00 UTC"], "2026-03-04T00:00", DAY),
        (["2026-03-04T10:00:00Z", "2026-03-04T11:00:00Z"], "2026-03-04T10:00", HOUR),
        (["2026-03-04T10:20:31.123+02:00"], "2026-03-04T08:20", MINUTE),
        (["2026-03-04 10:20:31 UTC"], "2026-03-04T10:20", MINUTE),
        (["1772619631"], "2026-03-04T10:20", MINUTE),
        (["1772619631123"], "2026-03-04T10:20", MINUTE),
        (["1772619631123456"], "2026-03-04T10:20", MINUTE),
        (["1772619631123456789"], "2026-03-04T10:20", MINUTE),
        (["04.03.2026"], "2026-03-04T00:00", DAY),
        (["2026/3/4"], "2026-03-04T00:00", DAY),
        (["03/04/2026", "03/14/2026"], "2026-03-04T00:00", DAY),
        (["04/03/2026", "14/03/2026"], "2026-03-04T00:00", DAY),
        (["3/14/2026 1:05 PM"], "2026-03-14T13:05", MINUTE),
        (['"Mar 4, 2026"'], "2026-03-04T00:00", DAY),
        (["4 March 2026"], "2026-03-04T00:00", DAY),
        (["4-Mar-2026"], "2026-03-04T00:00", DAY),
        (["04-Mar-26"], "2026-03-04T00:00", DAY),
        (["March 2026"], "2026-03-01T00:00", 31 * DAY),
        (["2026/03"], "2026-03-01T00:00", 31 * DAY),
        (["03/2026"], "2026-03-01T00:00", 31 * DAY),
        (["2026-03-04 10:20:31 PM"], "2026-03-04T22:20", MINUTE),
        (["2026-03-04 10:20:31 +0545"], "2026-03-04T04:35", MINUTE),
        (["2026-03-04 10:20:31-0800"], "2026-03-04T18:20", MINUTE),
        (["2026-03-04 10:20:31.123 +0000 UTC", "2026-03-04T10:20:32-08"], "2026-03-04T10:20", MINUTE),
        (["20260304"], "2026-03-04T00:00", DAY),
        (["2026-01-01", "2026-02-01", "2026-03-01"], "2026-01-01T00:00", 31 * DAY),
        (["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"], "2026-02-01T00:00", 28 * DAY),
        (["2026-03-01"], "2026-03-01T00:00", DAY),
        (["2026-03-01", "2026-03-02"], "2026-03-01T00:00", DAY),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_a_time_is_a_window_by_what_all_times_of_the_file_show(read, written, start, length) -> None:
    rows = "".join(f"{time},x,m,5\n" for time in written)
    first = min(read(f"date,provider,model,output_tokens\n{rows}").usage, key=lambda used: used.start)
    assert (first.start, first.end - first.start) == (datetime.fromisoformat(f"{start}Z"), length)


@pytest.mark.parametrize(
    ("columns", "times", "length"),
    [
        ("start_time,end_time", "1795478400,1795564800", DAY),
        ("start_time,end_time,start_time_iso,end_time_iso",
         "1795478400,1795564800,2026-11-24T00:00:00+00:00,2026-11-25T00:00:00+00:00", DAY),
        ("bucket_start,bucket_end", "2026-11-24T00:00:00Z,2026-11-24T01:00:00Z", HOUR),
        ("start_date,end_date", "2026-11-24,2026-11-24", DAY),
        ("start_date,end_date", "2026-11-01,2026-11-30", 30 * DAY),
    ],
)  # fmt: skip
def test_a_bucket_has_a_start_and_an_end(read, columns, times, length) -> None:
    (used,) = read(f"{columns},provider,model,output_tokens\n{times},x,m,5\n").usage
    assert used.end - used.start == length


CANARY = "my password is hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"{CANARY}, fix the payroll script\nnothing,else\n",
        f"date,provider,model,input_tokens\n{CANARY},x,m,5\n",
        f"date,provider,model,input_tokens\n2026-11-20,x,m,{CANARY}\n",
        f"date,cost\n2026-11-20,{CANARY}\n",
        f"date,cost,currency\n2026-11-20,5,{CANARY}\n",
        f"date,provider,model,meter,quantity\n2026-11-20,x,m,,{CANARY}\n",
        f'{{"type":"user","message":{{"content":"{CANARY}"}}}}\n{{"type":"user","message":{{"content":"{CANARY}"}}}}\n',
        f'{{"daily":[{{"date":"{CANARY}","inputTokens":5,"model":"m"}}]}}',
        f'[{{"date":"2026-11-20","{CANARY}":5}}',
        f'"{CANARY}',
    ],
)
def test_no_error_quotes_a_word_of_the_content(read, text) -> None:
    with pytest.raises(FormatError) as error:
        read(text)
    assert "hunter2" not in str(error.value).lower()
    assert len(str(error.value)) < 1000


def test_free_text_and_names_of_rows_are_no_labels(read) -> None:
    head = "date,provider,model,output_tokens,prompt,request_id,team\n"
    contents = read(f"{head}2026-11-20,x,m,5,{CANARY},req_1,a\n2026-11-20,x,m,7,other,req_2,a\n")
    (used,) = contents.usage
    assert (used.quantity, dict(used.labels)) == (12, {"team": "a"})


def test_a_row_that_adds_up_the_others_is_left_out_and_said(read) -> None:
    contents = read("Date,Model,Cost ($)\n2026-11-20,m,1.50\n2026-11-21,m,2\nTotal,,3.50\n")
    assert billed(contents) == {"USD": Decimal("3.50")}
    assert "1 row that adds up the others is left out" in contents.notes


@pytest.mark.parametrize(
    "rows",
    [
        "2026-11-20,openai,a,1.50\n2026-11-21,openai,b,2\nTotal (USD):,,,3.50\n",
        "2026-11-20,openai,a,1.50\n2026-11-21,openai,b,2\n,,Grand Total,3.50\n",
        "2026-11-20,openai,a,1.50\n2026-11-21,openai,b,2\n2026-11-30,Gesamtsumme,,3.50\n",
        "2026-11-20,openai,a,1.50\n2026-11-20,openai,b,2\n2026-11-20,openai,Total,3.50\n",
        "2026-11-20,openai,a,1.50\n2026-11-20,openai,Total,1.50\n2026-11-20,x,b,2\n2026-11-20,x,Total,2\n",
        "2026-11-20,openai,a,1.504\n2026-11-20,openai,b,1.999\n,Total,,3.50\n",
    ],
)
def test_a_total_counts_in_no_column(read, rows) -> None:
    contents = read(f"date,provider,model,cost\n{rows}")
    assert billed(contents)["USD"].quantize(Decimal("0.01")) == Decimal("3.50")
    assert any("up the others" in note and "left out" in note for note in contents.notes)


@pytest.mark.parametrize(
    "name",
    [
        "Итого", "合計", "總計", "합계", "Razem", "Totaal", "Celkem", "Összesen", "TOTAL GENERAL", "Totale complessivo",
        "Gesamtergebnis", "Endsumme", "All models", "all", "*", "Total for November", "Total (2 models)", "TOTAL: 2",
    ],
)  # fmt: skip
def test_the_total_of_all_models_is_known_in_many_languages_and_is_left_out(read, name) -> None:
    contents = read(f"date,model,input_tokens\n2026-11-20,a,100\n2026-11-21,b,200\n2026-11-30,{name},300\n")
    assert sum(used.quantity for used in contents.usage) == 300
    assert "1 row that adds up the others is left out" in contents.notes


def test_the_subtotals_of_a_pivot_table_are_left_out(read) -> None:
    rows = "2026-11-20,a,100\n2026-11-21,a,200\n2026-11-21,a Total,300\n2026-11-21,b,5\n2026-11-21,b Total,5\n"
    contents = read(f"date,model,input_tokens\n{rows}2026-11-30,Grand Total,305\n")
    assert sum(used.quantity for used in contents.usage) == 305
    assert {used.line.model for used in contents.usage} == {"a", "b"}


@pytest.mark.parametrize("name", ["all", "Total for November", "a Total", "*"])
def test_a_model_that_only_sounds_like_a_total_counts(read, name) -> None:
    contents = read(f"date,model,input_tokens\n2026-11-20,a,100\n2026-11-21,b,200\n2026-11-30,{name},7\n")
    assert sum(used.quantity for used in contents.usage) == 307


def test_a_month_beside_its_own_days_counts_once_and_one_that_differs_counts_beside_them(read) -> None:
    days = "2026-11-20,o,m,10\n2026-11-21,o,m,20\n2026-11-21,o,n,7\n"
    head = "date,provider,model,cost\n"
    contents = read(f"{head}2026-11,o,m,30\n{days}")
    assert billed(contents) == {"USD": Decimal(37)}
    assert "1 row that adds up the others is left out" in contents.notes
    assert billed(read(f"{head}2026-11,o,m,35\n{days}")) == {"USD": Decimal(72)}
    assert billed(read(f"{head}2026-10,o,m,30\n{days}")) == {"USD": Decimal(67)}


def test_a_number_of_three_decimals_is_read_where_another_number_or_the_option_tells(read) -> None:
    rows = "date;model;input_tokens;cost\n2026-11-20;m;12.000;1.5\n"
    assert meters(read(rows)) == {"input": 12}
    assert meters(read("date;model;input_tokens\n2026-11-20;m;12.000\n", decimals="comma")) == {"input": 12_000}
    assert billed(read("date,cost\n2026-11-20,1.234\n")) == {"USD": Decimal("1.234")}


def test_a_row_named_total_that_is_no_sum_is_asked_about_and_a_team_of_that_name_counts(read) -> None:
    with pytest.raises(FormatError, match="line 3: column model says that this row adds up others, and it is not"):
        read("date,provider,model,cost\n2026-11-20,openai,a,1.50\n2026-11-20,openai,Total,9\n")
    contents = read("date,provider,model,team,cost\n2026-11-20,openai,a,web,1.50\n2026-11-20,openai,a,Total,9\n")
    assert billed(contents) == {"USD": Decimal("10.50")}


@pytest.mark.parametrize("name", ["request units", "Cached (extra)", "prompt_sum", "completion_n", "tax", "Discount"])
def test_a_label_of_nothing_but_numbers_that_sounds_like_tokens_is_asked_about(read, name) -> None:
    text = f"date,provider,model,input_tokens,{name}\n2026-11-20,openai,gpt-4o,10,{'-1.9' if 'is' in name else '700'}\n"
    known = name == "request units"
    with pytest.raises(FormatError, match="count the same and differ" if known else "is not understood.*--columns"):
        read(text)
    assert meters(read(text, columns={name: "ignore"})) == {"input": 10}


@pytest.mark.parametrize("name", ["prompt_version", "prompt_id", "cache_hit", "input_length", "completion_score"])
def test_numbers_that_are_names_or_sizes_are_labels(read, name) -> None:
    contents = read(f"date,provider,model,input_tokens,{name}\n2026-11-20,openai,gpt-4o,10,700\n")
    assert [used.labels for used in contents.usage] == [{name: "700"}]


def test_a_column_in_a_unit_of_its_own_is_not_offered_as_whole_tokens_or_money(read) -> None:
    for name in ("cost_cents", "input_tokens (k)", "output tokens in millions", "spend_micros"):
        with pytest.raises(FormatError) as error:
            read(f"date,provider,model,requests,{name}\n2026-11-20,openai,gpt-4o,1,10\n")
        assert "in a unit of its own" in str(error.value)
        assert f"{name}=ignore" in str(error.value)
        assert "=cost" not in str(error.value)


@pytest.mark.parametrize("head", ["date,model,type,price,amount", "date,model,token_type,amount", "date,unit,amount"])
def test_an_amount_beside_a_price_or_a_unit_is_asked_about(read, head) -> None:
    row = {"date": "2026-11-20", "model": "m", "type": "in", "token_type": "input", "unit": "tokens", "price": "1"}
    text = f"{head}\n{','.join(row.get(name, '5') for name in head.split(','))}\n"
    with pytest.raises(FormatError, match="column amount may be money, or a quantity: say which"):
        read(text)
    assert billed(read(text, columns={"amount": "cost"})) == {"USD": Decimal(5)}
    assert billed(read(f"{head},currency\n{text.splitlines()[1]},EUR\n")) == {"EUR": Decimal(5)}


def test_what_stands_above_the_header_and_a_header_once_more_are_no_rows(read) -> None:
    text = "date,model,cost\n2026-11-20,m,1\n"
    assert billed(read(f"Usage report\nInvoice,17\n\n{text}{text}")) == {"USD": Decimal(2)}
    assert billed(read(f"SEP=;\n{text.replace(',', ';')}")) == {"USD": Decimal(1)}


def test_an_answer_that_says_that_more_follows_is_said_to_be_a_part(read) -> None:
    page = '{"data": [{"date": "2026-11-20", "model": "m", "cost": 1}], "has_more": %s}'
    assert (
        read(page % "true").lacks == "its last answer says that more pages follow (has_more), which are not in the file"
    )
    assert read(f"{page % 'true'}\n{page % 'false'}\n").lacks == ""


def test_a_bill_that_costs_nothing_is_no_fault(read) -> None:
    head = "date,product,sku,quantity,gross_amount,discount_amount,net_amount\n"
    contents = read(f"{head}2026-11-20,copilot,copilot_premium_request,5,0.2,0.2,0\n")
    assert (contents.costs, len(contents.empty)) == ((), 1)


@pytest.mark.parametrize(
    "usage",
    [
        (
            '{"created": 1795478400, "model": "gpt-4o", "usage": {"prompt_tokens": 1000000,'
            ' "completion_tokens": 100000, "total_tokens": 1100000, "prompt_tokens_details": {"cached_tokens": 0}},'
            ' "choices": [{"text": "hunter2"}]}'
        ),
        (
            '{"timestamp": "2026-11-24T00:00:00Z", "provider": "openai", "model": "gpt-4o", "input_tokens": 1000000,'
            ' "output_tokens": 100000}'
        ),
        (
            '{"object": "page", "data": [{"start_time": 1795478400, "end_time": 1795564800, "results": ['
            '{"model": "gpt-4o", "input_tokens": 1000000, "output_tokens": 100000, "num_model_requests": 3}]}]}'
        ),
        '{"results": [{"date": "2026-11-24", "model": "gpt-4o", "inputTokens": 1000000, "outputTokens": 100000}]}',
    ],
)
def test_objects_of_providers_and_programs_are_rows(read, usage) -> None:
    assert rated(read(usage)) == Decimal("3.50")


def test_tokens_without_a_model_are_not_guessed_where_their_money_is_there(read) -> None:
    contents = read(
        '{"daily": [{"date": "2026-11-20", "inputTokens": 39, "outputTokens": 6093, "totalTokens": 6132,'
        ' "totalCost": 1.48925175, "modelsUsed": ["claude-opus-4-20250514"]}], "totals": {"totalCost": 1.48925175}}'
    )
    assert (contents.usage, billed(contents)) == ((), {"USD": Decimal("1.48925175")})
    assert "tokens of rows that name no model are not read, their money is" in contents.notes


def test_a_header_as_a_database_writes_it_is_known(read) -> None:
    row = "12.50,EUR,2026-11-20T00:00:00Z,2026-11-21T00:00:00Z,Azure OpenAI"
    for head in ("billedcost,billingcurrency,chargeperiodstart,chargeperiodend,servicename",
                 "BILLED_COST,BILLING_CURRENCY,CHARGE_PERIOD_START,CHARGE_PERIOD_END,SERVICE_NAME"):  # fmt: skip
        contents = read(f"{head}\n{row}\n")
        assert (contents.layout, billed(contents)) == ("focus", {"EUR": Decimal("12.50")})
        assert contents.costs[0].labels == {"service": "Azure OpenAI"}
