"""Usage files: what each layout's rows say, what had to be decided, and every fault with its line."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from io import StringIO

import pytest

from alertd.core.pricing.usagefile import UsageFile, UsageFileError, month_of, read_usage, whole, window_of
from alertd.core.usage import Line

MARCH = date(2026, 3, 1)


def read(text: str, month: date | None = None, cached: str = "auto") -> UsageFile:
    rows = csv.reader(StringIO(text))
    return read_usage(next(rows), rows, month=month, cached=cached)  # type: ignore[arg-type]


def figures(file: UsageFile) -> list[tuple[str, str, int]]:
    return [(one.line.model, one.line.meter, one.quantity) for one in file.usage]


def test_a_row_is_one_meter_of_one_model_with_what_it_can_be_attributed_by() -> None:
    header = "provider,model,meter,quantity,timestamp,account,tier,team\n"
    (used,) = read(header + "openai,gpt-4o,input,12,2026-03-04T10:00:00+02:00,org-1,flex,red\n").usage
    assert used.line == Line("openai", "gpt-4o", "input", (("tier", "flex"),), "org-1")
    assert (used.start, used.quantity) == (datetime(2026, 3, 4, 8, tzinfo=UTC), 12)
    assert dict(used.labels) == {"team": "red"}


def test_rows_without_a_time_were_used_in_the_month_that_is_said() -> None:
    (used,) = read("provider,model,meter,quantity\nscaleway,m,input,5\n", MARCH).usage
    assert (used.start, used.end) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


def test_without_a_time_and_without_a_month_there_is_nothing_to_rate() -> None:
    with pytest.raises(UsageFileError, match="--period"):
        read("provider,model,meter,quantity\nscaleway,m,input,5\n")


def test_columns_come_in_any_order_and_case_and_a_meter_by_either_name() -> None:
    assert figures(read("Quantity,Meter,Model,Provider,Date\n5,output_tokens,m,p,2026-03-01\n")) == [("m", "output", 5)]


def test_training_rows_are_refined_by_size_method_and_type_and_others_are_labelled_by_them() -> None:
    header = "provider,model,meter,quantity,type,method,date\n"
    training, other = read(header + "together,m,training,5,lora,sft,2026-03-01\nx,m,input,5,blue,,2026-03-01\n").usage
    assert training.line.modifiers == (("method", "sft"), ("type", "lora"))
    assert (other.line.modifiers, other.labels["type"]) == ((), "blue")


@pytest.mark.parametrize(
    ("row", "meters"),
    [
        pytest.param("1000,600,0,50", {"input": 400, "cached_input": 600, "output": 50}, id="cached within the input"),
        pytest.param("1000,600,100,0", {"input": 300, "cached_input": 600, "cache_write": 100}, id="writes too"),
        pytest.param("1000,1200,0,50", {"input": 1000, "cached_input": 1200, "output": 50}, id="more than the input"),
        pytest.param("1000,,,", {"input": 1000}, id="nothing cached"),
        pytest.param("0,0,0,0", {}, id="no usage at all"),
    ],
)  # fmt: skip
def test_a_wide_row_becomes_disjoint_meters(row, meters) -> None:
    head = "date,provider,model,input_tokens,cache_read_tokens,cache_write_tokens,output_tokens\n"
    file = read(f"{head}2026-03-01,openai,gpt-4o,{row}\n")
    assert {one.line.meter: one.quantity for one in file.usage} == meters


def test_rows_whose_cached_tokens_cannot_be_within_the_input_are_told() -> None:
    head = "date,provider,model,input_tokens,cache_read_tokens\n"
    rows = ("2026-03-01,anthropic,claude,10,20", "2026-03-02,anthropic,claude,10,20", "2026-03-03,openai,gpt,20,10")
    file = read(head + "\n".join(rows))
    assert len(file.notes) == 1
    assert "anthropic/claude: in 2 rows" in file.notes[0]


def test_who_knows_how_a_file_counts_can_say_so() -> None:
    text = "date,provider,model,input_tokens,cache_read_tokens\n2026-03-01,anthropic,claude,30,20\n"
    assert figures(read(text, cached="disjoint"))[0] == ("claude", "input", 30)
    assert figures(read(text, cached="included"))[0] == ("claude", "input", 10)
    with pytest.raises(UsageFileError, match="line 2: 40 cached tokens"):
        read("date,provider,model,input_tokens,cache_read_tokens\n2026-03-01,a,m,30,40\n", cached="included")


def test_columns_that_are_disjoint_by_name_stay_as_they_are() -> None:
    text = "date,provider,model,uncached_input_tokens,cache_read_input_tokens\n2026-03-01,anthropic,claude,30,20\n"
    assert figures(read(text)) == [("claude", "input", 30), ("claude", "cached_input", 20)]


def test_calls_are_counted_and_told_but_are_no_billed_usage() -> None:
    file = read("date,provider,model,input_tokens,requests\n2026-03-01,openai,gpt-4o,30,7\n")
    assert figures(file) == [("gpt-4o", "input", 30)]
    assert "7 requests" in file.notes[0]


def test_an_alibaba_bill_is_usage_with_its_workspace_and_channel() -> None:
    text = (
        "InstanceID,Usage,UsageUnit,BillingDate,AccountID\n"
        "text_token;llm-x;qwen-max;cached_token;app,600.000,1K tokens,2026-03-05,185\n"
        "disk-1,3,GB,2026-03-05,185\n"
    )
    file = read(text)
    (used,) = file.usage
    assert used.line == Line("alibaba", "qwen-max", "cached_input", (), "185")
    assert (used.quantity, used.labels["workspace"], used.labels["channel"]) == (600_000, "llm-x", "app")
    assert "1 bill lines have no Instance ID" in file.notes[0]


def test_an_instance_id_in_the_place_of_a_model_is_read_as_one() -> None:
    (used,) = read("model,meter,quantity,date\ntext_token;llm-x;qwen-max;output_token;app,,5,2026-03-05\n").usage
    assert used.line == Line("alibaba", "qwen-max", "output")


def test_all_faults_are_named_with_their_lines() -> None:
    text = (
        "provider,model,meter,quantity,timestamp\n"
        "p,m,input,many,2026-03-01\n"
        "p,m,input,1.5,2026-03-01\n"
        "p,m,input,1,yesterday\n"
        "p,,input,1,2026-03-01\n"
    )
    with pytest.raises(UsageFileError) as error:
        read(text)
    assert [fault.split(":")[0] for fault in error.value.faults] == ["line 2", "line 3", "line 4", "line 5"]


def test_columns_that_are_no_usage_are_answered_with_what_is_wanted() -> None:
    with pytest.raises(UsageFileError, match=r"columns date, sum are no usage: wanted are provider, model, meter"):
        read("date,sum\n2026-03-01,5\n")


@pytest.mark.parametrize(
    ("text", "value"), [("3000000", 3_000_000), ("3e6", 3_000_000), ("-12", -12), ("1_000", 1_000)]
)
def test_a_quantity_is_a_whole_number_however_it_is_written(text, value) -> None:
    assert whole(text) == value


@pytest.mark.parametrize(
    ("text", "start", "seconds"),
    [
        ("2026-03", datetime(2026, 3, 1, tzinfo=UTC), 31 * 86_400),
        ("2026-03-04", datetime(2026, 3, 4, tzinfo=UTC), 86_400),
        ("2026-03-04T10:00:00Z", datetime(2026, 3, 4, 10, tzinfo=UTC), 1),
        ("2026-03-04 10:00:00", datetime(2026, 3, 4, 10, tzinfo=UTC), 1),
        ("1772618400", datetime(2026, 3, 4, 10, tzinfo=UTC), 1),
    ],
)
def test_a_written_time_is_a_window(text, start, seconds) -> None:
    begins, ends = window_of(text)
    assert (begins, (ends - begins).total_seconds()) == (start, seconds)


def test_a_month_is_written_with_its_year() -> None:
    assert month_of("2026-03") == MARCH
    with pytest.raises(ValueError, match="2026-11"):
        month_of("March")


@pytest.mark.parametrize("written", ["9999-12-31", "9999-12", "9999-12-31T23:59:59Z"])
def test_a_time_at_the_end_of_the_calendar_is_a_fault_of_its_line(written) -> None:
    with pytest.raises(UsageFileError, match="line 2: 9999-12-[0-9]+ is the last that a calendar holds"):
        read(f"provider,model,meter,quantity,time\nopenai,gpt-4o,input,1,{written}\n")


def test_thousands_of_tokens_are_bounded_as_tokens_are() -> None:
    assert whole("999999999999999", 1000) == 999_999_999_999_999_000
    with pytest.raises(ValueError, match="larger than any quantity"):
        whole("9999999999999999", 1000)
