"""A container engine for tests: Docker where its daemon answers, else podman and buildah with storage of their own.

Everything runs on the host's network. With podman nothing is pulled: the base image is Debian's own Python, made by
`tests/system/docker/base.sh`, under the name that the Dockerfile gives.
"""

from __future__ import annotations

import json
import os
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.docker.files import dockerfile
from tests.support.world import ROOT

_BASE = ROOT / "tests" / "system" / "docker" / "base.sh"
_PROGRAMS = ("podman", "buildah", "runc", "catatonit", "debootstrap")
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # where Debian puts debootstrap and runc
_INDEX_SETTINGS = ("cert", "default-timeout", "extra-index-url", "index-url", "proxy", "timeout", "trusted-host")

_RUN = ("--network", "host", "--no-healthcheck")  # health checks are run by the tests, not by the clock


class AbsentError(Exception):
    """There is no container engine that can be used here."""


class EngineError(Exception):
    """A command of the engine failed."""


@dataclass(frozen=True)
class Container:
    """A running container."""

    engine: Engine
    name: str

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its user and with its environment."""
        return self.engine.call("exec", self.name, *words)

    def output(self, *words: str) -> str:
        """What a command in it writes to standard output.

        Raises:
            EngineError: it ended with another code than 0.
        """
        return _output(self.execute(*words))

    def copy(self, file: Path, place: str) -> None:
        """Copy a file of this machine into it, as `docker compose cp` does."""
        _output(self.engine.call("cp", str(file), f"{self.name}:{place}"))

    def logs(self) -> str:
        """All that its program wrote."""
        done = self.engine.call("logs", self.name)
        return done.stdout + done.stderr

    def exit_code(self) -> int | None:
        """What its program ended with; None while it runs."""
        state = self.engine.inspect("container", self.name)["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def stop(self, seconds: int) -> int | None:
        """Ask it to end, and kill it after some seconds; what its program ended with."""
        _output(self.engine.call("stop", "-t", str(seconds), self.name))
        return self.exit_code()


@dataclass(frozen=True)
class Engine:
    """An engine's programs, each with the words that every command of it begins with.

    Attributes:
        program: What runs containers.
        builder: What builds an image.
        limits: Words for each run.
    """

    program: tuple[str, ...]
    builder: tuple[str, ...]
    limits: tuple[str, ...] = ()

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine to its end."""
        return _call([*self.program, *words])

    def build(self, target: str, tag: str, arguments: Mapping[str, str]) -> None:
        """Build a target of docker/Dockerfile as it stands.

        Raises:
            EngineError: it does not build.
        """
        given = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        _output(_call([*self.builder, *given, "-f", "docker/Dockerfile", "--target", target, "-t", tag, "."]))

    def run(self, image: str, *words: str) -> str:
        """What a command in a container of its own writes to standard output.

        Raises:
            EngineError: it ended with another code than 0.
        """
        return _output(self.call("run", "--rm", *_RUN, *self.limits, image, *words))

    @contextmanager
    def container(self, image: str, options: Sequence[str], words: Sequence[str]) -> Iterator[Container]:
        """A container that runs while the block does, and is removed after it."""
        name = f"perennial-test-{secrets.token_hex(4)}"
        begun = self.call("run", "--detach", "--name", name, *_RUN, *self.limits, *options, image, *words)
        try:
            _output(begun)
            yield Container(self, name)
        finally:
            self.call("rm", "--force", "--volumes", name)

    @contextmanager
    def volume(self) -> Iterator[str]:
        """Name of an empty volume that is removed after the block."""
        name = f"perennial-test-{secrets.token_hex(4)}"
        _output(self.call("volume", "create", name))
        try:
            yield name
        finally:
            _output(self.call("volume", "rm", "--force", name))

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """What the engine knows of a container or an image."""
        (known,) = json.loads(_output(self.call("inspect", "--type", kind, name)))
        return dict(known)


