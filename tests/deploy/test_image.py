"""The image, built from this Dockerfile and run as the user it names, read-only, without a capability: `make image`."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alertd import __version__
from tests.deploy.engine import Builder, Container, UnavailableError, env_file, lacking, running
from tests.system.daemon import wait_for

ROOT = Path(__file__).parents[2]
STATE = "/var/lib/alertd"
CONFIGURED = {
    "ALERTD_SOURCES__GATEWAY__KIND": "scrape",
    "ALERTD_SOURCES__GATEWAY__URL": "http://127.0.0.1:9/metrics",
    "ALERTD_SOURCES__GATEWAY__PRESET": "litellm",
    "ALERTD_BUDGETS__COMPANY__AMOUNT": "500 USD",
    "ALERTD_NOTIFIERS__LOG__KIND": "console",
    "ALERTD_HTTP__TOKEN": "open sesame, open sesame",
}
LOOPBACK = "import socket; own = socket.create_server(('127.0.0.1', 0)); socket.create_connection(own.getsockname())"
STATUS_OF = """
import sys, urllib.request as r, urllib.error
try: print(r.urlopen(r.Request('http://127.0.0.1:9480' + sys.argv[1], headers=dict([a.split('=') for a in sys.argv[2:]]))).status)
except urllib.error.HTTPError as refused: print(refused.code)
"""  # noqa: E501 - a program of three lines
NOT_COMPILED = """
import sys, importlib, importlib.util, pkgutil, pathlib, alertd
for one in pkgutil.walk_packages(alertd.__path__, 'alertd.'):
    if one.name not in ('alertd.__main__', 'alertd.notifiers.apprise', 'alertd.web.mcp_server'):
        importlib.import_module(one.name)
files = [m.__file__ for m in list(sys.modules.values()) if (getattr(m, '__file__', None) or '').endswith('.py')]
print(len(files), [f for f in files if not pathlib.Path(importlib.util.cache_from_source(f)).exists()])
"""
INSTALLED = """
import importlib.metadata as m, json
print(json.dumps(sorted([d.name, d.version] for d in m.distributions())))
"""
DRAWN = """
import sys
from alertd.core.charts.html import Markup
from alertd.clients.png import png
frame = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="40"><text y="30" font-family="DejaVu Sans">%s</text></svg>'
pictures = [open(sys.argv[1]).read(), frame % 'Research: 80%', frame % '']
drawn = [png(Markup(one.encode())) for one in pictures]
print([one[:4] == b'\\x89PNG' for one in drawn], len(drawn[0]) > len(drawn[1]) > len(drawn[2]) + 500)
"""  # noqa: E501 - a program that draws


pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]  # the first test waits for the build


@dataclass(frozen=True)
class Image:
    """The image as its manifest tells of it, its files, and a way to start it."""

    about: dict[str, Any]
    root: Path
    start: Callable[..., Container]
    another: Callable[[], Path]

    @property
    def config(self) -> dict[str, Any]:
        return self.about["Docker"]["config"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    if why := lacking():
        pytest.skip(f"no image is built: {why}")
    builder = Builder(folder)
    try:
        begun = time.monotonic()
        builder.build(ROOT, "localhost/alertd")
        print(f"\nbase and image built in {time.monotonic() - begun:.0f} s")
        root, about = builder.unpacked("localhost/alertd"), builder.inspect("localhost/alertd")
        count = iter(range(100))

        def start(**more: Any) -> Container:
            name = f"alertd-{os.getpid()}-{next(count)}"
            given = {"root": root, "image": about["Docker"]["config"], **more}
            return Container(name=name, bundle=folder / name, **given)

        prove(start(image={**about["Docker"]["config"], "Entrypoint": ["sleep"]}, command=["600"]))
        yield Image(about, root, start, lambda: builder.unpacked("localhost/alertd"))
    except UnavailableError as lack:
        pytest.skip(f"no image is built or run: {lack}")
    finally:
        builder.close()


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder prepared as the Dockerfile says: chown 10001:10001."""
    folder = tmp_path_factory.mktemp("volume")
    os.chown(folder, 10001, 10001)
    return folder


