"""What people do between runs: fix a YAML, drop a column, change a type, land labels late, take a file away."""

from __future__ import annotations

import pytest

from tests.support.world import NEVER_RETRAIN, World, trips

pytestmark = pytest.mark.usefixtures("server")
LATE = {"labels": {"landing": "late_labels"}, "retrain": {"new_rows": 100_000, "on_drift": True}}


def test_a_mended_delimiter_takes_the_file_that_was_refused(world: World) -> None:
    world.pipeline("repaired", {"source": {"delimiter": ";"}})
    world.land("repaired", "a.csv", trips(0, 150, seed=1))
    assert world.run("repaired").outcome == "data_rejected"
    assert world.run("repaired").outcome == "nothing_to_do"
    world.pipeline("repaired", {"source": {"delimiter": ","}})
    assert world.run("repaired").outcome == "promoted"
    assert world.ledger("repaired")["a.csv"].verdict == "accepted"
    assert len(world.row_ids("repaired")) == 150


def test_a_column_that_the_champion_takes_can_be_dropped(world: World) -> None:
    world.pipeline("dropped", {"evaluation": {"comparison": {"mode": "non_inferiority", "margin": 100.0}}})
    world.land("dropped", "a.csv", trips(0, 150, seed=1))
    assert world.run("dropped").champion == 1
    features = {"features": {"numeric": ["x1"], "categorical": ["kind"]}}
    loose = {"evaluation": {"comparison": {"mode": "non_inferiority", "margin": 100.0}}}
    world.pipeline("dropped", {**features, **loose}, drop="contract.columns.x2")
    world.land("dropped", "b.csv", trips(150, 150, seed=2).drop(columns="x2"))
    report = world.run("dropped")
    assert (report.outcome, report.champion, report.scored) == ("promoted", 2, 150)


def test_another_type_of_a_column_is_wrong_use(world: World) -> None:
    from tasks.lifecycle.execute import LifecycleError

    world.pipeline("retyped")
    world.land("retyped", "a.csv", trips(0, 150, seed=1))
    assert world.run("retyped").champion == 1
    world.pipeline("retyped", {"contract": {"columns": {"id": {"type": "string"}}}})
    world.land("retyped", "b.csv", trips(150, 50, seed=2))
    with pytest.raises(LifecycleError, match=r"contract\.columns\.id: found type string, but it is int64") as caught:
        world.run("retyped")
    assert caught.value.exit_code == 2
    assert len(world.row_ids("retyped")) == 150
    assert world.alias("retyped") == 1


def test_a_regressor_for_a_classification_is_wrong_use(world: World) -> None:
    from tasks.lifecycle.execute import LifecycleError

    task = {"task": "classification", "evaluation": {"primary": "log_loss"}}
    world.pipeline("mixed", {**task, "contract": {"columns": {"y": {"type": "integer"}}}})
    rows = trips(0, 150, seed=1)
    world.land("mixed", "a.csv", rows.assign(y=(rows["y"] > 0).astype(int)))
    with pytest.raises(LifecycleError, match=r"Ridge is not a classifier") as caught:
        world.run("mixed")
    assert caught.value.exit_code == 2


def test_drift_seen_before_the_labels_makes_a_training_due_when_they_come(world: World) -> None:
    world.pipeline("late", LATE)
    old, new = trips(0, 200, seed=1), trips(200, 200, seed=2, shift=8.0)
    world.land("late", "a.csv", old.drop(columns="y"))
    world.land("late_labels", "a.csv", old[["id", "y"]])
    assert world.run("late").outcome == "promoted"
    world.land("late", "b.csv", new.drop(columns="y"))
    report = world.run("late")
    assert report.drift is not None
    assert (report.drift.state, report.outcome) == ("act", "kept_champion")
    world.land("late_labels", "b.csv", new[["id", "y"]])
    report = world.run("late")
    assert report.drift is not None
    assert report.drift.state == "act"
    assert report.version == 2


def test_batches_of_a_run_that_ended_early_are_still_looked_at(world: World) -> None:
    from tests.support.direct import ingest

    world.pipeline("early", NEVER_RETRAIN)
    world.land("early", "a.csv", trips(0, 200, seed=1))
    assert world.run("early").outcome == "promoted"
    world.land("early", "b.csv", trips(200, 200, seed=2, shift=8.0))
    ingest("early")  # as a run that was killed right after
    report = world.run("early")
    assert report.scored == 200
    assert report.drift is not None
    assert report.drift.state == "act"


def test_predictions_begin_after_the_first_champion_s_training(world: World) -> None:
    strict = {"evaluation": {"bounds": [{"metric": "r2", "minimum": 0.99}]}}
    world.pipeline("strict", strict)
    world.land("strict", "a.csv", trips(0, 150, seed=1, weak=True))
    assert world.run("strict").champion is None
    world.pipeline("strict", {"evaluation": {"bounds": []}})
    world.land("strict", "b.csv", trips(150, 150, seed=2))
    assert world.run("strict").champion == 2
    assert world.run("strict").scored == 0
    assert world.row_ids("strict", "predictions") == []


def test_rows_whose_file_was_taken_away_are_entered_in_the_ledger(world: World) -> None:
    from tasks.stores.lake.tables import Lake
    from tests.support.direct import ingest

    config = world.pipeline("gone")
    path = world.land("gone", "a.csv", trips(0, 150, seed=1))
    ingest("gone")
    # As after a kill between the rows and the ledger, with the file moved away since.
    ledger = world.home / "lake" / "gone" / "batches" / "_delta_log" / "00000000000000000001.json"
    ledger.unlink()
    path.unlink()
    assert Lake(world.settings, config).ledger() == []
    assert world.run("gone").outcome == "promoted"
    (entry,) = Lake(world.settings, config).ledger()
    assert (entry.accepted, entry.verdict) == (150, "accepted")
    assert "removed" in entry.reasons[0]
    assert len(world.row_ids("gone")) == 150
