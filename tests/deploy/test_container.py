"""The Dockerfile and the compose file: linted, and held to what docs and chart rely on. No engine is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alertd.settings import load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def hadolint() -> str:
    found = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("no hadolint; `make deploy` installs it")
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run = subprocess.run([hadolint(), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    """The linter is at work: a Dockerfile that runs as root on a moving base is not clean."""
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN apt-get install curl\nUSER root\n")
    run = subprocess.run([hadolint(), str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "DL3006" in run.stdout


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("its base can be chosen", r"^ARG BASE="),
        ("it runs as a user with a number", r"^USER 10001:10001$"),
        ("it is told of SIGTERM", r"^STOPSIGNAL SIGTERM$"),
        ("its state has a place that a volume may take", r"^WORKDIR /var/lib/alertd$"),
        ("it says how it feels", r"^HEALTHCHECK "),
        ("its commands are lists, so that signals arrive", r'^ENTRYPOINT \["alertd"\]$'),
        ("charts find a font", r"fonts-dejavu-core"),
        ("it carries an SBOM", r"sbom\.json"),
        ("what it is built with stays behind", r"^FROM scratch$"),
        ("what it is built with is asked for", r"install .*python3-venv ca-certificates"),
    ],
)
def test_the_image_is_as_the_docs_say(what: str, line: str) -> None:
    assert re.search(line, DOCKERFILE, re.MULTILINE), what


def test_no_volume_without_a_name_is_made_for_it() -> None:
    """Docker would keep the state in it, until the container is replaced and nobody knows where the state is."""
    assert not re.search("^VOLUME", DOCKERFILE, re.MULTILINE)


def test_the_dockerfile_s_stages_take_only_what_the_context_has() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


@pytest.fixture(scope="module")
def compose() -> Any:
    yaml: Any = pytest.importorskip("yaml", reason="no YAML reader; `make deploy` installs it")
    return yaml.safe_load((ROOT / "config" / "compose.yaml").read_text())


def test_the_compose_file_has_keys_of_the_compose_specification_only(compose: Any) -> None:
    """By the names of the Compose specification; no `docker compose` is to be had for this test."""
    service = {
        "build", "image", "command", "env_file", "environment", "ports", "volumes", "read_only", "tmpfs", "cap_drop",
        "security_opt", "stop_grace_period", "restart", "depends_on", "healthcheck", "extra_hosts", "user",
    }  # fmt: skip
    assert compose.keys() <= {"services", "volumes", "networks", "name"}
    for name, found in compose["services"].items():
        assert found.keys() <= service, name
        for volume in found.get("volumes", []):
            source = volume.partition(":")[0]
            there = (ROOT / "config" / source).exists() if source.startswith(".") else source in compose["volumes"]
            assert there, f"{name}: {volume}"
        assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in found.get("ports", []))


def test_the_compose_file_s_alertd_is_hardened_and_configured_soundly(compose: Any) -> None:
    alertd = compose["services"]["alertd"]
    assert alertd["read_only"] is True
    assert alertd["cap_drop"] == ["ALL"]
    assert any(volume.endswith(":/var/lib/alertd") for volume in alertd["volumes"])
    filled = {
        name: re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", r"\1", text) for name, text in alertd["environment"].items()
    }
    assert load_settings({**filled, "ALERTD_HTTP__TOKEN": "t" * 24}, need=("sources", "budgets", "notifiers"))
