"""Staging of a local file, or the reason to reject it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Column
from configs.schema import PipelineConfig
from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.names import known_names
from tasks.ingestion.read import read_batches
from tasks.records.data import LandedFile, StagedBatch
from tasks.stores.lake import staging


def stage(
    config: PipelineConfig, file: LandedFile, local: Path, source: Source, columns: Mapping[str, Column], staged: Path
) -> StagedBatch:
    """Stage a landed file by all rules of its contract.

    Args:
        config: The pipeline.
        file: The file.
        local: Where it lies on local disk.
        source: How its feed's files are written.
        columns: Its feed's columns.
        staged: Where its rows go.
    """
    contract = config.contract
    try:
        with read_batches(
            local,
            source,
            columns,
            contract.timezone,
            policies=contract.policies,
            other_names=known_names(contract.columns),
            name=file.path,
            draft=_draft(staged),
            readmitted=file.origin == "readmitted",
        ) as reading:
            rows = staging.write_batches(staged, reading.schema, reading)
            return StagedBatch(file=file, staged=str(staged), rows=rows, lines=reading.lines, notes=reading.notes)
    except DataRejectedError as error:
        return StagedBatch(file=file, refusal=str(error))


def stage_for_scoring(
    config: PipelineConfig, file: LandedFile, local: Path, columns: Mapping[str, Column], staged: Path
) -> StagedBatch:
    """Stage a file that is to be scored: its own ending counts, whatever lands, and no policy on other columns."""
    source = config.source.model_copy(update={"format": None, "compression": None})
    zone = config.contract.timezone
    try:
        with read_batches(local, source, columns, zone, name=file.path, draft=_draft(staged)) as reading:
            rows = staging.write_batches(staged, reading.schema, reading)
            return StagedBatch(file=file, staged=str(staged), rows=rows, lines=reading.lines, notes=reading.notes)
    except DataRejectedError as error:
        return StagedBatch(file=file, refusal=str(error))


def event_span(
    config: PipelineConfig, file: LandedFile, local: Path, source: Source, draft: Path
) -> tuple[datetime, datetime] | None:
    """First and last event of a file; None where it has none.

    Raises:
        DataRejectedError: the file can't be read.
    """
    name = config.contract.event_time or ""
    columns = {name: config.contract.columns[name]}
    with read_batches(local, source, columns, config.contract.timezone, name=file.path, draft=draft) as reading:
        spans = [pc.min_max(batch.column(name)) for batch in reading]
    ends = pa.array([one[end].as_py() for one in spans for end in ("min", "max")], spans[0]["min"].type)
    span = pc.min_max(ends).as_py()
    return None if span["min"] is None else (span["min"], span["max"])


def _draft(staged: Path) -> Path:
    return staged.with_suffix(".opened")
