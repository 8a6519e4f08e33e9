"""Prefect tasks of scoring."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError, UsageError
from tasks.refs import BatchRecord, ModelRef, ScoreReport, StagedBatch, artifact_key
from tasks.retry import RETRIES
from tasks.stores import models, staging
from tasks.stores.audit import Audit
from tasks.stores.candidates import first_through
from tasks.stores.delta import Part
from tasks.stores.lake import Lake
from tasks.stores.settings import load_settings
from tasks.stores.tables import PROVENANCE, SEQ

_GROUP_ROWS = 250_000
WRITERS = (".csv", ".parquet", ".jsonl")


@task(name="score-new", cache_policy=NO_CACHE, **RETRIES)
def score_new(config: PipelineConfig, champion: ModelRef, now: datetime) -> ScoreReport:
    """Score, with the champion, accepted batches that came after the first training and have no prediction yet."""
    from tasks.scoring.predict import needed_columns, stored_table

    settings = load_settings()
    lake = Lake(settings, config)
    due = unscored(lake, first_through(Audit(settings), config.name))
    model = _load(config, champion) if due else None
    columns = [*needed_columns(config, champion), *(field.name for field in PROVENANCE)]
    total = 0
    for group in _groups(due):
        table = lake.read("observations", columns, where=pc.field(SEQ).isin([one.seq for one in group]))
        scored = stored_table(config, champion, model, table, now)
        parts = [
            Part(one.batch, champion.version or 0, scored.filter(pc.equal(scored.column(SEQ), one.seq)))
            for one in group
        ]
        lake.append_parts_once("predictions", parts)
        total += scored.num_rows
    report = ScoreReport(version=champion.version or 0, rows=total, batches=tuple(one.path for one in due))
    _tell(config, report)
    return report


def _groups(batches: Sequence[BatchRecord]) -> Iterator[list[BatchRecord]]:
    """Small batches together, as many as make a good commit; a large one alone."""
    group: list[BatchRecord] = []
    for batch in batches:
        if group and sum(one.accepted for one in group) + batch.accepted > _GROUP_ROWS:
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def unscored(lake: Lake, after: int) -> list[BatchRecord]:
    """Accepted observation batches after a sequence number that no version has scored yet."""
    predictions = lake.open("predictions")
    return [
        batch
        for batch in lake.ledger()
        if batch.verdict == "accepted"
        and batch.feed == "observations"
        and batch.seq > after
        and (predictions is None or predictions.transaction_version(batch.batch) is None)
    ]


@task(name="score-file", cache_policy=NO_CACHE)
def score_file(config: PipelineConfig, champion: ModelRef, batch: StagedBatch, output: str) -> ScoreReport:
    """Score a staged file and write the result, whole or not at all.

    Raises:
        DataRejectedError: the file can't be scored; it says which rows and columns.
        UsageError: the output can't be written.
    """
    from tasks.scoring.predict import needed_columns, output_table, refuse_unusable

    if batch.refusal:
        raise DataRejectedError(f"{batch.file.uri}: {batch.refusal}")
    table = staging.read(Path(batch.staged))
    Path(batch.staged).unlink()  # it stays mapped until the table is done with
    try:
        refuse_unusable(table, needed_columns(config, champion), config)
    except DataRejectedError as error:
        raise DataRejectedError(f"{batch.file.uri}: {error}") from None
    scored = output_table(config, champion, _load(config, champion), table)
    _write(scored, Path(output))
    report = ScoreReport(version=champion.version or 0, rows=scored.num_rows, batches=(batch.file.path,), output=output)
    _tell(config, report)
    return report


def _load(config: PipelineConfig, champion: ModelRef) -> Any:
    return models.load(Path(champion.folder) / models.MODEL_FILE, config.training.trusted_types)


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(table, temporary)
        elif path.suffix == ".jsonl":
            table.to_pandas().to_json(temporary, orient="records", lines=True, date_format="iso", date_unit="us")
        else:
            pacsv.write_csv(table, temporary)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _tell(config: PipelineConfig, report: ScoreReport) -> None:
    where = report.output or "the table `predictions`"
    files = ", ".join(report.batches) or "nothing new"
    text = f"# {config.name}: scored\n\n{report.rows} rows by version {report.version} into {where}.\n\nFrom: {files}."
    create_markdown_artifact(text, key=artifact_key(config.name, "score"), description="scored")
