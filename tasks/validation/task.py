"""Prefect tasks of validation."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_markdown_artifact

from configs.schema import PipelineConfig
from tasks.refs import BatchRecord, ExpectationResult, StagedBatch
from tasks.stores import staging
from tasks.stores.lake import BATCH, ROW_ID, Lake
from tasks.stores.settings import load_settings
from tasks.validation.page import batch_page
from tasks.validation.quarantine import file_entry


@task(name="validate", task_run_name="validate-{batch.file.path}")
def validate(config: PipelineConfig, batch: StagedBatch, now: datetime) -> BatchRecord:
    """Judge a staged batch and write what comes of it, each part once; the ledger last. The data lock is held."""
    from tasks.validation.judge import judge, time_range, with_sequence

    lake = Lake(load_settings(), config)
    if batch.refusal:
        return _refuse(config, lake, batch, now)
    table = staging.read(Path(batch.staged))
    found = judge(config, batch, table, lambda ids: _kept(config, lake, batch, ids), now)
    seq = _sequence(lake, batch)
    if found.refused.num_rows:
        lake.append_once("quarantine", found.refused, batch.file.sha256, seq)
    if found.accepted is not None:
        lake.append_once(batch.file.feed, with_sequence(found.accepted, seq), batch.file.sha256, seq)
    accepted = 0 if found.accepted is None else found.accepted.num_rows
    first, last = (None, None) if found.accepted is None else time_range(found.accepted, config.contract.event_time)
    record = BatchRecord(
        **_origin(batch, seq, now),
        verdict="rejected" if found.reasons else "accepted",
        reasons=found.reasons,
        rows=found.rows,
        accepted=accepted,
        quarantined=found.rows - accepted,
        event_time_min=first,
        event_time_max=last,
    )
    lake.enter(record)
    Path(batch.staged).unlink(missing_ok=True)
    _tell(config, record, found.results, Counter(found.refused.column("expectation").to_pylist()))
    return record


def _refuse(config: PipelineConfig, lake: Lake, batch: StagedBatch, now: datetime) -> BatchRecord:
    seq = _sequence(lake, batch)
    lake.append_once("quarantine", file_entry(batch.file, [batch.refusal], now), batch.file.sha256, seq)
    record = BatchRecord(
        **_origin(batch, seq, now),
        verdict="rejected",
        reasons=(batch.refusal,),
        rows=0,
        accepted=0,
        quarantined=0,
        event_time_min=None,
        event_time_max=None,
    )
    lake.enter(record)
    _tell(config, record, (), Counter())
    return record


def _origin(batch: StagedBatch, seq: int, now: datetime) -> dict[str, object]:
    file = batch.file
    return {
        "seq": seq,
        "batch": file.sha256,
        "feed": file.feed,
        "path": file.path,
        "size": file.size,
        "mtime_ns": file.mtime_ns,
        "ingested_at": now,
    }


def _sequence(lake: Lake, batch: StagedBatch) -> int:
    """The batch's number: the one it was given by a run that was killed, or the next."""
    given = lake.transaction(batch.file.feed, batch.file.sha256) or lake.transaction("quarantine", batch.file.sha256)
    return given or 1 + max((known.seq for known in lake.ledger()), default=0)


def _kept(config: PipelineConfig, lake: Lake, batch: StagedBatch, ids: object) -> pa.Table:
    """Keys that came in with other batches and whose hash is among `ids`."""
    feed = batch.file.feed
    columns = [*config.contract.key, ROW_ID]
    other = pc.not_equal(pc.field(BATCH), batch.file.sha256)
    return lake.read(feed, columns, where=other & pc.field(ROW_ID).isin(pa.array(ids)))


def _tell(
    config: PipelineConfig, record: BatchRecord, results: tuple[ExpectationResult, ...], counts: Counter[str]
) -> None:
    key = f"{config.name.replace('_', '-')}-validate"
    create_markdown_artifact(batch_page(record, results, dict(counts)), key=key, description=record.verdict)
