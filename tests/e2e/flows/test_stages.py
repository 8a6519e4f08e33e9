"""Only what changed runs again: the stages downstream of a change, and with the outcome of a clean run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flows.context import clock
from flows.plan import Plan, plan
from tasks.stores.manifests import Manifests
from tests.support.command import Cli
from tests.support.world import World, merged, trips

if TYPE_CHECKING:
    from tasks.refs import LifecycleReport
    from tasks.stage_names import StageName

NAME = "stages"
RENEWED = ["features", "training", "evaluation", "release"]
DATA: dict[str, Any] = {"retrain": {"new_rows": 1, "on_drift": False, "on_degraded": False}}


class Story:
    """A pipeline that changes one thing at a time."""

    def __init__(self, world: World) -> None:
        self.world, self.number = world, 0
        self.changes: dict[str, Any] = dict(DATA)
        world.pipeline(NAME, self.changes)
        self.land()

    def land(self) -> None:
        self.number += 1
        self.world.land(NAME, f"{self.number}.csv", trips(self.number * 200, 200, seed=self.number))

    def change(self, what: dict[str, Any]) -> None:
        self.number += 1
        merged(self.changes, what)
        self.world.pipeline(NAME, self.changes)

    def plan(self) -> dict[str, str]:
        return {one.stage: one.action for one in self.planned().stages}

    def planned(self) -> Plan:
        return plan(self.world.config(NAME), self.world.settings, clock(None))

    def run(self) -> LifecycleReport:
        return self.world.run(NAME)


@pytest.fixture(scope="module")
def story(module_world: World) -> Story:
    found = Story(module_world)
    assert found.run().outcome == "promoted"
    return found


def ran(report: LifecycleReport) -> list[str]:
    """Stages of the training that really ran."""
    return [one.name for one in report.stages if one.name in RENEWED and one.state == "done"]


CHANGES: dict[str, tuple[Callable[[Story], None], list[str]]] = {
    "nothing": (lambda _: None, []),
    "a description": (lambda one: one.change({"description": f"the {one.number}th"}), []),
    "how it is watched": (lambda one: one.change({"monitoring": {"min_rows": 50 + one.number}}), []),
    "how the lake is kept": (lambda one: one.change({"upkeep": {"keep_days": float(one.number)}}), []),
    "a bound": (
        lambda one: one.change({"evaluation": {"bounds": [{"metric": "mae", "maximum": 5.0 + one.number}]}}),
        ["evaluation", "release"],
    ),
    "a rule": (
        lambda one: one.change({"policy": {"min_training_rows": 20 + one.number}}),
        ["evaluation", "release"],
    ),
    "a parameter": (
        lambda one: one.change({"training": {"parameters": {"alpha": 1.0 + one.number / 1000}}}),
        ["training", "evaluation", "release"],
    ),
    "a seed": (lambda one: one.change({"seed": one.number}), ["training", "evaluation", "release"]),
    "features": (
        lambda one: one.change(
            {"features": {"calendar": ["hour", "day"][one.number % 2 :], "scale": bool(one.number % 3)}}
        ),
        ["training", "evaluation", "release"],
    ),
    "a split": (
        lambda one: one.change({"split": {"holdout": 0.3 + one.number / 10_000}}),
        ["features", "training", "evaluation", "release"],
    ),
    "a batch": (lambda one: one.land(), ["features", "training", "evaluation", "release"]),
}


@settings(max_examples=8, deadline=None, phases=[Phase.generate])  # each example is a step of one story
@given(what=st.sampled_from([name for name in CHANGES if name != "features"]))
def test_of_a_single_change_just_the_stages_downstream_run_and_come_to_what_a_clean_run_does(
    story: Story, what: str
) -> None:
    apply, stages = CHANGES[what]
    apply(story)
    planned = story.plan()
    if what == "a batch":  # what it brings is not known before
        assert planned.pop("ingestion") == "run"
        assert set(planned.values()) == {"depends"}
    else:
        assert [stage for stage, action in planned.items() if action == "run"] == stages
    report = story.run()
    assert ran(report) == stages
    assert story.planned().idle
    kept = outcome(story)
    assert clean(story, kept) == kept


def outcome(story: Story) -> tuple[Any, ...]:
    """What the last stages came to: the model as an object, its training set, and the verdict on it."""
    from tasks.refs import ModelRef, TrainingSetRef, Verdict
    from tasks.stores.models import MODEL_FILE, load

    manifests = Manifests(story.world.settings, NAME)
    found: dict[StageName, Any] = {"features": TrainingSetRef, "training": ModelRef, "evaluation": Verdict}
    made = {}
    for stage, kind in found.items():
        newest = manifests.newest(stage)
        assert newest is not None
        made[stage] = manifests.output(newest, kind)
    verdict = made["evaluation"]
    gates = [(gate.code, gate.outcome, gate.reason) for gate in verdict.gates]
    ridge = load(Path(made["training"].folder) / MODEL_FILE)[-1]
    model = (ridge.coef_.tobytes(), ridge.intercept_)
    return made["features"].digest, model, verdict.metrics, verdict.comparison, verdict.champion_version, gates


def clean(story: Story, kept: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same of a run in which every stage runs. Its candidate is never better than its like by the margin."""
    from flows.lifecycle import lifecycle

    report = lifecycle(NAME, start_from="features", force=("features", "training", "evaluation"))
    assert ran(report) == ["features", "training", "evaluation", "release"]
    again = outcome(story)
    if again[4] != kept[4]:  # the champion is judged against the one before it; a new copy of it against the champion
        return (*again[:3], *kept[3:])
    return again


