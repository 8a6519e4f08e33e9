"""Casts to the contract's types. Cells that can't be cast become missing and are reported."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.base import ColumnType
from configs.contract import Column
from tasks.ingestion.arrow_types import cast_each, nulls, unwrap
from tasks.ingestion.timestamps import to_timestamps
from tasks.stores.lake.schemas import ARROW_TYPES

Mask = npt.NDArray[np.bool_]
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_INTEGER = r"^[+-]?(\d{1,19}(\.0+)?|0[xX][0-9a-fA-F]{1,16})$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def cast_column(
    values: pa.ChunkedArray | pa.Array, column: Column, timezone: str
) -> tuple[pa.ChunkedArray | pa.Array, Mask]:
    """Cast a column to its contract type.

    Returns:
        The typed values, and a mask, shape (n_rows,), of the cells that could not be read as that type.
    """
    values = unwrap(values)
    typed = _cast(values, column.type, timezone)
    if pa.types.is_floating(typed.type):
        typed = _without_infinities(typed)
    if typed.null_count == values.null_count:
        return typed, np.zeros(len(values), dtype=bool)
    failed = _failed_casts(values, typed)
    return typed, np.asarray(
        failed.to_numpy(zero_copy_only=False) if isinstance(failed, pa.Array) else failed.to_numpy()
    )


def _without_infinities(typed: pa.ChunkedArray) -> pa.ChunkedArray:
    finite = pc.is_finite(typed)
    if pc.all(finite, skip_nulls=True).as_py() in (True, None):
        return typed
    return pc.if_else(finite, typed, pa.scalar(None, typed.type))


def _failed_casts(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the mask of cells that lost their value in a cast (NaN is not a value)."""
    had = pc.is_valid(before)
    if pa.types.is_floating(before.type):
        had = pc.and_(had, pc.invert(pc.is_nan(before).fill_null(True)))
    return pc.and_(had, pc.is_null(after))


def _cast(values: pa.ChunkedArray, kind: ColumnType, timezone: str) -> pa.ChunkedArray:
    target = ARROW_TYPES[kind]
    if kind == "timestamp":
        return to_timestamps(values, timezone)
    if values.type == target:
        return values
    if pa.types.is_string(values.type):
        return _from_text(values, kind)
    if kind != "string" and pa.types.is_temporal(values.type):
        return nulls(values, target)  # Arrow would give the count of its units
    if kind == "integer" and pa.types.is_floating(values.type):
        is_whole = pc.equal(values, pc.round(values))
        exact = pc.and_(is_whole, pc.less(pc.abs(values), float(1 << 53)))
        values = pc.if_else(exact, values, pa.scalar(None, values.type))
    if kind == "boolean" and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        values = values.cast(pa.float64(), safe=False)
        zero_or_one = pc.or_(pc.equal(values, 0.0), pc.equal(values, 1.0))
        values = pc.if_else(zero_or_one, values, pa.scalar(None, values.type))
    return cast_each(values, target)


def _from_text(values: pa.ChunkedArray, kind: ColumnType) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(values)
    null = pa.scalar(None, text.type)
    if kind == "boolean":
        lower = pc.utf8_lower(text)
        true, false = pc.is_in(lower, pa.array(_TRUE)), pc.is_in(lower, pa.array(_FALSE))
        return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_()))
    target = ARROW_TYPES[kind]
    try:
        return text.cast(target)  # what Arrow takes of all cells at once, the expressions below take too
    except pa.ArrowInvalid:
        pass
    if kind == "integer":
        is_integer = pc.match_substring_regex(text, _INTEGER)
        return cast_each(pc.replace_substring_regex(pc.if_else(is_integer, text, null), r"^\+|\.0+$", ""), target)
    numeric = pc.match_substring_regex(text, _NUMBER)
    return pc.replace_substring_regex(pc.if_else(numeric, text, null), r"^\+", "").cast(target)
