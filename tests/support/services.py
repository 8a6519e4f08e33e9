"""What a team runs, started for tests: PostgreSQL, Redis, and Prefect's server in two processes on top of them.

Each is private, in a folder of its own below the system's temporary one, on a free loopback port, with a password, and
ends with this process.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa
import yaml
from redis import Redis
from redis.exceptions import RedisError

from tasks.stores.settings import QUIET
from tests.support.world import ROOT

PATIENCE = 90.0
Ready = Callable[[], bool]


class AbsentError(Exception):
    """A program that the tests need is not on this machine."""


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL server."""

    port: int
    password: str
    pid: int

    def database(self, name: str) -> str:
        """Make a database; its address, as SQLAlchemy writes it, with psycopg."""
        own = sa.make_url(self.url("postgres")).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(own, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def url(self, database: str, driver: str = "psycopg") -> str:
        """The address of a database."""
        return f"postgresql+{driver}://perennial:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """PostgreSQL while the block runs.

    Raises:
        AbsentError: it is not installed.
    """
    programs = _postgres_programs()
    user = _unprivileged()
    with _folder("perennial-postgres-", user) as folder:
        password, port = secrets.token_hex(8), free_port()
        secret = _for(user, folder / "password", password)
        data = str(folder / "data")
        command = [
            *_as(user),
            *(str(programs / "initdb"), "-D", data, "-U", "perennial", f"--pwfile={secret}"),
            *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"),
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        command = [
            *_as(user),
            *(str(programs / "postgres"), "-D", data, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"),
            *("-c", "max_connections=200"),
        ]
        address = f"host=127.0.0.1 port={port} user=perennial password={password} dbname=postgres"
        with running(command, folder / "postgres.log", lambda: _accepts(address), stop=signal.SIGINT) as process:
            yield Postgres(port, password, process.pid)


@contextmanager
def redis() -> Iterator[str]:
    """Address of a Redis while the block runs.

    Raises:
        AbsentError: it is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise AbsentError("redis-server was not found")
    user = _unprivileged()
    with _folder("perennial-redis-", user) as folder:
        password, port = secrets.token_hex(8), free_port()
        lines = ("bind 127.0.0.1", f"port {port}", f"requirepass {password}", 'save ""', f"dir {folder}")
        file = _for(user, folder / "redis.conf", "\n".join(lines) + "\n")
        url = f"redis://:{password}@127.0.0.1:{port}/0"
        with running([*_as(user), program, str(file)], folder / "redis.log", lambda: _pongs(url)):
            yield url


@contextmanager
def prefect_server(database: str, redis_url: str, folder: Path) -> Iterator[str]:
    """Address of Prefect's API while the block runs; it and its background services run as docker/compose.yaml says.

    Args:
        database: An empty PostgreSQL database, with the driver asyncpg.
        redis_url: A Redis.
        folder: For logs and PREFECT_HOME.
    """
    port = free_port()
    composed = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    own = _server_environment(composed["x-prefect"], database, redis_url)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    env = {**inherited, **QUIET, **own, "PREFECT_HOME": str(folder / "prefect")}
    api, services = (
        [*_as(None), sys.executable, "-m", *composed["services"][name]["command"]]
        for name in ("prefect", "prefect-services")
    )
    api += ["--host", "127.0.0.1", "--port", str(port)]
    env["PERENNIAL_ALLOWED_ORIGINS"] = f"http://127.0.0.1:{port}"
    url = f"http://127.0.0.1:{port}/api"
    with (
        running(api, folder / "api.log", lambda: _answers(f"{url}/ready"), env=env, cwd=ROOT),
        running(services, folder / "services.log", lambda: True, env=env, cwd=ROOT),
    ):
        yield url


def _server_environment(composed: Mapping[str, str], database: str, redis_url: str) -> dict[str, str]:
    """What both processes are reported by compose.yaml, with these addresses in place of its own."""
    own = {
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        "PREFECT_REDIS_MESSAGING_URL": redis_url,
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL": redis_url,
        "PREFECT_SERVER_DOCKET_URL": redis_url.removesuffix("/0") + "/1",
    }
    elsewhere = {"PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"}
    assert own.keys() | elsewhere <= composed.keys()
    return {name: value for name, value in {**composed, **own}.items() if name not in elsewhere}


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Ready,
    *,
    env: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGTERM,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready, ended after the block by its pid."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=cwd or log.parent, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command} did not start:\n{log.read_text(encoding='utf-8')[-4000:]}")
            time.sleep(0.1)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgres_programs() -> Path:
    """The folder of initdb and postgres, of the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        raise AbsentError("PostgreSQL's initdb was not found")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def _unprivileged() -> str | None:
    """Whom servers run as where this is root: PostgreSQL refuses root. None: as who this is."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise AbsentError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def _as(user: str | None) -> list[str]:
    """Words before a command: run it as a user, and end it when this process ends, also by kill -9."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise AbsentError("setpriv (of util-linux) was not found")
    who = pwd.getpwnam(user) if user else None
    change = [f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"] if who else []
    return [setpriv, *change, "--pdeathsig=TERM", "--"]


@contextmanager
def _folder(prefix: str, user: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if user:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder)


def _for(user: str | None, file: Path, text: str) -> Path:
    """Write a file that a user may read, and nobody else."""
    file.touch(mode=0o600)
    file.write_text(text, encoding="ascii")
    if user:
        shutil.chown(file, user)
    return file


def _accepts(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _pongs(url: str) -> bool:
    try:
        with Redis.from_url(url) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310  # our own loopback address
            return True
    except (urllib.error.URLError, OSError):
        return False
