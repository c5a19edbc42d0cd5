"""How much CPU and memory a large file takes: `bench_files.py [ROWS]`, each layout beside the bare reader of its form.

A file is to be read in bounded memory and in at most three times the CPU of `csv.reader` (or of the Parquet reader that
hands rows to Python) on the same file.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from alertd.clients.tables import open_table
from alertd.core.formats.records import read_table

MOST = 3.0
FILES = Path(__file__).parents[1] / "layouts"
#: Layouts whose files grow large, by the fixture whose rows are repeated.
LARGE = ("focus.csv", "aws-cur.csv", "azure-costs.csv", "openrouter-generations.csv", "litellm-spend-logs.csv",
         "openai-usage.csv", "anthropic-usage.csv", "fireworks.csv")  # fmt: skip


def large(fixture: Path, rows: int, folder: Path) -> Path:
    """A file of so many rows like the fixture's."""
    header, *body = list(csv.reader(fixture.open(encoding="utf-8", newline="")))
    body = [row for row in body if row[: len(header)]]
    path = folder / fixture.name
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for number in range(rows):
            writer.writerow(varied(body[number % len(body)], number))
    return path


def varied(row: list[str], number: int) -> list[str]:
    """A row with a time of its own, to the second, where it has one."""
    clock = f"{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    return [f"{cell[:11]}{clock}{cell[19:]}" if cell[13:14] == cell[16:17] == ":" else cell for cell in row]


def cpu(work: Callable[[], object]) -> float:
    """The least CPU seconds of three runs."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def bare(path: Path) -> Callable[[], object]:
    def work() -> None:
        with path.open(encoding="utf-8", newline="") as file:
            for _ in csv.reader(file):
                pass

    return work


def peak(path: Path) -> float:
    """The most memory that reading takes beyond what was there, in MB."""
    tracemalloc.start()
    read_table(open_table(path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 1e6


def as_parquet(path: Path) -> Path:
    import pyarrow.csv  # noqa: PLC0415 - an extra
    import pyarrow.parquet  # noqa: PLC0415

    table = pyarrow.csv.read_csv(path)
    target = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(table, target, row_group_size=20_000)
    return target


def bare_parquet(path: Path) -> Callable[[], object]:
    import pyarrow.parquet  # noqa: PLC0415 - an extra

    def work() -> None:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=4096):
            for _ in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                pass

    return work


def main(rows: int) -> int:
    """A line a file; 1 where any takes more than twice the aim."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, path, plain in files(rows, Path(folder)):
            ours, theirs = cpu(lambda path=path: read_table(open_table(path))), cpu(plain)
            worst = max(worst, ours / theirs)
            said = {"file": name, "rows": rows, "seconds": round(ours, 2), "bare": round(theirs, 2)}
            print(json.dumps({**said, "times": round(ours / theirs, 2), "peak_mb": round(peak(path), 1)}), flush=True)
    return int(worst > 2 * MOST)


def files(rows: int, folder: Path) -> Iterator[tuple[str, Path, Callable[[], object]]]:
    for name in LARGE:
        path = large(FILES / name, rows, folder)
        yield name, path, bare(path)
    path = as_parquet(folder / "focus.csv")
    yield path.name, path, bare_parquet(path)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
