"""Newest batches are compared with what the champion was trained on, and its predictions with labels."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import stage_context
from flows.execute import with_prefect
from tasks.context import StageContext
from tasks.monitoring.stage import MonitoringInputs, run_monitoring
from tasks.records.decision import MonitorReport
from tasks.stores.registry.tracking import Tracking


@flow(name="monitor", flow_run_name="monitor-{pipeline}")
def monitor(pipeline: str, now: datetime | None = None, again: bool = True) -> MonitorReport:
    """Check the newest batches for drift, and the champion's predictions by the labels that have come since.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        again: Whether to check also what was checked before and has not changed since.
    """
    with stage_context(pipeline, now) as context:
        champion = Tracking(context.settings, pipeline).champion()
        return run_monitoring(context, MonitoringInputs(champion=champion, again=again), with_prefect)


def subflow(context: StageContext, inputs: MonitoringInputs) -> MonitorReport:
    """`run_monitoring`, as a sub-flow: of the present champion."""
    return monitor(context.pipeline, context.now, inputs.again)
