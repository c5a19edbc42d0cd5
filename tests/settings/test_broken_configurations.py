"""Every broken configuration, by `check` and by `run --verbose`: one error, no traceback, no part of a secret."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_faults import BROKEN

from alertd.cli import main
from alertd.core.config_errors import SettingsError
from alertd.settings import load_settings
from tests.stores.test_urls import BROKEN as BROKEN_URLS

SECRET = "S3CRETpw"
#: Sound, with a secret in every place that a fault could quote; kinds that are real.
SOUND = {
    "ALERTD_DATABASE": f"postgresql://alertd:{SECRET}@127.0.0.1:9/alertd",
    "ALERTD_HTTP__LISTEN": "127.0.0.1:0",
    "ALERTD_HTTP__TOKEN": SECRET,
    "ALERTD_HEARTBEAT_URL": f"https://ping.example.com/{SECRET}",
    "ALERTD_SOURCES__GATEWAY__KIND": "prometheus",
    "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:9",
    "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
    "ALERTD_SOURCES__GATEWAY__TOKEN": SECRET,
    "ALERTD_NOTIFIERS__OPS__KIND": "webhook",
    "ALERTD_NOTIFIERS__OPS__URL": f"https://hooks.example.com/{SECRET}",
    "ALERTD_NOTIFIERS__OPS__SECRET": f"{SECRET}-and-more-of-it",
    "ALERTD_NOTIFIERS__MAIL__KIND": "console",
    "ALERTD_ACTIONS__STOP_RESEARCH__KIND": "anthropic",
    "ALERTD_ACTIONS__STOP_RESEARCH__TOKEN": f"act-{SECRET}",
    "ALERTD_BUDGETS__RESEARCH__AMOUNT": "500 USD",
}
#: What is wrong with what may be a secret itself, or stands beside one.
MORE = [
    *(("ALERTD_DATABASE", url.replace("S3CRETpw", SECRET)) for url, _ in BROKEN_URLS),
    ("ALERTD_HTTP__LISTEN", "0.0.0.0:9480"),
    ("ALERTD_HTTP__TOKN", SECRET),
    ("ALERTD_HTTP__TOKENS_FILE", "/nowhere/tokens.toml"),
    ("ALERTD_SOURCES__GATEWAY__TOKE", SECRET),
    ("ALERTD_SOURCES__GATEWAY__HEADERS", f'{{"X-Key": "{SECRET}"'),
    ("ALERTD_SOURCES__GATEWAY__HEADERS", SECRET),
    ("ALERTD_SOURCES__GATEWAY__PROXY", f"ftp://user:{SECRET}@proxy"),
    ("ALERTD_SOURCES__GATEWAY__PROXY", f"http://user:{SECRET}@[proxy"),
    ("ALERTD_NOTIFIERS__OPS__URL", f"ftp://hooks.example.com/{SECRET}"),
    ("ALERTD_NOTIFIERS__OPS__URL", f"https://user:{SECRET}@[bad/{SECRET}"),
    ("ALERTD_NOTIFIERS__OPS__SECRET_FILE", "/nowhere/secret"),
    ("ALERTD_HEARTBEAT_URL", f"ping.example.com/{SECRET}"),
    ("ALERTD_NOTIFIERS", f'{{"ops": {{"secret": "{SECRET}"'),
]
CASES = [*((key, value) for key, value, _ in BROKEN), *MORE]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of this machine, and the log as it was before."""
    for name in [name for name in os.environ if name.startswith("ALERTD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    yield
    root.handlers[:] = kept
    root.setLevel(level)


def refused(capsys: pytest.CaptureFixture[str], env: dict[str, str], words: list[str]) -> list[str]:
    """The lines in which a command refuses a configuration."""
    Path("my.env").write_text("".join(f"{name}={value}\n" for name, value in env.items()), "utf-8")
    with pytest.raises(SettingsError):  # else `run` would begin to run
        load_settings({}, ["my.env"], need=("sources", "budgets"))
    assert main([*words, "--env-file", "my.env"]) == 1
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert SECRET not in said
    assert "Traceback" not in said
    return printed.err.splitlines()


def test_the_configuration_that_is_broken_is_sound() -> None:
    load_settings(SOUND, need=("sources", "budgets"))


def test_there_are_as_many_as_were_tried_by_hand() -> None:
    assert len(CASES) >= 68


@pytest.mark.parametrize(("key", "value"), CASES, ids=[f"{key}={value}" for key, value in CASES])
def test_a_broken_configuration_is_refused_in_one_line_by_check_and_by_run(
    capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    checked = refused(capsys, {**SOUND, key: value}, ["check"])
    run = refused(capsys, {**SOUND, key: value}, ["run", "--verbose"])
    assert checked == run
    about = [line for line in run if line.startswith(("ALERTD_", "my.env"))]
    assert about == run, "each line begins with its place"
    assert len(run) == len(set(run)) <= 3
    assert all("; " in line for line in run), "each line has its remedy"


# --- what is no file, or has no end, where a file is named ---

FILES = [
    "ALERTD_DATABASE_FILE",
    "ALERTD_HTTP__TOKEN_FILE",
    "ALERTD_HTTP__TOKENS_FILE",
    "ALERTD_SOURCES__GATEWAY__TOKEN_FILE",
    "ALERTD_NOTIFIERS__OPS__URL_FILE",
    "ALERTD_ACTIONS__STOP_RESEARCH__TOKEN_FILE",
    "ALERTD_PRICES__FILES",
    "ALERTD_PRICES__SECOND_OPINION",
    "ALERTD_BUDGETS__RESEARCH__TABLE_FILE",
    "ALERTD_CONFIG",
    "ALERTD_SECRETS_DIR",
]


def special(folder: Path, name: str) -> Path:
    """A pipe that nobody writes to, a device without an end, a folder, a file of 40 MB that holds nothing, no file."""
    path = folder / name
    if name == "pipe":
        os.mkfifo(path)
    elif name == "folder":
        path.mkdir()
    elif name == "huge":
        with path.open("wb") as file:
            file.truncate(40 << 20)
    elif name == "zero":
        return Path("/dev/zero")
    return path


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["pipe", "zero", "folder", "huge", "absent"])
@pytest.mark.parametrize("key", FILES)
def test_what_is_no_file_is_refused_at_once_by_its_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str, what: str
) -> None:
    if (key, what) == ("ALERTD_SECRETS_DIR", "folder"):
        (tmp_path / "in").mkdir()
        os.mkfifo(tmp_path / "in" / "ALERTD_HTTP__TOKEN_X")
        path = tmp_path / "in"
    else:
        path = special(tmp_path, what)
    plain = key.removesuffix("_FILE")
    env = {name: value for name, value in SOUND.items() if name != plain}
    if key.endswith("TABLE_FILE"):
        env["ALERTD_BUDGETS__RESEARCH__PER"] = "team"
    for words in (["check"], ["run", "--verbose"]):
        lines = refused(capsys, {**env, key: str(path)}, words)
        assert len(lines) == 1, lines
        assert key in lines[0] or str(path) in lines[0]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["pipe", "zero", "folder", "huge", "absent", "text"])
@pytest.mark.parametrize("key", ["CA_FILE", "CERT_FILE", "KEY_FILE"])
def test_certificates_that_are_no_file_are_said_by_check_and_never_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, key: str, what: str
) -> None:
    path = special(tmp_path, what)
    if what == "text":
        path.write_text(SECRET)
    files = {"CERT_FILE": str(tmp_path / "cert"), key: str(path)} if key == "KEY_FILE" else {key: str(path)}
    (tmp_path / "cert").write_text("no certificate")
    env = {
        **SOUND,
        "ALERTD_DATABASE": "sqlite:///alertd.db",
        "ALERTD_SOURCES__GATEWAY__URL": "https://127.0.0.1:9",
        **{f"ALERTD_SOURCES__GATEWAY__{name}": value for name, value in files.items()},
    }
    Path("my.env").write_text("".join(f"{name}={value}\n" for name, value in env.items()), "utf-8")
    assert main(["check", "--env-file", "my.env"]) == 1
    said = "".join(capsys.readouterr())
    assert SECRET not in said
    assert "Traceback" not in said
    assert "FAIL source gateway" in said
