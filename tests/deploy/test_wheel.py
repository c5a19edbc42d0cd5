"""The built wheel, alone: complete, typed, and a first alert from an empty folder on every Python that is here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from alertd import __version__
from tests.deploy.installed import ALERT, LEVEL, ROOT, bare, built, demonstration, interpreter, megabytes
from tests.servers.billing import Asked, Reply, serving

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
METRICS = """\
# TYPE litellm_input_tokens_metric_total counter
litellm_input_tokens_metric_total{model="gpt-4o",team_alias="search",api_key_alias="ci"} 100
# TYPE litellm_output_tokens_metric_total counter
litellm_output_tokens_metric_total{model="gpt-4o",team_alias="search",api_key_alias="ci"} 50
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("wheel"), "wheel", PROJECT_URL="https://example.com/us/alertd")


def tracked(*under: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", *under], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == tracked("alertd")
    assert {"alertd/py.typed", "alertd/commands/demo.env", "alertd/web/page.css"} <= held


def test_its_page_says_who_made_it_and_each_link_leads_to_the_version_s_own_files(wheel: Path) -> None:
    with ZipFile(wheel) as held:
        (name,) = (name for name in held.namelist() if name.endswith("/METADATA"))
        about = Parser().parsestr(held.read(name).decode())
        assert any(name.endswith("/licenses/LICENSE") for name in held.namelist())
    assert (about["Name"], about["Version"], about["Requires-Python"]) == ("alertd", __version__, ">=3.11")
    assert about["License-Expression"] == "Apache-2.0"
    links = dict(line.split(", ") for line in about.get_all("Project-URL", []))
    assert {"Source", "Documentation", "Changelog", "Issues", "Security"} == links.keys()
    text = about.get_payload()
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", text) == []
    own = re.findall(rf"\]\(https://example\.com/us/alertd/(raw|blob)/v{re.escape(__version__)}/([^)#]+)", text)
    assert {form for form, _ in own} == {"raw", "blob"}
    assert [path for _, path in own if not (ROOT / path).exists()] == []


def test_the_pythons_that_are_named_are_those_from_the_oldest_on() -> None:
    numbers = [int(version.partition(".")[2]) for version in PYTHONS]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert PROJECT["requires-python"] == f">=3.{numbers[0]}"


def test_the_sdist_holds_all_that_is_tracked_and_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = built(tmp_path, "sdist", PROJECT_URL="https://example.com/us/alertd")
    with tarfile.open(sdist) as held:
        inside = {member.name.partition("/")[2] for member in held.getmembers() if member.isfile()}
        held.extractall(tmp_path / "source", filter="data")
    left = {name for name in tracked() if name.startswith((".git", ".ci"))}
    assert tracked() - left <= inside
    (source,) = (tmp_path / "source").iterdir()
    again = built(tmp_path / "again", "wheel", source=source, PROJECT_URL="https://example.com/us/alertd")
    assert again.read_bytes() == wheel.read_bytes()


# --- installed ---


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the locked files and the wheel, and nothing else: the folder of its programs."""
    folder, begun = tmp_path_factory.mktemp("home"), time.monotonic()
    subprocess.run([sys.executable, "-m", "venv", folder], env=bare(), check=True)
    pip = [str(folder / "bin" / "pip"), "--disable-pip-version-check"]
    for words in (
        ["install", "--quiet", "--no-deps", "--require-hashes", "-r", str(ROOT / "requirements" / "alertd.lock")],
        ["install", "--quiet", "--no-deps", "--no-index", str(wheel)],
        ["check"],
    ):
        done = subprocess.run([*pip, *words], env=bare(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    print(f"\ninstalled {megabytes(folder):.0f} MB in {time.monotonic() - begun:.0f} s")
    return folder / "bin"


@pytest.mark.index
def test_it_shows_an_alert_from_an_empty_folder_and_leaves_nothing_there(programs: Path, tmp_path: Path) -> None:
    with demonstration([str(programs / "alertd"), "demo"], tmp_path, HOME=str(tmp_path)) as shown:
        first, level = shown.heard(ALERT), shown.heard(LEVEL)
        assert shown.status() == 200
        assert shown.end() == 0
    assert "Traceback" not in shown.text
    assert list(tmp_path.iterdir()) == []
    print(f"\nfirst alert after {first:.0f} s, first level after {level:.0f} s")


@pytest.mark.index
def test_four_answers_from_nothing_make_a_configuration_that_works(programs: Path, tmp_path: Path) -> None:
    """`alertd init`, `check` and a message, by the installed program, with a gateway's /metrics and nothing else."""

    def alertd(*words: str, answers: str = "") -> str:
        done = subprocess.run(
            [programs / "alertd", *words], cwd=tmp_path, env=bare(HOME=str(tmp_path)), input=answers,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def answer(asked: Asked) -> Reply:
        return Reply(METRICS if asked.path == "/metrics" else {}, headers={"Content-Type": "text/plain"})

    with serving(answer) as gateway:
        said = alertd("init", answers=f"{gateway.url}/metrics\n300 USD\nteam\nconsole\n")
        assert len(re.findall(r" \[[^\]]+\] ", said)) == 4, said
        assert (tmp_path / "alertd.env").stat().st_mode & 0o077 == 0
        printed = re.findall(r"^  alertd ((?:check|test-notify) .*?)  ", said, re.MULTILINE)
        assert [line.partition(" ")[0] for line in printed] == ["check", "test-notify"]
        assert "team" in alertd(*printed[0].split())
        assert "ops" in alertd(*printed[1].split())


# --- the README's ways ---


def printed(program: str) -> list[str]:
    """The words of the README's `$ <program> ... demo`."""
    (line,) = re.findall(rf"(?:\$ |or: )({program} [^#\n]*?demo)\b", (ROOT / "README.md").read_text())
    return shlex.split(line)


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"no {name}; `make deploy` installs it")
    return found


@pytest.mark.index
@pytest.mark.parametrize("version", PYTHONS)
def test_uvx_shows_an_alert_on_each_python(version: str, wheel: Path, tmp_path: Path) -> None:
    python, (program, *words) = interpreter(version), printed("uvx")
    if python is None:
        pytest.skip(f"no Python {version} is on this machine")
    given = {"UV_PYTHON": str(python), "UV_FIND_LINKS": str(wheel.parent), "UV_NO_CONFIG": "1"}
    with demonstration([tool(program), *words], tmp_path, **given) as shown:
        print(f"\nuvx, Python {version}: first alert after {shown.heard(ALERT):.0f} s")
        assert shown.status() == 200
        assert shown.end() in (0, 130)
    assert "Traceback" not in shown.text


@pytest.mark.index
def test_pipx_shows_an_alert(wheel: Path, tmp_path: Path) -> None:
    program, *words = printed("pipx")
    (tmp_path / "empty").mkdir()
    links = f"{wheel.parent} {os.environ.get('PIP_FIND_LINKS', '')}".strip()
    given = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_DEFAULT_PYTHON": sys.executable}
    given |= {"PIP_FIND_LINKS": links, "UV_FIND_LINKS": str(wheel.parent)}  # pipx installs by either
    with demonstration([tool(program), *words], tmp_path / "empty", **given) as shown:
        print(f"\npipx: first alert after {shown.heard(ALERT):.0f} s")
        assert shown.end() in (0, 130)
