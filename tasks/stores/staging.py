"""Tables on their way from one stage to the next: Arrow files on local disk, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

# Columns of a staged batch. None, or JSON of the cells that are not of the contract's type.
UNREADABLE = "_unreadable"
# The quarantine entry that a row comes from, where the file is one that quarantine gave back.
QUARANTINE = "_quarantine"
# What an export of quarantine tells beside: why a row was refused, its file and line, and what could not be cut.
TOLD = ("_reason", "_file", "_line", "_text")


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


def batches(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A table's batches as they were written, each mapped from the file."""
    with pa.memory_map(str(path)) as source:
        opened = pa.ipc.open_file(source)
        for index in range(opened.num_record_batches):
            batch = opened.get_batch(index)
            yield batch if columns is None else batch.select(columns)
