"""A version that passed is rolled out: shadow, canary, champion; or moved back, and then never again by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from flows.rollout import RolloutReport
from flows.rollout import rollout as rollout_flow
from tasks.lifecycle.due import due, is_idle
from tasks.lifecycle.up_to_date import undeployed
from tasks.records.rollout import Exposure
from tasks.release.rollout import check as looking
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.audit import MOVE_CHAMPION, Audit
from tasks.stores.state.rollout_checks import last_check
from tasks.stores.state.rollouts import Ending, Rollout
from tests.support.command import Cli, perennial
from tests.support.direct import deploy, ingest, train
from tests.support.openlineage import read_events
from tests.support.rollouts import another, begun, deployed, ended, events, page, serve, tags, under_way
from tests.support.world import NEVER_RETRAIN, World, trips

NAME = "shown"
STEPS: dict[str, Any] = {
    **NEVER_RETRAIN,
    "rollout": {
        "steps": [{"kind": "shadow", "requests": 40}, {"kind": "canary", "share": 0.2, "requests": 40}],
        "look_seconds": 0.2,
    },
}


def look(name: str = NAME) -> RolloutReport:
    """One look."""
    return cast("RolloutReport", rollout_flow(name, once=True))


def whole(world: World, rollout: Rollout, **answers: Any) -> RolloutReport:
    """All looks, with what the service records in each step."""
    serve(world, rollout, 50, **answers)
    found = look(rollout.pipeline)
    if found.outcome == "rolling_out":
        serve(world, under_way(world, rollout.pipeline), 50, **answers)
        found = look(rollout.pipeline)
    return found


@pytest.fixture(scope="module")
def shown(module_world: World) -> World:
    """A pipeline whose versions are rolled out, and its first version, which was champion at once."""
    module_world.pipeline(NAME, STEPS)
    module_world.land(NAME, "a.csv", trips(0, 150, seed=1))
    report = module_world.run(NAME)
    assert (report.outcome, report.champion) == ("promoted", 1)
    return module_world


@pytest.fixture
def calm(shown: World) -> World:
    """Nothing is rolled out."""
    assert rollouts.active(Audit(shown.settings), NAME) is None
    return shown


def exposed(world: World) -> tuple[int, Exposure | None] | None:
    return Tracking(world.settings, NAME).exposed()


# ------------------------------------------------------------------------------------------------ the story
def test_a_version_that_passed_is_shown_first_and_the_champion_stays(calm: World, cli: Cli) -> None:
    one = begun(calm, NAME, flow=True)
    assert (one.version, one.champion, calm.alias(NAME)) == (2, 1, 1)
    found = exposed(calm)
    assert found == (2, one.exposure)
    assert found[1] is not None
    assert (found[1].kind, found[1].share, found[1].rollout) == ("shadow", 0.0, one.id)
    assert events(calm, NAME)[-2:] == [("model.registered", 2), ("rollout.started", 2)]
    assert "shadow, step 1 of 2" in page("shown-release")

    told = cli("run", NAME, "--json").json()
    assert (told["outcome"], told["version"], told["champion"]) == ("rolling_out", 2, 1)
    assert "`perennial rollout shown` continues it" in told["reasons"][0]
    assert is_idle(calm.config(NAME), calm.settings)
    assert undeployed(calm.config(NAME), calm.settings) == []
    (work,) = due(calm.config(NAME), calm.settings)
    assert (work.flow, work.pipeline) == ("rollout", NAME)


def test_without_requests_it_goes_on_and_others_wait(shown: World) -> None:
    found = look()
    assert (found.outcome, found.version, found.champion) == ("rolling_out", 2, 1)
    assert found.reasons[0] == "0 of 40 rows are answered"
    another(shown, NAME)
    again = deployed(NAME)
    assert (again.outcome, again.version) == ("rolling_out", 2)
    assert [outcome for _, _, outcome, _ in candidates.evaluated(Audit(shown.settings), NAME)][-1] == "waiting"


def test_rows_of_before_and_of_other_versions_do_not_count(shown: World) -> None:
    one = under_way(shown, NAME)
    serve(shown, one, 60, at=one.since - timedelta(seconds=1))
    serve(shown, one.model_copy(update={"version": 9}), 60)
    assert look().reasons[0] == "0 of 40 rows are answered"


def test_enough_good_answers_lead_to_the_next_step(shown: World) -> None:
    before = under_way(shown, NAME)
    serve(shown, before, 50)
    found = look()
    assert (found.outcome, found.version) == ("rolling_out", 2)
    now = under_way(shown, NAME)
    assert (now.step, now.exposure.kind, now.exposure.share) == (1, "canary", 0.2)
    assert exposed(shown) == (2, now.exposure)
    assert shown.alias(NAME) == 1
    assert next(iter(due(shown.config(NAME), shown.settings))).flow == "rollout"
    assert look().reasons[0] == "0 of 40 rows are answered", "each step has its own records"
    assert "canary with 0.2 of the keys: 40 rows" in page("shown-rollout")


def test_status_tells_where_it_is(shown: World, cli: Cli) -> None:
    told = cli("status", NAME).out
    assert "rolling out: version 2 beside champion 1: canary with 0.2 of the keys, step 2 of 2; `perennial" in told
    assert "  errors: not_applicable, it was asked nothing yet" in told
    assert "version 2: canary 0.2, 2 of 2" in cli("status").out
    (line,) = cli("status", NAME, "--json").json()["rollouts"]
    assert (line["version"], line["state"], line["step"], line["share"]) == (2, "rolling_out", 1, 0.2)
    assert line["found"]["decision"]["answered"] == 0
    assert "rolling_out" in told


def test_the_last_step_ends_as_champion(shown: World) -> None:
    one = under_way(shown, NAME)
    serve(shown, one, 50, first=100)
    found = look()
    assert (found.outcome, found.champion) == ("promoted", 2)
    assert (shown.alias(NAME), exposed(shown)) == (2, None)
    assert ended(shown, 2, NAME)[0] == "promoted"
    assert events(shown, NAME)[-1] == ("model.promoted", 2)
    assert "rolled out" in Audit(shown.settings).champion_periods(NAME)[-1].reason
    assert "| predictions | **pass** |" in page("shown-rollout")
    rows = Lake(shown.settings, shown.config(NAME)).read("decisions").to_pylist()
    assert [row["outcome"] for row in rows if row["kind"] == "rollout"] == ["promoted"]
    told = read_events(shown.home / "lineage" / "events" / f"{NAME}.jsonl")
    released_last = [one for one in told if one["job"]["name"].endswith("release")][-1]
    assert released_last["eventType"] == "COMPLETE"
    assert any(one["name"].endswith("champion") for one in released_last["outputs"])
    waited = deployed(NAME)
    assert (waited.outcome, waited.version) == ("kept_champion", 3)
    assert waited.reasons == ("it was compared with champion 1, but now there is champion 2",)
    assert is_idle(shown.config(NAME), shown.settings)


# ------------------------------------------------------------------------------------------------ it breaks a rule
@pytest.mark.parametrize(
    ("answers", "reason"),
    [({"failed": 50}, "errors"), ({"shift": 5.0}, "predictions"), ({"times": 4.0}, "latency")],
)
def test_a_breach_moves_it_back_at_once(calm: World, cli: Cli, answers: dict[str, Any], reason: str) -> None:
    one = begun(calm, NAME)
    champion = calm.alias(NAME)
    found = whole(calm, one, **answers)
    assert (found.outcome, found.version, found.champion) == ("rolled_back", one.version, champion)
    assert found.reasons[0].startswith(f"{reason}: ")
    assert (calm.alias(NAME), exposed(calm)) == (champion, None)
    outcome, why = ended(calm, one.version, NAME)
    assert (outcome, why) == ("rolled_back", "; ".join(found.reasons))
    assert events(calm, NAME)[-1] == ("model.rolled_back", one.version)
    assert tags(calm, NAME, one.version)["perennial.rolled_back"].startswith(reason)
    assert "# shown: rolled back" in page("shown-rollout")
    assert one.version in rollouts.rolled_back(Audit(calm.settings), NAME)
    told = cli("status", NAME, "--json").json()
    assert (told["rollouts"][-1]["state"], told["rollouts"][-1]["reasons"]) == ("rolled_back", [*found.reasons])
    assert str(one.version) in told["rolled_back"]
    assert f"  version {one.version} was rolled back from its rollout on" in cli("status", NAME).out


def test_one_that_was_moved_back_is_never_promoted_by_itself(calm: World) -> None:
    audit = Audit(calm.settings)
    version = max(rollouts.rolled_back(audit, NAME))
    last = next(one for _, one, _, number in reversed(candidates.evaluated(audit, NAME)) if number == version)
    anew = last.model_copy(update={"evaluation": "other gates"})
    assert candidates.submit(audit, anew, at=datetime.now(UTC), actor="trainer") is not None
    found = deployed(NAME)
    assert (found.outcome, found.version) == ("kept_champion", version)
    assert found.reasons[0].startswith("it was rolled back from its rollout on ")
    assert f"`perennial rollback shown --to {version} --reason TEXT` reverts that" in found.reasons[0]

    equal = anew.model_copy(update={"model": anew.model.model_copy(update={"run_id": another_run(calm)})})
    assert candidates.submit(audit, equal, at=datetime.now(UTC), actor="trainer") is not None
    found = deployed(NAME)
    assert (found.outcome, found.version > version) == ("kept_champion", True)
    assert found.reasons[0].startswith(f"its model is that of version {version}, which was rolled back")


def another_run(world: World) -> str:
    import mlflow

    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    assert world.alias(NAME)
    return str(client.create_run(experiment.experiment_id).info.run_id)


def test_another_champion_meanwhile_ends_it(calm: World) -> None:
    one = begun(calm, NAME)
    champion = calm.alias(NAME)
    tracking = Tracking(calm.settings, NAME)
    tracking.set_champion(1)
    try:
        found = look()
    finally:
        assert champion is not None
        tracking.set_champion(champion)
    assert (found.outcome, exposed(calm)) == ("superseded", None)
    assert ended(calm, one.version, NAME) == (
        "kept_champion",
        f"it was compared with champion {champion}, but now there is champion 1",
    )
    assert one.version not in rollouts.rolled_back(Audit(calm.settings), NAME)


def test_too_few_requests_by_the_deadline_move_it_back(calm: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = begun(calm, NAME)
    monkeypatch.setattr("flows.rollout.clock", lambda _: datetime.now(UTC) + timedelta(hours=73))
    found = look()
    assert found.outcome == "rolled_back"
    assert found.reasons[0].startswith("deadline: 73 of 72 hours are over")
    assert one.version in rollouts.rolled_back(Audit(calm.settings), NAME)


def test_the_command_watches_until_the_end(calm: World, cli: Cli) -> None:
    one = begun(calm, NAME)
    serve(calm, one, 50)
    first = cli("rollout", NAME, "--once", "--json").json()
    assert (first["outcome"], first["decision"]["action"]) == ("rolling_out", "advance")
    serve(calm, under_way(calm, NAME), 50)
    said = cli("rollout", NAME)
    assert said.code == 0, said.err
    assert said.out.startswith(f"shown: version {one.version}: promoted\n")
    assert calm.alias(NAME) == one.version
    assert cli("rollout", NAME).out == "shown: no version is rolled out\n"


# ------------------------------------------------------------------------------------------------ killed in between
class KilledError(Exception):
    """Stands for the end of the process between two writes."""


def dies(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    """A function that ends the process once it has done its work."""
    real: Callable[..., Any] = getattr(where, name)

    def end(*args: Any, **options: Any) -> Any:
        real(*args, **options)
        raise KilledError(name)

    monkeypatch.setattr(where, name, end)


@pytest.mark.parametrize(("where", "name"), [(rollouts, "start"), (looking, "sync_exposure")])
def test_killed_while_it_begins(calm: World, cli: Cli, where: Any, name: str) -> None:
    another(calm, NAME)
    with pytest.MonkeyPatch.context() as patch:
        dies(patch, where, name)
        with pytest.raises(KilledError):
            deploy(NAME)
    champion = calm.alias(NAME)
    deploy(NAME)
    assert look().outcome == "rolling_out"
    one = under_way(calm, NAME)
    assert exposed(calm) == (one.version, one.exposure)
    assert calm.alias(NAME) == champion
    assert cli("rollback", NAME).code == 0


@pytest.mark.parametrize("name", ["clear_challenger", "tag_rolled_back"])
def test_killed_while_it_is_moved_back(calm: World, name: str) -> None:
    one = begun(calm, NAME)
    champion, told = calm.alias(NAME), len(events(calm, NAME))
    with pytest.MonkeyPatch.context() as patch:
        dies(patch, Tracking, name)
        with pytest.raises(KilledError):
            whole(calm, one, failed=50)
    assert calm.alias(NAME) == champion
    (work, *_) = due(calm.config(NAME), calm.settings)
    assert work.flow == "rollout"
    found = look()
    assert (found.outcome, exposed(calm)) == ("rolled_back", None)
    assert ended(calm, one.version, NAME)[0] == "rolled_back"
    assert "perennial.rolled_back" in tags(calm, NAME, one.version)
    assert events(calm, NAME)[told:] == [("model.rolled_back", one.version)]


@pytest.mark.parametrize(("where", "name"), [(Tracking, "set_champion"), (candidates, "close_candidate")])
def test_killed_while_it_becomes_champion(calm: World, where: Any, name: str) -> None:
    one = begun(calm, NAME)
    with pytest.MonkeyPatch.context() as patch:
        dies(patch, where, name)
        with pytest.raises(KilledError):
            whole(calm, one)
    deploy(NAME)  # either heals it, the other finds nothing to do
    assert look().outcome == "nothing_to_do"
    assert (calm.alias(NAME), exposed(calm)) == (one.version, None)
    assert ended(calm, one.version, NAME)[0] == "promoted"
    audit = Audit(calm.settings)
    assert audit.champion(NAME) == one.version
    assert audit.open_intents(NAME, MOVE_CHAMPION) == []
    done = [line for line in audit.entries(NAME, "candidate") if line.details.get("version") == one.version]
    assert len(done) == 1


def test_kill_9_of_who_watches_while_it_is_moved_back(calm: World, server: str) -> None:
    one = begun(calm, NAME)
    champion, audit = calm.alias(NAME), Audit(calm.settings)
    environment = {"PREFECT_API_URL": server, "PERENNIAL_ACTOR": "who watches"}
    watch = perennial("rollout", NAME, home=calm.home, configs=calm.configs, env=environment)
    try:
        wait(lambda: last_check(calm.settings, one) is not None)
        serve(calm, one, 50, failed=50)
        wait(lambda: decided(audit, one))
    finally:
        watch.kill()  # between what it decided and what it carries out
        watch.communicate()
    assert watch.returncode == -signal.SIGKILL
    look()
    assert rollouts.active(audit, NAME) is None
    assert (calm.alias(NAME), exposed(calm)) == (champion, None)
    assert ended(calm, one.version, NAME)[0] == "rolled_back"
    assert rollouts.history(audit, NAME)[-1].ending == decided(audit, one)
    assert events(calm, NAME)[-1] == ("model.rolled_back", one.version)
    assert "perennial.rolled_back" in tags(calm, NAME, one.version)


def decided(audit: Audit, rollout: Rollout) -> Ending | None:
    found: Ending | None = next(one.ending for one in rollouts.history(audit, NAME) if one.id == rollout.id)
    return found


def wait(reached: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.002)


# ------------------------------------------------------------------------------------------------ without a service
def test_on_observations_both_versions_score_the_newest_rows(module_world: World) -> None:
    name = "unserved"
    rollout = {"steps": [{"kind": "shadow", "requests": 100}], "over": "observations"}
    module_world.pipeline(name, {"rollout": rollout})
    module_world.land(name, "a.csv", trips(0, 150, seed=1))
    assert module_world.run(name).outcome == "promoted"
    another(module_world, name)
    assert deployed(name).outcome == "rolling_out"
    assert Tracking(module_world.settings, name).exposed() is None, "nobody serves it"
    found = look(name)
    assert (found.outcome, found.champion) == ("promoted", 2), found.reasons
    assert found.decision is not None
    assert found.decision.answered == 150

    module_world.land(name, "b.csv", trips(1000, 600, seed=2).assign(y=lambda rows: rows["y"] * 5.0))
    ingest(name)
    train(name)
    assert deployed(name).outcome == "rolling_out"
    found = look(name)
    assert (found.outcome, found.champion) == ("rolled_back", 2)
    assert found.reasons[0].startswith("predictions: ")
    assert module_world.alias(name) == 2


def test_labels_that_come_in_time_are_held_against_both(module_world: World) -> None:
    name = "labelled"
    plan = {"steps": [{"kind": "shadow", "requests": 40}], "checks": {"max_shift": 5.0, "min_labels": 40}}
    module_world.pipeline(name, {**NEVER_RETRAIN, "rollout": plan})
    module_world.land(name, "a.csv", trips(0, 150, seed=1))
    assert module_world.run(name).outcome == "promoted"
    one = begun(module_world, name)
    # Rows 0 to 59 are known: what is served for them is nowhere near, and the challenger is farther away.
    serve(module_world, one, 60, shift=6.0)
    found = look(name)
    assert found.outcome == "rolled_back"
    assert found.decision is not None
    judged = next(check for check in found.decision.checks if check.name == "labels")
    assert (judged.outcome, judged.figures["rows"]) == ("fail", 60.0)
