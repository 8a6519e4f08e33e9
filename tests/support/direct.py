"""The stages of a pipeline in this process, without Prefect: by the environment, as flows are."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from configs.load import load
from tasks.context import StageContext
from tasks.stores.lake.tables import Lake
from tasks.stores.runtime import actor, clock
from tasks.stores.settings import load_settings, prepare

if TYPE_CHECKING:
    from tasks.records.data import IngestReport
    from tasks.records.decision import Promotion, TrainingOutcome
    from tasks.records.report import LifecycleReport


def stage_context(pipeline: str, now: datetime | None = None, *, tables: bool = True) -> StageContext:
    """What a run gives its stages."""
    config, settings = load(pipeline), load_settings()
    prepare(settings)
    if tables:
        Lake(settings, config).create()
    return StageContext(config, settings, clock(now), actor())


def lifecycle(pipeline: str, now: datetime | None = None, **request: Any) -> LifecycleReport:
    """A whole run; `request` as in `RunRequest`."""
    from tasks.lifecycle.execute import RunRequest, run_lifecycle

    return run_lifecycle(stage_context(pipeline, now, tables=False), RunRequest(**request))


def ingest(pipeline: str, now: datetime | None = None, only: tuple[str, ...] | None = None) -> IngestReport:
    """What landed is ingested."""
    from tasks.lifecycle.ingestion import run_ingestion

    return run_ingestion(stage_context(pipeline, now), only)


def train(pipeline: str, now: datetime | None = None, **request: Any) -> TrainingOutcome:
    """A training; `request` as in `TrainingRequest`."""
    from tasks.lifecycle import training

    return training.train(stage_context(pipeline, now), training.TrainingRequest(**request))


def deploy(pipeline: str, now: datetime | None = None) -> Promotion | None:
    """What waits is released."""
    from tasks.release.stage import run_release

    return run_release(stage_context(pipeline, now))
