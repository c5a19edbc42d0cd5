"""An image built by buildah and run by runc, both Debian's: neither asks for a daemon. Says why where a machine cannot.

What the machine fails to give (a program, a namespace, the network) is an `UnavailableError`; what the Dockerfile fails
at is an AssertionError.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

#: The Dockerfile's own base, and what debootstrap makes in its place where no registry is to be had.
BASE: Final = "docker.io/library/debian:trixie-slim"
SUITE: Final = "trixie"
#: Who waits longer has no network worth the name, or a machine too busy: then no image is built, and that is said.
PULL_SECONDS: Final = 45.0
BASE_SECONDS: Final = 150.0
BUILD_SECONDS: Final = 300.0
#: The time that every file of a build bears, as the Dockerfile's own.
EPOCH: Final = 1767225600
#: What a build says whose network failed it: apt's words, then pip's.
NETWORK: Final = (
    r"Could not resolve|Failed to fetch|Unable to fetch|Temporary failure|Connection failed|no such host"
    r"|Retrying \(Retry|NewConnectionError|CERTIFICATE_VERIFY_FAILED|ReadTimeoutError|ProxyError|HTTP error \d+"
)


class UnavailableError(Exception):
    """The machine cannot build or run an image; the text says what it lacks."""


def run(*words: str | Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """What a program said, both outputs in one; `UnavailableError` where it takes too long."""
    command = [str(word) for word in words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started
            raise UnavailableError(f"{command[0]} takes more than {seconds:.0f} s here") from None
    return subprocess.CompletedProcess(command, process.returncode, said)


def needed(done: subprocess.CompletedProcess[str], what: str) -> str:
    """Its output; `UnavailableError`, with its last words, where it failed."""
    if done.returncode != 0:
        raise UnavailableError(f"{what}: {' '.join(done.stdout.split())[-300:]}")
    return done.stdout.strip()


def pip_settings(folder: Path) -> list[str]:
    """What lets pip inside reach what it reaches here, as volumes of a build: its configuration, and whom it trusts."""
    found = run(sys.executable, "-m", "pip", "config", "list").stdout
    kept = ("index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "timeout")
    pairs = re.findall(rf"^\S+?\.({'|'.join(kept)})='(.*)'$", found, re.MULTILINE)
    settings = dict(pairs)
    named = {_folder(word) for _, text in pairs for word in text.split()}
    volumes = [f"{path}:{path}:ro" for path in named if path]
    if authorities := ssl.get_default_verify_paths().cafile:
        settings["cert"] = "/run/authorities.pem"
        volumes.append(f"{Path(authorities).resolve()}:/run/authorities.pem:ro")
    conf = folder / "pip.conf"
    conf.write_text("[global]\n" + "".join(f"{name} = {text}\n" for name, text in settings.items()))
    return [*volumes, f"{conf}:/etc/pip.conf:ro"]


def _folder(word: str) -> str | None:
    """The folder of wheels that a word of pip's settings names, below its `/simple`."""
    path = word.removeprefix("file://").removesuffix("/simple")
    return path if path.startswith("/") and Path(path).is_dir() else None


