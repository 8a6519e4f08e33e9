"""Files that landed become observations and labels, each once."""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from flows.context import clock, open_pipeline, writing
from flows.progress import say
from tasks.ingestion.task import discover, read
from tasks.refs import BatchRecord, IngestReport
from tasks.validation.task import validate


@flow(name="ingest", flow_run_name="ingest-{pipeline}", log_prints=False)
def ingest(pipeline: str, now: datetime | None = None) -> IngestReport:
    """Take in what landed: read, validate, quarantine, append.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
    """
    config, settings = open_pipeline(pipeline)
    moment = clock(now)
    batches: list[BatchRecord] = []
    with writing(settings, pipeline, "data"):
        files = discover(config)
        for number, file in enumerate(files, start=1):
            record = validate(config, read(config, file), moment)
            batches.append(record)
            say(f"{number}/{len(files)} {told(record)}")
    return IngestReport(pipeline=pipeline, batches=tuple(batches))


def told(record: BatchRecord) -> str:
    """A batch in one line."""
    if record.verdict == "rejected":
        return f"{record.path}: rejected, {'; '.join(record.reasons)}"
    refused = f", {record.quarantined} in quarantine" if record.quarantined else ""
    return f"{record.path}: {record.accepted} rows accepted{refused}"
