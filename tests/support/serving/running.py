"""The real service in a process of its own, and what tests ask it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.world import ROOT

_SECONDS = 60.0


@dataclass
class Running:
    """A service that runs."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str
    client: httpx.Client = field(repr=False)

    def ask(self, name: str, rows: list[dict[str, Any]], **more: Any) -> httpx.Response:
        """Predictions for some rows."""
        return self.client.post(f"/pipelines/{name}/invocations", json={"dataframe_records": rows}, **more)

    def versions(self, name: str) -> dict[str, Any]:
        """Which versions serve."""
        found = self.client.get(f"/pipelines/{name}").json()
        assert isinstance(found, dict)
        return found

    def wait(self, name: str, seconds: float = 10.0, **wanted: Any) -> float:
        """Wait until a pipeline's versions are as wanted; the seconds it took."""
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            found = self.versions(name)
            if all(found[key] == value for key, value in wanted.items()):
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"wanted {wanted}, found {self.versions(name)}\n{self.log.read_text()}")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's values whose labels are these."""
        total = 0.0
        for line in self.client.get("/metrics").text.splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{key}="{one}"' in head for key, one in labels.items()):
                total += float(value)
        return total

    def registry_lost(self) -> bool:
        """Whether the service notices within five seconds that the registry is out of reach."""
        until = time.monotonic() + 5.0
        while self.metric("perennial_registry_reachable") != 0:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What the log says of an event."""
        found = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [one for one in found if one["event"] == event]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_SECONDS)


@contextmanager
def serving(
    home: Path, configs: Path, log: Path, *names: str, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A service of a home, until the block ends."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    own = {"PERENNIAL_HOME": str(home), "PERENNIAL_CONFIGS": str(configs), "PERENNIAL_SERVE_PORT": "0"}
    with log.open("ab") as file:
        begin = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "perennial.serving", *names],
            env={**clean, **own, **(environment or {})},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        url = _address(process, log, begin)
        token = (environment or {}).get("PERENNIAL_SERVE_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=url, headers=headers, timeout=30.0) as client:
            found = Running(process, log, url, client)
            _ready(found)
            yield found
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, begin: int) -> str:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_bytes()[begin:].decode().splitlines():
            if '"listening"' in line:
                return str(json.loads(line)["address"])
        time.sleep(0.02)
    raise AssertionError(f"the service did not start: {log.read_text()}")


def _ready(service: Running) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and service.process.poll() is None:
        try:
            if service.client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(f"the service does not answer: {service.log.read_text()}")
