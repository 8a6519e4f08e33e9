"""What Prefect shows of a run: its sub-flows, task runs with their states, and artifacts."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.support.world import World, trips

NAME = "shown_runs"
WAITS: dict[str, Any] = {"retrain": {"new_rows": 1_000_000, "on_drift": False}}
pytestmark = pytest.mark.usefixtures("server")


class Runs:
    """A pipeline, and what the newest run of it left in Prefect."""

    def __init__(self, world: World, api: str) -> None:
        self.world, self.api = world, api
        self.known: set[str] = set()

    def run(self) -> dict[str, list[str]]:
        """Run it; per flow, the task runs in their order with the names of their states, and new artifacts."""
        before = {one["id"] for one in self._artifacts()}
        self.world.flow(NAME)
        found = {flow: self._task_runs(flow) for flow in ("lifecycle", "ingest", "score", "monitor", "train", "deploy")}
        keys = sorted({str(one["key"]) for one in self._artifacts() if one["id"] not in before})
        newest = {one["flow"]: one["tasks"] for one in found.values() if one["id"] not in self.known}
        self.known |= {str(one["id"]) for one in found.values()}
        return {**newest, "artifacts": [key.removeprefix("shown-runs-") for key in keys]}

    def _task_runs(self, flow: str) -> dict[str, Any]:
        runs = self._post("flow_runs", {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1})
        mine = [one for one in runs if one["parameters"].get("pipeline") == NAME]
        if not mine:
            return {"flow": flow, "id": "", "tasks": []}
        tasks = self._post("task_runs", {"flow_runs": {"id": {"any_": [mine[0]["id"]]}}, "limit": 200})
        # A sub-flow's task run is named by its flow's run; a task's, by the task and a suffix.
        names = [(one["start_time"] or "", _name(one["name"]), one["state"]["name"]) for one in tasks]
        return {"flow": flow, "id": mine[0]["id"], "tasks": [f"{name} {state}" for _, name, state in sorted(names)]}

    def _artifacts(self) -> list[dict[str, Any]]:
        return self._post("artifacts", {"limit": 200, "artifacts": {"key": {"like_": "shown-runs%"}}})

    def _post(self, what: str, query: dict[str, Any]) -> list[dict[str, Any]]:
        with httpx.Client(base_url=self.api) as client:
            answer = client.post(f"/{what}/filter", json=query)
            answer.raise_for_status()
            return list(answer.json())


def _name(run: str) -> str:
    """A task run's name without the suffix that makes it unique."""
    return re.sub(r"-[0-9a-f]{3}$", "", run)


@pytest.fixture(scope="module")
def runs(module_world: World, server: str) -> Runs:
    module_world.pipeline(NAME, WAITS)
    module_world.land(NAME, "1.csv", trips(0, 200, seed=1))
    return Runs(module_world, server)


TRAINED = ["evaluate Completed", "submit-candidate Completed"]
RELEASED = [
    "recover Completed",
    "ready-candidates Completed",
    "register Completed",
    "apply-promotion Completed",
    "close-promotion Completed",
    "ready-candidates Completed",  # a request for approval may have superseded an older one
]


def test_a_first_run_shows_every_stage(runs: Runs) -> None:
    assert runs.run() == {
        "lifecycle": ["ingest-0 Completed", "decide-retrain Completed", "train-0 Completed", "deploy-0 Promoted"],
        "ingest": ["discover Completed", "read-1.csv Completed", "validate-1.csv Completed"],
        "score": [],
        "monitor": [],
        "train": ["training-set Completed", "fit Completed", *TRAINED],
        "deploy": RELEASED,
        "artifacts": ["decision", "evaluation", "features", "lifecycle", "release", "training", "validate"],
    }


MONITORED = ["ingest-0 Completed", "score-0 Completed", "drift-so-far Completed", "performance-so-far Completed"]


def test_this_process_answers_for_each_flow_run_so_that_the_sweep_marks_what_it_leaves(runs: Runs) -> None:
    registered = {path.name for path in (runs.world.settings.state / "runs").glob("[0-9a-f]*")}
    ids = {key for key in runs.known if key}
    assert len(ids) == 4, "lifecycle, ingest, train and deploy"
    assert ids <= registered


def test_a_run_without_a_change_looks_and_decides(runs: Runs) -> None:
    assert runs.run() == {
        "lifecycle": [*MONITORED, "decide-retrain Completed"],
        "ingest": ["discover Completed"],
        "score": ["score-new Completed"],
        "artifacts": ["decision", "lifecycle", "scoring"],
    }


def test_stages_that_are_reused_are_shown_as_cached(runs: Runs) -> None:
    runs.world.pipeline(NAME, {**WAITS, "evaluation": {"bounds": [{"metric": "mae", "maximum": 44.0}]}})
    assert runs.run() == {
        "lifecycle": [*MONITORED, "decide-retrain Completed", "train-0 Completed", "deploy-0 Kept champion"],
        "ingest": ["discover Completed"],
        "score": ["score-new Completed"],
        "train": ["training-set Cached", "fit Cached", *TRAINED],
        "deploy": RELEASED,
        "artifacts": ["decision", "evaluation", "lifecycle", "release", "scoring"],
    }
