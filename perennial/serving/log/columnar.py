"""Files of answers as Arrow tables without a Python object a value, so that answering goes on meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from configs.schema import PipelineConfig
from perennial.serving.log.rows import PROBABILITY
from perennial.serving.log.sampling import kept_columns
from tasks.stores.lake.schemas import (
    AT,
    ERROR,
    LATENCY_MS,
    POSITION,
    PREDICT_MS,
    REQUEST,
    ROLE,
    prediction_type,
    served_schema,
)

_BLOCK = 32 << 20
_SAME = {
    REQUEST: "request",
    AT: "at",
    ROLE: "role",
    "model_version": "version",
    LATENCY_MS: "latency_ms",
    PREDICT_MS: "predict_ms",
    ERROR: "error",
}


def read_whole(path: Path, config: PipelineConfig) -> pa.Table:
    """A file's rows, if all of it fits.

    Raises:
        ArrowInvalid: a line is damaged, or a value is not of its column's type.
    """
    from pyarrow import json as pajson

    # Times are numbers in the file.
    schema = served_schema(config)
    names = sorted(kept_columns(config))
    inputs = pa.struct([(name, pa.list_(_in_json(schema.field(name).type))) for name in names])
    explicit = pa.schema(
        [
            *((inside, _in_json(schema.field(name).type)) for name, inside in _SAME.items()),
            ("positions", pa.list_(pa.int64())),
            ("predictions", pa.list_(_in_json(prediction_type(config)))),
            ("columns", inputs),
        ]
    )
    options = pajson.ParseOptions(explicit_schema=explicit, unexpected_field_behavior="infer")
    with path.open("rb") as source:
        found = pajson.read_json(source, pajson.ReadOptions(use_threads=False, block_size=_BLOCK), options)
    # Where Arrow finds out a type by itself, as for classes, it loses missing values ahead of the first number.
    found.validate(full=True)
    return _rows(found.combine_chunks(), schema, names)


def _in_json(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind


def _rows(found: pa.Table, schema: pa.Schema, names: list[str]) -> pa.Table:
    positions = _column(found, "positions")
    lengths = _lengths(positions)
    parents = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(len(parents)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def spread(lists: pa.Array, kind: pa.DataType) -> pa.Array:
        return _spread(lists, lengths, parents, within).cast(kind)

    columns = {name: _column(found, inside).take(pa.array(parents)) for name, inside in _SAME.items()}
    columns = {name: values.cast(schema.field(name).type) for name, values in columns.items()}
    columns[POSITION] = spread(positions, pa.int64())
    columns["prediction"] = spread(_column(found, "predictions"), schema.field("prediction").type)
    inputs = _column(found, "columns")
    for name in names:
        columns[name] = spread(inputs.field(name), schema.field(name).type)
    ordered = {name: columns[name] for name in schema.names}
    if "probabilities" in found.column_names:
        shares = _column(found, "probabilities")
        for field in shares.type:
            ordered[f"{PROBABILITY}{field.name}"] = spread(shares.field(field.name), pa.float64())
    return pa.table(ordered)


def _column(found: pa.Table, name: str) -> pa.Array:
    column = found.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.array([], column.type)


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)


def _spread(
    lists: pa.Array, wanted: npt.NDArray[np.int64], parents: npt.NDArray[np.int64], within: npt.NDArray[np.int64]
) -> pa.Array:
    """A list a line as a value a row; missing where a line has no list."""
    if pa.types.is_null(lists.type) or pa.types.is_null(lists.type.value_type):  # nothing but missing values
        return pa.nulls(len(parents))
    lengths = _lengths(lists)
    flat = lists.flatten()  # of lists that are there
    if np.array_equal(lengths, wanted):
        return flat
    if not np.array_equal(lengths, np.where(lists.is_valid().to_numpy(zero_copy_only=False), wanted, 0)):
        raise pa.ArrowInvalid("columns of unequal length")
    starts = np.cumsum(lengths) - lengths
    return flat.take(pa.array(starts[parents] + within, mask=lengths[parents] == 0))
