"""The example files are sound, complete, and say nothing that the code does not know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alertd.cli import main
from alertd.core.config_errors import SettingsError
from alertd.settings import describe, load_settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "alertd.env.example"
NAMED = {"SOURCES", "BUDGETS", "COMMITMENTS", "NOTIFIERS", "ACTIONS"}


def keys_of(text: str) -> set[str]:
    """Every variable that a text assigns, commented out or not, with the names that its user chose as <NAME>."""
    found = re.findall(r"^#?(?:or )?(ALERTD_[A-Z0-9_]+)=", text, re.MULTILINE)
    return {general(name) for name in found}


def general(name: str) -> str:
    parts = name.removeprefix("ALERTD_").split("__")
    if parts[0] in NAMED and len(parts) > 1:
        parts[1] = "<NAME>"
    if parts[0] == "FX":
        parts[1] = "<FROM>_<TO>"
    return "ALERTD_" + "__".join(parts)


KNOWN = {key.name for key in describe()}


def test_every_key_in_the_example_is_known() -> None:
    assert {
        key for key in keys_of(EXAMPLE.read_text()) if key not in KNOWN and key.removesuffix("_FILE") not in KNOWN
    } == set()


def test_every_known_key_is_in_the_example() -> None:
    shown = keys_of(EXAMPLE.read_text())
    assert {name for name in KNOWN if name not in shown and f"{name}_FILE" not in shown} == set()


def test_the_end_of_the_example_is_what_the_code_has(capsys: pytest.CaptureFixture[str]) -> None:
    """To mend it: put what `alertd kinds --env` prints behind the last `# ===` line of config/alertd.env.example."""
    assert main(["kinds", "--env"]) == 0
    _, _, end = EXAMPLE.read_text().rpartition("===\n\n")
    assert end == capsys.readouterr().out


@pytest.mark.parametrize("switched_on", ["", "#"], ids=["as it stands", "with every line switched on"])
def test_the_example_is_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switched_on: str) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "alertd.env"
    text = EXAMPLE.read_text()
    file.write_text(re.sub(r"^#(?=ALERTD_)", "", text, flags=re.MULTILINE) if switched_on else text)
    try:
        settings = load_settings({}, [file], need=("sources", "budgets", "notifiers"))
    except SettingsError as error:
        # Secrets that only the user has are the one thing that may be missing.
        assert [fault for fault in error.faults if "/run/secrets" not in fault.problem] == []  # noqa: PT017
        assert switched_on
    else:
        assert set(settings.budgets) == {"research"}
        assert not switched_on


def test_the_toml_example_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = load_settings({}, config="config/alertd.example.toml", need=("sources", "budgets", "notifiers"))
    teams = settings.budgets["teams"]
    assert {name: str(row.amount) for (name,), row in teams.table.items()} == {
        "research": "500 USD",
        "search": "250 USD",
        "": "50 USD",
    }
    assert settings.budgets["research"].notify["critical"] == ("log", "mail")
