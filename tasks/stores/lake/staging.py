"""Tables on their way from one stage to the next: Arrow files on local disk, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

# Column of a staged batch: None, or JSON of the cells that are not of the contract's type.
UNREADABLE = "_unreadable"
# What an export of quarantine tells beside: why a row was refused, its file and line, and what could not be cut.
EXPORT_COLUMNS = ("_reason", "_file", "_line", "_text")


def write(path: Path, table: pa.Table) -> None:
    """Write a table to an Arrow file, atomically."""
    write_batches(path, table.schema, table.to_batches())


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches to an Arrow file as they come, atomically; the number of their rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    rows = 0
    try:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += batch.num_rows
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A table, mapped from its file: columns that are not touched cost no memory."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    return table if columns is None else table.select(columns)


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A table's batches as they were written, some columns or all. Read, not mapped: mapped pages count as memory."""
    with pa.OSFile(str(path)) as source:
        names = pa.ipc.open_file(source).schema.names
        wanted = None if columns is None else [index for index, name in enumerate(names) if name in columns]
        opened = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
        for index in range(opened.num_record_batches):
            yield opened.get_batch(index)


def schema(path: Path) -> pa.Schema:
    """A table's schema."""
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_file(source).schema
