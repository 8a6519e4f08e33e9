"""Newest batches are held against what the champion was trained on."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import clock, open_pipeline
from flows.events import emit
from tasks.monitoring.task import check_drift
from tasks.refs import DriftVerdict
from tasks.stores.lake import Lake
from tasks.stores.tracking import Tracking


@flow(name="monitor", flow_run_name="monitor-{pipeline}")
def monitor(pipeline: str, now: datetime | None = None) -> DriftVerdict:
    """Check the newest batches for drift.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
    """
    config, settings = open_pipeline(pipeline)
    Lake(settings, config).create()
    verdict = check_drift(config, Tracking(settings, pipeline).champion(), clock(now))
    if verdict.state == "act":
        emit(settings, "perennial.drift.detected", pipeline, {"reasons": list(verdict.reasons)})
    return verdict
