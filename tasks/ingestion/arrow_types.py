"""Arrow types: names, decoding of wrapped types, and casts cell by cell."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_TYPE_NAMES = (
    (pa.types.is_null, "null"),
    (pa.types.is_string, "text"),
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "number"),
    (pa.types.is_date, "date"),
    (pa.types.is_timestamp, "timestamp"),
)


def type_name(kind: pa.DataType) -> str:
    """Return the contract's name of an Arrow type; Arrow's name if it has none."""
    if isinstance(kind, pa.BaseExtensionType):
        return type_name(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return type_name(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return next((name for predicate, name in _TYPE_NAMES if predicate(kind)), str(kind).partition("<")[0])


def unwrap(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Decode wrapped types: dictionaries, runs, views, large text, extensions."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return unwrap(values.cast(kind.storage_type))
    if pa.types.is_dictionary(kind):
        return unwrap(values.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return unwrap(pc.run_end_decode(values))
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    return values


def cast_each(values: pa.ChunkedArray | pa.Array, target: pa.DataType) -> pa.ChunkedArray | pa.Array:
    """Cast values; cells that can't be cast become null. Invalid cells are found by bisection."""
    try:
        return values.cast(target)
    except pa.ArrowNotImplementedError:
        return nulls(values, target)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return nulls(values, target)
        half = len(values) // 2
        halves = (cast_each(values.slice(0, half), target), cast_each(values.slice(half), target))
        chunks = [
            chunk
            for half_values in halves
            for chunk in (half_values.chunks if isinstance(half_values, pa.ChunkedArray) else [half_values])
        ]
        return pa.chunked_array(chunks, target)


def nulls(values: pa.ChunkedArray | pa.Array, target: pa.DataType) -> pa.ChunkedArray:
    """Return as many nulls."""
    return pa.chunked_array([pa.nulls(len(values), target)])
