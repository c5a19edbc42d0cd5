"""`alertd project`: JSON lines in and out, with nothing of the environment, and one clear error for a bad line."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys

import pytest

from alertd.commands import project

JOB = {
    "id": "research",
    "start": "2026-02-01",
    "step": "1d",
    "values": [10.0] * 38,
    "period_start": "2026-03-01",
    "period_end": "2026-04-01",
    "budgets": [50, 310, 10_000],
}


def asked(monkeypatch, capsys, *lines):
    """(exit status, answers, errors) of the command for these lines on its standard input."""
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    parser = argparse.ArgumentParser()
    project.add_arguments(parser)
    status = project.run(parser.parse_args([]))
    said = capsys.readouterr()
    return status, [json.loads(line) for line in said.out.splitlines()], said.err.splitlines()


def test_an_answer_has_every_field_of_the_contract(monkeypatch, capsys):
    status, (answer,), errors = asked(monkeypatch, capsys, JOB)
    assert (status, errors) == (0, [])
    assert set(answer) == {
        "id", "spent", "quantiles", "expected", "fires_below", "probability_over", "exhausted_at", "method",
    }  # fmt: skip
    assert answer["id"] == "research"
    assert answer["spent"] == 100.0
    assert list(answer["quantiles"]) == [f"0.{k}" for k in range(1, 10)]
    assert answer["probability_over"][0] == 1.0
    assert answer["probability_over"][2] == 0.0
    assert answer["exhausted_at"][0] == {
        "low": "2026-03-06T00:00:00+00:00", "likely": "2026-03-06T00:00:00+00:00", "high": "2026-03-06T00:00:00+00:00",
    }  # fmt: skip
    assert set(answer["exhausted_at"][1]) == {"low", "likely", "high"}
    assert answer["exhausted_at"][2] is None


def test_a_projection_does_not_depend_on_the_budgets(monkeypatch, capsys):
    _, (one, other), _ = asked(monkeypatch, capsys, JOB, {**JOB, "budgets": []})
    assert one["quantiles"] == other["quantiles"]
    assert one["fires_below"] == other["fires_below"]
    assert other["probability_over"] == other["exhausted_at"] == []


def test_answers_come_in_the_order_of_the_jobs_however_many(monkeypatch, capsys):
    jobs = [{**JOB, "id": number, "values": [1.0 + number] * 38} for number in range(600)]
    _, answers, _ = asked(monkeypatch, capsys, *jobs)
    assert [answer["id"] for answer in answers] == list(range(600))
    assert answers[599]["spent"] == 6000.0


def test_hours_and_a_partial_hour_are_taken_with_their_offset(monkeypatch, capsys):
    job = {
        **JOB,
        "step": "1h",
        "start": "2026-03-08T00:00:00+01:00",
        "values": [1.0] * 37,
        "partial_until": "2026-03-09T12:30:00+01:00",
        "period_start": "2026-03-01T00:00:00+01:00",
        "period_end": "2026-04-01T00:00:00+02:00",
    }
    status, (answer,), _ = asked(monkeypatch, capsys, job)
    assert (status, answer["spent"]) == (0, 37.0)
    assert 24 * 24 * 0.8 < answer["quantiles"]["0.5"] < 24 * 24 * 1.2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"values": [1.0, None]}, "values[1]: a finite number, not None"),
        ({"values": [1.0, True]}, "values[1]: a finite number, not True"),
        ({"values": 3}, "values: a list of numbers, not int"),
        ({"budgets": ["500"]}, "budgets[0]: a finite number, not '500'"),
        ({"start": "yesterday"}, "start: a date (2026-03-01) or an instant with offset, not 'yesterday'"),
        ({"start": "2026-02-01T00:00:00"}, "start: 2026-02-01T00:00:00 needs an offset"),
        ({"step": "1w"}, "step: 1d or 1h, not '1w'"),
        ({"period_end": "2026-02-01"}, "job research: period_end"),
        ({"partial_until": "2026-05-01"}, "job research: partial_until"),
        ({"period_end": ...}, "period_end: required"),
        ({"valeus": []}, "valeus: no such field; there are: budgets, id"),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_its_field(monkeypatch, capsys, change, says):
    bad = {name: value for name, value in {**JOB, **change}.items() if value is not ...}
    status, answers, errors = asked(monkeypatch, capsys, JOB, bad, JOB)
    assert status == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"line 2: {says}")
    assert len(answers) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{\n", "line 2: not valid JSON: "),
        ("[1]\n", "line 2: a job is an object, not list"),
        (json.dumps({**JOB, "values": [float("nan")]}) + "\n", "line 2: NaN is not allowed here; leave"),
        (json.dumps({**JOB, "values": [float("inf")]}) + "\n", "line 2: Infinity is not allowed here; leave"),
    ],
)
def test_what_is_no_job_at_all_is_said_too(monkeypatch, capsys, line, says):
    status, answers, (error,) = asked(monkeypatch, capsys, JOB, line)
    assert (status, len(answers)) == (1, 1)
    assert error.startswith(says)


@pytest.mark.parametrize("values", [[], [0.0] * 38, [7.0], [0.0] * 37 + [5e9], [10.0] * 37 + [-400.0]])
def test_any_history_has_an_answer(monkeypatch, capsys, values):
    status, (answer,), _ = asked(monkeypatch, capsys, {**JOB, "start": "2026-03-01", "values": values[-10:]})
    quantiles = list(answer["quantiles"].values())
    assert status == 0
    assert quantiles == sorted(quantiles)
    assert answer["fires_below"] >= answer["spent"]


def test_it_needs_no_configuration(tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text(json.dumps(JOB) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "alertd", "project", str(file)], env={}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["id"] == "research"


def test_a_file_that_is_not_there_is_said_and_is_a_failure(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    project.add_arguments(parser)
    assert project.run(parser.parse_args([str(tmp_path / "none.jsonl")])) != 0
    assert "none.jsonl" in capsys.readouterr().err
