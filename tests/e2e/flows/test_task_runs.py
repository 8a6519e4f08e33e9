"""What Prefect shows of a run: its sub-flows, task runs with their states, and artifacts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.world import World, trips

NAME = "shown_runs"
pytestmark = pytest.mark.usefixtures("server")


class Runs:
    """A pipeline, and what the newest run of it left in Prefect."""

    def __init__(self, world: World, api: str) -> None:
        self.world, self.api = world, api
        self.artifacts: set[str] = set()

    def run(self) -> dict[str, list[str]]:
        """Run it; per flow, the task runs in their order with the names of their states, and new artifacts."""
        before = {one["id"] for one in self._artifacts()}
        self.world.flow(NAME)
        found = {flow: self._task_runs(flow) for flow in ("lifecycle", "ingest", "score", "monitor", "train", "deploy")}
        keys = sorted({str(one["key"]) for one in self._artifacts() if one["id"] not in before})
        newest = {one["flow"]: one["tasks"] for one in found.values() if one["id"] not in self.artifacts}
        self.artifacts |= {str(one["id"]) for one in found.values()}
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
    head, _, tail = run.rpartition("-")
    return head if len(tail) in (3, 8) and head and not run.endswith(NAME) else run


@pytest.fixture(scope="module")
def runs(module_world: World, server: str) -> Runs:
    module_world.pipeline(NAME, {"retrain": {"new_rows": 1_000_000, "on_drift": False}})
    module_world.land(NAME, "1.csv", trips(0, 200, seed=1))
    return Runs(module_world, server)


def test_a_first_run_and_those_after_it(runs: Runs) -> None:
    import json

    first = runs.run()
    again = runs.run()
    runs.world.pipeline(
        NAME,
        {
            "retrain": {"new_rows": 1_000_000, "on_drift": False},
            "evaluation": {"bounds": [{"metric": "mae", "maximum": 44.0}]},
        },
    )
    bound = runs.run()
    print(json.dumps({"first": first, "again": again, "bound": bound}, indent=1))
