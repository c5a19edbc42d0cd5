"""The same budgets as rules of a Prometheus and as alertd's: CPU of one evaluation and of one tick.

    PYTHONPATH=. python tests/benchmarks/bench_rules.py [--series 10000] [--step 3600] [--plain]

N counters with a sample every `step` seconds from the month's beginning until now, in N/10 budgets of a key each.
Prometheus (`prometheus` and `promtool` on PATH): blocks made by promtool, and one group with, for each budget, a
recording rule (what `increase` over the month so far costs by a price per model), alerts at 80% and 100% of it, and
one where `predict_linear` of the month sees it exceeded. With `--plain` the least that rules can do: tokens without a
price, and `predict_linear` of the recorded sum. CPU is that of its process over some evaluations; wall clock is its own
prometheus_rule_group_last_duration_seconds.
alertd: the whole tick of bench_tick.py (fetch, decode, count, ledger, evaluate, commit) over as many counters with new
samples in every tick, on a ledger with a bucket for each of those steps. It does more: its forecast is a distribution,
it prices by day of use, keeps what it counted and tells once. CPU of its process; wall clock would be about the same.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.bench_tick import A_KEY, METERS, MODELS, child, labels_of

EVALUATIONS = 3
AMOUNT = 5000
PRICES = {"input": 1.25e-6, "output": 1e-5}
#: The labels that the rules use; each line of the exposition carries them.
KEPT = ("__name__", "api_key_alias", "model")


def month_so_far() -> tuple[int, int, int]:
    """The month's beginning, now, and its end, in Unix seconds."""
    now = datetime.now(UTC)
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return int(begin.timestamp()), int(now.timestamp()), int(end.timestamp())


def exposition(series: int, step: int) -> Iterator[str]:
    """OpenMetrics of all counters, one name after the other; they grow by (7 + number % 13) a second."""
    begin, now, _ = month_so_far()
    for meter in METERS:
        name = f"litellm_{meter}_tokens_metric_total"
        yield f"# TYPE {name.removesuffix('_total')} counter\n"
        for number in range(series):
            labels = labels_of(number)
            if labels["__name__"] != name:
                continue
            shown = ",".join(f'{key}="{labels[key]}"' for key in KEPT[1:])
            for at in range(begin, now, step):
                yield f"{name}{{{shown}}} {(at - begin) * (7 + number % 13)} {at}\n"
    yield "# EOF\n"


def rules(budgets: int, *, plain: bool) -> str:
    """One group: the prices, then four rules a budget."""
    begin, now, end = month_so_far()
    window, left = f"[{now - begin}s]", end - now
    worth = {meter: "" if plain else f" * on (model) group_left price_{meter}" for meter in METERS}
    lines = ["groups:", "- name: budgets", "  interval: 20s", "  rules:"]
    for meter, price in PRICES.items():
        for place, model in enumerate(MODELS):
            expression = f"vector({price * (place + 1)})"
            lines += [f"  - {{record: price_{meter}, expr: '{expression}', labels: {{model: {model}}}}}"]
    for number in range(budgets):
        key = labels_of(number * A_KEY)["api_key_alias"]
        names = {meter: f'litellm_{meter}_tokens_metric_total{{api_key_alias="{key}"}}{window}' for meter in METERS}
        spent, told = (
            " + ".join(f"sum({call(names[meter])}{worth[meter]})" for meter in METERS)
            for call in ("increase({})".format, f"predict_linear({{}}, {left})".format)
        )
        if plain:
            told = f'predict_linear(budget_spent{{budget="{key}"}}{window}, {left})'
        lines += [
            f"  - {{record: budget_spent, expr: '{spent}', labels: {{budget: {key}}}}}",
            f"  - {{alert: Most, expr: 'budget_spent{{budget=\"{key}\"}} > {AMOUNT * 0.8}'}}",
            f"  - {{alert: All, expr: 'budget_spent{{budget=\"{key}\"}} > {AMOUNT}'}}",
            f"  - {{alert: Forecast, expr: '{told} > {AMOUNT}', labels: {{budget: {key}}}}}",
        ]
    return "\n".join(lines) + "\n"


