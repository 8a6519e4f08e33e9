"""The judgement of one staged batch: pure, from tables to tables and reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.refs import ExpectationResult, StagedBatch
from tasks.stores.hashing import position_hash, row_hash
from tasks.stores.lake import BATCH, PROVENANCE, ROW, ROW_ID, SEQ
from tasks.validation import contract, quarantine
from tasks.validation.expectations import check, needed_columns

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """What becomes of a batch.

    Attributes:
        accepted: Rows for the lake, with provenance columns but for `_seq`; None where the file is refused.
        refused: Entries for quarantine.
        reasons: Why the file as a whole is refused; empty where it comes in.
        results: What each expectation found.
        rows: Rows of the file.
    """

    accepted: pa.Table | None
    refused: pa.Table
    reasons: tuple[str, ...]
    results: tuple[ExpectationResult, ...]
    rows: int


def judge(
    config: PipelineConfig,
    batch: StagedBatch,
    table: pa.Table,
    kept: Callable[[Ids], pa.Table],
    at: datetime,
) -> Judgement:
    """Judge a staged batch.

    Args:
        config: The pipeline.
        batch: Where the table comes from.
        table: The staged rows, with `_row` and `_unreadable`.
        kept: Gives the rows of the lake, of other batches, whose `_row_id` is among some, with the key's columns.
        at: The run's clock.
    """
    key = config.contract.key
    expectations = contract.suite(config, batch.file.feed)
    columns = [name for name in needed_columns(expectations) if name in table.column_names]
    checks = check(_frame(table.select(columns)), expectations)
    ids = row_hash(table, key) if key else position_hash(batch.file.sha256, table.column(ROW).to_numpy())
    refusals = _with_keys(quarantine.from_checks(table, checks), table, key, ids, kept)
    reasons = quarantine.whole_file_reasons(checks, refusals, config.validation.max_quarantined_share)
    results = tuple(one.result for one in checks)
    if reasons:
        entry = quarantine.file_entry(batch.file, reasons, at)
        return Judgement(None, entry, tuple(reasons), results, table.num_rows)
    refused = quarantine.row_entries(table, batch.file, refusals, key, at)
    return Judgement(_accepted(table, refusals, ids, batch), refused, (), results, table.num_rows)


def _with_keys(
    refusals: quarantine.Refusals, table: pa.Table, key: tuple[str, ...], ids: Ids, kept: Callable[[Ids], pa.Table]
) -> quarantine.Refusals:
    if not key:
        return refusals
    repeated = contract.repeated_in_batch(table, key, refusals.accepted)
    refusals = refusals.add(repeated, "duplicate_key", "the key stands in an earlier row of this file")
    present = contract.present_in(table, key, kept(ids[refusals.accepted]), refusals.accepted)
    return refusals.add(present, "duplicate_key", "the key came in with an earlier file")


def _accepted(table: pa.Table, refusals: quarantine.Refusals, ids: Ids, batch: StagedBatch) -> pa.Table:
    with_ids = table.drop_columns([quarantine.UNREADABLE]).append_column(ROW_ID, pa.array(ids))
    rows = with_ids if refusals.accepted.all() else with_ids.filter(pa.array(refusals.accepted))
    return rows.append_column(BATCH, pa.repeat(pa.scalar(batch.file.sha256), rows.num_rows))


def with_sequence(rows: pa.Table, seq: int) -> pa.Table:
    """Accepted rows with their batch's sequence number, provenance columns last and in order."""
    rows = rows.append_column(SEQ, pa.repeat(pa.scalar(seq, pa.int64()), rows.num_rows))
    names = [field.name for field in PROVENANCE]
    return rows.select([*(name for name in rows.column_names if name not in names), *names])


def time_range(rows: pa.Table, event_time: str | None) -> tuple[datetime | None, datetime | None]:
    """First and last event time; None where the feed has none."""
    if event_time is None or event_time not in rows.column_names or rows.num_rows == 0:
        return None, None
    found = pc.min_max(rows.column(event_time)).as_py()
    return found["min"], found["max"]


def _frame(table: pa.Table) -> pd.DataFrame:
    """Rows as Great Expectations sees them, positions as index."""
    if table.num_columns == 0:
        return pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    frame: pd.DataFrame = table.to_pandas()
    return frame
