"""Many pipelines on one machine: `python -m benchmarks.fleet --pipelines 150`.

A home of its own, generated pipelines with a deployment file of theirs. Prints a table of
- the time from `perennial up` on the empty home until it is ready,
- the time that `perennial deployments add` takes for one more pipeline while it runs,
- the time from fifty files, one of each pipeline, landing at once, until all of these pipelines have a champion,
- while one pipeline's data are locked by another process and a file of it lands every two seconds: the most runs of it
  alive at once, how many were skipped, the time until another pipeline's file is in a run, and the time until the run
  of a third pipeline's rollout begins.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from flows.names import pipeline_tag
from perennial.ops.deployments.check import FILE
from perennial.ops.deployments.lifecycle_lines import lines
from tasks.stores.locks.lock import hold
from tasks.stores.settings import QUIET, Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.outbox import Outbox

_ROWS = 150
_CONFIG = """\
name: NAME
description: Generated rows, one of many pipelines.
owner: bench@perennial.invalid
task: regression
source: {landing: NAME}
contract:
  key: [id]
  target: y
  columns:
    id: {type: integer}
    x: {type: number}
    "y": {type: number}
features: {numeric: [x]}
split: {kind: random, holdout: 0.3}
training: {estimator: sklearn.linear_model.Ridge}
evaluation: {primary: mae, comparison: {resamples: 100, min_rows: 30}}
compliance: {min_training_rows: 50}
retrain: {new_rows: 1000000, on_drift: false}
"""


class Fleet:
    """The pipelines' files, and what runs them."""

    def __init__(self, base: Path, pipelines: int) -> None:
        self.home, self.configs, self.file = base / "home", base / "configs", base / "prefect.yaml"
        self.log = base / "up.log"
        self.names = [f"pipe_{number:03}" for number in range(pipelines)]
        self.configs.mkdir(parents=True)
        for name in self.names:
            self.write(name)
        shared = FILE.read_text(encoding="utf-8").partition("  # Each pipeline\n")[0]
        self.file.write_text(shared + "".join(map(lines, self.names)), encoding="utf-8")
        self.ports = [_free_port() for _ in range(3)]
        self.api = f"http://127.0.0.1:{self.ports[0]}/api"
        self.environment = {
            **os.environ,
            **QUIET,
            "PERENNIAL_HOME": str(self.home),
            "PERENNIAL_CONFIGS": str(self.configs),
            "PERENNIAL_DEPLOYMENTS": str(self.file),
        }

    @property
    def settings(self) -> Settings:
        """Where its stores are."""
        return Settings(home=self.home)

    def write(self, name: str) -> None:
        """A pipeline's YAML."""
        (self.configs / f"{name}.yaml").write_text(_CONFIG.replace("NAME", name), encoding="utf-8")

    def land(self, name: str, number: int, rows: int = _ROWS) -> None:
        """A file of a pipeline, in one move."""
        rng = np.random.default_rng(number)
        first, x = number * _ROWS, rng.normal(size=rows)
        text = "".join(f"{first + i},{a},{3 * a + rng.normal()}\n" for i, a in enumerate(x))
        folder = self.home / "landing" / name
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{number}.csv"
        draft.write_text(f"id,x,y\n{text}", encoding="utf-8")
        draft.replace(folder / f"{number}.csv")

    def perennial(self, *words: str) -> None:
        """A command, to its end."""
        command = [sys.executable, "-m", "perennial.cli.main", *words]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    @contextmanager
    def up(self) -> Iterator[None]:
        """`perennial up`, ready."""
        ports = zip(("--prefect-port", "--mlflow-port", "--serve-port"), map(str, self.ports), strict=True)
        words = ["up", *(word for pair in ports for word in pair)]
        with self.log.open("w") as file:
            command = [sys.executable, "-m", "perennial.cli.main", *words]
            process = subprocess.Popen(command, env=self.environment, stdout=file, stderr=file)
            try:
                _until(lambda: "ready in" in self.log.read_text(), 600)
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(90)

    def runs(self, flow: str, name: str) -> list[dict[str, Any]]:
        """A pipeline's runs of a flow that have begun, wait or ended."""
        asked = {
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {"tags": {"all_": [pipeline_tag(name)]}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        answer = httpx.post(f"{self.api}/flow_runs/filter", json=asked, timeout=60)
        found: list[dict[str, Any]] = answer.raise_for_status().json()
        return found


def landed_at_once(fleet: Fleet, count: int) -> float:
    """Seconds until as many pipelines, whose first files land at once, have champions."""
    audit, names = Audit(fleet.settings), fleet.names[:count]
    started = time.monotonic()
    for name in names:
        fleet.land(name, 1)
    _until(lambda: all(audit.champion(name) for name in names), 1200)
    return time.monotonic() - started


def one_locked(fleet: Fleet, seconds: float) -> dict[str, str]:
    """What one locked pipeline with a file every two seconds does to itself and to others."""
    locked, other, third = fleet.names[0], fleet.names[1], fleet.names[2]
    os.environ |= {name: fleet.environment[name] for name in ("PERENNIAL_HOME", "PERENNIAL_CONFIGS")}
    alive: list[int] = []
    stop = threading.Event()

    def load() -> None:
        number = 100
        while not stop.wait(2.0):
            number += 1
            fleet.land(locked, number, rows=5)
            running = [run["state"]["type"] in ("PENDING", "RUNNING") for run in fleet.runs("ingest", locked)]
            alive.append(sum(running))

    with hold(fleet.settings, f"{locked}.data"):
        thread = threading.Thread(target=load)
        thread.start()
        try:
            time.sleep(min(20.0, seconds / 3))
            known = {run["id"] for run in fleet.runs("ingest", other)}
            moment = time.time()
            fleet.land(other, 2, rows=20)
            waited = _started(fleet, "ingest", other, known) - moment
            outbox = Outbox(fleet.settings)
            outbox.put("perennial.rollout.started", third, {})
            moment = time.time()
            outbox.send(fleet.api)
            rollout = _started(fleet, "rollout", third, set()) - moment
            time.sleep(max(0.0, seconds - 30.0))
        finally:
            stop.set()
            thread.join()
    skipped = sum(run["state"]["name"] == "Skipped" for run in fleet.runs("ingest", locked))
    return {
        f"locked for {seconds:.0f} s: most runs of it alive": str(max(alive)),
        "  runs of it that were skipped": str(skipped),
        "  another pipeline's file: seconds until its run begins": f"{waited:.1f}",
        "  a third one's rollout: seconds until its run begins": f"{rollout:.1f}",
    }


def _started(fleet: Fleet, flow: str, name: str, known: set[str]) -> float:
    """When a run that is not known yet began."""
    found: list[float] = []

    def begun() -> bool:
        found[:] = [
            datetime.fromisoformat(run["start_time"]).timestamp()
            for run in fleet.runs(flow, name)
            if run["id"] not in known and run["start_time"]
        ]
        return bool(found)

    _until(begun, 60)
    return min(found)


def _until(reached: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not reached within {seconds:g} s")
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", type=int, default=150)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--locked", type=float, default=300.0, help="seconds that one pipeline is locked for")
    words = parser.parse_args()
    rows: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="fleet-") as base:
        fleet = Fleet(Path(base), words.pipelines)
        started = time.monotonic()
        with fleet.up():
            rows[f"up, {words.pipelines} pipelines, empty home: seconds until ready"] = (
                f"{time.monotonic() - started:.1f}"
            )
            fleet.write("one_more")
            started = time.monotonic()
            fleet.perennial("deployments", "add", "one_more")
            rows["one pipeline added: seconds"] = f"{time.monotonic() - started:.1f}"
            rows[f"{words.at_once} landing at once: seconds until all are champions"] = (
                f"{landed_at_once(fleet, words.at_once):.0f}"
            )
            rows |= one_locked(fleet, words.locked)
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {value:>6}")


if __name__ == "__main__":
    main()