def tool(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr[-500:]}")


@contextmanager
def prometheus(folder: Path, data: Path) -> Iterator[tuple[int, str]]:
    """Its process and address, for the length of a `with`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={data}",
         "--log.level=error", "--storage.tsdb.retention.time=90d", f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def cpu(process: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_metrics(url: str) -> dict[str, float]:
    """What it says of its rule groups."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("prometheus_rule_")]
    return {name.partition("{")[0]: float(value) for name, value in found}


def evaluated(process: int, url: str) -> dict[str, float]:
    """CPU and wall seconds of one evaluation, on the average of some; the first is not counted."""

    def after(iterations: float) -> dict[str, float]:
        while True:
            try:
                seen = own_metrics(url)
                if seen.get("prometheus_rule_group_iterations_total", 0.0) >= iterations:
                    return seen
            except OSError:
                pass
            time.sleep(0.2)

    done = after(2)["prometheus_rule_group_iterations_total"]
    began = cpu(process)
    walls = [after(done + n)["prometheus_rule_group_last_duration_seconds"] for n in range(1, EVALUATIONS + 1)]
    used = (cpu(process) - began) / EVALUATIONS
    with urllib.request.urlopen(f"{url}/api/v1/query?query=count(budget_spent)", timeout=60) as answer:
        counted = int(json.load(answer)["data"]["result"][0]["value"][1])
    return {"cpu": used, "wall": min(walls), "budgets": counted}


def by_prometheus(series: int, budgets: int, step: int, *, plain: bool) -> dict[str, float]:
    """The rules' figures, on blocks of a month so far."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        text, data = folder / "series.om", folder / "data"
        with text.open("w", encoding="utf-8") as out:
            out.writelines(exposition(series, step))
        tool("promtool", "tsdb", "create-blocks-from", "--max-block-duration=744h", "openmetrics", text, data)
        text.unlink()
        (folder / "rules.yml").write_text(rules(budgets, plain=plain), encoding="utf-8")
        (folder / "prometheus.yml").write_text("rule_files: [rules.yml]\n", encoding="utf-8")
        tool("promtool", "check", "rules", folder / "rules.yml")
        with prometheus(folder, data) as (process, url):
            found = evaluated(process, url)
    assert found["budgets"] == budgets, "every budget has a figure"
    return found


def by_alertd(series: int, budgets: int, step: int) -> dict[str, float]:
    """The tick's figures, in a process of its own."""
    begin, now, _ = month_so_far()
    ours, theirs = multiprocessing.Pipe()
    days = (now - begin) // 86400
    process = multiprocessing.get_context("spawn").Process(
        target=child, args=(series, budgets, days, theirs, min(96, 86400 // step))
    )
    process.start()
    theirs.close()
    found: dict[str, float] = ours.recv()
    process.join()
    return found


def main() -> None:
    """Measure both, one after the other, and print both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--step", type=int, default=3600, help="seconds between two samples")
    parser.add_argument("--plain", action="store_true", help="rules that count tokens and know no price")
    args = parser.parse_args()
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        print("no `prometheus` and `promtool` on PATH: nothing to compare with")
        return
    budgets = args.series // A_KEY
    print(f"{args.series:,} series, {budgets:,} budgets, a sample every {args.step} s, the month so far")
    theirs = by_prometheus(args.series, budgets, args.step, plain=args.plain)
    print(f"  Prometheus's rules  {theirs['cpu']:8.3f} s CPU, {theirs['wall']:.3f} s wall clock an evaluation")
    found = by_alertd(args.series, budgets, args.step)
    judged = found["refresh"] + found["assess"] + found["commit"]
    tick = found["collect"] + judged
    print(
        f"  alertd's whole tick {tick:8.3f} s CPU, of it {judged:.3f} s to read its ledger's changes and evaluate them"
    )
    print(f"  {theirs['cpu'] / tick:.1f} times faster; the evaluation alone {theirs['cpu'] / judged:.1f} times")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
