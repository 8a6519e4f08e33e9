"""The judgement of staged batches: pure, from tables to tables and reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Expectation
from configs.schema import PipelineConfig
from tasks.refs import ExpectationResult, StagedBatch
from tasks.stores.hashing import position_hash, row_hash
from tasks.stores.lake import BATCH, PROVENANCE, ROW, ROW_ID, SEQ
from tasks.stores.staging import UNREADABLE
from tasks.validation import contract, quarantine
from tasks.validation.expectations import Check, check, needed_columns, poolable

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Judgement:
    """What becomes of a batch.

    Attributes:
        accepted: Rows for the lake, with provenance columns but for `_seq`; None where the file is refused.
        refused: Entries for quarantine.
        reasons: Why the file as a whole is refused; empty where it comes in.
        results: What each expectation found.
        counts: Refused rows by reason.
        rows: Rows of the file.
    """

    accepted: pa.Table | None
    refused: pa.Table
    reasons: tuple[str, ...]
    results: tuple[ExpectationResult, ...]
    counts: dict[str, int]
    rows: int


def judge(
    config: PipelineConfig,
    batches: Sequence[StagedBatch],
    tables: Sequence[pa.Table],
    kept: Callable[[Ids], pa.Table],
    at: datetime,
) -> list[Judgement]:
    """Judge staged batches of one feed, in their order.

    Args:
        config: The pipeline.
        batches: Where the tables come from.
        tables: The staged rows of each batch, with `_row` and `_unreadable`.
        kept: Gives the key columns of the lake's rows, of other batches, whose `_row_id` is among some.
        at: The run's clock.
    """
    key = config.contract.key
    checks = _checks(contract.suite(config, batches[0].file.feed), tables)
    ids = [_ids(key, batch, table) for batch, table in zip(batches, tables, strict=True)]
    known = kept(np.concatenate(ids)) if key else pa.table({})
    found = []
    for batch, table, own, own_ids in zip(batches, tables, checks, ids, strict=True):
        judgement = _judge_one(config, batch, table, own, own_ids, known, at)
        if key and judgement.accepted is not None:
            known = pa.concat_tables([known.select(list(key)), judgement.accepted.select(list(key))])
        found.append(judgement)
    return found


def _judge_one(
    config: PipelineConfig,
    batch: StagedBatch,
    table: pa.Table,
    checks: Sequence[Check],
    ids: Ids,
    known: pa.Table,
    at: datetime,
) -> Judgement:
    key = config.contract.key
    refusals = _with_keys(quarantine.from_checks(table, checks), table, key, known)
    reasons = quarantine.whole_file_reasons(checks, refusals, config.validation.max_quarantined_share)
    return Judgement(
        accepted=None if reasons else _accepted(table, refusals, ids, batch),
        refused=quarantine.file_entry(batch.file, reasons, at)
        if reasons
        else quarantine.row_entries(table, batch.file, refusals, key, at),
        reasons=tuple(reasons),
        results=tuple(one.result for one in checks),
        counts=refusals.counts(),
        rows=table.num_rows,
    )


def _checks(expectations: Sequence[Expectation], tables: Sequence[pa.Table]) -> list[list[Check]]:
    """Each batch's checks. What judges rows one by one is asked of all together: asking costs more than rows do."""
    pooled = [poolable(expectation) for expectation in expectations]
    together = [one for one, pools in zip(expectations, pooled, strict=True) if pools]
    apart = [one for one, pools in zip(expectations, pooled, strict=True) if not pools]
    shared = check(_frame(pa.concat_tables(tables), together), together)
    bounds = np.cumsum([0, *(table.num_rows for table in tables)]).tolist()
    found = []
    for number, table in enumerate(tables):
        own = check(table.drop_columns([ROW, UNREADABLE]).to_pandas(), apart) if apart else []
        mine = [one.within(bounds[number], bounds[number + 1]) for one in shared]
        iterators = {True: iter(mine), False: iter(own)}
        found.append([next(iterators[pools]) for pools in pooled])
    return found


def _ids(key: Sequence[str], batch: StagedBatch, table: pa.Table) -> Ids:
    return row_hash(table, key) if key else position_hash(batch.file.sha256, table.column(ROW).to_numpy())


def _with_keys(
    refusals: quarantine.Refusals, table: pa.Table, key: Sequence[str], known: pa.Table
) -> quarantine.Refusals:
    if not key:
        return refusals
    repeated = contract.repeated_in_batch(table, key, refusals.accepted)
    refusals = refusals.add(repeated, "duplicate_key", "the key stands in an earlier row of this file")
    present = contract.present_in(table, key, known, refusals.accepted)
    return refusals.add(present, "duplicate_key", "the key came in with an earlier file")


def _accepted(table: pa.Table, refusals: quarantine.Refusals, ids: Ids, batch: StagedBatch) -> pa.Table:
    with_ids = table.drop_columns([UNREADABLE]).append_column(ROW_ID, pa.array(ids))
    rows = with_ids if refusals.accepted.all() else with_ids.filter(pa.array(refusals.accepted))
    return rows.append_column(BATCH, pa.repeat(pa.scalar(batch.file.sha256), rows.num_rows))


def with_sequence(rows: pa.Table, seq: int) -> pa.Table:
    """Accepted rows with their batch's sequence number, provenance columns last and in order."""
    rows = rows.append_column(SEQ, pa.repeat(pa.scalar(seq, pa.int64()), rows.num_rows))
    names = [field.name for field in PROVENANCE]
    return rows.select([*(name for name in rows.column_names if name not in names), *names])


def time_range(rows: pa.Table | None, event_time: str | None) -> tuple[datetime | None, datetime | None]:
    """First and last event time; None where the feed has none, or no row came in."""
    if rows is None or event_time is None or event_time not in rows.column_names or rows.num_rows == 0:
        return None, None
    found = pc.min_max(rows.column(event_time)).as_py()
    return found["min"], found["max"]


def _frame(table: pa.Table, expectations: Sequence[Expectation]) -> pd.DataFrame:
    """The columns that expectations name, as Great Expectations sees them, positions as index."""
    columns = [name for name in needed_columns(expectations) if name in table.column_names]
    if not columns:
        return pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    frame: pd.DataFrame = table.select(columns).to_pandas()
    return frame
