"""Where a life starts: each value of `start_from` runs its stages and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tasks.lifecycle.up_to_date import decided, undeployed
from tests.support.world import NEVER_RETRAIN, World, trips

if TYPE_CHECKING:
    from tasks.records.report import LifecycleReport
    from tasks.records.stages import StartFrom

NAME = "starts"
RENEWED = ["features", "training", "evaluation", "release"]


@pytest.fixture(scope="module")
def grown(module_world: World) -> World:
    """A pipeline with a champion that does not train again by itself, and a file that came in since."""
    module_world.pipeline(NAME, NEVER_RETRAIN)
    module_world.land(NAME, "first.csv", trips(0, 200, seed=1))
    assert module_world.run(NAME).outcome == "promoted"
    module_world.land(NAME, "second.csv", trips(200, 50, seed=2))
    from tests.support.direct import ingest

    assert len(ingest(NAME).accepted) == 1
    return module_world


def start(start_from: StartFrom) -> tuple[list[str], LifecycleReport]:
    """Stages that ran, and the report."""
    from tests.support.direct import lifecycle

    report = lifecycle(NAME, start_from=start_from)
    return [one.name for one in report.stages], report


def training_sets(world: World) -> dict[str, int]:
    """When each stored training set was made."""
    base = world.settings.state / "training" / NAME
    return {one.parent.name: one.stat().st_mtime_ns for one in base.glob("*/train.arrow")}


@pytest.fixture(autouse=True)
def never(grown: World) -> None:
    """No test leaves another policy to the next."""
    grown.pipeline(NAME, NEVER_RETRAIN)


def test_a_decision_takes_in_nothing_and_trains_only_if_the_policy_says_so(grown: World) -> None:
    assert not decided(grown.config(NAME), grown.settings)
    grown.land(NAME, "third.csv", trips(250, 20, seed=3))
    stages, report = start("decision")
    assert stages == ["scoring", "monitoring", "decision"]
    assert (report.scored, report.champion, report.ingest.batches) == (50, 1, ())
    assert "third.csv" not in grown.ledger(NAME)
    assert report.version is None
    assert decided(grown.config(NAME), grown.settings)


def test_a_decision_trains_where_the_policy_says_so(grown: World) -> None:
    grown.pipeline(NAME, {"retrain": {"new_rows": 1, "on_drift": False}})
    stages, report = start("decision")
    assert stages[-5:] == ["decision", *RENEWED]
    assert report.version == 2


def test_features_trains_without_asking_where_the_data_changed(grown: World) -> None:
    grown.land(NAME, "more.csv", trips(260, 20, seed=5))
    from tests.support.direct import ingest

    ingest(NAME)
    before = training_sets(grown)
    stages, report = start("features")
    assert stages == RENEWED
    assert report.version is not None
    assert set(training_sets(grown)).isdisjoint(before)

    stages, again = start("features")
    assert [one.state for one in again.stages] == ["reused", "reused", "reused", "skipped"]
    assert again.outcome == "nothing_to_do"
    assert again.reasons == ("every stage is as before: nothing that it depends on changed",)


def test_training_takes_the_last_training_set_whatever_came_since(grown: World) -> None:
    before = training_sets(grown)
    assert len(before) == 1
    from tests.support.direct import ingest

    ingest(NAME)  # the third file
    stages, report = start("training")
    assert stages == RENEWED
    assert [one.state for one in report.stages] == ["reused", "reused", "reused", "skipped"]
    assert training_sets(grown) == before


def test_a_run_from_a_stage_needs_a_result_of_those_before_it(grown: World) -> None:
    from tasks.lifecycle.execute import LifecycleError
    from tests.support.direct import lifecycle

    grown.pipeline("fresh", {})
    for start_from, lacking in (("training", "features"), ("evaluation", "features")):
        with pytest.raises(
            LifecycleError, match=f"no result of {lacking} to take .it never ran.. Start from {lacking}"
        ):
            lifecycle("fresh", start_from=start_from)


def test_release_releases_what_was_judged_and_does_nothing_else(grown: World) -> None:
    from tests.support.direct import train

    grown.land(NAME, "fourth.csv", trips(280, 20, seed=4))
    train(NAME, force=("training",))
    assert len(undeployed(grown.config(NAME), grown.settings)) == 1
    sets = training_sets(grown)
    stages, report = start("release")
    assert stages == ["recovery"]
    assert report.version is not None
    assert undeployed(grown.config(NAME), grown.settings) == []
    assert "fourth.csv" not in grown.ledger(NAME)
    assert training_sets(grown) == sets

    stages, report = start("release")
    assert (stages, report.outcome) == ([], "nothing_to_do")
    assert report.champion is not None
