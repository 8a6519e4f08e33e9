"""Only what changed runs again: the stages downstream of a change, and with the outcome of a clean run."""

from __future__ import annotations

import shutil

import httpx
import pytest

from tasks.stores.state.manifests import Manifests
from tests.support.changes import CHANGES, NAME, RENEWED, Story, begun, check_change, ran
from tests.support.command import Cli
from tests.support.world import World


@pytest.fixture(scope="module")
def story(module_world: World) -> Story:
    return begun(module_world)


@pytest.mark.parametrize("what", ["a bound", "a batch"])
def test_of_a_single_change_just_the_stages_downstream_run_and_come_to_what_a_clean_run_does(
    story: Story, what: str
) -> None:
    check_change(story, what)


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
    from tasks.lifecycle import training
    from tasks.lifecycle.execute import LifecycleError

    def broken(*_: object) -> None:
        raise MemoryError("no memory left for a verdict")

    story.land()
    story.change({"seed": 77})
    with monkeypatch.context() as patch:
        patch.setattr(training, "run_evaluation", broken)
        with pytest.raises(LifecycleError, match="no memory left"):
            story.run()
    assert [stage for stage, action in story.plan().items() if action == "run"] == ["evaluation", "release"]
    assert ran(story.run()) == ["evaluation", "release"]


def test_what_is_gone_is_made_again(story: Story) -> None:
    shutil.rmtree(story.world.settings.state / "training" / NAME)
    assert story.planned().idle, "nothing asks for it"
    story.change({"seed": 78})
    planned = {one.stage: one for one in story.planned().stages}
    assert planned["features"].reasons == ("train.arrow of the training set is missing",)
    assert ran(story.run()) == ["features", "training", "evaluation", "release"]


def test_the_champion_judged_by_other_gates_stays_and_is_told(story: Story) -> None:
    story.change({"evaluation": {"bounds": [], "comparison": {"mode": "non_inferiority", "margin": 9.0}}})
    story.land()
    assert story.run().outcome == "promoted"
    champion = story.world.alias(NAME)
    story.change({"evaluation": {"bounds": [{"metric": "mae", "maximum": 0.0001}]}})
    report = story.run()
    assert (ran(report), report.outcome, report.champion) == (["evaluation", "release"], "kept_champion", champion)
    assert "at most 0.0001 is allowed" in report.reasons[0]
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
    story.world.flow(NAME)
    with httpx.Client(base_url=server) as client:
        flow = {"flows": {"name": {"any_": ["train"]}}, "sort": "START_TIME_DESC", "limit": 1}
        (newest,) = client.post("/flow_runs/filter", json=flow).json()
        mine = {"flow_runs": {"id": {"any_": [newest["id"]]}}}
        found = {one["name"]: one for one in client.post("/task_runs/filter", json=mine).json()}
    assert (found["training-set"]["state"]["type"], found["training-set"]["state"]["name"]) == ("COMPLETED", "Cached")
    assert found["fit"]["state"]["name"] == "Cached"
    judged = next(one for name, one in found.items() if name.startswith("evaluate"))
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
    assert any(one.run for one in manifests), "of a run in Prefect"
