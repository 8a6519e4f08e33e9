"""The dashboard asks only for what a real Prefect server with metrics on exports."""

from __future__ import annotations

import json
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

from tests.docker.files import DOCKER, compose, required_variables

DASHBOARD = json.loads((DOCKER / "grafana" / "dashboards" / "perennial.json").read_text(encoding="utf-8"))
SCRAPES = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
WORDS = {"time", "rate", "increase", "job", "prefect"}  # of the query language, and our labels


def queries() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the server of compose.yaml answers at the path that Prometheus asks."""
    service = compose(dict.fromkeys(required_variables(), "x"))["services"]["prefect"]
    switches = {name: service["environment"][name] for name in ("PREFECT_SERVER_METRICS_ENABLED", "DO_NOT_TRACK")}
    folder = tmp_path_factory.mktemp("metrics")
    port = free_port()
    path = next(one["metrics_path"] for one in SCRAPES if one["job_name"] == "prefect")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *service["command"], "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **switches, "PREFECT_HOME": str(folder)},
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


def test_every_metric_is_exported(exported: str) -> None:
    families = set(re.findall(r"^# TYPE (\S+) ", exported, flags=re.MULTILINE))
    for query in queries():
        named = set(re.findall(r"[a-z_]{2,}", re.sub(r"\[\d+m\]|\"[^\"]*\"", "", query))) - WORDS
        assert named, query
        assert named - {"up"} <= families, query  # `up` is Prometheus' own, of every scrape


def test_every_label_is_one_of_its_metric(exported: str) -> None:
    from prefect.server.utilities import worker_channel
    from prefect.server.worker_communication import cleanup_queue

    labels = {"up": {"job"}}
    for module in (worker_channel, cleanup_queue):
        for one in vars(module).values():
            if hasattr(one, "_labelnames"):
                labels[f"{one._name}_total"] = set(one._labelnames)
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            asked = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            (metric,) = [one for one in labels if re.search(rf"\b{one}\b", target["expr"])] or [""]
            assert asked <= labels.get(metric, set()), target


def test_everything_scraped_is_a_service_and_its_port() -> None:
    services = compose()["services"]
    for scrape in SCRAPES:
        for target in scrape["static_configs"][0]["targets"]:
            host, port = target.split(":")
            name = scrape["job_name"] if host == "localhost" else host
            assert any(published.endswith(f":{port}") for published in services[name]["ports"]), target
    jobs = {one["job_name"] for one in SCRAPES}
    assert {job for query in queries() for job in re.findall(r'job="(\w+)"', query)} <= jobs


def test_panels_ask_the_datasource_that_is_provisioned() -> None:
    provisioned: Any = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yaml").read_text("utf-8"))
    (source,) = provisioned["datasources"]
    used = {(panel["datasource"]["type"], panel["datasource"]["uid"]) for panel in DASHBOARD["panels"]}
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
