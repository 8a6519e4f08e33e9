"""Conversion of raw rows to staged rows: the contract's types, and the unreadable cells."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Column
from tasks.errors import DataRejectedError
from tasks.ingestion.arrow_types import unwrap
from tasks.ingestion.cast import cast_column
from tasks.ingestion.missing import MissingValues, missing_values
from tasks.ingestion.raw import RawRows, combine_chunks
from tasks.stores.lake.schemas import ARROW_TYPES, EXTRA, ORIGIN, ROW
from tasks.stores.lake.staging import UNREADABLE

_TYPE_NAMES = {"string": "text"}
_CELL_SHOWN = 1 << 16


class Caster:
    """Makes staged rows of raw ones.

    Attributes:
        schema: The staged rows'.
    """

    def __init__(self, columns: Mapping[str, Column], timezone: str, *, keep: bool) -> None:
        """Args as of `read_batches`; `keep`: whether unknown columns are kept."""
        self._columns, self._timezone, self._keep = columns, timezone, keep
        self._missing = missing_values(columns, timezone)
        fields = [pa.field(name, ARROW_TYPES[column.type]) for name, column in columns.items() if name != ORIGIN]
        extra_field = [EXTRA] if keep else []
        origin = [pa.field(ORIGIN, pa.string())] if ORIGIN in columns else []
        provenance = [pa.field(ROW, pa.int64()), pa.field(UNREADABLE, pa.string())]
        self.schema = pa.schema([*fields, *extra_field, *origin, *provenance])

    def staged(self, raw: RawRows) -> pa.RecordBatch:
        """Rows as they are staged.

        Raises:
            DataRejectedError: a column is of a type that its contract does not let in.
        """
        rows = len(raw.rows)
        arrays: dict[str, pa.Array] = {ROW: raw.rows}
        unreadable: dict[int, dict[str, str]] = {}
        for name, column in self._columns.items():
            self._check_type(name, column, raw)
            if name not in raw.columns:
                arrays[name] = pa.nulls(rows, ARROW_TYPES[column.type])
                continue
            values, typed, failed = self._cast(name, column, raw.columns[name], decimal_comma=raw.decimal_comma)
            arrays[name] = combine_chunks(typed)
            _record_failures(unreadable, name, values, failed)
        if self._keep:
            arrays[EXTRA.name] = extra_columns(raw.kept, rows)
        arrays[UNREADABLE] = _unreadable_column(unreadable, rows)
        batch = pa.RecordBatch.from_arrays([arrays[name] for name in self.schema.names], schema=self.schema)
        return _with_broken_rows(batch, raw.broken)

    def _cast(
        self, name: str, column: Column, raw_values: pa.Array, *, decimal_comma: bool
    ) -> tuple[pa.Array, pa.Array, npt.NDArray[np.bool_]]:
        """The values as found, less those that mean missing; typed; and which could not be."""
        values = unwrap(raw_values)
        missing: MissingValues | None = self._missing.get(name)
        if missing is not None:
            values = missing.mask_raw(values)
        is_number = decimal_comma and column.type in ("integer", "number")
        typed, failed = cast_column(_with_decimal_point(values) if is_number else values, column, self._timezone)
        return values, typed if missing is None else missing.mask_typed(typed), failed

    def _check_type(self, name: str, column: Column, raw: RawRows) -> None:
        if column.casts is None or name not in raw.kinds:
            return
        type_name = _TYPE_NAMES.get(column.type, column.type)
        rejected_types = sorted(raw.kinds[name] - {type_name, "null", *column.casts})
        if rejected_types:
            allowed = ", ".join(dict.fromkeys((type_name, *column.casts)))
            raise DataRejectedError(
                f"column {name} is of type {', '.join(rejected_types)}; expected {allowed}. To accept it, add the "
                f"type to contract.columns.{name}.casts."
            )


def _with_decimal_point(texts: pa.Array) -> pa.Array:
    """Numbers with a decimal comma as those with a point. One that has a point, for thousands perhaps, is none."""
    has_point = pc.match_substring(texts, ".")
    return pc.if_else(has_point, pa.scalar("a point", texts.type), pc.replace_substring(texts, ",", "."))


def extra_columns(kept: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Unknown columns as text by name, a map a row; missing values are left out."""
    if not kept:
        return pa.nulls(rows, EXTRA.type) if not rows else _empty_maps(rows)
    texts = [combine_chunks(as_text(values)) for values in kept.values()]
    order = np.arange(len(texts) * rows).reshape(len(texts), rows).T.ravel()
    values = pa.concat_arrays(texts).take(pa.array(order))
    names = pa.array(list(kept), pa.string()).take(pa.array(np.tile(np.arange(len(texts)), rows)))
    is_present = values.is_valid()
    counts = is_present.to_numpy(zero_copy_only=False).reshape(rows, len(texts)).sum(axis=1)
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))).astype(np.int32))
    return pa.MapArray.from_arrays(offsets, names.filter(is_present), values.filter(is_present))


def _empty_maps(rows: int) -> pa.Array:
    none = pa.array([], pa.string())
    return pa.MapArray.from_arrays(pa.array(np.zeros(rows + 1, dtype=np.int32)), none, none)


def as_text(values: pa.Array) -> pa.Array:
    """Values of any type as text: JSON where Arrow has no words for them."""
    values = unwrap(values)
    try:
        return values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array([None if one is None else _json(one) for one in values.to_pylist()], pa.string())


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _record_failures(
    unreadable: dict[int, dict[str, str]], name: str, values: pa.Array, failed: npt.NDArray[np.bool_]
) -> None:
    positions = np.flatnonzero(failed)
    if len(positions):
        texts = _texts(values.take(pa.array(positions)))
        for position, text in zip(positions.tolist(), texts, strict=True):
            unreadable.setdefault(position, {})[name] = text[:_CELL_SHOWN]


def _texts(values: pa.Array) -> list[str]:
    """Cells as a person wrote them."""
    try:
        return [str(one) for one in values.to_pylist()]
    except (ValueError, OverflowError):  # moments that no datetime can hold
        return [str(one) for one in combine_chunks(as_text(values)).to_pylist()]


def _unreadable_column(unreadable: Mapping[int, Mapping[str, str]], rows: int) -> pa.Array:
    if not unreadable:
        return pa.nulls(rows, pa.string())
    cells: list[str | None] = [None] * rows
    for index, cell in unreadable.items():
        cells[index] = json.dumps(cell, ensure_ascii=False)
    return pa.array(cells, pa.string())


def _with_broken_rows(batch: pa.RecordBatch, broken: Mapping[int, str]) -> pa.RecordBatch:
    if not broken:
        return batch
    messages = [json.dumps({"": text}, ensure_ascii=False) for text in broken.values()]
    arrays = {ROW: pa.array(list(broken), pa.int64()), UNREADABLE: pa.array(messages, pa.string())}
    empty = [arrays.get(field.name, pa.nulls(len(broken), field.type)) for field in batch.schema]
    both = pa.concat_batches([batch, pa.RecordBatch.from_arrays(empty, schema=batch.schema)])
    return both.take(pc.sort_indices(both.column(ROW)))
