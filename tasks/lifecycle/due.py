"""What work the state shows is due, whatever events said or were lost. No pandas, MLflow or Prefect is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from configs.schema import PipelineConfig
from tasks.lifecycle.schedule import last_upkeep_time
from tasks.lifecycle.up_to_date import decided, fetchable, fingerprint, landed, undeployed
from tasks.monitoring.retraining import is_aged
from tasks.records.base import Record, digest
from tasks.stores.lake.tables import Lake
from tasks.stores.runtime import clock
from tasks.stores.settings import Settings
from tasks.stores.state import rollouts
from tasks.stores.state.audit import UPKEEP, Audit


class Due(Record):
    """A run to start.

    Attributes:
        state: Digest of the state that asks for it: a run that failed on it is not started for it again and again.
    """

    flow: Literal["ingest", "lifecycle", "deploy", "rollout", "upkeep"]
    pipeline: str
    reason: str
    state: str
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


def due(config: PipelineConfig, settings: Settings, now: datetime | None = None) -> Iterator[Due]:
    """The runs that the state of a pipeline, and the clock, ask for.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        now: The clock; the present by default.
    """
    moment = clock(now)
    yield from _rollout(config, settings, moment)
    yield from _upkeep(config, settings, moment)
    yield from runs_due(config, settings, moment)


def runs_due(config: PipelineConfig, settings: Settings, now: datetime | None = None) -> Iterator[Due]:
    """What of a lifecycle run is due: ingestion, which leads to the rest, or the release of what waits and a decision.

    Asked by the sweep, by `perennial run` before it starts Prefect, and by `status`.

    Raises:
        UsageError: an address or a query is wrong.
        SourceDatabaseError: a database can't be reached.
    """
    moment = clock(now)
    files = landed(config, settings)
    rows = fetchable(config, settings, moment)
    if files or rows:
        reasons = [f"{_count(files, 'file')} landed"] if files else []
        reasons += ["the database has new rows"] if rows else []
        state = digest(sorted(files + rows))
        yield Due(flow="ingest", pipeline=config.name, reason=", ".join(reasons), state=state)
        return
    waiting = undeployed(config, settings, moment)
    if waiting:
        message = f"to be released: {_count(waiting, 'candidate')}"
        yield Due(flow="deploy", pipeline=config.name, reason=message, state=digest(waiting))
    lake = Lake(settings, config)
    if lake.ledger() and not decided(config, settings, moment):
        yield Due(
            flow="lifecycle",
            pipeline=config.name,
            reason="data, configuration, code or age changed since the last decision",
            state=digest([fingerprint(config, lake), is_aged(config, settings, moment)]),
            parameters={"start_from": "decision"},
        )


def is_idle(config: PipelineConfig, settings: Settings, now: datetime | None = None) -> bool:
    """Whether a lifecycle run would find nothing to do."""
    return next(runs_due(config, settings, now), None) is None


def _rollout(config: PipelineConfig, settings: Settings, now: datetime) -> Iterator[Due]:
    """A rollout is watched until it ends, whatever else there is to do."""
    found = rollouts.active(Audit(settings), config.name)
    if found is not None:
        # Runs that fail on it are started again every ten minutes: what is shown to callers must not go unwatched.
        tens = int((now - found.since).total_seconds() // 600)
        state = digest([found.id, found.step, found.ending is None, tens])
        yield Due(flow="rollout", pipeline=config.name, reason=f"rolled out: {found.description}", state=state)


def _upkeep(config: PipelineConfig, settings: Settings, now: datetime) -> Iterator[Due]:
    """Upkeep once a night, also of a night in which nothing ran."""
    time = last_upkeep_time(config.name, now)
    ledger = Lake(settings, config).ledger()
    done = Audit(settings).entries(config.name, UPKEEP)
    last = done[-1].at if done else None
    if ledger and ledger[0].ingested_at < time and (last is None or last < time):
        yield Due(flow="upkeep", pipeline=config.name, reason="nightly upkeep", state=digest(time.isoformat()))


def _count(found: Sequence[object], what: str) -> str:
    return f"{len(found)} {what}{'' if len(found) == 1 else 's'}"
