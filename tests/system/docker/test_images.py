"""The images, built from docker/Dockerfile as it stands, and compose.yaml's services of ours run in them.

What is replaced: host names by loopback ports, PostgreSQL and Redis by this machine's, the S3 gateway by moto's server,
bridge networks by the host's.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NoReturn

import httpx
import pytest
from moto.server import ThreadedMotoServer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from examples.breast_cancer.land import main as land
from tests.support.docker.engine import AbsentError, Container, Engine, engine
from tests.support.docker.stack import TOKEN, Ports, Service, free_ports, prepare_databases, services
from tests.support.services import AbsentError as NoServiceError
from tests.support.services import postgres, redis
from tests.support.world import ROOT

pytestmark = [pytest.mark.images, pytest.mark.timeout(3600)]
NAME = "breast_cancer"
COMMIT = "0123456789abcdef0123456789abcdef01234567"  # no checkout's: whoever records it was given it by the build
WORKER, SERVICE = "perennial-test:worker", "perennial-test:service"
PATIENCE = 600.0
USER = "10001"
PYTHON = """
import json, sys
from importlib.metadata import distributions
version = ".".join(map(str, sys.version_info[:3]))
print(json.dumps({"version": version, "names": [known.name for known in distributions()]}))
"""


# ------------------------------------------------------------------------------------------------ the images
@pytest.fixture(scope="module")
def images() -> Iterator[Engine]:
    """The engine that holds both images."""
    with ExitStack() as running:
        try:
            builder = running.enter_context(engine())
        except AbsentError as error:
            _absent(str(error))
        for target, tag in (("worker", WORKER), ("service", SERVICE)):
            builder.build(target, tag, {"GIT_COMMIT": COMMIT})
            running.callback(builder.call, "rmi", "--force", tag)
        yield builder


def _absent(reason: str) -> NoReturn:
    """Skip with the reason; in CI, where everything is to be tested, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(f"{reason}; `make test-images` installs what is missing, where it may")


