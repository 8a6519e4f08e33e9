"""Events say what OpenLineage's schemas ask for, name no secrets, and never cost a run more than they may."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openlineage.client.generated.source_code_location_job import SourceCodeLocationJobFacet
from openlineage.client.serde import Serde

from configs import load
from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError
from tasks.records.data import BatchRecord, DatasetRef, ExpectationResult, LandedFile, SplitRecord, TrainingSetRef
from tasks.records.decision import GateResult, MetricSet, Promotion, Verdict
from tasks.records.model import ModelRef
from tasks.stores.environment import git_commit
from tasks.stores.lake.tables import Lake
from tasks.stores.lineage import columns, naming
from tasks.stores.lineage.datasets import LineageContext, StageDatasets, stage_datasets
from tasks.stores.lineage.emitter import append, channel, emit_stage, events_file
from tasks.stores.lineage.events import MOST_DATASETS, Parent, StageEvents, remote_url, source_location
from tasks.stores.lineage.stage_data import DataStatistics, StageData, TableState
from tasks.stores.settings import Settings
from tests.support.openlineage import Spec, closed_port, needs_spec, odd_endpoint, read_events, receiver
from tests.support.world import ROOT

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
PARENT = ("0190d5a4-0000-7000-8000-000000000001", "lifecycle")


@pytest.fixture(autouse=True)
def no_settings_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # the developer's own openlineage.yml is not for tests
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config() -> PipelineConfig:
    return load.load("transit_delay")


def file(number: int) -> LandedFile:
    path = f"arrivals-{number}.csv"
    uri = f"/landing/arrivals/{path}"
    return LandedFile(feed="observations", path=path, uri=uri, size=900, mtime_ns=0, sha256=f"{number:064x}")


def batch(number: int, **changes: Any) -> BatchRecord:
    found = {
        "seq": number, "batch": f"{number:064x}", "feed": "observations", "path": f"arrivals-{number}.csv",
        "size": 900, "mtime_ns": 0, "verdict": "accepted", "rules": "r", "reasons": (), "rows": 100, "accepted": 97,
        "quarantined": 3, "event_time_min": NOW, "event_time_max": NOW, "ingested_at": NOW,
    }  # fmt: skip
    return BatchRecord.model_validate({**found, **changes})


DATASET = DatasetRef(
    pipeline="transit_delay", digest="d" * 64, observations=4, labels=2, through_seq=1, rows=97, labelled=90
)
EMPTY = DATASET.model_copy(update={"observations": 0, "labels": 0})
SPLIT = SplitRecord(kind="time", holdout=0.2, column="scheduled_at", boundary_us=0)


def made(config: PipelineConfig) -> StageData:
    """All that a run came to."""
    training_set = TrainingSetRef(
        digest="5" * 64, dataset=DATASET, folder="/state/training/x", split=SPLIT, train_rows=72, holdout_rows=18,
        newest_event=NOW,
    )  # fmt: skip
    model = ModelRef(
        pipeline=config.name, run_id="run1", model_uri="models:/m-1", folder="/models/m-1", recipe="r", training="t",
        columns={name: config.contract.columns[name] for name in config.feature_columns}, dataset_digest="d" * 64,
        through_seq=1, labelled=90, train_rows=72, newest_event=NOW, split=SPLIT,
    )  # fmt: skip
    gate = GateResult(code="Q01", title="absolute quality", severity="block", outcome="fail", reason="r2 is 0.1")
    measured = MetricSet(rows=18, values={"mae": 1.0})
    verdict = Verdict(
        passed=False, gates=(gate,), metrics=measured, baseline=measured, champion_version=3, champion_metrics=None,
        primary="mae", comparison=None,
    )  # fmt: skip
    promotion = Promotion(outcome="promoted", version=4, champion=4, previous=3, reasons=())
    return StageData(
        files=(file(1),),
        batches=(batch(1),),
        dataset=DATASET,
        training_set=training_set,
        model=model,
        champion=model.model_copy(update={"version": 3}),
        verdict=verdict,
        promotion=promotion,
    )


SEEN = DataStatistics(
    tables={
        "observations": TableState(version=4, rows=97, files={"a": 10, "b": 30}, nulls={"temperature_c": 5}),
        "quarantine": TableState(version=1, rows=3, files={"q": 7}, nulls={}),
        "labels": TableState(version=2, rows=90, files={"l": 9}, nulls={}),
    },
    before={"observations": TableState(version=3, rows=0, files={"a": 10}, nulls={})},
    sizes={"train": 5000, "holdout": 1200},
    expectations={
        f"{1:064x}": (
            ExpectationResult(
                expectation="expect_column_mean_to_be_between",
                column="headway_min",
                arguments={"min_value": 2, "max_value": 30},
                severity="warning",
                success=False,
                unexpected=0,
                observed=31.5,
                detail="the mean is 31.5",
            ),
        )
    },
)


@pytest.fixture
def scene(config: PipelineConfig) -> LineageContext:
    return LineageContext(Settings(home=Path("/home")), config, made(config), SEEN)


def as_json(events: StageEvents, found: StageDatasets, verdict: Verdict | None = None) -> list[dict[str, Any]]:

    return [json.loads(Serde.to_json(one)) for one in events.complete(NOW, found, verdict)]


def told(config: PipelineConfig, stage: Any, scene: LineageContext) -> dict[str, Any]:
    """The COMPLETE event of a stage, as it is written."""
    events = StageEvents("perennial", config, stage, NOW, Parent(*PARENT))
    (one,) = as_json(events, stage_datasets(stage, scene), scene.data.verdict)
    return one


# ------------------------------------------------------------------------------------------------ what events say
@needs_spec
@pytest.mark.parametrize("stage", ["ingestion", "features", "training", "evaluation", "release"])
def test_events_keep_to_the_schemas(config: PipelineConfig, scene: LineageContext, stage: str) -> None:
    assert list(Spec().problems(told(config, stage, scene))) == []


@needs_spec
def test_the_schemas_are_really_asked(config: PipelineConfig, scene: LineageContext) -> None:
    event = told(config, "features", scene)
    event["run"]["runId"] = 7
    event["outputs"][0]["facets"]["columnLineage"]["fields"] = "all"
    event["job"]["facets"]["jobTyp"] = event["job"]["facets"].pop("jobType")
    assert len(list(Spec().problems(event))) >= 3


def test_run_and_job_of_a_stage(config: PipelineConfig, scene: LineageContext) -> None:
    event = told(config, "training", scene)
    assert (event["eventType"], event["eventTime"]) == ("COMPLETE", NOW.isoformat())
    assert (event["job"]["namespace"], event["job"]["name"]) == ("perennial", "transit_delay.training")
    assert event["job"]["facets"]["ownership"]["owners"] == [{"name": config.owner, "type": "OWNER"}]
    assert event["run"]["facets"]["nominalTime"]["nominalStartTime"] == NOW.isoformat()
    parent = event["run"]["facets"]["parent"]
    assert (parent["run"]["runId"], parent["job"]["name"]) == (PARENT[0], "transit_delay.lifecycle")


def test_ingestion_reads_files_and_writes_tables(config: PipelineConfig, scene: LineageContext) -> None:
    event = told(config, "ingestion", scene)
    (landed,) = event["inputs"]
    assert (landed["namespace"], landed["name"]) == ("file", "/landing/arrivals/arrivals-1.csv")
    assert landed["facets"]["version"]["datasetVersion"] == f"{1:064x}"
    assert landed["inputFacets"]["dataQualityMetrics"]["rowCount"] == 100
    (found,) = landed["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert found["assertion"] == "expect_column_mean_to_be_between"
    assert (found["column"], found["success"], found["severity"]) == ("headway_min", False, "warn")
    by_name = {Path(one["name"]).name: one for one in event["outputs"]}
    assert by_name.keys() == {"observations", "quarantine"}, "no label file came"
    assert by_name["observations"]["facets"]["version"]["datasetVersion"] == "4"
    written = by_name["observations"]["outputFacets"]["outputStatistics"]
    assert (written["rowCount"], written["size"]) == (97, 30), "only what was written now"
    assert by_name["quarantine"]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    fields = {one["name"]: one for one in by_name["observations"]["facets"]["schema"]["fields"]}
    assert fields["temperature_c"]["description"] == "unit: °C"
    assert "delay_min" not in fields, "labels land apart"


def test_features_join_versions_into_both_sides(config: PipelineConfig, scene: LineageContext) -> None:
    event = told(config, "features", scene)
    versions = {Path(one["name"]).name: one["facets"]["version"]["datasetVersion"] for one in event["inputs"]}
    assert versions == {"observations": "4", "labels": "2"}
    quality = event["inputs"][0]["inputFacets"]["dataQualityMetrics"]
    assert (quality["rowCount"], quality["columnMetrics"]["temperature_c"]["nullCount"]) == (97, 5)
    rows = {one["name"]: one["outputFacets"]["outputStatistics"]["rowCount"] for one in event["outputs"]}
    assert rows == {"transit_delay.train": 72, "transit_delay.holdout": 18}
    lineage = event["outputs"][0]["facets"]["columnLineage"]
    (target,) = lineage["fields"]["_target"]["inputFields"]
    assert (Path(target["name"]).name, target["field"]) == ("labels", "delay_min")
    (load_column,) = lineage["fields"]["load"]["inputFields"]
    assert (Path(load_column["name"]).name, load_column["field"]) == ("observations", "load")
    names = {one["name"] for one in event["outputs"][0]["facets"]["schema"]["fields"]}
    assert names == lineage["fields"].keys()
    assert {one["transformations"][0]["subtype"] for one in lineage["dataset"]} == {"FILTER", "JOIN", "SORT"}


def test_a_model_tells_what_each_feature_is_made_of(config: PipelineConfig, scene: LineageContext) -> None:
    (model,) = told(config, "training", scene)["outputs"]
    assert model["name"] == "models:/transit_delay"
    assert model["facets"]["version"]["datasetVersion"] == "m-1"
    fields = model["facets"]["columnLineage"]["fields"]
    assert {one["name"] for one in model["facets"]["schema"]["fields"]} == fields.keys()
    sources = {name: [one["field"] for one in found["inputFields"]] for name, found in fields.items()}
    assert sources["numeric__load"] == ["load"]
    assert sources["calendar__hour"] == sources["calendar__is_weekend"] == ["scheduled_at"]
    assert {"load", "route", "scheduled_at", "_target"} <= set(sources["delay_min"])
    how = fields["numeric__load"]["inputFields"][0]["transformations"][0]
    assert how["description"] == "missing values become the training median"


def test_model_columns_are_those_of_the_pipeline(config: PipelineConfig) -> None:
    import numpy as np
    import pandas as pd

    from tasks.features.definitions import build_transformer

    numbers = {name: np.arange(4.0) for name in config.features.numeric}
    texts = {name: list("abca") for name in config.features.categorical}
    times = pd.date_range("2026-01-01", periods=4, freq="h")
    frame = pd.DataFrame({**numbers, **texts, "scheduled_at": times})
    built = build_transformer(config.features, config.contract.event_time).fit(frame)
    *seen, answer = [one.name for one in columns.model_columns(config)]
    assert seen == list(built.get_feature_names_out())
    assert answer == config.contract.target


def test_evaluation_tells_gates_and_what_the_candidate_was_held_against(
    config: PipelineConfig, scene: LineageContext
) -> None:
    event = told(config, "evaluation", scene)
    assert [one["name"] for one in event["inputs"]] == [
        "models:/transit_delay", "models:/transit_delay@champion", "transit_delay.holdout",
    ]  # fmt: skip
    (gate,) = event["run"]["facets"]["test"]["tests"]
    assert (gate["type"], gate["status"], gate["severity"]) == ("Q01", "fail", "error")
    assert [Path(one["name"]).name for one in event["outputs"]] == ["decisions"]


def test_only_a_promotion_writes_the_champion(config: PipelineConfig, scene: LineageContext) -> None:
    champion = told(config, "release", scene)["outputs"][-1]
    assert champion["name"] == "models:/transit_delay@champion"
    assert champion["facets"]["version"]["datasetVersion"] == "4"
    kept = Promotion(outcome="kept_champion", version=4, champion=3, previous=3, reasons=("worse",))
    other = scene._replace(data=scene.data.with_output(kept))
    assert [Path(one["name"]).name for one in told(config, "release", other)["outputs"]] == ["decisions"]


def test_many_files_come_in_several_events(config: PipelineConfig, scene: LineageContext) -> None:
    numbers = range(2 * MOST_DATASETS + 5)
    files, batches = tuple(map(file, numbers)), tuple(map(batch, numbers))
    many = scene.data.model_copy(update={"files": files, "batches": batches})
    events = StageEvents("perennial", config, "ingestion", NOW, None)
    found = as_json(events, stage_datasets("ingestion", scene._replace(data=many)))
    assert [one["eventType"] for one in found] == ["RUNNING", "RUNNING", "COMPLETE"]
    assert [len(one["inputs"]) for one in found] == [MOST_DATASETS, MOST_DATASETS, 5]
    assert [len(one["outputs"]) for one in found] == [0, 0, 2]
    assert len({one["run"]["runId"] for one in found}) == 1


# ------------------------------------------------------------------------------------------------ names
@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://anna:token@git.example/team/repo.git", "https://git.example/team/repo.git"),
        ("git@git.example:team/repo.git", "ssh://git.example/team/repo.git"),
        ("ssh://git@git.example:2222/team/repo.git", "ssh://git.example:2222/team/repo.git"),
        ("/srv/git/repo.git", ""),
        ("../repo", ""),
        ("file:///srv/git/repo.git", ""),
        ("", ""),
    ],
)
def test_a_remote_is_told_without_credentials(remote: str, url: str) -> None:
    assert remote_url(remote) == url


@pytest.mark.parametrize(
    ("address", "namespace", "name"),
    [
        ("/data/a b.csv", "file", "/data/a b.csv"),
        ("file:///data/a.csv", "file", "/data/a.csv"),
        ("s3://key:secret@bucket/folder/a.csv", "s3://bucket", "folder/a.csv"),
        ("abfss://box@account.dfs.core.windows.net/a.csv", "abfss://box@account.dfs.core.windows.net", "a.csv"),
        ("https://x.example/a.csv?sig=secret", "https://x.example", "a.csv"),
    ],
)
def test_datasets_are_named_by_the_rules(address: str, namespace: str, name: str) -> None:
    found = naming.of_address(address)
    assert (found.namespace, found.name) == (namespace, name)
    assert "secret" not in found.uri


def test_code_is_told_by_its_remote(tmp_path: Path) -> None:
    assert source_location(tmp_path) == {}
    git = shutil.which("git")
    assert git is not None
    subprocess.run([git, "init", "-q", tmp_path], check=True)
    assert source_location(tmp_path) == {}, "a checkout without a remote"
    remote = "https://anna:token@git.example/team/repo.git"
    subprocess.run([git, "-C", tmp_path, "remote", "add", "origin", remote], check=True)
    found = source_location(tmp_path)["sourceCodeLocation"]
    assert isinstance(found, SourceCodeLocationJobFacet)
    assert (found.type, found.url, found.version) == ("git", "https://git.example/team/repo.git", git_commit() or None)


@pytest.mark.parametrize(
    ("uri", "namespace"),
    [
        ("https://anna:secret@mlflow.example:5000", "https://mlflow.example:5000"),
        ("postgresql://anna:secret@db.example/mlflow?sslmode=require", "postgresql://db.example/mlflow"),
        ("sqlite:////state/mlflow.db", "sqlite:////state/mlflow.db"),
    ],
)
def test_a_registry_is_named_without_its_password(uri: str, namespace: str) -> None:
    settings = Settings(home=Path("/h"), mlflow_tracking_uri=uri)
    assert naming.model(settings, "x", "champion")[:2] == (namespace, "models:/x@champion")


# ------------------------------------------------------------------------------------------------ where they go
def emit(settings: Settings, config: PipelineConfig) -> list[str]:
    """Two stages, the second fails; what was reported meanwhile."""
    said: list[str] = []
    with channel(settings, config.name, PARENT, said.append):
        with emit_stage(config, "features", StageData(dataset=EMPTY), at=NOW) as running:
            training_set = made(config).training_set
            assert training_set is not None
            running.add_output(training_set)
        with pytest.raises(DataRejectedError), emit_stage(config, "training", running.data, at=NOW):
            raise DataRejectedError("the target has one class")
    return said


@pytest.fixture
def lake(settings: Settings, config: PipelineConfig) -> Settings:
    """A home whose lake has tables, at version 0."""
    Lake(settings, config).create()
    return settings


def test_a_file_holds_every_event(lake: Settings, config: PipelineConfig) -> None:
    assert emit(lake, config) == []
    events = read_events(events_file(lake, config.name))
    assert [one["eventType"] for one in events] == ["START", "COMPLETE", "START", "FAIL"]
    assert len({one["run"]["runId"] for one in events}) == 2
    assert events[-1]["run"]["facets"]["errorMessage"]["message"] == "the target has one class"
    assert events[0]["inputs"]
    assert not events[0]["outputs"]


def test_an_interrupted_stage_aborts(lake: Settings, config: PipelineConfig) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        channel(lake, config.name, None, pytest.fail),
        emit_stage(config, "training", StageData(), at=NOW),
    ):
        raise KeyboardInterrupt
    assert [one["eventType"] for one in read_events(events_file(lake, config.name))] == ["START", "ABORT"]


def test_disabled_makes_no_events(lake: Settings, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    emit(lake, config)
    assert not events_file(lake, config.name).exists()


def test_an_endpoint_takes_the_same_events(
    lake: Settings, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver() as endpoint:
        monkeypatch.setenv("OPENLINEAGE_URL", endpoint.url)
        assert emit(lake, config) == []
    assert endpoint.paths == {"/api/v1/lineage"}
    kept = read_events(events_file(lake, config.name))
    for one in endpoint.events:
        one["run"]["facets"].pop("tags")  # the library's own: its version
    assert endpoint.events == kept


def test_an_endpoint_may_be_told_by_a_file(
    lake: Settings, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with receiver() as endpoint:
        path = tmp_path / "openlineage.yml"
        path.write_text(f"transport: {{type: http, url: '{endpoint.url}', endpoint: lineage}}\n", encoding="utf-8")
        monkeypatch.setenv("OPENLINEAGE_CONFIG", str(path))
        assert emit(lake, config) == []
    assert len(endpoint.events) == 4
    assert endpoint.paths == {"/lineage"}


@pytest.mark.parametrize("kind", ["hangs", "closed", "babbles", "refuses"])
def test_a_bad_endpoint_costs_little_and_is_told(
    lake: Settings, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    brief = lake.model_copy(update={"lineage_wait": 0.5})
    with odd_endpoint(None) as hanging, odd_endpoint(b"\x00\xffwhat?\r\n\r\n") as babbling, receiver(403) as refusing:
        url = {"hangs": hanging, "closed": closed_port(), "babbles": babbling, "refuses": refusing.url}[kind]
        url = url.replace("//", "//anna:secret@")
        monkeypatch.setenv("OPENLINEAGE_URL", url)
        started = time.monotonic()
        said = emit(brief, config)
        assert time.monotonic() - started < 2.5
    assert len(said) == 1
    assert "of 4 OpenLineage events were not delivered" in said[0]
    assert str(events_file(brief, config.name)) in said[0]
    assert "secret" not in said[0]
    assert len(read_events(events_file(brief, config.name))) == 4


def test_a_mistake_in_the_settings_is_told(
    lake: Settings, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "pigeon")
    (said,) = emit(lake, config)
    assert said.startswith("4 of 4 OpenLineage events were not delivered (")


def test_a_file_that_cannot_be_written_is_told_and_no_run_fails(
    lake: Settings, config: PipelineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.lineage.write_text("not a folder", encoding="utf-8")
    with receiver() as endpoint:
        monkeypatch.setenv("OPENLINEAGE_URL", endpoint.url)
        (said,) = emit(lake, config)
    assert "can't be written" in said
    assert len(endpoint.events) == 4, "the endpoint has them all the same"


def test_a_stage_whose_data_are_gone_tells_that_it_failed(lake: Settings, config: PipelineConfig) -> None:
    said: list[str] = []
    gone = DATASET.model_copy(update={"observations": 99})
    with (
        pytest.raises(DataRejectedError),
        channel(lake, config.name, None, said.append),
        emit_stage(config, "features", StageData(dataset=gone), at=NOW),
    ):
        raise DataRejectedError("version 99 is gone")
    assert len(said) == 1
    assert said[0].startswith("OpenLineage events of features lack versions and sizes: ")
    assert [one["eventType"] for one in read_events(events_file(lake, config.name))] == ["START", "FAIL"]


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    code = (
        "import sys; from pathlib import Path; from tasks.stores.lineage.emitter import append\n"
        "for _ in range(300): append(Path(sys.argv[1]), sys.argv[2] * 20000)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), one], cwd=ROOT) for one in "ab"]
    assert [one.wait(60) for one in children] == [0, 0]
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == ["a" * 20000] * 300 + ["b" * 20000] * 300


def test_a_line_cut_short_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        append(Path("/dev/full"), "line")


def test_the_library_is_not_imported_before_there_is_an_event() -> None:
    code = "import sys, tasks.stores.lineage.emitter; sys.exit('openlineage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