@contextmanager
def engine() -> Iterator[Engine]:
    """The engine of this machine; what podman stores is removed after the block.

    Raises:
        AbsentError: there is none.
    """
    if shutil.which("docker") and _call(["docker", "info"]).returncode == 0:
        yield Engine(("docker",), ("docker", "build", "--network", "host"))
        return
    missing = [program for program in _PROGRAMS if shutil.which(program, path=_PATH) is None]
    if missing or os.getuid() != 0:
        why = f"{', '.join(missing)} not found" if missing else "podman with debootstrap needs root"
        raise AbsentError(f"no Docker daemon answers; {why}")
    folder = Path(tempfile.mkdtemp(prefix="perennial-images-"))
    try:
        yield _podman(folder)
    finally:
        _remove(folder)


def _podman(folder: Path) -> Engine:
    """Podman with its storage in a folder, and the Dockerfile's base image in it."""
    own = _storage(folder)
    podman = ("podman", *own, "--runtime", "runc")
    _make_base(podman, folder / "base")
    driver = _output(_call([*podman, "info", "--format", "{{.Store.GraphDriverName}}"])).strip()
    layers = ("--layers",) if driver == "overlay" else ()  # other drivers copy all that is below into each layer
    builder = ("buildah", *own, "bud", *layers, "--format", "docker", "--pull-never")
    builder += ("--isolation", "chroot", "--network", "host", *_pip_mounts(folder / "pip.conf"))
    return Engine(podman, builder, _limits())


def _storage(folder: Path) -> tuple[str, ...]:
    return ("--root", str(folder / "storage"), "--runroot", str(folder / "run"))


def _limits() -> tuple[str, ...]:
    """Words for a run: podman's own limits are above what it may set in a machine that is itself confined."""
    wanted = {"nofile": (resource.RLIMIT_NOFILE, 65536), "nproc": (resource.RLIMIT_NPROC, 4096)}
    words: list[str] = []
    for name, (kind, enough) in wanted.items():
        allowed = resource.getrlimit(kind)[1]
        number = enough if allowed == resource.RLIM_INFINITY else min(allowed, enough)
        words += ["--ulimit", f"{name}={number}:{number}"]
    return tuple(words)


def _make_base(podman: Sequence[str], folder: Path) -> None:
    (name,) = {rest.split()[0] for word, rest in dockerfile() if word == "FROM" and rest.startswith("python:")}
    _output(_call([str(_BASE), str(folder)]))
    packed = folder.with_suffix(".tar")
    _output(_call(["tar", "-C", str(folder), "-cf", str(packed), "."]))
    shutil.rmtree(folder)
    _output(_call([*podman, "import", str(packed), f"docker.io/library/{name}"]))
    packed.unlink()


def _pip_mounts(file: Path) -> list[str]:
    """Words that mount this machine's way to a package index while an image is built; nothing of it stays there."""
    listed = _output(_call([sys.executable, "-m", "pip", "config", "list"]))
    known = dict(re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", listed, flags=re.MULTILINE))
    lines = [f"{name} = {value}" for name, value in known.items() if name in _INDEX_SETTINGS and "file:" not in value]
    file.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
    mounts = [f"{file}:/etc/pip.conf:ro"]
    if "cert" in known:
        mounts.append(f"{Path(known['cert']).resolve()}:{known['cert']}:ro")
    return [word for mount in mounts for word in ("--volume", mount)]


def _remove(folder: Path) -> None:
    """Remove all that podman and buildah have stored in a folder."""
    podman = ["podman", *_storage(folder)]
    _output(_call([*podman, "rm", "--all", "--force"]))
    _output(_call(["buildah", *_storage(folder), "rm", "--all"]))
    _output(_call([*podman, "rmi", "--all", "--force"]))
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    for place in [path for path in reversed(mounted) if path.startswith(f"{folder}/")]:
        _output(_call(["umount", place]))
    shutil.rmtree(folder)


def _call(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(words),
        cwd=ROOT,
        env={**os.environ, "PATH": _PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _output(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        last = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}".strip()
        raise EngineError(f"{' '.join(done.args)} ended with {done.returncode}:\n{last}")
    return done.stdout
