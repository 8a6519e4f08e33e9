"""Sound rows and how each format writes them: what the damaged files are made from. Nothing here is random."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from tests.support.corpus.sheets import workbook

ROWS = 12
KINDS = ("bus", "rail", "tram")
NAMES = ("id", "place", "at", "x", "y", "n", "kind", "ok", "note")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("place", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("n", pa.int64()),
        ("kind", pa.string()),
        ("ok", pa.bool_()),
        ("note", pa.string()),
    ]
)
Row = dict[str, Any]
# refused: as a whole. partly: comes in, with rows in quarantine. whole: every row comes in. all_or_nothing: refused, or
# every row comes in as it was. either: refused, or rows come in, for what is left can't be told from sound data.
Fate = Literal["refused", "partly", "whole", "all_or_nothing", "either"]


class Sample(NamedTuple):
    """A file of the corpus.

    Attributes:
        name: Its path below the landing folder; says what is wrong with it.
        fate: What must become of it.
        says: Words that the reason must hold: of the file, or of one of its rows.
        rows: How many rows must come in; None where that is left open.
    """

    name: str
    content: bytes
    fate: Fate
    says: tuple[str, ...] = ()
    rows: int | None = None


def rows(place: str, count: int = ROWS) -> list[Row]:
    """Sound rows. Their key has the file's name in it, so that no two files have rows of the same key."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {
            "id": number + 1,
            "place": place,
            "at": start + timedelta(hours=number, microseconds=250_000),
            "x": number * 7.25 % 100,
            "y": 1000 + number * 13.5 % 1000,
            "n": number * 3,
            "kind": KINDS[number % 3],
            "ok": number % 2 == 0,
            "note": f"stop {number}, Zürich",
        }
        for number in range(count)
    ]


def texts(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its time as ISO 8601 text."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def csv_of(table: Sequence[Row], delimiter: str = ",", newline: str = "\n") -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=newline)
    writer.writerow(table[0])
    for row in table:
        cells = texts(row).values()
        writer.writerow([str(one).lower() if isinstance(one, bool) else one for one in cells])
    return out.getvalue().encode()


def jsonl_of(table: Sequence[Row]) -> bytes:
    return "".join(json.dumps(texts(row), ensure_ascii=False) + "\n" for row in table).encode()


def arrow_of(table: Sequence[Row], schema: pa.Schema | None = None) -> pa.Table:
    return pa.Table.from_pylist(list(table), schema=schema or SCHEMA)


def parquet_of(table: Sequence[Row] | pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else arrow_of(table), sink, **options)
    return sink.getvalue()


def feather_of(table: Sequence[Row] | pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    frame = table if isinstance(table, pa.Table) else arrow_of(table)
    pyarrow.feather.write_feather(frame, sink, **options)
    return sink.getvalue()


def excel_of(table: Sequence[Row]) -> bytes:
    return workbook([list(table[0]), *[list(row.values()) for row in table]])


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def zst(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(content)
    return bytes(sink.getvalue())


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.comment = comment
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, method)
    return sink.getvalue()


def written(ending: str, place: str) -> bytes:
    """A sound file of a format, by its ending."""
    table = rows(place)
    kind, _, packed = ending.partition(".")
    plain = {
        "csv": lambda: csv_of(table),
        "tsv": lambda: csv_of(table, "\t"),
        "jsonl": lambda: jsonl_of(table),
        "parquet": lambda: parquet_of(table),
        "feather": lambda: feather_of(table),
        "xlsx": lambda: excel_of(table),
    }[kind]()
    if packed == "zip":
        return zipped((f"inner.{kind}", plain))
    return gz(plain) if packed == "gz" else zst(plain) if packed == "zst" else plain


def lines(place: str, count: int = ROWS) -> list[str]:
    """The lines of a sound csv file, the header first, without their ends."""
    return csv_of(rows(place, count)).decode().splitlines()


def joined(parts: Sequence[str]) -> bytes:
    return "".join(f"{one}\n" for one in parts).encode()


def changed(place: str, column: str, value: Any, row: int = 3) -> list[Row]:
    """Sound rows but for one cell."""
    table = rows(place)
    table[row][column] = value
    return table
