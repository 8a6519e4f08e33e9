"""From a file's landing to its flow's first line: `perennial up` beside a flow served as Prefect does by default.

    python -m benchmarks.trigger_latency --tries 12

Both use the one server that `perennial up` starts in a home of its own. For Prefect alone the event is posted the
moment the file would have landed, so that no sensor's time counts against it.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx

from examples.transit.simulate import Scenario, land_arrivals
from tasks.stores.settings import QUIET, Settings
from tasks.stores.state.outbox import Outbox

_PIPELINE = "transit_delay"
_RAW = "raw_prefect"
_PAUSE = 4.0  # longer than the trigger's window, so that each file is a run
_SERVED = f"""
from prefect import flow
from prefect.events import DeploymentEventTrigger

@flow(name="{_RAW}")
def raw():
    pass

if __name__ == "__main__":
    raw.serve(name="{_RAW}", triggers=[DeploymentEventTrigger(
        expect={{"perennial.batch.landed"}}, match={{"prefect.resource.id": "perennial.pipeline.{_RAW}"}})])
"""


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=12, help="files, and events for Prefect alone")
    tries = parser.parse_args().tries
    with tempfile.TemporaryDirectory() as name, _up(Path(name) / "home") as (api, settings):
        ours = [_landed(api, settings, number) for number in range(tries + 1)][1:]  # the first warms up
        with _served(api, Path(name)):
            raw = [_posted(api, settings) for _ in range(tries)]
    _print(ours, raw)


def _print(ours: list[float], raw: list[float]) -> None:
    print(f"\n| from a file's landing to the flow's first line, {len(ours)} tries | median s | least | most |")
    print("| --- | ---: | ---: | ---: |")
    for name, found in (("perennial up", ours), ("a flow served by Prefect, as it comes", raw)):
        print(f"| {name} | {statistics.median(found):.1f} | {min(found):.1f} | {max(found):.1f} |")
    print(f"\nratio of the medians: {statistics.median(ours) / statistics.median(raw):.2f}")


def _landed(api: str, settings: Settings, number: int) -> float:
    day = date(2026, 1, 5) + timedelta(days=number)
    draft = settings.root / "draft"
    file = land_arrivals(Scenario(seed=7, trips_per_day=20), day, 1, draft)[0]
    target = settings.root / "landing" / _PIPELINE / "arrivals" / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    time.sleep(_PAUSE)
    moment = datetime.now(UTC)
    file.rename(target)
    return _first_start(api, "ingest", moment)


def _posted(api: str, settings: Settings) -> float:
    time.sleep(_PAUSE)
    outbox = Outbox(settings)
    moment = datetime.now(UTC)
    outbox.put("perennial.batch.landed", _RAW, {})
    outbox.send(api)
    return _first_start(api, _RAW, moment)


def _first_start(api: str, flow: str, moment: datetime) -> float:
    """Seconds from a moment to the start of the first run of a flow after it."""
    wanted = {
        "flows": {"name": {"any_": [flow]}},
        "flow_runs": {"expected_start_time": {"after_": moment.isoformat()}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = httpx.post(f"{api}/flow_runs/filter", json=wanted, timeout=30).raise_for_status().json()
        starts = [datetime.fromisoformat(one["start_time"]) for one in found if one["start_time"]]
        if starts:
            return (min(starts) - moment).total_seconds()
        time.sleep(0.2)
    raise TimeoutError(f"no run of {flow} started within 90 s")


@contextmanager
def _up(home: Path) -> Iterator[tuple[str, Settings]]:
    ports = [_free_port(), _free_port()]
    words = ["up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    env = {**os.environ, **QUIET, "PERENNIAL_HOME": str(home)}
    log = home.with_name("up.log")
    with (
        log.open("w") as file,
        _ended(
            subprocess.Popen([sys.executable, "-m", "perennial.cli.main", *words], env=env, stdout=file, stderr=file)
        ),
    ):
        _until(lambda: "ready in" in log.read_text(), f"perennial up is not ready:\n{log.read_text()}")
        yield f"http://127.0.0.1:{ports[0]}/api", Settings(home=home)


@contextmanager
def _served(api: str, folder: Path) -> Iterator[None]:
    script = folder / "served.py"
    script.write_text(_SERVED, encoding="utf-8")
    env = {**os.environ, **QUIET, "PREFECT_API_URL": api, "PREFECT_HOME": str(folder / "prefect")}
    with (
        (folder / "served.log").open("w") as log,
        _ended(subprocess.Popen([sys.executable, str(script)], env=env, cwd=folder, stdout=log, stderr=log)),
    ):
        address = f"{api}/deployments/name/{_RAW}/{_RAW}"
        _until(lambda: httpx.get(address, timeout=30).is_success, "the served flow has no deployment")
        time.sleep(_PAUSE)
        yield


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _until(check: Callable[[], bool], failed: str) -> None:
    deadline = time.monotonic() + 180
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(failed)
        time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
