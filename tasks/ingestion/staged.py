"""Rows as they are into rows as they are staged: the contract's types, and what could not be read beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from configs.contract import Column
from tasks.errors import DataRejectedError
from tasks.ingestion.cast import cast_column
from tasks.ingestion.cells import plain
from tasks.ingestion.missing import Missing, missing_values
from tasks.ingestion.raw import Raw, whole
from tasks.stores.lake.schemas import ARROW_TYPES, EXTRA, ORIGIN, ROW
from tasks.stores.lake.staging import UNREADABLE

_OWN = {"string": "text"}
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
        fields = [pa.field(name, ARROW_TYPES[one.type]) for name, one in columns.items() if name != ORIGIN]
        own = [EXTRA] if keep else []
        origin = [pa.field(ORIGIN, pa.string())] if ORIGIN in columns else []
        tail = [pa.field(ROW, pa.int64()), pa.field(UNREADABLE, pa.string())]
        self.schema = pa.schema([*fields, *own, *origin, *tail])

    def staged(self, raw: Raw) -> pa.RecordBatch:
        """Rows as they are staged.

        Raises:
            DataRejectedError: a column is of a type that its contract does not let in.
        """
        rows = len(raw.rows)
        arrays: dict[str, pa.Array] = {ROW: raw.rows}
        told: dict[int, dict[str, str]] = {}
        for name, column in self._columns.items():
            self._allow(name, column, raw)
            if name not in raw.columns:
                arrays[name] = pa.nulls(rows, ARROW_TYPES[column.type])
                continue
            values, typed, bad = self._typed(name, column, raw.columns[name], comma=raw.comma)
            arrays[name] = whole(typed)
            _tell(told, name, values, bad)
        if self._keep:
            arrays[EXTRA.name] = extra(raw.kept, rows)
        arrays[UNREADABLE] = _cells(told, rows)
        batch = pa.RecordBatch.from_arrays([arrays[name] for name in self.schema.names], schema=self.schema)
        return _with_broken(batch, raw.broken)

    def _typed(
        self, name: str, column: Column, found: pa.Array, *, comma: bool
    ) -> tuple[pa.Array, pa.Array, npt.NDArray[np.bool_]]:
        """The values as found, less those that mean missing; typed; and which could not be."""
        values = plain(found)
        missing: Missing | None = self._missing.get(name)
        if missing is not None:
            values = missing.before(values)
        numbers = comma and column.type in ("integer", "number")
        typed, bad = cast_column(_with_point(values) if numbers else values, column, self._timezone)
        return values, typed if missing is None else missing.after(typed), bad

    def _allow(self, name: str, column: Column, raw: Raw) -> None:
        if column.casts is None or name not in raw.kinds:
            return
        own = _OWN.get(column.type, column.type)
        wrong = sorted(raw.kinds[name] - {own, "null", *column.casts})
        if wrong:
            allowed = ", ".join(dict.fromkeys((own, *column.casts)))
            raise DataRejectedError(
                f"column {name} is of type {', '.join(wrong)}; expected {allowed}. To take it, add the type to "
                f"contract.columns.{name}.casts."
            )


def _with_point(texts: pa.Array) -> pa.Array:
    """Numbers with a decimal comma as those with a point. One that has a point, for thousands perhaps, is none."""
    pointed = pc.match_substring(texts, ".")
    return pc.if_else(pointed, pa.scalar("a point", texts.type), pc.replace_substring(texts, ",", "."))


def extra(kept: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Unknown columns as text by name, a map a row; missing values are left out."""
    if not kept:
        return pa.nulls(rows, EXTRA.type) if not rows else _empty_maps(rows)
    texts = [whole(as_text(values)) for values in kept.values()]
    order = np.arange(len(texts) * rows).reshape(len(texts), rows).T.ravel()
    values = pa.concat_arrays(texts).take(pa.array(order))
    names = pa.array(list(kept), pa.string()).take(pa.array(np.tile(np.arange(len(texts)), rows)))
    there = values.is_valid()
    counts = there.to_numpy(zero_copy_only=False).reshape(rows, len(texts)).sum(axis=1)
    offsets = pa.array(np.concatenate(([0], np.cumsum(counts))).astype(np.int32))
    return pa.MapArray.from_arrays(offsets, names.filter(there), values.filter(there))


def _empty_maps(rows: int) -> pa.Array:
    none = pa.array([], pa.string())
    return pa.MapArray.from_arrays(pa.array(np.zeros(rows + 1, dtype=np.int32)), none, none)


def as_text(values: pa.Array) -> pa.Array:
    """Values of any type as text: JSON where Arrow has no words for them."""
    values = plain(values)
    try:
        return values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array([None if one is None else _json(one) for one in values.to_pylist()], pa.string())


def _json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _tell(told: dict[int, dict[str, str]], name: str, values: pa.Array, bad: npt.NDArray[np.bool_]) -> None:
    places = np.flatnonzero(bad)
    if len(places):
        texts = _texts(values.take(pa.array(places)))
        for place, text in zip(places.tolist(), texts, strict=True):
            told.setdefault(place, {})[name] = text[:_CELL_SHOWN]


def _texts(values: pa.Array) -> list[str]:
    """Cells as a person wrote them."""
    try:
        return [str(one) for one in values.to_pylist()]
    except (ValueError, OverflowError):  # moments that no datetime can hold
        return [str(one) for one in whole(as_text(values)).to_pylist()]


def _cells(told: Mapping[int, Mapping[str, str]], rows: int) -> pa.Array:
    if not told:
        return pa.nulls(rows, pa.string())
    cells: list[str | None] = [None] * rows
    for index, cell in told.items():
        cells[index] = json.dumps(cell, ensure_ascii=False)
    return pa.array(cells, pa.string())


def _with_broken(batch: pa.RecordBatch, broken: Mapping[int, str]) -> pa.RecordBatch:
    if not broken:
        return batch
    told = [json.dumps({"": text}, ensure_ascii=False) for text in broken.values()]
    arrays = {ROW: pa.array(list(broken), pa.int64()), UNREADABLE: pa.array(told, pa.string())}
    empty = [arrays.get(one.name, pa.nulls(len(broken), one.type)) for one in batch.schema]
    both = pa.concat_batches([batch, pa.RecordBatch.from_arrays(empty, schema=batch.schema)])
    return both.take(pc.sort_indices(both.column(ROW)))
