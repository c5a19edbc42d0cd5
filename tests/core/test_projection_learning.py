"""The table that ships is what its script learns, and what the page says of its accuracy on other people holds."""

from __future__ import annotations

import csv
import datetime as dt
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from alertd.core.projection import learnt

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "learn_projection.py"
DATA = Path(os.environ.get("ALERTD_TEST_DATA", ROOT.parent / "shared" / "data")) / "projection"


def learned(monkeypatch, capsys, folder):
    """What the script prints about a folder: {(kind, how): {figure's name: figure}}."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--data", str(folder)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert ended.value.code == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    figures = (dict(zip(row[-14::2], map(float, row[-13::2]), strict=True)) for row in rows)
    return {(row[0], "apart" if "out" in row else "fitted"): one for row, one in zip(rows, figures, strict=True)}


def test_the_script_learns_from_any_folder_of_series(monkeypatch, capsys, tmp_path):
    chance = np.random.default_rng(5)
    with (tmp_path / "meta.csv").open("w") as meta, (tmp_path / "daily.csv").open("w") as daily:
        metas, days = csv.writer(meta), csv.writer(daily)
        metas.writerow(["series_id", "family", "group"])
        days.writerow(["series_id", "timestamp", "value"])
        for person in range(4):
            metas.writerow([f"s{person}", "llm", f"person-{person}"])
            values = chance.gamma(0.5, 10.0, 100) * (chance.random(100) < 0.6)
            start = dt.date(2026, 1, 1)
            days.writerows([f"s{person}", start + dt.timedelta(days=k), value] for k, value in enumerate(values))
    scores = learned(monkeypatch, capsys, tmp_path)
    assert set(scores) == {(kind, how) for kind in ("warm", "cold") for how in ("fitted", "apart")}
    assert all(0.0 <= figure < 3.0 for figures in scores.values() for figure in figures.values())


@pytest.mark.chaos  # it learns the table anew without each person in turn: half a minute
@pytest.mark.skipif(not DATA.exists(), reason=f"no series to measure on: {DATA} is not there (ALERTD_TEST_DATA)")
def test_on_people_it_has_not_seen_the_method_is_as_good_as_the_page_says(monkeypatch, capsys):
    scores = learned(monkeypatch, capsys, DATA)
    warm, cold = scores["warm", "apart"], scores["cold", "apart"]
    assert warm["nMAE"] <= 0.435
    assert warm["WQL"] <= 0.370
    assert warm["cov80"] >= 0.69
    assert warm["w80"] <= 1.55
    assert warm["above"] <= 0.17
    assert warm["below"] <= 0.145
    assert warm["Brier"] <= 0.13
    assert cold["nMAE"] <= 0.33
    assert cold["WQL"] <= 0.28


def test_the_table_has_a_row_for_each_level_and_a_column_for_each_quantile():
    assert learnt.SHIPPED.table.shape == (8, 9)
    assert (np.diff(learnt.SHIPPED.table.sum(0)) > 0.0).all()
