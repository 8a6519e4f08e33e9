"""Files of every format, and how they are read: shared by the tests of reading."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from openpyxl import Workbook

from configs.contract import Column, Policies
from configs.source import Source
from tasks.ingestion.read import read_batches
from tasks.stores.lake.schemas import ROW
from tasks.stores.lake.staging import UNREADABLE

COLUMNS = {
    "id": Column(type="string"),
    "n": Column(type="integer"),
    "x": Column(type="number", nullable=True),
    "at": Column(type="timestamp", nullable=True, required=False),
}
Rows = list[dict[str, Any]]
ROWS: Rows = [
    {"id": "a", "n": 1, "x": 1.5, "at": "2024-07-01T12:00:00Z"},
    {"id": "ü", "n": -2, "x": None, "at": None},
    {"id": "c,d", "n": 3, "x": 0.25, "at": "2024-07-01T13:00:00Z"},
]


class Read(NamedTuple):
    """What came of a file."""

    table: pa.Table
    notes: tuple[str, ...]
    lines: int | None

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        return list(zip(*(self.table.column(name).to_pylist() for name in names), strict=True))

    def aside(self) -> dict[int, dict[str, str]]:
        """What was set aside: by row, the cell's text by column."""
        return {row: json.loads(told) for row, told in self.rows(ROW, UNREADABLE) if told is not None}


def read(
    path: Path,
    columns: Mapping[str, Column] = COLUMNS,
    *,
    timezone: str = "UTC",
    policies: Policies | None = None,
    others: Sequence[str] = (),
    readmitted: bool = False,
    **source: Any,
) -> Read:
    where = Source(landing="x", **source)
    with read_batches(
        path, where, columns, timezone, policies=policies, other_names=others, readmitted=readmitted
    ) as reading:
        batches = list(reading)
        assert all(batch.num_rows for batch in batches)
        table = pa.Table.from_batches(batches, reading.schema)
        table.validate(full=True)
        found = Read(table, reading.notes, reading.lines)
    assert [one for one in path.parent.iterdir() if one.name.startswith(".")] == []  # no draft is left
    return found


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def csv_of(rows: Rows, delimiter: str = ",") -> bytes:
    def cell(value: object) -> str:
        text = "" if value is None else str(value)
        return f'"{text}"' if delimiter in text else text

    lines = [delimiter.join(rows[0]), *(delimiter.join(cell(one) for one in row.values()) for row in rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def jsonl_of(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table_of(rows: Rows) -> pa.Table:
    table = pa.Table.from_pylist([dict(row) for row in rows])
    if "at" not in table.column_names:
        return table
    return table.set_column(table.column_names.index("at"), "at", table["at"].cast(pa.timestamp("us", "UTC")))


def parquet_of(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table_of(rows), sink)
    return sink.getvalue()


def feather_of(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pyarrow.feather.write_feather(table_of(rows), sink)
    return sink.getvalue()


def arrow_stream_of(rows: Rows) -> bytes:
    sink, table = io.BytesIO(), table_of(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def excel_of(rows: Rows, sheets: Sequence[str] = ("Sheet",)) -> bytes:
    book, sink = Workbook(write_only=True), io.BytesIO()
    for title in sheets:
        sheet = book.create_sheet(title)
        sheet.append(list(rows[0]))
        for row in rows:
            sheet.append(list(row.values()))
    book.save(sink)
    return sink.getvalue()


def zstd_of(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return bytes(sink.getvalue())


def zip_of(*members: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return sink.getvalue()


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "a.csv": csv_of,
    "a.tsv": lambda rows: csv_of(rows, "\t"),
    "a.jsonl": jsonl_of,
    "a.parquet": parquet_of,
    "a.feather": feather_of,
    "a.arrow": arrow_stream_of,
    "a.xlsx": excel_of,
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".zst": zstd_of,
    ".zip": lambda content: zip_of(("inner", content)),
}
