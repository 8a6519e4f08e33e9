"""A team's installation as a whole: state and MLflow on PostgreSQL, Prefect's server in two processes, a worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from configs.load import load
from examples.breast_cancer.land import land
from tasks.stores.lake.schemas import ROW_ID
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import QUIET, Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.outbox import Outbox
from tests.support.command import perennial
from tests.support.services import Postgres, running
from tests.support.world import ROOT, World, trips, write

pytestmark = pytest.mark.postgres

PATIENCE = 120.0
NAME = "shared"
SHIPPED = "breast_cancer"


def environment(server: str, settings: Settings) -> dict[str, str]:
    """What a process of a team is reported, as compose.yaml does."""
    return {
        "PREFECT_API_URL": server,
        "PERENNIAL_STATE_URL": settings.audit_url,
        "PERENNIAL_LAKE_URL": settings.lake,
        "PERENNIAL_MLFLOW_TRACKING_URI": settings.tracking_uri,
    }


def runs(server: str, flow: str, pipeline: str) -> list[dict[str, Any]]:
    """Runs of a pipeline's flow, as the server knows them."""
    asked = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
    found: list[dict[str, Any]] = httpx.post(f"{server}/flow_runs/filter", json=asked, timeout=30).json()
    return [one for one in found if one["parameters"]["pipeline"] == pipeline]


def test_machines_that_run_one_pipeline_at_once_do_it_once(
    team_server: str, postgres_server: Postgres, postgres_url: str, world: World, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    world.pipeline(NAME, {"source": {"landing": str(landing)}})
    for number in range(3):
        write(landing / f"{number}.csv", trips(number * 100, 100, seed=number))
    machines = [
        Settings(
            home=tmp_path / machine,
            state_url=postgres_url,
            lake_url=str(tmp_path / "lake"),
            mlflow_tracking_uri=postgres_server.url("mlflow"),
        )
        for machine in ("one", "two")
    ]
    postgres_server.database("mlflow")
    processes = [
        perennial(*("run", NAME, "--json"), home=one.home, configs=world.configs, env=environment(team_server, one))
        for one in machines
    ]
    told = [one.communicate(timeout=PATIENCE) for one in processes]
    assert [one.returncode for one in processes] == [0, 0], told
    reports = [json.loads(out) for out, _ in told]
    assert sorted(one["outcome"] for one in reports)[-1] == "promoted"
    assert sorted(one["rows"]["accepted"] for one in reports) == [0, 300]
    assert "waiting for another writer of shared." in told[0][1] + told[1][1]
    settings = machines[0]
    ids = Lake(settings, world.config(NAME)).read("observations", [ROW_ID]).column(ROW_ID).to_pylist()
    assert (len(ids), len(set(ids))) == (300, 300)
    assert [reign.version for reign in Audit(settings).champion_periods(NAME)] == [1]
    done = runs(team_server, "lifecycle", NAME)
    assert [one["state"]["type"] for one in done] == ["COMPLETED", "COMPLETED"]


@pytest.fixture
def worker(
    team_server: str,
    team: Callable[..., Settings],
    tmp_path: Path,
) -> Iterator[Settings]:
    """A worker with two of the shipped deployments; its settings."""
    settings = team("home", mlflow_tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PERENNIAL_"))}
    env = {
        **inherited,
        **QUIET,
        **environment(team_server, settings),
        "PERENNIAL_HOME": str(settings.root),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "0.4",
    }
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "perennial.cli.main", "worker"]
    with running(command, log, lambda: "started" in log.read_text(encoding="utf-8"), env=env, cwd=ROOT):
        shipped = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
        entrypoints = ("flows.ingest.ingest", "flows.lifecycle.lifecycle_flow")
        kept = [
            one
            for one in shipped["deployments"]
            if one["name"] in ("any", SHIPPED) and one["entrypoint"] in entrypoints
        ]
        assert len(kept) == 2
        file = write(tmp_path / "prefect.yaml", yaml.safe_dump({**shipped, "deployments": kept}))
        deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", f"--prefect-file={file}"]
        done = subprocess.run(deploy, cwd=ROOT, env=env, check=False, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
        yield settings


def test_an_event_becomes_a_champion(team_server: str, worker: Settings) -> None:
    settings = worker
    land(Path(settings.landing(SHIPPED)))
    outbox = Outbox(settings)
    outbox.put("perennial.batch.landed", SHIPPED, {})
    posted = time.monotonic()
    assert outbox.send(team_server).confirmed == 1
    first = wait(lambda: runs(team_server, "ingest", SHIPPED), lambda found: bool(found))
    assert time.monotonic() - posted < 15.0
    assert first[0]["parameters"] == {"pipeline": SHIPPED}
    done = wait(
        lambda: runs(team_server, "lifecycle", SHIPPED),
        lambda found: bool(found) and found[0]["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED"),
    )
    assert (done[0]["state"]["type"], done[0]["state"]["name"]) == ("COMPLETED", "Promoted"), done[0]["state"]
    assert Audit(settings).champion(SHIPPED) == 1
    assert len(Lake(settings, load(SHIPPED)).ledger()) == 3


def wait(look: Callable[[], list[dict[str, Any]]], enough: Callable[[list[dict[str, Any]]], bool]) -> Any:
    """What `look` finds once it is enough."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look()
        if enough(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.3)
