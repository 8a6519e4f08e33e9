"""`perennial up`: Prefect, MLflow, the prediction service, worker and sensor on this machine, watched in one place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from perennial.ops.prefect_server import environment, quiet_profile
from perennial.ops.running import Running, only_one, running
from perennial.ops.signals import on_signals
from perennial.ops.supervisor import SupervisedProcess, Supervisor, refuse_taken
from tasks.errors import PerennialError
from tasks.origins import hosts, loopback, normal
from tasks.stores.environment import ROOT
from tasks.stores.settings import Settings

_DOWN_SECONDS = 60.0


class DeployError(PerennialError):
    """The server did not accept the deployments."""


def up(settings: Settings, tell: Callable[[str], None]) -> None:
    """Start everything, tell where it is, and keep it alive until SIGINT or SIGTERM.

    Raises:
        UsageError: a port is taken, or another `up` runs in this home.
        StartError: a part did not come up.
        DeployError: prefect.yaml has a mistake.
    """
    stop = on_signals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    record = Running(
        pid=os.getpid(),
        since=datetime.now(UTC),
        prefect=f"http://127.0.0.1:{settings.prefect_port}",
        mlflow=f"http://127.0.0.1:{settings.mlflow_port}",
        serving=f"http://127.0.0.1:{settings.serve_port}",
        log=str(settings.state / "up.log"),
    )
    with only_one(settings, record) as announce, Path(record.log).open("a", encoding="utf-8") as file:
        refuse_taken(settings.prefect_port, "the Prefect server", "--prefect-port")
        refuse_taken(settings.mlflow_port, "the MLflow server", "--mlflow-port")
        refuse_taken(settings.serve_port, "the prediction service", "--serve-port")
        quiet_profile(settings.prefect_home)

        def log(name: str, line: str) -> None:
            text = f"{datetime.now().astimezone():%H:%M:%S} {name:<8} {line}"
            file.write(text + "\n")
            file.flush()
            tell(text)

        _run(settings, record, Supervisor(log), stop, log, announce)


def _run(
    settings: Settings,
    record: Running,
    supervisor: Supervisor,
    stop: threading.Event,
    log: Callable[[str, str], None],
    announce: Callable[[Running], None],
) -> None:
    started = time.monotonic()
    servers, worker, sensor = services(settings, record)
    try:
        supervisor.start(servers, stop)
        supervisor.start([worker], stop)  # it makes the work pool, which deploying needs
        if not stop.is_set():
            _deploy(settings, record, log)
        supervisor.start([sensor], stop)  # after the triggers: what it tells must find them
        if not stop.is_set():
            announce(record.model_copy(update={"ready": True}))
            log("up", f"ready in {time.monotonic() - started:.0f} s. Prefect {record.prefect}  MLflow {record.mlflow}")
            log("up", f"Predictions {record.serving}/docs")
            log("up", f"In another shell: export PREFECT_API_URL={record.api}. Ctrl-C or `perennial down` ends it.")
        supervisor.watch(stop)
    finally:
        log("up", "ending")
        supervisor.stop()
        log("up", "ended")


def services(
    settings: Settings, record: Running
) -> tuple[list[SupervisedProcess], SupervisedProcess, SupervisedProcess]:
    """What runs: the servers, the worker and the sensor."""
    common = {
        **environment(settings),
        "PERENNIAL_HOME": str(settings.root),
        "PREFECT_API_URL": record.api,
    }
    pages = ui_origins(settings)
    server = {
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(pages),
        "PREFECT_SERVER_UI_API_URL": "/api",  # of the server that the pages came from, however it is reached
        "PREFECT_UI_STATIC_DIRECTORY": str(settings.prefect_home / "ui"),  # not into the installed package
        "PREFECT_UI_URL": record.prefect,
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "15",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    worker = {"PREFECT_WORKER_QUERY_SECONDS": "0.4", "PREFECT_UI_URL": record.prefect}
    no_jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # they are for language models
    serving = {"PERENNIAL_SERVE_PORT": str(settings.serve_port)}
    prefect = ["perennial.ops.prefect_server", "--port", str(settings.prefect_port), *pages]
    servers = [
        SupervisedProcess("prefect", prefect, {**common, **server}, health=f"{record.api}/health"),
        SupervisedProcess("mlflow", _mlflow(settings), {**common, **no_jobs}, health=f"{record.mlflow}/health"),
        SupervisedProcess("serving", ["perennial.serving"], {**common, **serving}, health=f"{record.serving}/health"),
    ]
    return (
        servers,
        SupervisedProcess("worker", ["perennial.ops.worker"], {**common, **worker}, ready="started!"),
        SupervisedProcess("sensor", ["perennial.ops.sensor.main"], common),
    )


def ui_origins(settings: Settings) -> tuple[str, ...]:
    """The origins that people open the pages of Prefect at."""
    own = (f"http://127.0.0.1:{settings.prefect_port}", f"http://localhost:{settings.prefect_port}")
    return tuple(dict.fromkeys(map(normal, (*own, *settings.allowed_origins))))


def _mlflow(settings: Settings) -> list[str]:
    """MLflow's server. The hosts that it answers by default include names as 10.example.org, which anybody may own."""
    answered = sorted(hosts((*loopback(settings.mlflow_port), *settings.allowed_origins)))
    words = ["perennial.ops.mlflow_server", "--backend-store-uri", settings.tracking_uri, "--host", "127.0.0.1"]
    words += ["--port", str(settings.mlflow_port), "--workers", "1", "--allowed-hosts", ",".join(answered)]
    if settings.allowed_origins:  # beside those of loopback, which it always allows
        words += ["--cors-allowed-origins", ",".join(settings.allowed_origins)]
    return [*words, "--uvicorn-opts", "--log-level warning"]


def send_deployments(settings: Settings, record: Running) -> str:
    """Send the deployments of prefect.yaml that changed to the server of a `perennial up`; what was sent, in words.

    Raises:
        DeployError: prefect.yaml has a mistake.
    """
    file = (settings.deployments or ROOT / "prefect.yaml").absolute()
    marks = settings.prefect_home / "deployed.json"  # beside the database that it is about
    words = ["perennial.ops.deployments.apply", str(file), str(marks)]
    return _call(settings, record, words, f"{file.name} could not be deployed")


def _deploy(settings: Settings, record: Running, log: Callable[[str, str], None]) -> None:
    """Send the deployments that changed, and who is notified of failures."""
    log("up", send_deployments(settings, record))
    if settings.notify_url is not None:
        _call(
            settings,
            record,
            ["perennial.ops.deployments.notify"],
            "the webhook of PERENNIAL_NOTIFY_URL could not be set up",
        )


def _call(settings: Settings, record: Running, module: list[str], failed: str) -> str:
    """What a module prints as the last line."""
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env={**os.environ, **environment(settings), "PREFECT_API_URL": record.api},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DeployError(f"{failed}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return (done.stdout.splitlines() or [""])[-1]


def down(settings: Settings) -> bool:
    """End the `up` of this home, and wait until it has ended; whether one ran.

    Raises:
        PerennialError: it did not end in time.
    """
    found = running(settings)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while running(settings) is not None:
        if time.monotonic() > deadline:
            raise PerennialError(f"Process {found.pid} did not end within {_DOWN_SECONDS:g} s; see {found.log}.")
        time.sleep(0.1)
    return True
