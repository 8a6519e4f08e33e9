"""Validation of one staged file: expectations, event-time policies and cell types, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.schema import PipelineConfig
from tasks.records.data import StagedBatch
from tasks.stores.files.hashing import position_hash, row_hash
from tasks.stores.lake.partial_commits import PartialCommit
from tasks.stores.lake.schemas import ROW
from tasks.stores.lake.staging import UNREADABLE
from tasks.validation.event_time_policies import EventTimePolicies
from tasks.validation.expectation_stats import ExpectationStats
from tasks.validation.expectations import ExpectationOutcome, PreparedExpectation, evaluate, needed_columns
from tasks.validation.rejections import Positions, Rejections
from tasks.validation.rows import CHUNK_ROWS, Piece, StagedRows, row_chunks


class FileValidation:
    """A staged file and the findings of its validation.

    Args:
        config: The pipeline.
        batch: The file.
        questions: The expectations, prepared.
        newest_event: Newest event time of the files accepted before.
        at: The run's clock.
    """

    def __init__(
        self,
        config: PipelineConfig,
        batch: StagedBatch,
        expectations: Sequence[PreparedExpectation],
        newest_event: datetime | None,
        at: datetime,
    ) -> None:
        self.batch = batch
        self.staged = StagedRows(Path(batch.staged))
        self.rejections = Rejections(batch.rows)
        self.stats = [ExpectationStats(prepared) for prepared in expectations]
        self.ids = np.zeros(batch.rows, dtype=np.int64)
        self.rejected_by: Counter[str] = Counter()
        self._key = config.contract.key
        self._share = 1.0 if batch.file.origin == "readmitted" else config.validation.max_quarantined_share
        self._event_time = config.contract.event_time
        policies = config.contract.policies
        if batch.file.origin == "readmitted":  # its readmission time is not its arrival time
            policies = policies.model_copy(update={"late": "accept", "out_of_order": "accept"})
        self._times = EventTimePolicies(policies, newest_event, at)

    def check_rows(self, piece: Piece) -> None:
        """Check each row by itself: unreadable cells and event times; compute the row ids."""
        rows = piece.rows
        unreadable = rows.column(UNREADABLE).is_valid().to_numpy(zero_copy_only=False)
        self.rejections.reject(np.flatnonzero(unreadable) + piece.start, "type", "not of the contract's type")
        table = pa.Table.from_batches([rows])
        numbers = rows.column(ROW).to_numpy(zero_copy_only=False)
        ids = row_hash(table, self._key) if self._key else position_hash(self.batch.file.sha256, numbers)
        self.ids[piece.positions] = ids
        if self._event_time in rows.schema.names:
            for violation in self._times.violations(rows.column(self._event_time)):
                self.rejections.reject(violation.rows + piece.start, violation.name, violation.detail)
                if violation.policy == "reject" and violation.rows.size:
                    self.rejected_by[violation.name] += violation.rows.size

    def add_outcome(self, stat: ExpectationStats, outcome: ExpectationOutcome, rows: Positions, checked: int) -> None:
        """Add an expectation's outcome: of `checked` rows of this file, those at `rows` failed."""
        stat.add(outcome, len(rows), checked)
        if outcome.about_rows and stat.prepared.expectation.severity == "critical":
            self.rejections.reject(rows, stat.name, stat.expected)

    def reasons(self) -> list[str]:
        """Reasons to reject the whole file; empty if it is accepted."""
        failed = [stat for stat in self.stats if stat.rejects_file]
        messages = [f"{stat.name}: {stat.result.detail}" for stat in failed]
        messages += [
            f"{name}: {count} rows, and the contract rejects such files" for name, count in self.rejected_by.items()
        ]
        total, rejected = len(self.rejections), int(np.count_nonzero(self.rejections.rejected))
        counts = ", ".join(f"{count} {name}" for name, count in self.rejections.counts().items())
        if total == 0:
            messages.append("no rows; expected at least one")  # an empty batch passes every column expectation
        elif rejected == total:
            messages.append(f"no valid rows: {total} of {total} rejected ({counts})")
        elif rejected / total > self._share:
            messages.append(
                f"{rejected} of {total} rows rejected ({rejected / total:.1%}), allowed {self._share:.1%}: {counts}"
            )
        return messages

    @property
    def exceeds_rejection_limit(self) -> bool:
        """Whether all rows are rejected, or more than the configured share; this is then the last reason."""
        total, rejected = len(self.rejections), int(np.count_nonzero(self.rejections.rejected))
        return rejected > 0 and (rejected == total or rejected / total > self._share)

    def restore(self, partial_commit: PartialCommit) -> None:
        """Restore the outcome of rows that an interrupted run has already committed."""
        numbers = self.staged.columns([ROW]).column(ROW).to_numpy()
        self.rejections.restore(np.isin(numbers, partial_commit.rows), np.isin(numbers, partial_commit.duplicates))

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[Piece]:
        """Iterate over the rows, piece by piece."""
        return self.staged.pieces(0, columns)


