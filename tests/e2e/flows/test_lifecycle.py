"""A model's life, run by run: each run is a step of one story, and the tests look at what it left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tasks.records.report import LifecycleReport
from tasks.stores.lake import staging
from tasks.stores.lake.tables import Lake
from tasks.stores.registry import models
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state.audit import Audit
from tests.support.world import World, trips

NAME = "story"
WAITS: dict[str, Any] = {"retrain": {"new_rows": 1000, "on_drift": True}}


@dataclass
class Story:
    """What the runs reported, by the name of the step, and what lay there after each."""

    world: World
    reports: dict[str, LifecycleReport] = field(default_factory=dict)
    trained: dict[str, list[int]] = field(default_factory=dict)
    held_out: dict[str, pa.Table] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)
    alias: dict[str, int | None] = field(default_factory=dict)

    def step(self, name: str) -> None:
        report = self.world.flow(NAME)
        self.reports[name] = report
        self.rows[name] = self.world.row_ids(NAME)
        self.alias[name] = self.world.alias(NAME)
        if report.gates:
            (folder,) = (self.world.settings.state / "training" / NAME).iterdir()
            self.trained[name] = staging.read(folder / "train.arrow").column("_row_id").to_pylist()
            self.held_out[name] = staging.read(folder / "holdout.arrow")


@pytest.fixture(scope="module")
def story(module_world: World) -> Story:
    told = Story(module_world)
    module_world.pipeline(NAME)
    module_world.land(NAME, "1-weak.csv", trips(0, 120, seed=1, weak=True))
    told.step("first")
    told.step("again")
    module_world.land(NAME, "2-good.csv", trips(1_000, 900, seed=2))
    told.step("better")
    module_world.land(NAME, "3-same.csv", trips(2_000, 120, seed=3))
    told.step("same")
    module_world.pipeline(NAME, WAITS)
    module_world.land(NAME, "4-few.csv", trips(3_000, 60, seed=4))
    told.step("waits")
    module_world.land(NAME, "5-shifted.csv", trips(4_000, 100, seed=5, shift=4.0))
    told.step("drift")
    return told


def test_the_first_model_beats_the_baseline_and_is_champion(story: Story) -> None:
    first = story.reports["first"]
    assert (first.outcome, first.version, first.champion) == ("promoted", 1, 1)
    assert first.metrics["mae"] < first.baseline["mae"]
    assert [stage.name for stage in first.stages][-1] == "release"
    assert {gate.code: gate.outcome for gate in first.gates} == dict.fromkeys(
        ["P01", "Q01", "Q02", "Q05", "S01"], "pass"
    )


def test_a_second_run_does_nothing_and_doubles_nothing(story: Story) -> None:
    assert story.reports["again"].outcome == "nothing_to_do"
    assert story.rows["again"] == story.rows["first"]
    assert len(set(story.rows["first"])) == 120
    assert story.alias["again"] == 1


def test_better_data_promote_a_challenger(story: Story) -> None:
    better = story.reports["better"]
    assert (better.outcome, better.version, better.champion, story.alias["better"]) == ("promoted", 2, 2, 2)
    assert better.metrics["mae"] < better.champion_metrics["mae"]


def test_more_of_the_same_keeps_the_champion(story: Story) -> None:
    same = story.reports["same"]
    assert (same.outcome, same.version, same.champion, story.alias["same"]) == ("kept_champion", 3, 2, 2)
    assert any(reason.startswith("Q02") for reason in same.reasons)


def test_a_candidate_turned_down_stays_as_a_version_with_its_verdict(story: Story) -> None:
    import mlflow

    tracking = Tracking(story.world.settings, NAME)  # points MLflow to this home
    rejected = mlflow.MlflowClient().get_model_version(NAME, "3")
    assert rejected.tags["validation_status"] == "rejected"
    assert mlflow.MlflowClient().get_model_version(NAME, "2").tags["validation_status"] == "passed"
    run_id = tracking.model(3).run_id
    verdict = mlflow.artifacts.load_dict(f"runs:/{run_id}/verdict.json")
    assert verdict["passed"] is False
    assert [gate["code"] for gate in verdict["gates"] if gate["outcome"] == "fail"] == ["Q02"]
    assert models.verify_probe(Path(tracking.model(3).folder)) == ""


def test_reported_metrics_are_those_of_the_registered_model_on_the_holdout(story: Story) -> None:
    from tasks.features.frame import feature_frame

    ref = Tracking(story.world.settings, NAME).model(2)
    table = story.held_out["better"]
    frame = feature_frame(table, ref.feature_columns, story.world.config(NAME).contract.columns)
    predicted, _ = models.predict(models.load(Path(ref.folder) / models.MODEL_FILE), frame)
    errors = np.abs(predicted - table.column("_target").to_numpy())
    assert story.reports["better"].metrics["mae"] == pytest.approx(float(errors.mean()), rel=1e-12)


def test_few_new_rows_wait_and_the_decision_says_how_many(story: Story) -> None:
    waits = story.reports["waits"]
    assert (waits.outcome, waits.version, waits.champion) == ("kept_champion", None, 2)
    assert waits.reasons == ("waits: 60 of 1000 new labelled rows",)
    assert not waits.gates


def test_a_drift_verdict_makes_a_training_due(story: Story) -> None:
    drift = story.reports["drift"]
    assert drift.drift is not None
    assert drift.drift.state == "act"
    assert drift.drift.columns[0].column == "x1"
    assert drift.version == 4
    decisions = Lake(story.world.settings, story.world.config(NAME)).read(
        "decisions", ["outcome", "record"], where=pc.field("kind") == "retrain"
    )
    due = [row["record"] for row in decisions.to_pylist() if row["outcome"] == "due"]
    assert sum("drift verdict: act" in record for record in due) == 1
    before = [report.drift.state for name, report in story.reports.items() if report.drift and name != "drift"]
    assert before
    assert "act" not in before[1:]  # the first drift check holds good data against the weak batch


def test_batches_after_the_first_training_are_scored_once_by_the_champion_of_their_day(story: Story) -> None:
    world = story.world
    stored = Lake(world.settings, world.config(NAME)).read("predictions")
    counts = Counter(stored.column("_row_id").to_pylist())
    assert set(counts.values()) == {1}
    batches = {one.batch: path for path, one in world.ledger(NAME).items()}
    versions = {(batches[row["_batch"]], row["model_version"]) for row in stored.to_pylist()}
    assert versions == {("2-good.csv", 1), ("3-same.csv", 2), ("4-few.csv", 2), ("5-shifted.csv", 2)}
    assert stored.num_rows == 900 + 120 + 60 + 100
    assert [report.scored for report in story.reports.values()] == [0, 0, 900, 120, 60, 100]


def test_the_audit_tells_the_reigns_that_the_alias_had(story: Story) -> None:
    champion_periods = Audit(story.world.settings).champion_periods(NAME)
    seen = [version for version in dict.fromkeys(story.alias.values()) if version is not None]
    assert [reign.version for reign in champion_periods] == seen
    assert champion_periods[-1].until is None
    assert [reign.until for reign in champion_periods[:-1]] == [reign.since for reign in champion_periods[1:]]
    assert {reign.actor for reign in champion_periods} == {"tests"}
    assert story.alias["drift"] == story.reports["drift"].champion == champion_periods[-1].version


def test_no_later_model_trained_on_an_earlier_holdout(story: Story) -> None:
    names = list(story.held_out)
    assert names == ["first", "better", "same", "drift"]
    for index, earlier in enumerate(names):
        held_out = set(story.held_out[earlier].column("_row_id").to_pylist())
        assert held_out
        for later in names[index:]:
            assert not held_out & set(story.trained[later]), f"{later} trained on rows that {earlier} held out"
    assert len(story.trained["same"]) > len(story.trained["better"])


@pytest.mark.parametrize(
    "page", ["validate", "features", "training", "evaluation", "release", "scoring", "drift", "decision"]
)
def test_every_stage_leaves_an_artifact_in_prefect(story: Story, page: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{NAME}-{page}"]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    assert found
    assert all(artifact.flow_run_id and NAME in str(artifact.data) for artifact in found)


def test_labels_that_come_later_in_their_own_feed(story: Story) -> None:
    world, name = story.world, "labels_later"
    world.pipeline(name, {"labels": {"landing": "labels_later_truth"}})
    rows = trips(0, 240, seed=8)
    world.land(name, "rows.csv", rows.drop(columns="y"))
    waiting = world.run(name)
    assert (waiting.outcome, waiting.champion) == ("nothing_to_do", None)
    assert waiting.reasons == ("no labelled row yet",)
    assert len(world.row_ids(name)) == 240

    known = rows[["id", "y"]].head(200)
    world.land("labels_later_truth", "truth.csv", known)
    first = world.run(name)
    assert (first.outcome, first.champion) == ("promoted", 1)
    assert [batch.feed for batch in first.ingest.batches] == ["labels"]
    assert world.row_ids(name, "labels") == sorted(world.row_ids(name, "labels"))
    (folder,) = (world.settings.state / "training" / name).iterdir()
    sides = [staging.read(folder / f"{side}.arrow") for side in ("train", "holdout")]
    assert sum(side.num_rows for side in sides) == 200
    told = sorted(value for side in sides for value in side.column("_target").to_pylist())
    assert told == pytest.approx(sorted(known["y"]), rel=1e-12)
    assert world.run(name).outcome == "nothing_to_do"
