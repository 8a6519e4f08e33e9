"""Conversion to timestamps: UTC, microseconds."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.ingestion.arrow_types import cast_each
from tasks.stores.lake.schemas import TIMESTAMP

# An offset stands behind a time of day; the end of a date, -01, is none.
_ZONE = r"(?i)(?:z|\d[t ]\s*\d\d[\d:.,]*\s*[+-]\d\d(?::?\d\d)?)\s*$"
_NANOSECONDS = r"(\.\d{6})\d+"
_NAIVE = pa.timestamp("us")
# A day within what a datetime holds, so that no time zone leads out of it.
_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


def to_timestamps(values: pa.ChunkedArray | pa.Array, timezone: str) -> pa.ChunkedArray | pa.Array:
    """Convert values to timestamps; invalid ones become null.

    Args:
        values: Timestamps, dates or ISO 8601 text; values of other types become null.
        timezone: Time zone of values without one.
    """
    kind = values.type
    if pa.types.is_timestamp(kind):
        return _to_utc(_microseconds(values), timezone)
    if pa.types.is_date(kind):
        return to_timestamps(cast_each(values, _NAIVE), timezone)
    if pa.types.is_string(kind):
        return _from_text(values, timezone)
    return pa.nulls(len(values), TIMESTAMP)


def _microseconds(values: pa.ChunkedArray) -> pa.ChunkedArray:
    target = pa.timestamp("us", values.type.tz)
    if values.type.unit == "ns":
        return values.cast(target, safe=False)  # finer digits are cut off
    return cast_each(values, target)


def _to_utc(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    """Convert to microseconds in UTC; values out of the range of datetime become null."""
    values = _without_out_of_range(values)
    if values.type.tz is not None:
        return values.cast(TIMESTAMP)
    if timezone == "UTC":
        return values.cast(TIMESTAMP)
    return pc.assume_timezone(values, timezone, ambiguous="earliest", nonexistent="latest").cast(TIMESTAMP)


def _without_out_of_range(values: pa.ChunkedArray) -> pa.ChunkedArray:
    count = values.cast(pa.int64())
    value_range = pc.min_max(count)
    first, last = (int(bound.timestamp()) * 1_000_000 for bound in (_EARLIEST, _LATEST))
    if value_range["min"].as_py() is None or (
        value_range["min"].as_py() >= first and value_range["max"].as_py() <= last
    ):
        return values
    in_range = pc.and_(pc.greater_equal(count, first), pc.less_equal(count, last))
    return pc.if_else(in_range, values, pa.scalar(None, values.type))


def _from_text(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    for target in (_NAIVE, TIMESTAMP):  # all without a zone, or all with one: Arrow is many times as fast
        try:
            parsed = values.cast(target)
        except pa.ArrowInvalid:
            continue
        return _to_utc(parsed, timezone)
    return _parse_mixed(values, timezone)


def _parse_mixed(values: pa.ChunkedArray, timezone: str) -> pa.ChunkedArray:
    # Microseconds are kept: finer digits would narrow the range of the whole column. A time begins with a digit, unlike
    # `now` and `today`, which pandas reads as the clock.
    text = pc.replace_substring_regex(values, _NANOSECONDS, r"\1")
    text = pc.if_else(pc.match_substring_regex(text, r"^\s*\d"), text, pa.scalar(None, pa.string()))
    series = pd.Series(text.to_numpy(zero_copy_only=False), dtype="str")
    parsed = pd.to_datetime(series, format="ISO8601", errors="coerce", utc=True)
    aware = pa.Array.from_pandas(parsed.dt.as_unit("us")).cast(TIMESTAMP)
    naive = ~series.str.contains(_ZONE, regex=True, na=True).to_numpy(dtype=bool)
    return pc.if_else(pa.array(naive), _to_utc(aware.cast(_NAIVE), timezone), _without_out_of_range(aware))
