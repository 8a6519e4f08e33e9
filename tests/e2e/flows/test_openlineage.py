"""A real run's events: valid, connected, taken by an endpoint; whatever the endpoint does, the run goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tasks.records.report import LifecycleReport
from tests.support.openlineage import Receiver, Spec, needs_spec, odd_endpoint, read_events, receiver
from tests.support.world import NEVER_RETRAIN, World, trips

STAGES = ["ingestion", "features", "training", "evaluation", "release"]
Told = tuple[LifecycleReport, list[dict[str, Any]], Receiver]


@pytest.fixture(autouse=True)
def no_settings_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # the developer's own openlineage.yml is not for tests


def events(world: World, name: str) -> list[dict[str, Any]]:
    path = world.home / "lineage" / "events" / f"{name}.jsonl"
    return read_events(path) if path.exists() else []


@pytest.fixture(scope="module")
def told(module_world: World) -> Told:
    """One run from files to champion, with an endpoint that takes its events."""
    world = module_world
    wrong = {"type": "expect_column_mean_to_be_between", "arguments": {"column": "x1", "min_value": 5}}
    world.pipeline("told", {"expectations": [{**wrong, "severity": "warning"}]})
    frame = trips(0, 300, seed=1)
    frame.loc[3, "kind"] = "boat"
    world.land("told", "one.csv", frame)
    world.land("told", "two.parquet", trips(300, 100, seed=2))
    with receiver() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENLINEAGE_URL", endpoint.url)
        report = world.flow("told")
    return report, events(world, "told"), endpoint


def of(told: Told, stage: str, kind: str = "COMPLETE") -> dict[str, Any]:
    (found,) = [one for one in told[1] if one["job"]["name"] == f"told.{stage}" and one["eventType"] == kind]
    return found


@needs_spec
def test_every_event_keeps_to_the_schemas(told: Told) -> None:
    spec = Spec()
    assert [problem for one in told[1] for problem in spec.problems(one)] == []
    assert [problem for one in told[2].events for problem in spec.problems(one)] == []


def test_each_stage_starts_and_completes(told: Told) -> None:
    assert told[0].outcome == "promoted"
    expected = [(f"told.{stage}", kind) for stage in STAGES for kind in ("START", "COMPLETE")]
    assert [(one["job"]["name"], one["eventType"]) for one in told[1]] == expected
    runs = [one["run"]["runId"] for one in told[1]]
    assert runs[::2] == runs[1::2]
    assert len(set(runs)) == len(STAGES)
    parents = {(one["run"]["facets"]["parent"]["run"]["runId"], one["run"]["facets"]["parent"]["job"]["name"])
               for one in told[1]}  # fmt: skip
    assert len(parents) == 1
    assert parents.pop()[1] == "told.lifecycle"


def test_the_endpoint_took_what_the_file_has(told: Told) -> None:
    taken = [(one["run"]["runId"], one["eventType"], one["inputs"], one["outputs"]) for one in told[2].events]
    assert taken == [(one["run"]["runId"], one["eventType"], one["inputs"], one["outputs"]) for one in told[1]]


def test_stages_hang_together_by_name_and_version(told: Told) -> None:
    """Following names and versions leads from the champion to the files."""
    made: dict[tuple[str, str], str] = {}
    for stage in STAGES:
        event = of(told, stage)
        for one in event["inputs"] if stage != "ingestion" else ():
            assert made[(one["namespace"], one["name"])] == one["facets"]["version"]["datasetVersion"], stage
        made |= {
            (one["namespace"], one["name"]): one["facets"]["version"]["datasetVersion"] for one in event["outputs"]
        }
    assert "models:/told@champion" in {name for _, name in made}


def test_ingestion_tells_rows_and_what_was_found(told: Told, module_world: World) -> None:
    event = of(told, "ingestion")
    landed = {Path(one["name"]).name: one for one in event["inputs"]}
    assert landed["one.csv"]["name"] == str(module_world.landing("told") / "one.csv")
    assert landed["one.csv"]["inputFacets"]["dataQualityMetrics"]["rowCount"] == 300
    assertions = landed["one.csv"]["inputFacets"]["dataQualityAssertions"]["assertions"]
    mean = next(one for one in assertions if one["assertion"] == "expect_column_mean_to_be_between")
    assert (mean["column"], mean["success"], mean["severity"]) == ("x1", False, "warn")
    written = {Path(one["name"]).name: one["outputFacets"]["outputStatistics"] for one in event["outputs"]}
    assert (written["observations"]["rowCount"], written["quarantine"]["rowCount"]) == (399, 1)
    on_disk = sum(one.stat().st_size for one in (module_world.home / "lake/told/observations").glob("*.parquet"))
    assert written["observations"]["size"] == on_disk
    quality = of(told, "features")["inputs"][0]["inputFacets"]["dataQualityMetrics"]
    assert (quality["rowCount"], quality["bytes"]) == (399, on_disk)
    assert quality["columnMetrics"]["x1"]["nullCount"] == 0


def test_what_is_reused_tells_nothing(told: Told, module_world: World) -> None:
    from flows.lifecycle import lifecycle

    before = len(events(module_world, "told"))
    report = lifecycle("told", start_from="features", until="evaluation")
    assert {one.state for one in report.stages} == {"reused"}
    assert len(events(module_world, "told")) == before


def test_a_failing_stage_says_so(module_world: World) -> None:
    world = module_world
    world.pipeline("failing", {"training": {"parameters": {"alpha": -1.0}}})
    world.land("failing", "one.csv", trips(0, 200, seed=1))
    with pytest.raises(Exception, match="alpha"):
        world.flow("failing")
    found = events(world, "failing")
    assert [(one["job"]["name"], one["eventType"]) for one in found[-2:]] == [
        ("failing.training", "START"),
        ("failing.training", "FAIL"),
    ]
    assert "alpha" in found[-1]["run"]["facets"]["errorMessage"]["message"]


def test_a_hanging_endpoint_does_not_hold_up_a_run(module_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.ingest import ingest

    world = module_world
    world.pipeline("held", NEVER_RETRAIN)
    world.land("held", "one.csv", trips(0, 100, seed=1))
    started = time.monotonic()
    assert ingest("held").accepted
    quick = time.monotonic() - started
    world.land("held", "two.csv", trips(100, 100, seed=2))
    monkeypatch.setenv("PERENNIAL_LINEAGE_WAIT", "1")
    with odd_endpoint(None) as url:
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        started = time.monotonic()
        assert ingest("held").accepted
        assert time.monotonic() - started < quick + 1 + 2, "the wait, and some grace for a busy machine"
    assert [one["eventType"] for one in events(world, "held")] == ["START", "COMPLETE"] * 2


def test_nothing_to_do_tells_nothing(module_world: World) -> None:
    from flows.ingest import ingest

    module_world.pipeline("idle")
    ingest("idle")
    assert events(module_world, "idle") == []
