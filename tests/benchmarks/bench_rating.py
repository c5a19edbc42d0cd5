"""Usage rows rated per second of one core, beside the least that any rating has to do: sum the same rows by line.

    python tests/benchmarks/bench_rating.py [ROWS]

Rows are minutes of 400 lines (8 models of four providers, their meters, 10 accounts) over one month.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from time import process_time

from alertd.clients.price_files import price_book
from alertd.core.pricing.rating import rate
from alertd.core.usage import Line, Usage

MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-5.4"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-6"),
    ("alibaba", "qwen-max"),
    ("alibaba", "qwen-plus"),
    ("scaleway", "llama-3.3-70b-instruct"),
    ("scaleway", "mistral-small-3.2-24b-instruct-2506"),
)
METERS = ("input", "cached_input", "output", "batch_input", "batch_output")


def usage_rows(count: int) -> list[Usage]:
    """Rows as a ledger gives them: lines and instants are shared values."""
    accounts = [f"account-{number}" for number in range(10)]
    lines = [Line(*model, meter, (), account) for model, meter, account in product(MODELS, METERS, accounts)]
    first = datetime(2026, 8, 1, tzinfo=UTC)
    minutes = [first + timedelta(minutes=number) for number in range(count // len(lines) + 2)]
    return [
        Usage(line, start, end, 1_000 + number % 97)
        for number, ((start, end), line) in enumerate(
            islice(product(zip(minutes, minutes[1:], strict=False), lines), count)
        )
    ]


def seconds_to_rate(rows: list[Usage]) -> float:
    """The time of one rating with a book that has answered nothing yet."""
    book = price_book()
    began = process_time()
    bill = rate(rows, book)
    took = process_time() - began
    assert bill.lines
    assert sum(line.quantity for line in bill.lines) + sum(one.quantity for one in bill.unpriced) == sum(
        row.quantity for row in rows
    )
    return took


def seconds_to_sum(rows: list[Usage]) -> float:
    """The floor: the same rows summed by line with a dict."""
    began = process_time()
    sums: dict[Line, int] = {}
    for row in rows:
        sums[row.line] = sums.get(row.line, 0) + row.quantity
    return process_time() - began


def main() -> None:
    """Print rows, seconds, rows a second and the ratio to the floor, at three sizes."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"{'rows':>10} {'rate s':>8} {'rows/s':>12} {'floor s':>8} {'ratio':>6}")
    for count in (largest // 4, largest // 2, largest):
        rows = usage_rows(count)
        rated = min(seconds_to_rate(rows) for _ in range(3))
        floor = min(seconds_to_sum(rows) for _ in range(3))
        print(f"{count:>10,} {rated:>8.2f} {count / rated:>12,.0f} {floor:>8.2f} {rated / floor:>6.1f}")


if __name__ == "__main__":
    main()
