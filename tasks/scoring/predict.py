"""Prediction of observations in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError
from tasks.features.frame import feature_frame
from tasks.records.model import ModelRef
from tasks.stores.lake.delta import RowStream
from tasks.stores.lake.schemas import PROVENANCE, ROW, SOURCE, TIMESTAMP, prediction_type
from tasks.stores.lake.staging import UNREADABLE
from tasks.stores.registry.models import prediction_columns

# Rows per prediction call: enough to amortise its overhead, few enough for bounded memory.
PIECE_ROWS = 100_000
_SHOWN = 5
_REPORT_SECONDS = 5.0

ProgressReporter = Callable[[str], None]


def needed_columns(config: PipelineConfig, model: ModelRef) -> list[str]:
    """Return the columns that scoring reads: key and features."""
    return list(dict.fromkeys([*config.contract.key, *model.feature_columns]))


def check_rows(batches: Iterable[pa.RecordBatch], names: Sequence[str], config: PipelineConfig) -> None:
    """Check the rows of a file to score.

    Raises:
        DataRejectedError: cells are not of the contract's type, or missing in a non-nullable column.
    """
    columns = config.contract.columns
    required = [name for name in names if name in columns and not columns[name].nullable]
    unreadable, missing = _RowSample(), {name: _RowSample() for name in required}
    for batch in batches:
        invalid_rows = batch.filter(batch.column(UNREADABLE).is_valid())
        unreadable.add(
            invalid_rows.num_rows,
            (f"row {row[ROW]}: {row[UNREADABLE]}" for row in invalid_rows.slice(0, _SHOWN).to_pylist()),
        )
        for name in required:
            missing_rows = batch.column(ROW).filter(batch.column(name).is_null())
            missing[name].add(len(missing_rows), (str(row) for row in missing_rows[:_SHOWN].to_pylist()))
    if unreadable.rows:
        shown = "; ".join(unreadable.shown)
        raise DataRejectedError(f"{unreadable.rows} rows have values that are not of the contract's type: {shown}")
    for name, sample in missing.items():
        if sample.rows:
            rows = ", ".join(sample.shown)
            raise DataRejectedError(
                f"column {name!r} is missing in {sample.rows} rows (first: {rows}); the contract does not allow "
                "missing values"
            )


class _RowSample:
    """Number of rows, and examples of them."""

    def __init__(self) -> None:
        self.rows = 0
        self.shown: list[str] = []

    def add(self, rows: int, examples: Iterable[str]) -> None:
        self.rows += rows
        self.shown = [*self.shown, *examples][:_SHOWN]


class Scorer(NamedTuple):
    """A loaded model with its pipeline and reference."""

    config: PipelineConfig
    ref: ModelRef
    model: Any

    def for_file(self, rows: pa.Table) -> pa.Table:
        """Return scored rows for a file: key columns (or `row`, from 1), prediction, probabilities, model_version."""
        keys = {name: rows.column(name) for name in self.config.contract.key}
        return pa.table({**(keys or {"row": rows.column(ROW)}), **self._predictions(rows)})

    def for_predictions(self, rows: pa.Table, at: datetime) -> pa.Table:
        """Return scored observations: key, provenance, prediction, probabilities, model_version, scored_at."""
        names = (*self.config.contract.key, *(field.name for field in PROVENANCE))
        kept = {name: rows.column(name) for name in names}
        return pa.table({**kept, **self._predictions(rows), "scored_at": _timestamp_column(rows, at)})

    def for_scored(self, rows: pa.Table, source: str, at: datetime) -> pa.Table:
        """Return scored rows of a file for the lake: digest, row, key, prediction, probabilities, version, time."""
        keys = {name: rows.column(name) for name in self.config.contract.key}
        source_columns = {SOURCE: pa.repeat(pa.scalar(source), rows.num_rows), ROW: rows.column(ROW)}
        return pa.table({**source_columns, **keys, **self._predictions(rows), "scored_at": _timestamp_column(rows, at)})

    def _predictions(self, rows: pa.Table) -> dict[str, pa.Array]:
        frame = feature_frame(rows, self.ref.feature_columns, self.ref.columns)
        columns = prediction_columns(self.model, frame)
        columns["prediction"] = columns["prediction"].cast(prediction_type(self.config))
        return {**columns, "model_version": pa.repeat(pa.scalar(self.ref.version, pa.int64()), rows.num_rows)}


def _timestamp_column(rows: pa.Table, at: datetime) -> pa.Array:
    return pa.repeat(pa.scalar(at, TIMESTAMP), rows.num_rows)


def score_stream(
    batches: Callable[[], Iterator[pa.RecordBatch]],
    score: Callable[[pa.Table], pa.Table],
    report_progress: ProgressReporter,
) -> RowStream:
    """Return a stream of scored rows, with one piece in memory at a time.

    Args:
        batches: Returns an iterator over the rows to score, at least one; can be called repeatedly.
        score: Scores a table.
        report_progress: Called with progress messages.
    """
    first = next(batch for batch in batches() if batch.num_rows)
    schema = score(pa.Table.from_batches([first.slice(0, 1)])).schema

    def scored() -> Iterator[pa.RecordBatch]:
        rows, last_report = 0, time.monotonic()
        for piece in rebatch(batches(), PIECE_ROWS):
            yield from score(piece).cast(schema).combine_chunks().to_batches()
            rows += piece.num_rows
            if time.monotonic() - last_report >= _REPORT_SECONDS:
                report_progress(f"{rows:,} rows scored")
                last_report = time.monotonic()

    return RowStream(schema, scored)


def score_table(rows: pa.Table, score: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """Score a table that fits into memory."""
    return pa.concat_tables([score(piece) for piece in rebatch(rows.to_batches(), PIECE_ROWS)])


def rebatch(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Yield the rows in tables of a fixed number of rows, the last with the remainder.

    So a model predicts the same rows together, however they are stored.
    """
    buffered: list[pa.RecordBatch] = []
    needed = rows
    for batch in batches:
        rest = batch
        while rest.num_rows >= needed:
            yield pa.Table.from_batches([*buffered, rest.slice(0, needed)])
            rest, buffered, needed = rest.slice(needed), [], rows
        if rest.num_rows:
            buffered.append(rest)
            needed -= rest.num_rows
    if buffered:
        yield pa.Table.from_batches(buffered)
