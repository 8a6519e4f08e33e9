"""`run --json` and `status --json`: one object, the same fields and words whatever came of the run."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.records.stages import STAGES
from tests.support.command import Cli, Said
from tests.support.world import World, trips

NAME = "printed"
KEYS = {
    *("pipeline", "outcome", "reasons", "version", "champion", "metrics", "champion_metrics", "baseline", "gates"),
    *("drift", "performance", "batches", "rows", "scored", "stages"),
}
RENEWAL = ["features", "training", "evaluation", "release"]
RETRAIN = {"retrain": {"new_rows": 1, "on_drift": False, "on_degraded": False}}


def report(said: Said) -> dict[str, Any]:
    """The object on standard output, whose fields and their types are the same for every outcome."""
    found = said.json()
    assert found.keys() == KEYS
    assert said.out.count("\n") == 1
    assert found["drift"]["state"] in ("ok", "warn", "act", "unknown")
    for stage in found["stages"]:
        assert stage.keys() == {"name", "state", "seconds", "note"}
        assert isinstance(stage["seconds"], float)
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["state"] for stage in found["stages"]}


@pytest.fixture
def story(module_world: World) -> World:
    module_world.pipeline(NAME, RETRAIN)
    return module_world


def test_before_any_run_there_is_no_champion_and_no_version(story: World, cli: Cli) -> None:
    said = cli("status", NAME, "--json")
    assert (said.code, said.json()["champion"], said.json()["versions"]) == (0, None, [])


def test_the_first_run_tells_its_version_metrics_and_stages(story: World, cli: Cli) -> None:
    story.land(NAME, "first.csv", trips(0, 200, seed=1))
    said = cli("run", NAME, "--json")
    found = report(said)
    assert said.code == 0
    assert (found["pipeline"], found["outcome"], found["version"], found["champion"]) == (NAME, "promoted", 1, 1)
    assert 0 < found["metrics"]["mae"] < found["baseline"]["mae"]
    assert states(found) == dict.fromkeys(["ingestion", "decision", *RENEWAL], "done")
    assert found["drift"] == {"state": "unknown", "reasons": ["this run did not come to monitoring"]}


def test_a_run_with_nothing_to_do_made_no_version(story: World, cli: Cli) -> None:
    said = cli("run", NAME, "--json")
    found = report(said)
    assert (said.code, found["outcome"], found["version"], found["champion"]) == (0, "nothing_to_do", None, 1)
    assert (found["metrics"], found["stages"]) == ({}, [])


def test_a_candidate_that_lost_is_a_version_and_the_champion_stays(story: World, cli: Cli) -> None:
    story.land(NAME, "same.csv", trips(200, 200, seed=2))
    said = cli("run", NAME, "--json")
    found = report(said)
    assert (said.code, found["outcome"], found["version"], found["champion"]) == (0, "kept_champion", 2, 1)
    assert list(states(found)) == ["ingestion", "scoring", "monitoring", "decision", *RENEWAL]
    assert set(states(found).values()) == {"done"}


def test_reused_and_skipped_stages_are_told_as_such(story: World, cli: Cli) -> None:
    said = cli("run", NAME, "--from", "features", "--json")
    found = report(said)
    assert (said.code, found["outcome"]) == (0, "nothing_to_do")
    reused = dict.fromkeys(["features", "training", "evaluation"], "reused")
    assert states(found) == {**reused, "release": "skipped"}


def test_rejected_data_are_told_with_code_3(story: World, cli: Cli) -> None:
    story.land(NAME, "torn.parquet", b"PAR1 and no more")
    said = cli("run", NAME, "--json")
    found = report(said)
    assert (said.code, found["outcome"], found["version"], found["champion"]) == (3, "data_rejected", None, 1)
    assert found["batches"] == {"accepted": 0, "rejected": 1}
    assert found["reasons"][0].startswith("torn.parquet: ")
    assert states(found)["ingestion"] == "done"


def test_status_has_every_version_with_what_became_of_it(story: World, cli: Cli) -> None:
    said = cli("status", NAME, "--json")
    found = said.json()
    assert (said.code, found["champion"]) == (0, 1)
    first, second = found["versions"]
    assert (first["version"], first["aliases"], first["state"]) == (1, ["champion"], "champion")
    assert (second["version"], second["aliases"], second["state"]) == (2, [], "rejected")
    assert first["trained_at"] < second["trained_at"]
    assert second["compared_with"] == 1
    assert second["metrics"].keys() == second["champion_metrics"].keys() == first["metrics"].keys()
    assert second["holdout_rows"] > first["holdout_rows"] > 0
    assert second["reason"].startswith("Q02")


def test_plan_has_the_five_stages_and_options_take_no_other(story: World, cli: Cli) -> None:
    assert [one["stage"] for one in cli("plan", NAME, "--json").json()["stages"]] == [*STAGES]
    assert STAGES == ("ingestion", "features", "training", "evaluation", "release")
    for words in (("--until", "deployment"), ("--from", "deployment"), ("--force", "release")):
        said = cli("run", NAME, *words, "--json")
        assert (said.code, said.out) == (2, ""), words
        assert words[1] in said.err


def test_a_failed_run_is_told_as_far_as_it_came(story: World, cli: Cli) -> None:
    story.land(NAME, "more.csv", trips(400, 100, seed=3))
    log = story.home / "lake" / NAME / "observations" / "_delta_log"
    last = sorted(log.glob("*.json"))[-1]
    whole = last.read_bytes()
    last.write_bytes(b"{torn")
    said = cli("run", NAME, "--json")
    last.write_bytes(whole)
    found = report(said)
    assert (said.code, found["outcome"], found["version"], found["champion"]) == (1, "failed", None, 1)
    assert states(found) == {"ingestion": "failed"}
    assert found["reasons"]
    assert "\nperennial: DeltaError: " in said.err


def test_wrong_use_prints_no_object(story: World, cli: Cli) -> None:
    for command in ("run", "status"):
        said = cli(command, "unknown", "--json")
        assert (said.code, said.out) == (2, "")
        assert "unknown" in said.err
