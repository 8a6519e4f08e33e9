"""What Arrow says of values: the name of their type, their plain form, a cast cell by cell."""

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
    """What a type of Arrow is called in the contract's words; its own name where it has none there."""
    if isinstance(kind, pa.BaseExtensionType):
        return type_name(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return type_name(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return next((name for predicate, name in _TYPE_NAMES if predicate(kind)), str(kind).partition("<")[0])


def unwrap(values: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Values without the wrapping that their type may have: dictionaries, runs, views, large text, extensions."""
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
    """Cast what can be cast; what can't becomes missing, by itself: halves are tried until the bad cell is alone."""
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
    """As many missing values."""
    return pa.chunked_array([pa.nulls(len(values), target)])
