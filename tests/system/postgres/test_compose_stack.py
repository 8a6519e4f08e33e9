"""compose.yaml's own commands, environments and health checks, run as processes on a real PostgreSQL and Redis.

What is replaced: host names by loopback ports, and the S3 gateway by folders.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from examples.breast_cancer.land import main as land
from tests.support import services as team
from tests.support.docker.files import DOCKER
from tests.support.docker.stack import TOKEN, Service, free_ports, prepare_databases, services
from tests.support.world import ROOT

pytestmark = pytest.mark.postgres
NAME = "breast_cancer"
CLI = "import sys; sys.argv[0] = 'prefect'; from prefect.cli import app; app()"


@dataclass(frozen=True)
class Stack:
    """What runs, and the environment of a worker in it."""

    folder: Path
    mlflow: str
    serving: httpx.Client
    env: Mapping[str, str]

    def perennial(self, *words: str) -> str:
        """What a command says inside the worker's container."""
        done = subprocess.run(
            [sys.executable, "-m", "perennial.cli.main", *words],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with ExitStack() as running:
        try:
            postgres = running.enter_context(team.postgres())
            redis = running.enter_context(team.redis())
        except team.AbsentError as absent:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(absent))
        ports = free_ports()
        prepare_databases(postgres)
        found = services(postgres, redis, ports, {"s3://": f"{folder}/s3/"})
        for name, service in found.items():
            own = "serving" if name == "serving" else "home"  # a volume of its own
            service.environment.update(inside(folder / own) | service.environment)
        start(running, found, ("prefect", "mlflow"), folder)
        start(running, found, ("prefect-services", "worker"), folder)
        deploy = found["deploy"]
        subprocess.run(program(deploy.command), cwd=ROOT, env=deploy.environment, capture_output=True, check=True)
        start(running, found, ("sensor", "serving"), folder)
        client = running.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{ports.serving}", timeout=20))
        yield Stack(folder, f"http://127.0.0.1:{ports.mlflow}", client, found["worker"].environment)


def inside(home: Path) -> dict[str, str]:
    """What is in the environment before compose.yaml: this process's, but its own settings, and the image's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    return {**inherited, "PERENNIAL_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}


def program(words: list[str]) -> list[str]:
    """A command line with this environment's programs."""
    own = {"python": [], "perennial": ["-m", "perennial.cli.main"], "prefect": ["-c", CLI]}
    return [sys.executable, *own.get(words[0], ["-m", words[0]]), *words[1:]]


def start(running: ExitStack, found: Mapping[str, Service], names: Sequence[str], folder: Path) -> None:
    """Start services at once, and wait until their own health checks are content."""
    begun = {name: begin(found[name], folder / f"{name}.log") for name in names}
    for process in begun.values():
        running.callback(end, process)
    deadline = time.monotonic() + 120
    for name, process in begun.items():
        while not healthy(found[name]):
            told = (folder / f"{name}.log").read_text(encoding="utf-8")[-3000:]
            assert process.poll() is None, f"{name} ended: {told}"
            assert time.monotonic() < deadline, f"{name} is not healthy: {told}"
            time.sleep(0.3)


def begin(service: Service, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            program(service.command),
            cwd=ROOT,
            env=service.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def healthy(service: Service) -> bool:
    asked = subprocess.run(program(service.check), cwd=ROOT, env=service.environment, capture_output=True, check=False)
    return asked.returncode == 0


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_a_landed_file_becomes_a_champion(stack: Stack) -> None:
    land([str(stack.folder / "home" / "landing" / NAME)])
    deadline = time.monotonic() + 150
    while "version 1, promoted" not in (told := stack.perennial("report", NAME, "--markdown")):
        logs = "".join(path.read_text(encoding="utf-8")[-1500:] for path in sorted(stack.folder.glob("*.log")))
        assert time.monotonic() < deadline, f"{told}\n{logs}"
        time.sleep(2)
    assert "[MLflow run](<http://localhost:5000/#/runs/" in told
    assert (stack.folder / "s3" / "lake" / NAME / "observations" / "_delta_log").is_dir()
    assert list((stack.folder / "s3" / "models").rglob("model.skops"))


def test_the_service_answers_by_that_champion_who_has_the_token(stack: Stack) -> None:
    path, headers = f"/pipelines/{NAME}/invocations", {"Authorization": f"Bearer {TOKEN}"}
    document = stack.serving.get("/openapi.json", headers=headers).json()
    row = document["components"]["schemas"][f"{NAME}_row"]["example"]
    assert stack.serving.post(path, json={"dataframe_records": [row]}).status_code == 401
    answer = stack.serving.post(path, json={"dataframe_records": [row]}, headers=headers)
    assert answer.json()["model"] == {"pipeline": NAME, "version": 1, "role": "champion"}
    assert stack.serving.get("/metrics").status_code == 401
    assert f'perennial_model_version{{pipeline="{NAME}"' in stack.serving.get("/metrics", headers=headers).text
    deadline = time.monotonic() + 60
    while not (told := json.loads(stack.perennial("data", NAME, "--table", "served", "--json")))["rows"]:
        assert time.monotonic() < deadline
    assert answer.headers["x-request-id"] in told["first"][0].values()


def test_mlflow_answers_those_that_it_is_told_of_only(stack: Stack) -> None:
    port = stack.mlflow.rpartition(":")[2]
    asked = {"mlflow:5000": 200, f"localhost:{port}": 200, f"127.0.0.1:{port}": 200, "elsewhere.example.org": 403}
    for host, wanted in asked.items():
        assert httpx.get(f"{stack.mlflow}/", headers={"Host": host}, timeout=20).status_code == wanted, host


def test_a_service_that_is_gone_is_not_healthy(stack: Stack) -> None:
    env = {
        **stack.env,
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_SERVER_DOCKET_URL": "redis://127.0.0.1:9/1",
    }
    for check in ("worker", "api", "services"):
        done = subprocess.run([sys.executable, str(DOCKER / "healthcheck.py"), check], env=env, check=False)
        assert done.returncode == 1