@dataclass(frozen=True)
class Builder:
    """buildah on a storage of its own, which goes with `close`."""

    folder: Path

    def buildah(self, *words: str | Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        stores = ("--root", self.folder / "images", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        return run("buildah", *stores, *words, seconds=seconds)

    def base(self) -> str:
        """The name of an image to build upon."""
        if self.buildah("pull", "--quiet", BASE, seconds=PULL_SECONDS).returncode == 0:
            return BASE
        if shutil.which("debootstrap") is None:
            raise UnavailableError("the base's registry is not to be reached, and there is no debootstrap")
        empty = needed(self.buildah("from", "scratch"), "no working container")
        root = needed(self.buildah("mount", empty), "nothing can be mounted")
        # In a room of its own, so that what it mounts is gone with it.
        made = run("unshare", "--mount", "debootstrap", "--variant=minbase", SUITE, root, seconds=BASE_SECONDS)
        needed(made, "debootstrap gives no base")
        shutil.rmtree(Path(root, "var/cache/apt/archives"))
        needed(self.buildah("commit", "--rm", "--quiet", empty, "localhost/base"), "no base image")
        return "localhost/base"

    def build(self, source: Path, name: str, *, base: str = "", extras: str = "slim") -> str:
        """Build with the set `extras` upon a base, and give the base.

        The sandbox is tried on the bare base first, so that what fails then is ours.
        """
        base = base or self.base()
        bare = needed(self.buildah("from", base), "no container of the base")
        needed(self.buildah("run", "--isolation", "chroot", bare, "true"), "nothing runs in a chroot")
        needed(self.buildah("rm", bare), "the container of the base stays")
        volumes = [word for volume in pip_settings(self.folder) for word in ("--volume", volume)]
        done = self.buildah(
            "build", "--isolation", "chroot", "--format", "docker", "--timestamp", str(EPOCH),
            "--build-arg", f"BASE={base}", "--build-arg", f"EXTRAS={extras}", *volumes,
            "--tag", name, source, seconds=BUILD_SECONDS,
        )  # fmt: skip
        if done.returncode != 0 and (words := re.search(NETWORK, done.stdout)):
            raise UnavailableError(f"the build did not reach its packages ({words[0]})")
        assert done.returncode == 0, done.stdout[-3000:]
        return base

    def inspect(self, name: str) -> Any:
        return json.loads(needed(self.buildah("inspect", "--type", "image", name), "no such image"))

    def unpacked(self, name: str) -> Path:
        """The image's files, as a folder of their own that may be written to."""
        container = needed(self.buildah("from", name), "no container of the image")
        return Path(needed(self.buildah("mount", container), "nothing can be mounted"))

    def close(self) -> None:
        self.buildah("rm", "--all")
        shutil.rmtree(self.folder, ignore_errors=True)


def env_file(path: Path) -> dict[str, str]:
    """What `docker run --env-file` makes of it: no quotes are taken off, no comment is behind a value."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@dataclass
class Container:
    """An image's process under runc: its user, no capabilities, a read-only root, no network but its own loopback."""

    name: str
    bundle: Path
    root: Path
    image: Mapping[str, Any]
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[tuple[Path, str]] = ()
    writable: bool = False

    def _runc(self, *words: str | Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        return run("runc", "--root", self.bundle / "state", *words, seconds=seconds)

    def start(self) -> None:
        self.bundle.mkdir()
        needed(self._runc("spec", "--bundle", self.bundle), "runc")
        place = self.bundle / "config.json"
        place.write_text(json.dumps(self._filled(json.loads(place.read_text()))))
        self._said: IO[bytes] = (self.bundle / "said").open("wb")
        self._process = subprocess.Popen(
            ["runc", "--root", self.bundle / "state", "run", "--bundle", self.bundle, self.name],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )

    def _filled(self, spec: dict[str, Any]) -> dict[str, Any]:
        user, _, group = self.image["User"].partition(":")
        given = {**dict(pair.split("=", 1) for pair in self.image["Env"]), **self.environment}
        spec["root"] = {"path": str(self.root), "readonly": not self.writable}
        spec["process"].update(
            terminal=False,
            user={"uid": int(user), "gid": int(group)},
            args=[*self.image["Entrypoint"], *(self.command or self.image["Cmd"])],
            env=[f"{name}={value}" for name, value in given.items()],
            cwd=self.image["WorkingDir"],
            capabilities={},
            noNewPrivileges=True,
        )
        options = ["nosuid", "nodev", "mode=1777"]
        spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options})
        for source, target in self.mounts:
            spec["mounts"].append(
                {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", "rw"]}
            )
        return spec

    def execute(self, *words: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """As `docker exec`: a further process in it, with its user and environment."""
        return self._runc("exec", self.name, *words, seconds=seconds)

    def said(self) -> str:
        return (self.bundle / "said").read_text()

    def ended(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.poll()

    def tells(self, words: str) -> bool:
        """Whether it has said so; fails with what it said instead where it has ended."""
        ended = self.ended() is not None
        assert words in self.said() or not ended, self.said()[-2000:]
        return words in self.said()

    def stop(self) -> tuple[int, float]:
        """Its exit status after SIGTERM, and how many seconds it took; it is killed after a minute."""
        begun = time.monotonic()
        self._runc("kill", self.name, "TERM")
        try:
            return self._process.wait(60), time.monotonic() - begun
        finally:
            self.kill()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._runc("kill", self.name, "KILL")
            self._process.wait(60)
        self._runc("delete", "--force", self.name)
        self._said.close()


@contextmanager
def running(container: Container) -> Iterator[Container]:
    """The container while the block runs, and no longer."""
    container.start()
    try:
        yield container
    finally:
        container.kill()


def lacking() -> str | None:
    """What this machine lacks at first sight, None where nothing."""
    if os.geteuid() != 0:
        return "an image is built here by root only"
    missing = [name for name in ("buildah", "runc") if shutil.which(name) is None]
    return f"no {' and no '.join(missing)}" if missing else None
