"""Observations to predictions, piece by piece."""

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

# Rows that are predicted at once: enough that a piece's own cost does not count, few enough for any memory.
PIECE = 100_000
_SHOWN = 5
_TELL_SECONDS = 5.0

Tell = Callable[[str], None]


def needed_columns(config: PipelineConfig, model: ModelRef) -> list[str]:
    """Columns that scoring reads: the key's, and those that the model takes."""
    return list(dict.fromkeys([*config.contract.key, *model.feature_columns]))


def refuse_unusable(batches: Iterable[pa.RecordBatch], names: Sequence[str], config: PipelineConfig) -> None:
    """Look at the rows of a file that is to be scored.

    Raises:
        DataRejectedError: cells that are not of the contract's type, or missing where the contract allows no missing.
    """
    columns = config.contract.columns
    always = [name for name in names if name in columns and not columns[name].nullable]
    unreadable, missing = _Tally(), {name: _Tally() for name in always}
    for batch in batches:
        told = batch.filter(batch.column(UNREADABLE).is_valid())
        unreadable.add(
            told.num_rows, (f"row {row[ROW]}: {row[UNREADABLE]}" for row in told.slice(0, _SHOWN).to_pylist())
        )
        for name in always:
            empty = batch.column(ROW).filter(batch.column(name).is_null())
            missing[name].add(len(empty), (str(row) for row in empty[:_SHOWN].to_pylist()))
    if unreadable.rows:
        shown = "; ".join(unreadable.shown)
        raise DataRejectedError(f"{unreadable.rows} rows have values that are not of the contract's type: {shown}")
    for name, one in missing.items():
        if one.rows:
            rows = ", ".join(one.shown)
            raise DataRejectedError(
                f"column {name!r} is missing in {one.rows} rows (first: {rows}); the contract allows no missing"
            )


class _Tally:
    """How many rows, and what is told of the first."""

    def __init__(self) -> None:
        self.rows = 0
        self.shown: list[str] = []

    def add(self, rows: int, told: Iterable[str]) -> None:
        self.rows += rows
        self.shown = [*self.shown, *told][:_SHOWN]


class Scorer(NamedTuple):
    """A loaded model and what it is asked for."""

    config: PipelineConfig
    ref: ModelRef
    model: Any

    def for_file(self, rows: pa.Table) -> pa.Table:
        """Scored rows for a person: key columns (or `row`, from 1), prediction, probabilities, model_version."""
        keys = {name: rows.column(name) for name in self.config.contract.key}
        return pa.table({**(keys or {"row": rows.column(ROW)}), **self._answers(rows)})

    def for_predictions(self, rows: pa.Table, at: datetime) -> pa.Table:
        """Scored observations: key, provenance, prediction, probabilities, model_version, scored_at."""
        names = (*self.config.contract.key, *(field.name for field in PROVENANCE))
        kept = {name: rows.column(name) for name in names}
        return pa.table({**kept, **self._answers(rows), "scored_at": _at(rows, at)})

    def for_scored(self, rows: pa.Table, source: str, at: datetime) -> pa.Table:
        """Scored rows of a file, for the lake: its digest, row, key, prediction, probabilities, version, scored_at."""
        keys = {name: rows.column(name) for name in self.config.contract.key}
        whose = {SOURCE: pa.repeat(pa.scalar(source), rows.num_rows), ROW: rows.column(ROW)}
        return pa.table({**whose, **keys, **self._answers(rows), "scored_at": _at(rows, at)})

    def _answers(self, rows: pa.Table) -> dict[str, pa.Array]:
        frame = feature_frame(rows, self.ref.feature_columns, self.ref.columns)
        found = prediction_columns(self.model, frame)
        found["prediction"] = found["prediction"].cast(prediction_type(self.config))
        return {**found, "model_version": pa.repeat(pa.scalar(self.ref.version, pa.int64()), rows.num_rows)}


def _at(rows: pa.Table, at: datetime) -> pa.Array:
    return pa.repeat(pa.scalar(at, TIMESTAMP), rows.num_rows)


def streamed(
    batches: Callable[[], Iterator[pa.RecordBatch]], score: Callable[[pa.Table], pa.Table], tell: Tell
) -> RowStream:
    """Scored rows as they are asked for, never more than a piece of them in memory.

    Args:
        batches: Gives the rows to score, at least one, as often as it is called.
        score: Scores some of them.
        tell: Told how far it is, on long ones.
    """
    first = next(batch for batch in batches() if batch.num_rows)
    schema = score(pa.Table.from_batches([first.slice(0, 1)])).schema

    def scored() -> Iterator[pa.RecordBatch]:
        rows, told = 0, time.monotonic()
        for piece in pieces(batches(), PIECE):
            yield from score(piece).cast(schema).combine_chunks().to_batches()
            rows += piece.num_rows
            if time.monotonic() - told >= _TELL_SECONDS:
                tell(f"{rows:,} rows scored so far")
                told = time.monotonic()

    return RowStream(schema, scored)


def scored_in_pieces(rows: pa.Table, score: Callable[[pa.Table], pa.Table]) -> pa.Table:
    """Scored rows of a table that is small enough to be held."""
    return pa.concat_tables([score(piece) for piece in pieces(rows.to_batches(), PIECE)])


def pieces(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of just so many rows each, the last with what is left.

    A model is so asked for the same rows together, however they are stored.
    """
    held: list[pa.RecordBatch] = []
    missing = rows
    for batch in batches:
        left = batch
        while left.num_rows >= missing:
            yield pa.Table.from_batches([*held, left.slice(0, missing)])
            left, held, missing = left.slice(missing), [], rows
        if left.num_rows:
            held.append(left)
            missing -= left.num_rows
    if held:
        yield pa.Table.from_batches(held)
