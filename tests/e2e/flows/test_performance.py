"""Labels that come later show how good the champion's predictions were: a verdict, an event, a new model."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc
import pytest
from sqlalchemy import text

from tasks.records.decision import PerformanceVerdict
from tasks.stores.lake.tables import Lake
from tasks.stores.state.database import connect
from tests.support.command import Cli
from tests.support.world import World, trips

pytestmark = pytest.mark.usefixtures("server")
NAME = "later"
LATER: dict[str, Any] = {
    "labels": {"landing": "later_labels"},
    "retrain": {"new_rows": 100_000, "on_drift": False},
    "monitoring": {"window_batches": 2, "performance": {"min_rows": 60}},
}


def land(world: World, file: str, rows: Any, part: str) -> None:
    if part == "observations":
        world.land(NAME, file, rows.drop(columns="y"))
    else:
        world.land("later_labels", file, rows[["id", "y"]])


def verdicts(world: World) -> list[PerformanceVerdict]:
    rows = Lake(world.settings, world.config(NAME)).read("decisions", where=pc.field("kind") == "performance")
    return [
        PerformanceVerdict.model_validate_json(record) for record in rows.sort_by("at").column("record").to_pylist()
    ]


def events(world: World, name: str) -> int:
    with connect(world.settings).connect() as connection:
        rows = connection.execute(text("select body from outbox where event = :name"), {"name": name})
        return len(rows.all())


def stages(report: Any) -> list[str]:
    return [stage.name for stage in report.stages]


@pytest.fixture(scope="module")
def later(module_world: World) -> World:
    """A champion, and a batch that it has scored and that has no label yet."""
    module_world.pipeline(NAME, LATER)
    for part in ("observations", "labels"):
        land(module_world, "a.csv", trips(0, 200, seed=1), part)
    assert module_world.run(NAME).outcome == "promoted"
    land(module_world, "b.csv", trips(200, 100, seed=2), "observations")
    return module_world


def test_predictions_without_a_label_are_unknown(later: World) -> None:
    report = later.run(NAME)
    assert report.scored == 100
    found = report.performance
    assert found is not None
    assert (found.state, found.rows, found.batches) == ("unknown", 0, ())
    assert found.reasons == ("0 predicted rows have a label, at least 60 are needed",)


def test_labels_that_come_later_are_looked_at_once(later: World) -> None:
    land(later, "b.csv", trips(200, 100, seed=2), "labels")
    before = len(verdicts(later))
    report = later.run(NAME)
    found = report.performance
    assert found is not None
    assert (found.state, found.champion, found.metric, found.rows) == ("ok", 1, "mae", 100)
    assert found.batches == ("b.csv",)
    assert found.interval is not None
    assert found.limit is not None
    assert found.interval.high < found.limit
    assert "monitoring" in stages(report)
    assert report.outcome == "kept_champion"
    assert len(verdicts(later)) == before + 1
    assert later.run(NAME).performance == found  # nothing is new: the stored verdict is read
    assert len(verdicts(later)) == before + 1


def test_a_metric_is_what_a_person_would_compute(later: World) -> None:
    """The stored predictions and labels of the batch, without our code."""
    import pandas as pd

    lake = Lake(later.settings, later.config(NAME))
    predicted = lake.read("predictions").to_pandas()[["id", "prediction"]]
    labels = pd.concat(pd.read_csv(path) for path in sorted(later.landing("later_labels").glob("*.csv")))
    both = predicted.merge(labels, on="id")
    assert len(both) == 100
    assert verdicts(later)[-1].current == pytest.approx((both["prediction"] - both["y"]).abs().mean())


def test_the_command_tells_both_verdicts(later: World, cli: Cli) -> None:
    said = cli("monitor", NAME, "--json")
    found = said.json()
    assert said.code == 0
    assert (found["pipeline"], found["state"], found["champion"]) == (NAME, "ok", 1)
    assert {"reasons", "columns", "window_rows", "batches"} <= found.keys()
    assert (found["performance"]["state"], found["performance"]["rows"]) == ("ok", 100)
    assert f"{NAME}: performance ok" in cli("monitor", NAME).out


def test_a_degraded_champion_makes_an_event_and_a_new_model(later: World) -> None:
    worse = trips(300, 100, seed=3)
    worse["y"] = 9.0 - worse["y"]  # the inputs are as ever: drift can't tell
    land(later, "c.csv", worse, "observations")
    report = later.run(NAME)
    assert report.drift is not None
    assert report.drift.state == "ok"
    assert events(later, "perennial.performance.degraded") == 0
    land(later, "c.csv", worse, "labels")
    report = later.run(NAME)
    found = report.performance
    assert found is not None
    assert (found.state, found.rows, found.batches) == ("act", 200, ("b.csv", "c.csv"))
    assert events(later, "perennial.performance.degraded") == 1
    decided = next(stage for stage in report.stages if stage.name == "decision")
    assert decided.note == "performance verdict: act"
    assert report.version == 2


def test_status_shows_the_newest_verdict(later: World, cli: Cli) -> None:
    found = cli("status", NAME, "--json").json()
    assert found["performance"] == "act"
    assert "the limit is" in found["performance_reason"]
    assert "performance: act (mae" in cli("status", NAME).out


def test_labels_that_land_with_the_observations_count_too(world: World) -> None:
    world.pipeline("with", {"retrain": {"new_rows": 100_000}})
    world.land("with", "a.csv", trips(0, 200, seed=1))
    assert world.run("with").outcome == "promoted"
    report = world.run("with")
    assert report.performance is None or report.performance.state == "unknown"
    world.land("with", "b.csv", trips(200, 120, seed=2))
    report = world.run("with")
    assert report.performance is not None
    assert (report.performance.state, report.performance.rows) == ("ok", 120)
