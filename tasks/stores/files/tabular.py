"""Rows into a file that people and tools open: csv, Parquet or jsonl, streamed, written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

Write = Callable[[pa.RecordBatch], None]


def plain(schema: pa.Schema) -> pa.Schema:
    """A schema with texts as every writer takes them: deltalake's rewritten files hold them as views."""
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in schema], schema.metadata)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    return kind


def check(path: Path) -> None:
    """Refuse a file that `write` could not write.

    Raises:
        UsageError: its ending is none of those known.
    """
    if path.suffix not in _WRITERS:
        raise UsageError(f"{path}: found the ending {path.suffix!r}; expected one of {', '.join(_WRITERS)}.")


def write(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write rows in the format that the file's ending says, in bounded memory and in one move; how many.

    Lists and mappings are JSON in csv. What jsonl has no number for (not a number, infinite) is null there.

    Raises:
        UsageError: the ending is not known, or the file can't be written.
    """
    check(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    rows = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _WRITERS[path.suffix](temporary, plain(schema)) as put:
            for batch in batches:
                put(batch)
                rows += batch.num_rows
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)
    return rows


@contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    import pyarrow.csv as pacsv

    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    flat = pa.schema([pa.field(one.name, pa.string() if one.name in nested else one.type) for one in schema])

    def put(batch: pa.RecordBatch) -> None:
        columns = [
            pa.array([_json(value) for value in _values(column)], pa.string()) if field.name in nested else column
            for field, column in zip(schema, batch.cast(schema).columns, strict=True)
        ]
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=flat))

    with pacsv.CSVWriter(str(path), flat) as writer:
        yield put


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(str(path), schema) as writer:
        yield lambda batch: writer.write_batch(batch.cast(schema))


@contextmanager
def _jsonl(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def put(batch: pa.RecordBatch) -> None:
            file.writelines(f"{_json(row)}\n" for row in plain_rows(batch.cast(schema)))

        yield put


def plain_rows(batch: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """Rows as JSON has them: times as ISO 8601 text, mappings as objects, null for what is no finite number."""
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    mapping = pa.types.is_map(column.type)
    return [_value(dict(one) if mapping and one is not None else one) for one in column.to_pylist()]


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list):
        return [_value(one) for one in value]
    return value


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, allow_nan=False)


_WRITERS: dict[str, Callable[[Path, pa.Schema], AbstractContextManager[Write]]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
