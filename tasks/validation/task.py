"""Prefect tasks of validation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.refs import BatchRecord, StagedBatch, artifact_key, rules_digest
from tasks.retry import RETRIES
from tasks.stores import staging
from tasks.stores.delta import Part
from tasks.stores.lake import BATCH, ROW_ID, Lake
from tasks.stores.settings import load_settings
from tasks.validation.page import batches_page

if TYPE_CHECKING:
    from tasks.validation.judge import Judgement


@task(name="validate", task_run_name="validate-{batches[0].file.path}", cache_policy=NO_CACHE, **RETRIES)
def validate(config: PipelineConfig, batches: Sequence[StagedBatch], now: datetime) -> tuple[BatchRecord, ...]:
    """Judge staged batches of one feed and write what comes of them, each part once; the ledger last. Lock held."""
    lake = Lake(load_settings(), config)
    found = _judge(config, lake, batches, now)
    numbers = _sequences(lake, batches)
    pairs = list(zip(batches, found, strict=True))
    rules = rules_digest(config)
    refused = [
        Part(f"{b.file.sha256}:{rules}", numbers[b.file.sha256], j.refused) for b, j in pairs if j.refused.num_rows
    ]
    accepted = [_part(batch, judged, numbers[batch.file.sha256]) for batch, judged in pairs if not judged.reasons]
    # In this order: a batch whose rows are in the lake is judged first again after a kill, and so alike.
    lake.append_parts_once(batches[0].file.feed, accepted)
    lake.append_parts_once("quarantine", refused)
    records = [_record(config, batch, judged, numbers[batch.file.sha256], now) for batch, judged in pairs]
    lake.enter(records)
    key = artifact_key(config.name, "validate")
    page = batches_page(config.name, [(record, judged.results) for record, judged in zip(records, found, strict=True)])
    create_markdown_artifact(page, key=key, description=f"{len(accepted)} of {len(batches)} files accepted")
    for batch in batches:  # last: another try of this task reads them again
        if batch.staged:
            Path(batch.staged).unlink(missing_ok=True)
    return tuple(records)


def _judge(config: PipelineConfig, lake: Lake, batches: Sequence[StagedBatch], now: datetime) -> list[Judgement]:
    """Judgements in the batches' order; a batch that could not be read is refused for that."""
    from tasks.validation.judge import Judgement, judge
    from tasks.validation.quarantine import file_entry

    readable = [batch for batch in batches if not batch.refusal]
    tables = [staging.read(Path(batch.staged)) for batch in readable]
    own = {batch.file.sha256 for batch in readable}
    judged = judge(config, readable, tables, lambda ids: _kept(config, lake, batches, own, ids), now) if own else []
    rest = iter(judged)
    return [
        Judgement(None, file_entry(batch.file, [batch.refusal], now), (batch.refusal,), (), {}, 0)
        if batch.refusal
        else next(rest)
        for batch in batches
    ]


def _part(batch: StagedBatch, judged: Judgement, seq: int) -> Part:
    from tasks.validation.judge import with_sequence

    return Part(batch.file.sha256, seq, with_sequence(judged.accepted, seq))


def _record(config: PipelineConfig, batch: StagedBatch, judged: Judgement, seq: int, now: datetime) -> BatchRecord:
    from tasks.validation.judge import time_range

    accepted = 0 if judged.accepted is None else judged.accepted.num_rows
    first, last = time_range(judged.accepted, config.contract.event_time)
    return BatchRecord(
        seq=seq,
        batch=batch.file.sha256,
        feed=batch.file.feed,
        path=batch.file.path,
        size=batch.file.size,
        mtime_ns=batch.file.mtime_ns,
        verdict="rejected" if judged.reasons else "accepted",
        rules=rules_digest(config),
        reasons=judged.reasons,
        rows=judged.rows,
        accepted=accepted,
        quarantined=judged.rows - accepted,
        event_time_min=first,
        event_time_max=last,
        ingested_at=now,
    )


def _sequences(lake: Lake, batches: Sequence[StagedBatch]) -> dict[str, int]:
    """The batches' numbers: those that a killed run gave them, or the next."""
    hashes = [batch.file.sha256 for batch in batches]
    given = lake.transactions(batches[0].file.feed, hashes)
    highest = max([*(known.seq for known in lake.ledger()), *given.values()], default=0)
    fresh = [one for one in hashes if one not in given]
    return {**given, **{one: number for number, one in enumerate(fresh, start=highest + 1)}}


def _kept(config: PipelineConfig, lake: Lake, batches: Sequence[StagedBatch], own: set[str], ids: object) -> pa.Table:
    """Keys that came in with other batches and whose hash is among `ids`."""
    other = ~pc.field(BATCH).isin(sorted(own))
    return lake.read(batches[0].file.feed, config.contract.key, where=other & pc.field(ROW_ID).isin(pa.array(ids)))