@pytest.mark.parametrize("tag", [WORKER, SERVICE])
def test_an_image_is_its_users_and_knows_its_commit(images: Engine, tag: str) -> None:
    config = images.inspect("image", tag)["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert f"PERENNIAL_GIT_COMMIT={COMMIT}" in config["Env"]


def test_production_is_installed_and_nothing_else(images: Engine) -> None:
    installed = json.loads(images.run(WORKER, "python", "-c", PYTHON))
    names = [canonicalize_name(name) for name in installed["names"]]
    assert sorted(names) == sorted({*locked(installed["version"]), "perennial"})


def locked(version: str) -> set[str]:
    """Names of what production's lock has for the images' Python."""
    environment = {
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": "linux",
    }
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [Requirement(line.removesuffix("\\")) for line in re.findall(r"^[\w.-]+==.+$", text, flags=re.MULTILINE)]
    return {canonicalize_name(line.name) for line in lines if line.marker is None or line.marker.evaluate(environment)}


def test_what_is_installed_fits_together(images: Engine) -> None:
    images.run(WORKER, "/usr/local/bin/python", "-m", "pip", "--python", "/opt/venv/bin/python", "check")


def test_the_user_cannot_change_the_code(images: Engine) -> None:
    assert images.run(WORKER, "find", "/opt", "-writable", "-not", "-type", "l") == ""


# ------------------------------------------------------------------------------------------------ the services
@dataclass(frozen=True)
class Stack:
    """The services that run, and where they listen."""

    services: Mapping[str, Service]
    ports: Ports
    containers: dict[str, Container] = field(default_factory=dict)

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true; fail with the containers' logs where it does not become so."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(1)

    def logs(self) -> str:
        return "\n".join(f"--- {name}:\n{container.logs()[-2000:]}" for name, container in self.containers.items())

    def ready(self, name: str) -> bool:
        """Whether those that depend on a service may start: its health check is content, or it ended well."""
        service, container = self.services[name], self.containers[name]
        if service.check:
            assert container.exit_code() is None, f"{name} ended: {container.logs()[-3000:]}"
            return container.execute(*service.check).returncode == 0
        assert container.exit_code() in (None, 0), f"{name} failed: {container.logs()[-3000:]}"
        return container.exit_code() == 0


@pytest.fixture(scope="module")
def stack(images: Engine) -> Iterator[Stack]:
    """All of compose.yaml's services of ours, each in a container, in the order that compose.yaml demands."""
    with ExitStack() as running:
        try:
            database, messages = running.enter_context(postgres()), running.enter_context(redis())
        except NoServiceError as error:
            _absent(str(error))
        prepare_databases(database)
        ports = free_ports()
        known = services(database, messages, ports, {"http://s3:7070": running.enter_context(object_store())})
        known["serving"].environment["PERENNIAL_SERVE_HOST"] = "127.0.0.1"  # the network is the host's
        volumes = {name: running.enter_context(images.volume()) for name in ("home", "landing", "serving")}
        begun = Stack(known, ports)
        for name in in_order(known):
            tag = SERVICE if known[name].document["build"]["target"] == "service" else WORKER
            words = (tag, options(known[name], volumes), known[name].command)
            begun.containers[name] = running.enter_context(images.container(*words))
            begun.until(partial(begun.ready, name))
        yield begun


@contextmanager
def object_store() -> Iterator[str]:
    """Address of an empty S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def in_order(known: Mapping[str, Service]) -> list[str]:
    """Names of services, each after those of ours that it depends on."""
    needs = {name: set(service.document.get("depends_on", {})) & set(known) for name, service in known.items()}
    return list(TopologicalSorter(needs).static_order())


def options(service: Service, volumes: Mapping[str, str]) -> list[str]:
    """What compose.yaml says of a service's container, in the words of `docker run`."""
    document = service.document
    mounts = (volume.split(":", 1) for volume in document.get("volumes", ()))
    return [
        *(["--init"] if document["init"] else []),
        *(word for capability in document["cap_drop"] for word in ("--cap-drop", capability)),
        *(word for option in document["security_opt"] for word in ("--security-opt", option)),
        *(word for name, place in mounts for word in ("--volume", f"{volumes[name]}:{place}")),
        *(word for name, value in service.environment.items() for word in ("--env", f"{name}={value}")),
    ]


def test_every_service_is_healthy_as_the_user_without_rights(stack: Stack) -> None:
    for name, container in stack.containers.items():
        assert stack.ready(name), name
        if stack.services[name].check:
            assert container.output("id", "-u").strip() == USER, name
            status = container.output("cat", "/proc/1/status")
            held = re.findall(r"^(?:CapEff|CapBnd):\s+0+$|^NoNewPrivs:\s+1$", status, flags=re.MULTILINE)
            assert len(held) == 3, status
    assert {"buckets", "deploy"} == {name for name, service in stack.services.items() if not service.check}


def test_a_landed_file_becomes_a_champion_that_records_the_builds_commit(stack: Stack, tmp_path: Path) -> None:
    worker, sensor = stack.containers["worker"], stack.containers["sensor"]
    land([str(tmp_path), "--parts", "1"])
    (file,) = tmp_path.iterdir()
    folder = f"/var/lib/perennial/landing/{NAME}"
    stack.until(lambda: sensor.execute("test", "-d", folder).returncode == 0)
    sensor.copy(file, f"{folder}/.{file.name}")  # as docker/README.md says it
    sensor.output("sh", "-c", f"cd {folder} && mv .{file.name} {file.name}")
    stack.until(lambda: "version 1, promoted" in worker.execute("perennial", "report", NAME, "--markdown").stdout)
    lineage = json.loads(worker.output("perennial", "lineage", NAME, "--json"))
    assert (lineage["champion"], lineage["provenance"]["commit"]) == (1, COMMIT)
    registry = f"http://127.0.0.1:{stack.ports.mlflow}/api/2.0/mlflow/model-versions/get"
    version = httpx.get(registry, params={"name": NAME, "version": "1"}, timeout=60).raise_for_status().json()
    tags = {tag["key"]: tag["value"] for tag in version["model_version"]["tags"]}
    assert tags["git_commit"] == COMMIT


def test_the_service_answers_by_that_champion(stack: Stack) -> None:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{stack.ports.serving}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    ) as client:
        assert client.get("/health").status_code == 200
        stack.until(lambda: client.get("/ping").status_code == 200)
        document = client.get("/openapi.json").raise_for_status().json()
        row = document["components"]["schemas"][f"{NAME}_row"]["example"]
        answer = client.post(f"/pipelines/{NAME}/invocations", json={"dataframe_records": [row]}).raise_for_status()
    assert answer.json()["model"] == {"pipeline": NAME, "version": 1, "role": "champion"}


def test_a_worker_ends_when_it_is_asked_to(stack: Stack) -> None:
    worker = stack.containers["worker"]
    assert worker.stop(seconds=600) == 0, worker.logs()[-3000:]  # it is not killed: that would be 137
    assert "worker stopped" in worker.logs()
