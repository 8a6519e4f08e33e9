"""Tables on their way from one stage to the next: Arrow files on local disk, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa

# Column of a staged batch: None, or JSON of the cells that are not of the contract's type.
UNREADABLE = "_unreadable"


def write(path: Path, table: pa.Table) -> None:
    """Write a table to an Arrow file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A table, mapped from its file: columns that are not touched cost no memory."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    return table if columns is None else table.select(columns)
