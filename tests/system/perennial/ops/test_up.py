"""`perennial up` as a user has it: files land, and everything else happens by itself. One system for the module."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.transit.simulate import Scenario, land_arrivals, land_delays
from flows.names import deployment_of, pipeline_tag
from tasks.stores.lake.schemas import ROW_ID
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import QUIET, Settings
from tasks.stores.state.audit import Audit
from tests.support.world import ROOT, write

PIPELINE = "transit_delay"
FIRST = date(2026, 1, 5)
DETOUR = FIRST + timedelta(days=21)
SCENARIO = Scenario(seed=7, trips_per_day=200, detour_from=DETOUR)
PATIENCE = 150.0
pytestmark = pytest.mark.timeout(600)


@dataclass
class System:
    """A `perennial up` that runs."""

    home: Path
    process: subprocess.Popen[str]
    ports: tuple[int, int, int]
    log: Path
    heard: list[str] = field(default_factory=list)  # what the webhook was reported

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}/api"

    @property
    def env(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
        return {**clean, **QUIET, "PERENNIAL_HOME": str(self.home)}

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Prefect's own command line, as a person or a CI job has it."""
        env = {**self.env, "PREFECT_API_URL": self.api, "PREFECT_HOME": str(self.home / "elsewhere")}
        return subprocess.run(
            [sys.executable, "-m", "prefect", *words], env=env, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def perennial(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "perennial.cli.main", *words],
            env=self.env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def runs(self, flow: str, pipeline: str = PIPELINE) -> list[dict[str, Any]]:
        """A pipeline's runs of a deployment, newest first."""
        wanted = {
            "flows": {"name": {"any_": [flow]}},
            "deployments": {"name": {"any_": [deployment_of(flow, pipeline).partition("/")[2]]}},
            "flow_runs": {"tags": {"all_": [pipeline_tag(pipeline)]}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        answer = httpx.post(f"{self.api}/flow_runs/filter", json=wanted, timeout=30)
        answer.raise_for_status()
        found = answer.json()
        assert isinstance(found, list)
        return [one for one in found if one["start_time"]]

    def land(self, first: int, days: int, *, arrivals: bool = True, labels: bool = True) -> None:
        landing, start = self.home / "landing" / PIPELINE, FIRST + timedelta(days=first)
        if arrivals:
            land_arrivals(SCENARIO, start, days, landing / "arrivals")
        if labels:
            land_delays(SCENARIO, start, days, landing / "delays")

    def champion(self) -> int | None:
        return Audit(self.settings).champion(PIPELINE)

    def rows(self) -> list[int]:
        from configs.load import load

        found = Lake(self.settings, load(PIPELINE)).read("observations", [ROW_ID])
        return sorted(found.column(ROW_ID).to_pylist())

    def child(self, module: str) -> int:
        """Pid of a service."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if parent == self.process.pid and module in words:
                    return int(entry.name)
        raise AssertionError(f"no {module} runs")

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8")[-6000:]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A webhook on loopback that takes what Slack's take; its address and what it was reported."""
    heard: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append(body["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/services/secret-of-the-hook", heard
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def started(home: Path, log: Path) -> Iterator[System]:
    with webhook() as (address, heard), _started(home, log, address) as system:
        system.heard = heard
        yield system


@contextmanager
def _started(home: Path, log: Path, address: str) -> Iterator[System]:
    ports = (free_port(), free_port(), free_port())
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    words = ["up", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1]), "--serve-port", str(ports[2])]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "perennial.cli.main", *words],
            env={**clean, **QUIET, "PERENNIAL_HOME": str(home), "PERENNIAL_NOTIFY_URL": address},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            text=True,
        )
        try:
            yield System(home, process, ports, log)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(check: Callable[[], object], what: str, system: System, patience: float = PATIENCE) -> float:
    """Wait until something is so; the seconds it took."""
    began = time.monotonic()
    while not check():
        assert system.process.poll() is None, f"up ended: {system.told()}"
        assert time.monotonic() - began < patience, f"not within {patience:g} s: {what}\n{system.told()}"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    base = tmp_path_factory.mktemp("up")
    with started(base / "home", base / "up.log") as found:
        until(lambda: "ready in" in found.log.read_text(), "ready", found)
        yield found


def test_a_file_that_lands_leads_to_a_champion_with_no_command_typed(system: System) -> None:
    assert '"up": "ready"' in system.perennial("status", "--json").stdout
    system.land(0, 14)
    until(lambda: system.champion() == 1, "a first champion", system)
    until(lambda: not _unfinished(system), "quiet", system)
    assert [run["state_name"] for run in system.runs("lifecycle")] == ["Promoted"]
    # Twenty-eight files landed together: one run took them, and at most a second looked for stragglers.
    assert 1 <= len(system.runs("ingest")) <= 2
    assert len(system.rows()) == 14 * 200


def test_pages_of_other_sites_and_other_hosts_are_refused(system: System) -> None:
    prefect, mlflow, _ = system.ports
    create = f"http://127.0.0.1:{mlflow}/api/2.0/mlflow/experiments/create"
    for url, port in ((f"{system.api}/flows/", prefect), (create, mlflow)):
        for headers in ({"origin": "https://evil.example"}, {"host": f"10.evil.example:{port}"}):
            answer = httpx.post(url, json={"name": "of-a-page"}, headers=headers, timeout=30)
            assert answer.status_code in (400, 403), (url, headers)
            assert "access-control-allow-origin" not in answer.headers
    asked = {"origin": f"http://localhost:{prefect}", "access-control-request-method": "POST"}
    own = httpx.options(f"{system.api}/flows/", headers=asked, timeout=30)
    assert own.headers["access-control-allow-origin"] == asked["origin"]


def test_ci_starts_a_run_from_a_stage_and_gets_its_outcome_as_exit_code(system: System) -> None:
    words = ("deployment", "run", f"lifecycle/{PIPELINE}", "--param", "start_from=training", "--watch")
    done = system.prefect(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert system.runs("lifecycle")[0]["state_name"] == "Nothing to do"  # on the same, the same
    done = system.prefect(*words, "--param", 'force=["training"]')
    assert done.returncode == 0, done.stdout + done.stderr
    newest = system.runs("lifecycle")[0]
    assert newest["parameters"] == {"pipeline": PIPELINE, "start_from": "training", "force": ["training"]}
    assert newest["state_name"] == "Kept champion"  # the same data again: not better
    wrong = system.prefect("deployment", "run", f"lifecycle/{PIPELINE}", "--param", "start_from=trainning", "--watch")
    assert wrong.returncode != 0
    assert "trainning" in wrong.stdout + wrong.stderr


def test_a_detour_is_seen_and_a_new_model_trained_by_itself(system: System) -> None:
    system.land(21, 7, labels=False)
    until(lambda: _drift(system) == "act", "a drift verdict", system)
    assert system.champion() == 1
    system.land(21, 7, arrivals=False)  # their labels
    system.land(28, 14)
    until(lambda: (system.champion() or 0) > 1, "a new champion", system)


def _drift(system: System) -> str:
    from configs.load import load
    from perennial.reporting.history import read

    return read(load(PIPELINE), system.settings).drift


def test_a_killed_worker_blocks_nobody_for_long(system: System) -> None:
    until(lambda: not _unfinished(system), "quiet", system)
    before = len(system.rows())
    system.land(42, 1)
    time.sleep(0.5)  # an event is on its way, perhaps a run
    os.kill(system.child("perennial.ops.worker"), signal.SIGKILL)
    until(lambda: len(system.rows()) == before + 200, "the file that landed then", system, 60)
    until(lambda: not _unfinished(system), "no run is left unfinished", system, 60)


def _unfinished(system: System) -> list[dict[str, Any]]:
    wanted = {"flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}}
    answer = httpx.post(f"{system.api}/flow_runs/filter", json=wanted, timeout=30)
    found = answer.json()
    assert isinstance(found, list)
    return found


def test_files_that_land_while_prefect_is_away_are_taken_once(system: System) -> None:
    before = len(system.rows())
    server = system.child("perennial.ops.prefect_server")
    os.kill(server, signal.SIGSTOP)
    try:
        system.land(43, 5)  # ten files
        time.sleep(12)
    finally:
        os.kill(server, signal.SIGCONT)
    until(lambda: len(system.rows()) >= before + 5 * 200, "the files of the outage", system)
    until(lambda: not _unfinished(system), "quiet", system, 90)
    rows = system.rows()
    assert len(rows) == before + 5 * 200
    assert len(set(rows)) == len(rows)


def test_a_schedule_fires_and_a_paused_one_does_not(system: System) -> None:
    found = httpx.get(f"{system.api}/deployments/name/monitor/any", timeout=30).json()
    schedules = f"{system.api}/deployments/{found['id']}/schedules"
    schedule = {"active": True, "schedule": {"interval": 3.0}, "parameters": {"pipeline": "breast_cancer"}}
    made = httpx.post(schedules, json=[schedule], timeout=30).json()
    until(lambda: system.runs("monitor", "breast_cancer"), "a scheduled run", system, 60)
    httpx.patch(f"{schedules}/{made[0]['id']}", json={"active": False}, timeout=30).raise_for_status()
    time.sleep(4)
    paused = len(system.runs("monitor", "breast_cancer"))
    time.sleep(8)
    assert len(system.runs("monitor", "breast_cancer")) == paused


def test_triggers_and_a_command_at_once_are_one_writer_and_lose_nothing(system: System) -> None:
    before = len(system.rows())
    system.land(48, 2)
    first = system.prefect("deployment", "run", f"lifecycle/{PIPELINE}")
    by_hand = system.perennial("run", PIPELINE, "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    assert by_hand.returncode == 0, by_hand.stdout + by_hand.stderr
    until(lambda: len(system.rows()) == before + 400, "the files that landed", system)
    until(lambda: not _unfinished(system), "quiet", system, 90)
    rows = system.rows()
    assert len(rows) == len(set(rows)) == before + 400


def test_failures_and_rejected_data_are_told_to_the_webhook_with_a_link(system: System) -> None:
    system.heard.clear()
    failed = system.prefect("deployment", "run", "score/any", "--param", "pipeline=breast_cancer")  # it has no champion
    assert failed.returncode == 0, failed.stderr
    until(lambda: any("no champion yet" in text for text in system.heard), "the failed run is reported", system, 60)
    text = next(text for text in system.heard if "no champion yet" in text)
    assert "score-breast_cancer ended as Failed" in text
    assert f"http://127.0.0.1:{system.ports[0]}/runs/flow-run/" in text
    write(system.home / "landing" / "breast_cancer" / "broken.parquet", b"garbage")
    until(lambda: any("perennial.data.rejected" in text for text in system.heard), "rejected data", system, 60)
    text = next(text for text in system.heard if "perennial.data.rejected" in text)
    assert "broken.parquet" in text
    assert "secret-of-the-hook" not in system.log.read_text()


def test_a_second_up_in_the_home_and_a_taken_port_are_refused_plainly(system: System, tmp_path: Path) -> None:
    again = system.perennial("up")
    assert again.returncode == 2
    assert "runs in" in again.stderr
    assert "Traceback" not in again.stderr
    env = {**system.env, "PERENNIAL_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "perennial.cli.main", "up", "--prefect-port", str(system.ports[0])]
    taken = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert taken.returncode == 2
    assert f"Port {system.ports[0]}" in taken.stderr
    assert "--prefect-port" in taken.stderr


def test_down_ends_it_and_leaves_no_process(system: System) -> None:
    group = _processes(system.home)
    assert len(group) >= 5
    done = system.perennial("down")
    assert done.returncode == 0, done.stderr
    assert system.process.wait(60) == 0
    deadline = time.monotonic() + 15
    while left := _processes(system.home):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert '"up": {}' in system.perennial("status", "--json").stdout


def _processes(home: Path) -> list[str]:
    """Processes whose environment names a home: a service's, a run's, whatever their parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                named = f"PERENNIAL_HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0")
                if named and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found
