"""What the benchmarks of the service share: a trained home, a server that runs, and the load generator wrk."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.pipeline import frame, prepare_home

PIPELINE = "bench"
_TRAIN = "import perennial.cli.main; perennial.cli.main.main(['run', 'bench', '--json'])"


class Load(NamedTuple):
    """What wrk found: requests a second, and milliseconds."""

    rate: float
    p50: float
    p99: float


def trained(base: Path, rows: int) -> dict[str, str]:
    """A home with a champion of the pipeline `bench`; the environment that names it."""
    environment = prepare_home(base, rows, dict(os.environ))
    done = subprocess.run([sys.executable, "-c", _TRAIN], env=environment, capture_output=True, text=True, check=False)
    if done.returncode or json.loads(done.stdout)["outcome"] != "promoted":
        raise RuntimeError(f"no champion came of it:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return environment


def row() -> dict[str, object]:
    """One row as callers send it."""
    made = frame(10_000_000, 1).drop(columns="y")
    found: dict[str, object] = json.loads(made.to_json(orient="records", date_format="iso"))[0]
    return found


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], address: str, log: Path) -> Iterator[float]:
    """A server until the block ends; yields the seconds from its start to the first 200 of `/ping`."""
    with log.open("ab") as file:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=dict(environment), stdout=file, stderr=file, start_new_session=True)
        try:
            yield _first(process, address, log) - began
        finally:
            with suppress(ProcessLookupError):  # it ended by itself, which is reported
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _first(process: subprocess.Popen[bytes], address: str, log: Path) -> float:
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=1) as answer:  # noqa: S310  # our own
                if answer.status == 200:
                    return time.perf_counter()
        except (urllib.error.URLError, OSError):
            time.sleep(0.005)
    raise RuntimeError(f"it ended with {process.returncode}:\n{log.read_text()[-3000:]}")


def wrk(address: str, script: Path, connections: int, seconds: float) -> Load:
    """Load an address with the request of a Lua script.

    Raises:
        RuntimeError: wrk is not there, or not every answer was 200.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is not there: apt-get install wrk")
    words = [program, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "--latency", "-s", str(script)]
    told = subprocess.run([*words, address], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"not every answer was 200:\n{told}")
    return Load(
        float(_found(r"Requests/sec:\s+([\d.]+)", told)), _milliseconds("50%", told), _milliseconds("99%", told)
    )


def lua(path: Path, body: bytes) -> Path:
    """A script of wrk's that posts a body."""
    text = body.decode().replace("\\", "\\\\").replace("'", "\\'")
    path.write_text(f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body='{text}'\n")
    return path


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk said something else:\n{text}")
    return found.group(1)


def _milliseconds(share: str, text: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", text)
    if found is None:
        raise RuntimeError(f"wrk said something else:\n{text}")
    return float(found.group(1)) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found.group(2)]
