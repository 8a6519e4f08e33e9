"""The dashboard asks only for what a real Prefect server exports; tests/integration/serving has the service's part."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.docker.dashboard import DASHBOARD, OWN, of_service, panels, queries, query
from tests.support.docker.files import DOCKER, compose, required_variables, scrapes


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the server of compose.yaml answers at the path that Prometheus asks."""
    service = compose(dict.fromkeys(required_variables(), "x"))["services"]["prefect"]
    switches = {name: service["environment"][name] for name in ("PREFECT_SERVER_METRICS_ENABLED", "DO_NOT_TRACK")}
    folder = tmp_path_factory.mktemp("metrics")
    port = free_port()
    own = {"PREFECT_HOME": str(folder), "PERENNIAL_ALLOWED_ORIGINS": f"http://127.0.0.1:{port}"}
    path = next(one["metrics_path"] for one in scrapes() if one["job_name"] == "prefect")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *service["command"], "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **switches, **own},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield fetch(f"http://127.0.0.1:{port}{path}", process, folder / "log")
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own loopback address
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"{url} did not answer: {log.read_text(encoding='utf-8')[-2000:]}")


def of_prefect() -> list[Any]:
    """Those of Prefect's server; tests/integration/serving has the service's."""
    return [one for one in queries() if one not in of_service()]


def test_every_metric_is_exported(exported: str) -> None:
    families = set(re.findall(r"^# TYPE (\S+) ", exported, flags=re.MULTILINE))
    for one in of_prefect():
        assert one.metrics, one.text
        assert one.metrics - {"up"} <= families, one.text  # `up` is Prometheus' own, of every scrape


def test_every_label_is_one_of_its_metric() -> None:
    from prefect.server.utilities import worker_channel
    from prefect.server.worker_communication import cleanup_queue

    labels: dict[str, set[str]] = {}
    for module in (worker_channel, cleanup_queue):
        for one in vars(module).values():
            if hasattr(one, "_labelnames"):
                labels[f"{one._name}_total"] = set(one._labelnames)
    for asked in of_prefect():
        for metric in asked.metrics:
            assert asked.labels <= labels.get(metric, set()) | OWN, asked.text


def test_a_query_is_of_prefect_or_of_the_service() -> None:
    for one in of_service():
        assert all(name.startswith("perennial_") for name in one.metrics), one.text


def test_a_query_is_read_whole() -> None:
    text = 'sum by (le, kind) (rate(perennial_x_bucket{a=~"$b", c!="perennial_no"}[5m])) / on (d) (perennial_y > 0)'
    found = query(text, "{{kind}} {{e}}")
    assert found.metrics == {"perennial_x_bucket", "perennial_y"}
    assert found.labels == {"le", "kind", "a", "c", "d", "e"}


def test_variables_that_queries_name_are_there() -> None:
    known = {one["name"] for one in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    named = {name for one in queries() for name in re.findall(r"\$(\w+)", one.text)}
    assert named == known


def test_everything_scraped_is_a_service_and_its_port() -> None:
    services = compose()["services"]
    for scrape in scrapes():
        targets = [one for fixed in scrape.get("static_configs", []) for one in fixed["targets"]]
        targets += [f"{host}:{found['port']}" for found in scrape.get("dns_sd_configs", []) for host in found["names"]]
        assert targets
        for target in targets:
            host, port = target.split(":")
            name = scrape["job_name"] if host == "localhost" else host
            assert any(published.endswith(f":{port}") for published in services[name]["ports"]), target
    jobs = {one["job_name"] for one in scrapes()}
    assert {job for one in queries() for job in re.findall(r'job="(\w+)"', one.text)} <= jobs


def test_panels_ask_the_datasource_that_is_provisioned() -> None:
    provisioned: Any = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text("utf-8"))
    (source,) = provisioned["datasources"]
    asking = [*panels(), *DASHBOARD["templating"]["list"], *(one for panel in panels() for one in panel["targets"])]
    used = {(one["datasource"]["type"], one["datasource"]["uid"]) for one in asking}
    assert used == {(source["type"], source["uid"])}
    host, port = source["url"].removeprefix("http://").split(":")
    assert any(published.endswith(f":{port}") for published in compose()["services"][host]["ports"])
    providers: Any = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/perennial.yaml").read_text("utf-8"))
    mounts = [volume.split(":")[1] for volume in compose()["services"]["grafana"]["volumes"]]
    assert providers["providers"][0]["options"]["path"] in mounts


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
