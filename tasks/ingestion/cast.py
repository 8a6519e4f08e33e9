"""Values into the contract's types. What can't be cast becomes missing and is told, cell by cell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from configs.base import ColumnType
from configs.contract import Column
from tasks.stores.lake import ARROW_TYPES, TIMESTAMP

Mask = npt.NDArray[np.bool_]
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
# An offset stands behind a time of day; the end of a date, -01, is none.
_ZONE = r"(?i)(?:z|\d[t ]\s*\d\d[\d:.,]*\s*[+-]\d\d(?::?\d\d)?)\s*$"
_NANOSECONDS = r"(\.\d{6})\d+"
_INTEGER = r"^[+-]?(\d{1,19}(\.0+)?|0[xX][0-9a-fA-F]{1,16})$"


def cast_column(values: pa.ChunkedArray, column: Column, timezone: str) -> tuple[pa.ChunkedArray, Mask]:
    """A column in its contract's type.

    Returns:
        The typed values, and a mask, shape (n_rows,), of the cells that could not be read as that type.
    """
    typed = _cast(values, column.type, timezone)
    if pa.types.is_floating(typed.type):
        finite = pc.is_finite(typed)
        infinite = pc.and_(pc.is_inf(typed), typed.is_valid())
        typed = pc.if_else(finite, typed, pa.scalar(None, typed.type))
        bad = pc.or_(infinite.fill_null(False), _lost(values, typed))  # Arrow's positional fill value
    else:
        bad = _lost(values, typed)
    return typed, np.asarray(bad.to_numpy(zero_copy_only=False) if isinstance(bad, pa.Array) else bad.to_numpy())


def _lost(before: pa.ChunkedArray, after: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells that had a value (NaN is none) and have none now."""
    had = pc.is_valid(before)
    if pa.types.is_floating(before.type):
        had = pc.and_(had, pc.invert(pc.is_nan(before).fill_null(True)))
    return pc.and_(had, pc.is_null(after))


def _cast(values: pa.ChunkedArray, kind: ColumnType, timezone: str) -> pa.ChunkedArray:
    target = ARROW_TYPES[kind]
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if kind == "timestamp":
        return _timestamps(values, timezone)
    if values.type == target:
        return values
    text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if text and kind != "string":
        return _from_text(values, kind)
    if kind == "integer" and pa.types.is_floating(values.type):
        whole = pc.equal(values, pc.round(values))
        values = pc.if_else(
            pc.and_(whole, pc.less(pc.abs(values), float(1 << 53))), values, pa.scalar(None, values.type)
        )
    if kind == "boolean" and (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        either = pc.or_(pc.equal(values, 0), pc.equal(values, 1))
        values = pc.if_else(either, values, pa.scalar(None, values.type))
    return _each(values, target)


def _each(values: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    """Cast what can be cast; what can't becomes missing, by itself: halves are tried until the bad cell is alone."""
    try:
        return values.cast(target)
    except pa.ArrowNotImplementedError:
        return pa.chunked_array([pa.nulls(len(values), target)])
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.chunked_array([pa.nulls(1, target)])
        half = len(values) // 2
        sides = (_each(values.slice(0, half), target), _each(values.slice(half), target))
        return pa.chunked_array([chunk for side in sides for chunk in side.chunks], target)


def _from_text(values: pa.ChunkedArray, kind: ColumnType) -> pa.ChunkedArray:
    text = pc.utf8_trim_whitespace(values)
    none = pa.scalar(None, text.type)
    if kind == "integer":
        whole = pc.match_substring_regex(text, _INTEGER)
        digits = pc.replace_substring_regex(pc.if_else(whole, text, none), r"^\+|\.0+$", "")
        return _each(digits, pa.int64())
    if kind == "number":
        numeric = pc.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
        return pc.replace_substring_regex(pc.if_else(numeric, text, none), r"^\+", "").cast(pa.float64())
    lower = pc.utf8_lower(text)
    true, false = pc.is_in(lower, pa.array(_TRUE)), pc.is_in(lower, pa.array(_FALSE))
    return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_()))


def _timestamps(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            return values.cast(TIMESTAMP, safe=False)
        naive = values.cast(pa.timestamp("us"), safe=False)
        return pc.assume_timezone(naive, timezone, ambiguous="earliest", nonexistent="latest").cast(TIMESTAMP)
    if pa.types.is_date(kind):
        return _timestamps(values.cast(pa.timestamp("us")), timezone)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return pa.chunked_array([pa.nulls(len(values), TIMESTAMP)])
    return _timestamps_from_text(values, timezone)


def _timestamps_from_text(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    # Microseconds are kept: finer digits would narrow the range of the whole column. A time begins with a digit, unlike
    # `now` and `today`, which pandas reads as the clock.
    text = pc.replace_substring_regex(values.cast(pa.string()), _NANOSECONDS, r"\1")
    text = pc.if_else(pc.match_substring_regex(text, r"^\s*\d"), text, pa.scalar(None, pa.string()))
    series = pd.Series(text.to_numpy(), dtype="str")
    parsed = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=True)
    if timezone != "UTC":
        naive = ~series.str.contains(_ZONE, regex=True, na=True).to_numpy(dtype=bool)
        local = parsed[naive].dt.tz_localize(None)
        placed = local.dt.tz_localize(timezone, ambiguous=np.ones(len(local), dtype=bool), nonexistent="shift_forward")
        parsed[naive] = placed.dt.tz_convert("UTC")
    return pa.chunked_array([pa.Array.from_pandas(parsed.dt.as_unit("us")).cast(TIMESTAMP)])
