"""Whatever stands in an environment, reading it gives settings or faults: never another error, never silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_plugins import PACKAGE

from alertd.core.config_errors import Fault, SettingsError
from alertd.settings import describe, load_settings

KEYS = sorted({key.name.replace("<NAME>", "A").replace("<FROM>_<TO>", "EUR_USD") for key in describe(PACKAGE)})
TEXTS = [
    "1", "0", "-1", "500 USD", "true", "team=a", "{}", "[]", '{"a": 1}', '["a", 1]',
    '{"a": {"b": [1e5, null, true]}}', "[[", "[" * 9_999, "null", "tap", "post", "stop", "a", "UTC", "Europe",
    "../x", "80%", "actual 80%", "http://[", "http://a:99999", "22:00-07:00", '"', "'", '"x" y',
    "é", "🔴", "\ud800", "\x00", "\n", "1e999999999999999999", "9" * 400, "9" * 400 + "h", ",", "=", "NaN",
]  # fmt: skip
PIECES = st.sampled_from(TEXTS)
VALUES = st.lists(PIECES, min_size=1, max_size=3).map("".join) | st.text(max_size=12)
MARKS = ["=", "\n", "#", '"', "'", "[", "]", "{", "}", "a", "1", ".", "kind", "sources", "budgets"]
CELLS = ["team", "amount", ",", ";", "\n", '"', "5 USD", "x", "\x00"]
NAMES = (
    st.sampled_from(KEYS)
    | st.sampled_from(KEYS).map(lambda name: name + "_FILE")
    | st.builds(
        lambda name, at, extra: name[:at] + extra + name[at:],
        st.sampled_from(KEYS),
        st.integers(7, 30),
        st.sampled_from(["_", "__", "X", "-", ".", "/", "é", "\x00"]),
    )
)


def faults_of(env: dict[str, str], **rest: Any) -> tuple[Fault, ...]:
    """What is wrong, which may be nothing; anything else that is raised fails the test."""
    try:
        load_settings(env, package=PACKAGE, **rest)
    except SettingsError as error:
        return error.faults
    return ()


SOUND = {
    "ALERTD_SOURCES__A__KIND": "tap",
    "ALERTD_SOURCES__A__URL": "http://tap:9090",
    "ALERTD_NOTIFIERS__A__KIND": "post",
    "ALERTD_ACTIONS__A__KIND": "stop",
    "ALERTD_BUDGETS__A__AMOUNT": "5 USD",
    "ALERTD_BUDGETS__A__PER": "team",
}


#: One key of each name: those of ALERTD_DEFAULTS and of every plug-in are read by the same code.
OPTIONS = sorted({key.rpartition("__")[2]: key for key in KEYS}.values())


@pytest.mark.parametrize(
    "key", [*OPTIONS, "ALERTD_BUDGETS", "ALERTD_BUDGETS__A", "ALERTD_HTTP", "ALERTD_DATABASE_FILE"]
)
def test_any_value_of_any_key_is_taken_or_is_a_fault_with_a_remedy(key: str) -> None:
    for value in TEXTS:
        faults = faults_of({**SOUND, key: value})
        poor = [fault for fault in faults if not (fault.problem and fault.remedy)]
        assert (value[:40], poor) == (value[:40], [])
        assert len(str(faults)) < 3000


@pytest.mark.parametrize("key", OPTIONS)
@pytest.mark.parametrize("value", ["[[1, 2], {}]", "7", "7.5", "true", '{"a" = [1]}', "2027-01-01", '""'])
def test_any_type_of_toml_is_taken_or_is_a_fault(tmp_path: Path, key: str, value: str) -> None:
    path = [part.lower() for part in key.removeprefix("ALERTD_").split("__")]
    file = tmp_path / "alertd.toml"
    section = ".".join(path[:-1])
    file.write_text(f"[{section}]\n{path[-1]} = {value}\n" if section else f"{path[-1]} = {value}\n")
    assert all(fault.place and fault.problem for fault in faults_of({}, config=file))


@pytest.mark.parametrize("key", OPTIONS)
def test_a_value_in_a_file_that_is_missing_is_one_fault_of_its_key(key: str) -> None:
    without = {name: value for name, value in SOUND.items() if name != key}
    faults = faults_of({**without, f"{key}_FILE": "missing/file"})
    assert [fault.place for fault in faults if "FILE" in fault.place or key in fault.place], faults


@given(env=st.dictionaries(NAMES, VALUES, max_size=8))
def test_an_environment_gives_settings_or_faults_that_name_what_is_there(env: dict[str, str]) -> None:
    faults = faults_of(env)
    sections = {name.split("__")[0].upper() for name in env}
    for fault in faults:
        assert fault.problem
        assert any(fault.place.upper().startswith(section) for section in sections)


@given(text=st.lists(st.sampled_from([*KEYS, *MARKS])).map("".join))
def test_a_file_of_anything_gives_settings_or_faults(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("any") / "file"
    file.write_text(text)
    for given_as in ({"env_files": [file]}, {"config": file}):
        assert all(fault.place and fault.problem for fault in faults_of({}, **given_as))


@given(text=st.text(max_size=60) | st.lists(st.sampled_from(CELLS)).map("".join))
def test_a_table_of_anything_gives_rows_or_faults(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file: Path = tmp_path_factory.mktemp("any") / "teams.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    table = {"PER": "team", "AMOUNT": "1 USD", "TABLE_FILE": str(file)}
    faults = faults_of({f"ALERTD_BUDGETS__A__{key}": value for key, value in table.items()})
    assert all(fault.place.startswith((str(file), "ALERTD_BUDGETS__A__TABLE_FILE")) for fault in faults)
