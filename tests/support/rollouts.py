"""What tests of rollouts and rollbacks share: further versions of a trained model, and what a service would record."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa

from flows.deploy import deploy as deploy_flow
from tasks.records.decision import Promotion
from tasks.stores.lake.schemas import AT, ERROR, LATENCY_MS, POSITION, PREDICT_MS, REQUEST, ROLE
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.state import candidates, rollouts
from tasks.stores.state.audit import Audit
from tasks.stores.state.rollouts import Rollout
from tests.support.direct import deploy
from tests.support.world import World


def another(world: World, name: str) -> int:
    """A further candidate that passed against the present champion: the last model, in a run of its own; its intent."""
    import mlflow

    audit, tracking = Audit(world.settings), Tracking(world.settings, name)
    last = candidates.newest(audit, name)
    assert last is not None
    client = mlflow.MlflowClient()
    experiment = client.get_run(last.model.run_id).info.experiment_id
    run = client.create_run(experiment).info.run_id
    model = last.model.model_copy(update={"run_id": run, "training": run})
    verdict = last.verdict.model_copy(update={"champion_version": tracking.champion_version(), "passed": True})
    made = last.model_copy(update={"model": model, "verdict": verdict})
    intent = candidates.submit(audit, made, at=datetime.now(UTC), actor="trainer")
    assert intent is not None
    return intent


def deployed(name: str, *, flow: bool = False) -> Promotion:
    """What a release comes to; as a flow of Prefect, where its pages are read."""
    found = deploy_flow(name) if flow else deploy(name)
    assert found is not None
    return found


def begun(world: World, name: str, *, flow: bool = False) -> Rollout:
    """The rollout of a version made anew."""
    another(world, name)
    assert deployed(name, flow=flow).outcome == "rolling_out"
    return under_way(world, name)


def under_way(world: World, name: str) -> Rollout:
    found = rollouts.active(Audit(world.settings), name)
    assert found is not None
    return found


def serve(
    world: World,
    rollout: Rollout,
    rows: int,
    *,
    failed: int = 0,
    shift: float = 0.0,
    times: float = 1.0,
    first: int = 0,
    at: datetime | None = None,
) -> None:
    """What a service records of rows that both versions answer, as the present step shows them."""
    config = world.config(rollout.pipeline)
    lake = Lake(world.settings, config)
    roles = ("shadow", "champion") if rollout.exposure.kind == "shadow" else ("canary", "control")
    rng, now = np.random.default_rng(first), at or datetime.now(UTC)
    lines: list[dict[str, Any]] = []
    for row in range(rows):
        theirs = float(rng.normal(0.0, 2.0))
        shared = {REQUEST: uuid4().hex, POSITION: 0, AT: now, LATENCY_MS: 12.0, "id": first + row}
        broken = row < failed
        mine = {ERROR: "it threw", "prediction": None} if broken else {ERROR: "", "prediction": theirs + shift}
        lines.append({**shared, **mine, ROLE: roles[0], "model_version": rollout.version, PREDICT_MS: 8.0 * times})
        lines.append(
            {**shared, ERROR: "", "prediction": theirs, ROLE: "champion" if broken else roles[1],
             "model_version": rollout.champion, PREDICT_MS: 8.0}
        )  # fmt: skip
    lake.append("served", pa.Table.from_pylist(lines, schema=lake.schema("served")))


def events(world: World, name: str) -> list[tuple[str, Any]]:
    """Names and versions of the events told so far."""
    with sqlite3.connect(world.settings.state / "audit.db") as database:
        bodies = [json.loads(row[0]) for row in database.execute("SELECT body FROM outbox ORDER BY number")]
    found = [one for one in bodies if one["resource"]["prefect.resource.name"] == name]
    return [(one["event"].removeprefix("perennial."), one["payload"].get("version")) for one in found]


def ended(world: World, version: int, name: str) -> tuple[str, str]:
    """What became of a version, and why, as the audit has it."""
    audit = Audit(world.settings)
    outcomes = {number: outcome for _, _, outcome, number in candidates.evaluated(audit, name)}
    return outcomes[version], candidates.close_reasons(audit, name)[version]


def tags(world: World, name: str, version: int) -> dict[str, str]:
    """A version's tags in MLflow."""
    import mlflow

    Tracking(world.settings, name)
    found: dict[str, str] = mlflow.MlflowClient().get_model_version(name, str(version)).tags
    return found


def page(key: str) -> str:
    """The newest artifact of a key."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    return str(found[0].data)
