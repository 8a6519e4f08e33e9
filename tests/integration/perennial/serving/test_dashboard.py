"""The dashboard and the documented table name just what a real prediction service exports."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perennial.serving.metrics import Metrics
from tests.support.docker.dashboard import OWN, of_service
from tests.support.serving.homes import NAME, ROW
from tests.support.serving.running import Running, serving
from tests.support.world import NEVER_RETRAIN, ROOT, make_world, trips

_ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


class Exported(NamedTuple):
    """A metric as the service exports it: its kind, and its labels."""

    kind: str
    labels: set[str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Running]:
    """A service of a home with one version."""
    base = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(base / "home", base / "configs", patch)
        world.pipeline(NAME, NEVER_RETRAIN)
        world.land(NAME, "a.csv", trips(0, 400, seed=1))
        assert world.run(NAME).outcome == "promoted"
        with serving(world.home, world.configs, base / "log") as found:
            yield found


@pytest.fixture(scope="module")
def exported(service: Running) -> dict[str, Exported]:
    """The families of /metrics, after some requests of every kind that there is without a rollout."""
    assert service.ask(NAME, [ROW, {**ROW, "id": 8}]).status_code == 200
    assert service.ask(NAME, [{}]).status_code == 400
    until = time.monotonic() + 20
    while not service.metric("perennial_input_values_total", pipeline=NAME):
        assert time.monotonic() < until
        time.sleep(0.1)
    declared = {one._name: set(one._labelnames) for one in vars(Metrics()).values() if hasattr(one, "_labelnames")}
    found = {}
    for family in text_string_to_metric_families(service.client.get("/metrics").text):
        if family.name.endswith("_created"):  # prometheus_client's own, beside each counter
            continue
        seen = [set(sample.labels) - {"le"} for sample in family.samples]
        labels = seen[0] if seen else declared[family.name]  # what never happened here is declared only
        assert all(one == labels for one in seen)
        found[family.name] = Exported(family.type, labels)
    assert found.keys() == declared.keys()
    return found


def samples(exported: dict[str, Exported]) -> dict[str, set[str]]:
    """The names that queries may ask for, each with its labels."""
    found = {f"{name}{end}": one.labels for name, one in exported.items() for end in _ENDINGS[one.kind]}
    return {name: labels | ({"le"} if name.endswith("_bucket") else set()) for name, labels in found.items()}


def test_the_dashboard_asks_for_metrics_and_labels_that_are_exported(exported: dict[str, Exported]) -> None:
    known = samples(exported)
    assert len(of_service()) > 20
    for query in of_service():
        for metric in query.metrics:
            assert metric in known, query.text
            assert query.labels <= known[metric] | OWN, query.text


def test_every_metric_is_on_the_dashboard(exported: dict[str, Exported]) -> None:
    asked = {metric for query in of_service() for metric in query.metrics}
    for name, one in exported.items():
        assert any(f"{name}{end}" in asked for end in _ENDINGS[one.kind]), name


def test_the_documented_table_has_every_metric_and_no_other(exported: dict[str, Exported]) -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(perennial_\w+)` \|([^|]*)\| (\w+) \| [^|]+ \|$", text, flags=re.MULTILINE)
    told = {name: (kind, set(re.findall(r"\w+", labels))) for name, labels, kind in rows}
    assert len(told) == len(rows)
    endings = {"counter": "_total", "histogram": "", "gauge": ""}
    assert told == {f"{name}{endings[one.kind]}": (one.kind, one.labels) for name, one in exported.items()}


def test_the_documented_refusals_are_those_that_the_service_names(service: Running) -> None:
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| (\d{3}) \|", text, flags=re.MULTILINE))
    document = service.client.get("/openapi.json").json()
    named = {code for path in document["paths"].values() for how in path.values() for code in how["responses"]}
    assert {code for code in named if code >= "400"} <= told
