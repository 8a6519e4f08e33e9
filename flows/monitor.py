"""Newest batches are compared with what the champion was trained on, and its predictions against labels."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import open_pipeline
from flows.events import emit
from tasks.monitoring.task import check_drift, check_performance, stored_drift, stored_performance
from tasks.records.decision import MonitorReport
from tasks.stores.lake.tables import Lake
from tasks.stores.registry.tracking import Tracking
from tasks.stores.runtime import clock


@flow(name="monitor", flow_run_name="monitor-{pipeline}")
def monitor(pipeline: str, now: datetime | None = None, again: bool = True) -> MonitorReport:
    """Check the newest batches for drift, and the champion's predictions by the labels that have come since.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        again: Whether to check also what was checked before and has not changed since.
    """
    config, settings = open_pipeline(pipeline)
    Lake(settings, config).create()
    champion = Tracking(settings, pipeline).champion()
    drift = None if again or champion is None else stored_drift(config, champion)
    if drift is None:
        drift = check_drift(config, champion, clock(now))
        if drift.state == "act":
            emit(settings, "perennial.drift.detected", pipeline, {"reasons": list(drift.reasons)})
    performance = None if again or champion is None else stored_performance(config, champion)
    if performance is None:
        performance = check_performance(config, champion, clock(now))
        if performance.state == "act":
            emit(settings, "perennial.performance.degraded", pipeline, {"reasons": list(performance.reasons)})
    return MonitorReport(drift=drift, performance=performance)