def validate_files(validations: Sequence[FileValidation], columns: Sequence[str]) -> None:
    """Validate the rows of files, except for duplicate keys.

    Row-wise expectations are evaluated in one pass over all rows, in pieces. For the others, the columns that they
    need are read as a whole.

    Args:
        validations: Files of one feed.
        columns: The contract's columns of the feed.
    """
    for chunk in row_chunks([validation.staged for validation in validations]):
        for piece in chunk:
            validations[piece.file].check_rows(piece)
        _validate_chunk(validations, chunk)
    for validation in validations:
        _validate_columns(validation, columns)


def _validate_chunk(validations: Sequence[FileValidation], chunk: Sequence[Piece]) -> None:
    expectations = [stat.prepared for stat in validations[0].stats]
    pooled = [
        number
        for number, prepared in enumerate(expectations)
        if prepared.row_wise and (prepared.poolable or len(chunk) == 1)
    ]
    separate = [number for number, prepared in enumerate(expectations) if prepared.row_wise and number not in pooled]
    _validate_pieces(validations, chunk, pooled)
    for piece in chunk:
        _validate_pieces(validations, [piece], separate)


def _validate_pieces(validations: Sequence[FileValidation], pieces: Sequence[Piece], numbers: Sequence[int]) -> None:
    """Evaluate some expectations on pieces of one or several files, and add to each file its own outcome."""
    expectations = [validations[0].stats[number].prepared for number in numbers]
    columns = [name for name in needed_columns(expectations) if name in pieces[0].rows.schema.names]
    table = pa.Table.from_batches([piece.rows.select(columns) for piece in pieces])
    bounds = np.cumsum([0, *(piece.rows.num_rows for piece in pieces)])
    for number, outcome in zip(numbers, evaluate(_frame(table, int(bounds[-1])), expectations), strict=True):
        cuts = np.searchsorted(outcome.rows, bounds)
        for index, piece in enumerate(pieces):
            validation = validations[piece.file]
            stat = validation.stats[number]
            rows = outcome.rows[cuts[index] : cuts[index + 1]] - bounds[index] + piece.start
            validation.add_outcome(
                stat, outcome, rows, outcome.checked if len(pieces) == 1 else _checked_rows(stat.prepared, piece)
            )


def _checked_rows(prepared: PreparedExpectation, piece: Piece) -> int:
    """Number of rows of a piece that an expectation checks: those with a value."""
    column = str(prepared.expectation.arguments.get("column", ""))
    if "null" in prepared.expectation.type or column not in piece.rows.schema.names:
        return int(piece.rows.num_rows)
    return int(piece.rows.num_rows - piece.rows.column(column).null_count)


def _validate_columns(validation: FileValidation, columns: Sequence[str]) -> None:
    """Evaluate expectations that are not row-wise: of a small file at once, of a large one one at a time."""
    remaining = [stat for stat in validation.stats if not stat.prepared.row_wise]
    groups = [remaining] if len(validation.rejections) <= CHUNK_ROWS else [[stat] for stat in remaining]
    for group in groups:
        with_columns = [stat for stat in group if stat.prepared.columns]
        needed = needed_columns([stat.prepared for stat in with_columns])
        frame = validation.staged.columns(needed).to_pandas() if needed else pd.DataFrame()
        _validate_frame(validation, with_columns, frame)
        for stat in group:
            if not stat.prepared.columns:
                _validate_frame(validation, [stat], _table_frame(stat.prepared, columns, len(validation.rejections)))


def _validate_frame(validation: FileValidation, stats: Sequence[ExpectationStats], frame: pd.DataFrame) -> None:
    for stat, outcome in zip(stats, evaluate(frame, [stat.prepared for stat in stats]), strict=True):
        validation.add_outcome(stat, outcome, outcome.rows, outcome.checked)


def _table_frame(prepared: PreparedExpectation, columns: Sequence[str], rows: int) -> pd.DataFrame:
    """Return a frame for a table expectation without columns: only the rows, or only the column names."""
    if "row_count" in prepared.expectation.type:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    return pd.DataFrame(columns=list(columns))


def _frame(table: pa.Table, rows: int) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas() if table.num_columns else pd.DataFrame(index=pd.RangeIndex(rows))
    return frame


def event_time_range(validation: FileValidation, event_time: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the first and last event time of the accepted rows; None if there are none."""
    if event_time is None or event_time not in validation.staged.schema.names:
        return None, None
    accepted = validation.rejections.accepted
    bounds = []
    for piece in validation.pieces([event_time]):
        extremes = pc.min_max(piece.rows.column(0).filter(pa.array(accepted[piece.positions]))).as_py()
        if extremes["min"] is not None:
            bounds += [extremes["min"], extremes["max"]]
    return (min(bounds), max(bounds)) if bounds else (None, None)
