"""`alertd project`: a projection for each JSON line. It needs no configuration, no database and no network."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alertd.core.config_errors import unreadable

if TYPE_CHECKING:
    from alertd.core.projection import Exhaustion, Question

HELP: Final = "project the total of a period for each JSON line, with its range"
EXAMPLES: Final = (
    "alertd project jobs.jsonl",
    """echo '{"start": "2026-03-01", "values": [9, 12, 7], "period_start": "2026-03-01", "period_end": "2026-04-01"}' \\
    | alertd project""",
)
ENDS: Final = (
    "0; 1 if a line is not a valid job; the other lines are still answered; "
    "2 for wrong usage or a file that cannot be read"
)
_STEPS: Final = {"1d": dt.timedelta(days=1), "1h": dt.timedelta(hours=1)}
_FIELDS: Final = {"id", "start", "step", "values", "partial_until", "period_start", "period_end", "budgets"}
_REQUIRED: Final = ("start", "values", "period_start", "period_end")
#: The number of jobs projected together: large enough to be fast, small enough to answer early.
_TOGETHER: Final = 256


@dataclass(frozen=True, slots=True)
class ProjectionJob:
    """One line: its id, the question, and the budgets to compare with."""

    id: Any
    question: Question
    budgets: list[float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The option FILE; the output is always JSON lines."""
    parser.add_argument("file", nargs="?", type=Path, help="JSON lines, one job each (default: standard input)")
    parser.add_argument("--json", action="store_true", help="JSON lines (always on)")


def run(args: argparse.Namespace) -> int:
    """Answer every job, in order; a job that cannot be answered ends the run with one error that names its line."""
    try:
        text = args.file.read_text(encoding="utf-8") if args.file else sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        print(f"{args.file or 'standard input'}: {unreadable(error)}; name a file of JSON lines", file=sys.stderr)
        return 2
    bad = 0
    for lines in _together(enumerate(text.splitlines(), 1)):
        jobs = []
        for number, line in lines:
            try:
                jobs.append(job_of(line))
            except ValueError as error:
                bad += 1
                print(f"line {number}: {error}", file=sys.stderr)
        for answer in answers(jobs):
            sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 1 if bad else 0


def _together(lines: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """The non-empty lines, some hundreds at a time."""
    filled = ((number, line) for number, line in lines if line.strip())
    while some := list(islice(filled, _TOGETHER)):
        yield some


def job_of(line: str) -> ProjectionJob:
    """Parse a job from a line of JSON. ValueError names the invalid field and its valid values."""
    try:
        fields = json.loads(line, parse_constant=_not_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error}") from error
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    if not isinstance(fields, dict):
        raise ValueError(f"a job is an object, not {type(fields).__name__}")  # noqa: TRY004 outside data, one error
    if unknown := sorted(set(fields) - _FIELDS):
        raise ValueError(f"{unknown[0]}: no such field; there are: {', '.join(sorted(_FIELDS))}")
    if missing := [name for name in _REQUIRED if name not in fields]:
        raise ValueError(f"{missing[0]}: required")
    return ProjectionJob(fields.get("id"), _question(fields), _numbers(fields, "budgets"))


def _question(fields: dict[str, Any]) -> Question:
    # Imported here, so that --help answers without numpy.
    import numpy as np  # noqa: PLC0415

    from alertd.core.projection import Question, Series  # noqa: PLC0415

    step = fields.get("step", "1d")
    if step not in _STEPS:
        raise ValueError(f"step: 1d or 1h, not {step!r}")
    start, until = _instant(fields, "start"), None
    if fields.get("partial_until") is not None:
        until = _instant(fields, "partial_until")
    series = Series(start, np.array(_numbers(fields, "values")), _STEPS[step], until, _name(fields))
    return Question(series, _instant(fields, "period_start"), _instant(fields, "period_end"))


def _name(fields: dict[str, Any]) -> str:
    return f"job {fields['id']}" if fields.get("id") is not None else "job"


def _numbers(fields: dict[str, Any], name: str) -> list[float]:
    # Imported here, so that --help answers without numpy.
    from alertd.core.projection import LARGEST  # noqa: PLC0415

    numbers = fields.get(name) if fields.get(name) is not None else []
    if not isinstance(numbers, list):
        raise ValueError(f"{name}: a list of numbers, not {type(numbers).__name__}")  # noqa: TRY004 as above
    if not set(map(type, numbers)) <= {int, float} or (numbers and not max(map(abs, numbers)) <= LARGEST):
        index = next(k for k, number in enumerate(numbers) if not _finite(number))
        raise ValueError(f"{name}[{index}]: a finite number, not {numbers[index]!r}")
    return [float(number) for number in numbers]


def _finite(number: Any) -> bool:
    # Imported here, so that --help answers without numpy.
    from alertd.core.projection import LARGEST  # noqa: PLC0415

    return type(number) in {int, float} and abs(number) <= LARGEST


def _instant(fields: dict[str, Any], name: str) -> dt.datetime:
    """A date is its first instant in UTC; an instant brings its offset."""
    text = fields[name]
    try:
        instant = dt.datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: a date (2026-03-01) or an instant with offset, not {text!r}") from error
    if instant.tzinfo is None:
        if len(text) > len("2026-03-01"):
            raise ValueError(f"{name}: {text} needs an offset, such as {text}Z or {text}+01:00")
        instant = instant.replace(tzinfo=dt.UTC)
    return instant


def _not_finite(constant: str) -> float:
    raise ValueError(f"{constant} is not allowed here; leave a step without usage at 0, end the values where they end")


def answers(jobs: Sequence[ProjectionJob]) -> Iterator[dict[str, Any]]:
    """The answer to each job, in order (docs/projection.md)."""
    # Imported here, so that --help answers without numpy.
    from alertd.core.projection import LEVELS, project_many  # noqa: PLC0415

    for job, projection in zip(jobs, project_many([job.question for job in jobs]), strict=True):
        yield {
            "id": job.id,
            "spent": projection.spent,
            "quantiles": {f"{level:.1f}": q for level, q in zip(LEVELS, projection.quantiles, strict=True)},
            "expected": projection.expected,
            "fires_below": projection.fires_below(),
            "probability_over": [projection.probability_over(budget) for budget in job.budgets],
            "exhausted_at": [_dates(projection.exhausted_at(budget)) for budget in job.budgets],
            "method": projection.method,
        }


def _dates(exhaustion: Exhaustion | None) -> dict[str, str] | None:
    if exhaustion is None:
        return None
    return {name: getattr(exhaustion, name).isoformat(timespec="seconds") for name in ("low", "likely", "high")}
