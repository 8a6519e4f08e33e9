"""Refused rows and files as entries of quarantine: with reason, key, file, line and all of their values."""

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
from tasks.validation.case import Case
from tasks.validation.reasons import row_reason
from tasks.validation.rows import Piece


def row_entries(case: Case, key: Sequence[str], at: datetime) -> RowStream:
    """A file's refused rows as entries, made piece by piece."""

    def batches() -> Iterator[pa.RecordBatch]:
        refused = case.refusals.refused
        for piece in case.pieces():
            positions = np.flatnonzero(refused[piece.positions])
            if positions.size:
                yield from _entries(case, piece, positions, key, at).to_batches()

    return RowStream(QUARANTINE, batches)


def file_entry(file: LandedFile, reasons: Sequence[str], at: datetime) -> pa.Table:
    """A file refused whole, as an entry. The file itself stays where it landed."""
    entry = {**_origin(file, at), "kind": "file", "expectation": "file", "reason": "; ".join(reasons)}
    return pa.Table.from_pylist([entry], schema=QUARANTINE)


def _entries(
    case: Case, piece: Piece, positions: np.ndarray[Any, np.dtype[np.int64]], key: Sequence[str], at: datetime
) -> pa.Table:
    rows = contents(pa.Table.from_batches([piece.rows.take(pa.array(positions))]))
    why = [case.refusals.why(int(position)) for position in positions + piece.start]
    numbers = [row.pop(ROW) for row in rows]
    columns: dict[str, Any] = {
        "kind": ["row"] * len(rows),
        "row": numbers,
        "line": [None if case.batch.lines is None else number + case.batch.lines for number in numbers],
        "expectation": [name for name, _ in why],
        "reason": [row_reason(row, *one, case.staged.schema) for row, one in zip(rows, why, strict=True)],
        "key": [text_json({name: row.get(name) for name in key}) for row in rows],
        "content": [text_json(row) for row in rows],
    }
    constants = _origin(case.batch.file, at)
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
    """Rows as dictionaries, without their missing values; columns that the contract does not have as a dictionary."""
    rows: list[dict[str, Any]] = [
        {name: value for name, value in row.items() if value is not None} for row in table.to_pylist()
    ]
    for row in rows:
        if EXTRA.name in row:
            row[EXTRA.name] = dict(row[EXTRA.name])
    return rows


def text_json(value: dict[str, Any]) -> str:
    """JSON of a row's values; numbers keep every digit, times are ISO 8601."""
    return orjson.dumps(value, default=str).decode()
