"""Files that landed become observations and labels, each once."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import stage_context
from flows.execute import with_prefect
from tasks.context import StageContext
from tasks.lifecycle.ingestion import run_ingestion
from tasks.records.data import IngestReport


@flow(name="ingest", flow_run_name="ingest-{pipeline}", log_prints=False)
def ingest(pipeline: str, now: datetime | None = None, only: tuple[str, ...] | None = None) -> IngestReport:
    """Ingest what landed: read, validate, quarantine, append.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        only: Paths below the landing folder; all that landed by default.
    """
    with stage_context(pipeline, now) as context:
        return run_ingestion(context, only, with_prefect)


def subflow(context: StageContext, only: tuple[str, ...] | None = None) -> IngestReport:
    """`run_ingestion`, as a sub-flow."""
    return ingest(context.pipeline, context.now, only)