def test_a_champion_s_columns_are_kept_for_it(story: Story) -> None:
    apply, stages = CHANGES["features"]
    for _ in range(2):
        apply(story)
        assert ran(story.run()) in (stages, ["features", *stages])


def test_until_ends_a_run_and_the_next_one_goes_on(story: Story, cli: Cli) -> None:
    story.change({"split": {"holdout": 0.21}})
    for until, now, then in (
        ("features", ["features"], ["training", "evaluation", "release"]),
        ("training", ["training"], ["evaluation", "release"]),
        ("evaluation", ["evaluation"], ["release"]),
    ):
        said = cli("run", NAME, "--until", until, "--json")
        assert (said.code, said.json()["outcome"]) == (0, "stopped"), said.err
        done = [one["name"] for one in said.json()["stages"] if one["state"] == "done"]
        assert [name for name in done if name in RENEWED] == now
        assert [stage for stage, action in story.plan().items() if action == "run"] == then
    assert ran(story.run()) == ["release"]
    assert story.planned().idle


def test_a_failed_run_goes_on_where_it_stopped(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.train
    from flows.lifecycle import LifecycleError

    def broken(*_: object) -> None:
        raise MemoryError("no memory left for a verdict")

    story.land()
    story.change({"seed": 77})
    with monkeypatch.context() as patch:
        patch.setattr(flows.train, "judge", broken)
        with pytest.raises(LifecycleError, match="no memory left"):
            story.run()
    assert [stage for stage, action in story.plan().items() if action == "run"] == ["evaluation", "release"]
    assert ran(story.run()) == ["evaluation", "release"]


def test_what_is_gone_is_made_again(story: Story) -> None:
    shutil.rmtree(story.world.settings.state / "training" / NAME)
    assert story.planned().idle, "nothing asks for it"
    story.change({"seed": 78})
    planned = {one.stage: one for one in story.planned().stages}
    assert planned["features"].reasons == ("train.arrow of the training set is not there any more",)
    assert ran(story.run()) == ["features", "training", "evaluation", "release"]


def test_the_champion_judged_by_other_gates_stays_and_is_told(story: Story) -> None:
    story.change({"evaluation": {"bounds": [], "comparison": {"mode": "non_inferiority", "margin": 9.0}}})
    story.land()
    assert story.run().outcome == "promoted"
    champion = story.world.alias(NAME)
    story.change({"evaluation": {"bounds": [{"metric": "mae", "maximum": 0.0001}]}})
    report = story.run()
    assert (ran(report), report.outcome, report.champion) == (["evaluation", "release"], "kept_champion", champion)
    assert "at most 0.0001 is asked" in report.reasons[0]
    story.change({"evaluation": {"bounds": []}})
    assert ran(story.run()) == [], "judged so before"
    assert story.world.alias(NAME) == champion


def test_force_runs_a_stage_though_nothing_changed(story: Story, cli: Cli) -> None:
    assert story.planned().idle
    said = cli("run", NAME, "--force", "evaluation", "--json")
    states = {one["name"]: one["state"] for one in said.json()["stages"]}
    assert (states["features"], states["training"], states["evaluation"]) == ("reused", "reused", "done")
    said = cli("run", NAME, "--from", "training", "--until", "training", "--force", "features")
    assert (said.code, "features can't be forced in a run from training until training" in said.err) == (2, True)
    said = cli("run", NAME, "--from", "evaluation", "--until", "features")
    assert (said.code, "a run from evaluation until features has no stage" in said.err) == (2, True)


def test_reused_stages_are_cached_in_prefect_s_eyes(story: Story, server: str) -> None:
    story.change({"evaluation": {"bounds": [{"metric": "mae", "maximum": 44.0}]}})
    story.run()
    with httpx.Client(base_url=server) as client:
        flow = {"flows": {"name": {"any_": ["train"]}}, "sort": "START_TIME_DESC", "limit": 1}
        (newest,) = client.post("/flow_runs/filter", json=flow).json()
        mine = {"flow_runs": {"id": {"any_": [newest["id"]]}}}
        found = {one["name"]: one for one in client.post("/task_runs/filter", json=mine).json()}
    assert (found["training-set"]["state"]["type"], found["training-set"]["state"]["name"]) == ("COMPLETED", "Cached")
    assert found["fit"]["state"]["name"] == "Cached"
    judged = next(one for name, one in found.items() if name.startswith("judge"))
    assert judged["state"]["name"] == "Completed"


def test_a_damaged_manifest_is_told_and_nothing_is_run(story: Story, cli: Cli) -> None:
    import sqlite3

    place = story.world.settings.state / "audit.db"
    newest = "(SELECT max(id) FROM manifests WHERE stage = 'training')"
    with sqlite3.connect(place) as connection:
        ((kept,),) = connection.execute(f"SELECT manifest FROM manifests WHERE id = {newest}").fetchall()  # noqa: S608
        connection.execute(f"UPDATE manifests SET manifest = '{{}}' WHERE id = {newest}")  # noqa: S608
    try:
        for words in (("plan", NAME), ("run", NAME, "--force", "evaluation")):
            said = cli(*words)
            assert said.code == 1
            assert "manifest" in said.err
            assert "(training) in the state database is damaged" in said.err
            assert "Traceback" not in said.err
    finally:
        with sqlite3.connect(place) as connection:
            connection.execute(f"UPDATE manifests SET manifest = ? WHERE id = {newest}", (kept,))  # noqa: S608
    assert story.planned().idle


def test_manifests_tell_what_a_stage_cost(story: Story) -> None:
    manifests = Manifests(story.world.settings, NAME).all()
    assert {one.stage for one in manifests} == {"ingestion", "features", "training", "evaluation", "release"}
    assert all(one.cost.seconds > 0 and one.cost.peak_mebibytes > 50 for one in manifests)
    assert all(one.cost.cpu_seconds > 0 for one in manifests if one.stage == "training")
    assert all(one.run for one in manifests)
