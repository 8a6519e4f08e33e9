"""Rejected rows and files as quarantine entries: with reason, key, file, line and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from tasks.records.data import LandedFile
from tasks.stores.lake.delta import RowStream
from tasks.stores.lake.schemas import EXTRA, QUARANTINE, ROW
from tasks.validation.file_validation import FileValidation
from tasks.validation.reasons import row_reason
from tasks.validation.rows import Piece


def row_entries(validation: FileValidation, key: Sequence[str], at: datetime) -> RowStream:
    """Return a file's rejected rows as quarantine entries, streamed piece by piece."""

    def batches() -> Iterator[pa.RecordBatch]:
        refused = validation.rejections.rejected
        for piece in validation.pieces():
            positions = np.flatnonzero(refused[piece.positions])
            if positions.size:
                yield from _entries(validation, piece, positions, key, at).to_batches()

    return RowStream(QUARANTINE, batches)


def file_entry(file: LandedFile, reasons: Sequence[str], at: datetime) -> pa.Table:
    """Return the entry of a file rejected as a whole. The file itself stays where it landed."""
    entry = {**_origin(file, at), "kind": "file", "expectation": "file", "reason": "; ".join(reasons)}
    return pa.Table.from_pylist([entry], schema=QUARANTINE)


def _entries(
    validation: FileValidation,
    piece: Piece,
    positions: np.ndarray[Any, np.dtype[np.int64]],
    key: Sequence[str],
    at: datetime,
) -> pa.Table:
    rows = contents(pa.Table.from_batches([piece.rows.take(pa.array(positions))]))
    reasons = [validation.rejections.reason(int(position)) for position in positions + piece.start]
    numbers = [row.pop(ROW) for row in rows]
    columns: dict[str, Any] = {
        "kind": ["row"] * len(rows),
        "row": numbers,
        "line": [None if validation.batch.lines is None else number + validation.batch.lines for number in numbers],
        "expectation": [name for name, _ in reasons],
        "reason": [row_reason(row, *one, validation.staged.schema) for row, one in zip(rows, reasons, strict=True)],
        "key": [text_json({name: row.get(name) for name in key}) for row in rows],
        "content": [text_json(row) for row in rows],
    }
    constants = _origin(validation.batch.file, at)
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.repeat(pa.scalar(constants[field.name], field.type), len(rows))
        for field in QUARANTINE
    ]
    return pa.Table.from_arrays(arrays, schema=QUARANTINE)


def _origin(file: LandedFile, at: datetime) -> dict[str, Any]:
    return {"batch": file.sha256, "path": file.path, "feed": file.feed, "at": at}


def contents(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows as dictionaries without missing values; columns outside the contract as a nested dictionary."""
    rows: list[dict[str, Any]] = [
        {name: value for name, value in row.items() if value is not None} for row in table.to_pylist()
    ]
    for row in rows:
        if EXTRA.name in row:
            row[EXTRA.name] = dict(row[EXTRA.name])
    return rows


def text_json(value: dict[str, Any]) -> str:
    """Return a row's values as JSON; numbers keep every digit, times are ISO 8601."""
    return orjson.dumps(value, default=str).decode()