@pytest.fixture(scope="module", autouse=True)
def demonstration(image: Image) -> Iterator[Container]:
    """The README's `docker run ... alertd demo`, which takes most of a minute to tell something."""
    (line,) = re.findall(r"^\$ docker run (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    options, _, command = line.partition(" alertd ")
    assert options == "--rm --tmpfs /tmp -p 127.0.0.1:9480:9480", "what a container has here, too"
    with running(image.start(command=shlex.split(command))) as container:
        yield container


@pytest.fixture(scope="module")
def daemon(image: Image, volume: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """`docker run --env-file my.env -v alertd:/var/lib/alertd --read-only --cap-drop ALL alertd`, and it is ready."""
    file = tmp_path_factory.mktemp("settings") / "my.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in CONFIGURED.items()))
    environment = env_file(file)
    begun = time.monotonic()
    with running(image.start(environment=environment, mounts=[(volume, STATE)])) as container:
        wait_for("the page", lambda: container.ended() is not None or status(container, "/readyz") == "200")
        assert container.ended() is None, container.said()
        print(f"\nready {time.monotonic() - begun:.1f} s after its start")
        yield container


def prove(first: Container) -> None:
    """Ends with an UnavailableError where the machine lets runc start nothing, enter nothing, or have a loopback."""

    def entered() -> bool:
        return first.ended() is not None or first.execute("python", "-c", LOOPBACK).returncode == 0

    with running(first):
        try:
            wait_for("a process in a container", entered, 60)
        except AssertionError as lack:
            raise UnavailableError(f"runc enters no container here: {lack}") from None
        if first.ended() is not None:
            raise UnavailableError(f"runc starts nothing here: {first.said()[-300:]}")


def status(container: Container, path: str, **headers: str) -> str:
    words = [f"{name}={value}" for name, value in headers.items()]
    return container.execute("python", "-c", STATUS_OF, path, *words).stdout.strip().rpartition("\n")[2]


def once(image: Image, *command: str, mounts: tuple[tuple[Path, str], ...] = ()) -> tuple[int | None, str]:
    """Status and words of `docker run --rm alertd <command>`."""
    with running(image.start(command=command, mounts=mounts)) as container:
        wait_for(f"the end of {command}", lambda: container.ended() is not None)
    return container.ended(), container.said()


def test_it_takes_less_than_200_mb_unpacked(image: Image) -> None:
    found = ((path.relative_to(image.root).parts[0], path.lstat()) for path in image.root.rglob("*"))
    files = {about.st_ino: (top, about.st_size) for top, about in found if not stat.S_ISDIR(about.st_mode)}
    parts = {part: sum(size for top, size in files.values() if top == part) for part in ("usr", "opt")}
    total = sum(size for _, size in files.values())
    print(f"\nimage: {total / 1e6:.1f} MB, of it", {part: f"{size / 1e6:.1f} MB" for part, size in parts.items()})
    assert total < 200e6


def test_it_is_told_who_it_is_and_how_it_is_asked_and_ended(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Healthcheck"]["Test"][0] == "CMD"
    assert not image.config["Volumes"]


def test_nothing_in_it_gives_a_process_more_rights(image: Image) -> None:
    files = [one.lstat() for one in image.root.rglob("*")]
    assert len(files) > 1000
    assert [one for one in files if one.st_mode & 0o6000 and one.st_mode & 0o111 and not one.st_mode & 0o040000] == []


def test_its_sbom_names_what_is_in_it_and_nothing_else(image: Image, daemon: Container) -> None:
    sbom = json.loads((image.root / "opt/alertd/sbom.json").read_text())
    assert (sbom["bomFormat"], sbom["metadata"]["component"]["version"]) == ("CycloneDX", __version__)
    listed = {one["purl"].split("?")[0].replace("%2B", "+").replace("%3A", ":") for one in sbom["components"]}
    found = daemon.execute("python", "-c", INSTALLED).stdout
    python = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in json.loads(found)}
    debian = {
        f"pkg:deb/debian/{fields['Package']}@{fields['Version']}"
        for file in (image.root / "var/lib/dpkg/status.d").iterdir()
        for fields in [dict(re.findall(r"^(\w+): (.*)$", file.read_text(), re.MULTILINE))]
    }
    assert len(debian) > 20
    assert listed == {f"pkg:pypi/{name}@{version}" for name, version in python if name != "alertd"} | debian
    assert {"pip", "setuptools"}.isdisjoint(name for name, _ in python)


def test_the_daemon_serves_as_nobody_of_note_and_feels_well(image: Image, daemon: Container, volume: Path) -> None:
    check = image.config["Healthcheck"]["Test"][1:]
    wait_for("the health check's consent", lambda: daemon.execute(*check).returncode == 0)
    own = daemon.execute("cat", "/proc/1/status").stdout
    assert re.search(r"^Uid:\s+10001\s+10001\s+10001\s+10001$", own, re.MULTILINE)
    assert re.search(r"^Cap(Eff|Prm):\s+0+$", own, re.MULTILINE)
    assert "Read-only file system" in daemon.execute("touch", "/opt/alertd/mine", "/etc/mine").stdout
    assert status(daemon, "/") == "401"
    assert status(daemon, "/", Authorization="Bearer open sesame, open sesame") == "200"
    assert (volume / "alertd.db").stat().st_uid == 10001
    assert "not on a volume" not in daemon.said()


def test_the_health_check_fails_where_nobody_answers(image: Image, daemon: Container) -> None:
    check = image.config["Healthcheck"]["Test"][1:]
    elsewhere = ["env", "ALERTD_HTTP__LISTEN=0.0.0.0:1", *check]
    assert daemon.execute(*elsewhere).returncode == 1


def test_what_is_kept_on_no_volume_is_said(image: Image) -> None:
    root = image.another()
    (root / ".dockerenv").touch()
    with running(image.start(root=root, writable=True, environment=CONFIGURED)) as container:
        wait_for("the warning", lambda: container.tells(f"{STATE} is not on a volume"))


def test_a_read_only_container_without_a_volume_says_what_it_lacks(image: Image) -> None:
    with running(image.start(environment=CONFIGURED)) as container:
        wait_for("its end", lambda: container.ended() is not None)
    assert container.ended() not in (0, None)
    assert STATE in container.said()
    assert "Traceback" not in container.said()


def test_every_module_is_there_with_its_byte_code(daemon: Container) -> None:
    """A root that cannot be written to would have every command compile anew."""
    assert re.fullmatch(r"\d{3,} \[\]\n", daemon.execute("python", "-c", NOT_COMPILED).stdout)


def test_a_command_of_one_s_own_finds_a_shell(daemon: Container) -> None:
    written = r"printf '#!/bin/sh\nread asked; echo done: $asked\n' > /tmp/mine && chmod +x /tmp/mine"
    assert daemon.execute("sh", "-c", written).returncode == 0
    assert daemon.execute("sh", "-c", "echo it | /tmp/mine").stdout == "done: it\n"


def test_connections_find_whom_to_trust(daemon: Container) -> None:
    trusted = "from alertd.clients.http import trust; print(trust(None).cert_store_stats()['x509_ca'] > 100)"
    assert daemon.execute("python", "-c", trusted).stdout == "True\n"


def test_usage_is_rated_as_it_is_by_the_checkout(image: Image, tmp_path: Path) -> None:
    with (tmp_path / "usage.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["provider", "model", "meter", "quantity"])
        table.writerow(["scaleway", "llama-3.3-70b-instruct", "input", 800_000])
        table.writerow(["openai", "gpt-4o", "output", 3_000_000])
    tmp_path.chmod(0o755)
    words = ["rate", "--usage", "usage.csv", "--period", "2025-05", "--json"]
    words[2] = str(tmp_path / "usage.csv")
    here = subprocess.run(
        [sys.executable, "-m", "alertd", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    words[2] = "/srv/usage.csv"
    assert once(image, *words, mounts=((tmp_path, "/srv"),)) == (0, here.stdout)


def test_a_month_is_replayed_and_drawn_with_letters(
    image: Image, daemon: Container, volume: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    lines = [
        f"2026-{month:02d}-{day:02d},openai,gpt-4o,output,{400_000 * day}" for month in (1, 2) for day in range(1, 29)
    ]
    (tmp_path / "usage.csv").write_text("\n".join(["timestamp,provider,model,meter,quantity", *lines]) + "\n")
    words = ["replay", "--usage", "/srv/usage.csv", "--budget", "500 USD", "--picture", "/srv/spend.svg", "--json"]
    code, said = once(image, *words, mounts=((tmp_path, "/srv"),))
    assert code == 0, said
    assert json.loads(said.splitlines()[-1])["summary"]["crossings"] == 2
    (volume / "spend.svg").write_bytes((tmp_path / "spend.svg").read_bytes())
    assert daemon.execute("python", "-c", DRAWN, f"{STATE}/spend.svg").stdout == "[True, True, True] True\n"


def test_the_demonstration_tells_of_a_level_shows_its_page_and_keeps_nothing(demonstration: Container) -> None:
    """On a read-only root without a volume: its database is its own, in /tmp, whatever the image names."""
    wait_for("the 80% level on the console", lambda: demonstration.tells("80% of"))
    (token,) = re.findall(r"asks for this token\D*: (\S+)", demonstration.said())
    assert status(demonstration, "/") == "401"
    assert status(demonstration, "/", Authorization=f"Bearer {token}") == "200"
    assert "Page: http://127.0.0.1:9480/" in demonstration.said()
    assert demonstration.stop()[0] == 0


def test_the_chart_s_pod_runs_and_passes_helm_test(image: Image, tmp_path: Path) -> None:
    """The rendered pod, its ConfigMap and its Secret, given to runc as by a kubelet; its Service's name leads there."""
    helm = pytest.importorskip("helm_python.chart", reason="the chart is rendered where `make deploy` has been")
    yaml = pytest.importorskip("yaml")
    values = {
        "env": {name: value for name, value in CONFIGURED.items() if not name.endswith("TOKEN")},
        "secretEnv": {"ALERTD_HTTP__TOKEN": CONFIGURED["ALERTD_HTTP__TOKEN"]},
        "files": {"teams.csv": "team,amount\nresearch,500 USD\n"},
    }
    pages = helm.Chart.load(str(ROOT / "config/helm/alertd")).render(values, name="alertd", namespace="llm")
    found = [one for path, text in pages.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    by = {(one["kind"], one["metadata"]["name"]): one for one in found}
    pod = by["StatefulSet", "alertd"]["spec"]["template"]["spec"]
    ((container,), (asking,)) = pod["containers"], by["Pod", "alertd-test"]["spec"]["containers"]
    held = {
        "state": {},
        "files": by["ConfigMap", "alertd-files"]["data"],
        "secrets": by["Secret", "alertd-secrets"]["stringData"],
    }
    for folder, files in held.items():
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    os.chown(tmp_path / "state", pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"])
    (tmp_path / "hosts").write_text("127.0.0.1 alertd\n")
    mounts = [(tmp_path / one["name"], one["mountPath"]) for one in container["volumeMounts"] if one["name"] in held]
    mounts.append((tmp_path / "hosts", "/etc/hosts"))
    environment = by["ConfigMap", "alertd-env"]["data"] | {one["name"]: one["value"] for one in container["env"]}
    with running(image.start(environment=environment, mounts=mounts)) as alertd:
        wait_for("the pod", lambda: alertd.ended() is not None or status(alertd, "/readyz") == "200")
        given = [f"{one['name']}={one['value']}" for one in asking["env"]]
        tested = alertd.execute("env", *given, *asking["command"], *asking["args"])
        assert (tested.returncode, tested.stdout) == (0, "/readyz answers 200, the page 401\n"), alertd.said()
        assert alertd.stop()[0] == 0


def test_sigterm_ends_it_with_0(daemon: Container) -> None:
    """As process 1, to which the kernel delivers nothing that it does not handle. The seconds are told, not judged."""
    code, seconds = daemon.stop()
    print(f"\nended {seconds:.1f} s after SIGTERM")
    assert code == 0, daemon.said()
