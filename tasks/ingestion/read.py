"""Landed files into tables of the contract's types: csv, parquet, jsonl."""

from __future__ import annotations

import codecs
import csv as text_csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from configs.contract import Column
from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.cast import cast_column
from tasks.ingestion.discover import ENDINGS
from tasks.stores.lake import ROW
from tasks.stores.staging import UNREADABLE

_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
_DELIMITERS = ",;\t|"
_NO_ROWS = "no rows below the header; expected at least one"
_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class _Raw:
    """A file as it is: columns of any type, and the rows that fit no column, by row number and complaint."""

    table: pa.Table
    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    broken: Mapping[int, str] = field(default_factory=dict)


def read_file(path: Path, source: Source, columns: Mapping[str, Column], timezone: str) -> pa.Table:
    """A landed file as a table.

    Returns:
        The contract's columns in their types, `_row` (number of the data row in the file, from 1) and
        `_unreadable`: None, or JSON of the cells that are not of their type (those cells are missing).

    Raises:
        DataRejectedError: the file as a whole can't be read, or lacks required columns.
    """
    if path.stat().st_size == 0:
        raise DataRejectedError("the file is empty (0 bytes); expected a header and rows")
    kind = source.format or ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise DataRejectedError(f"unknown ending {path.suffix!r}; expected {', '.join(ENDINGS)}, or set source.format")
    reader = {"csv": _read_csv, "parquet": _read_parquet, "jsonl": _read_jsonl}[kind]
    try:
        raw = reader(path, source, columns)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError, LookupError) as error:
        raise DataRejectedError(f"can't be read as {kind}: {_first_line(error)}") from None
    if raw.table.num_rows + len(raw.broken) == 0:
        raise DataRejectedError(_NO_ROWS)
    return _typed(raw, columns, timezone)


def _typed(raw: _Raw, columns: Mapping[str, Column], timezone: str) -> pa.Table:
    arrays: dict[str, pa.ChunkedArray] = {}
    complaints: dict[int, dict[str, str]] = {}
    n_rows = raw.table.num_rows
    for name, column in columns.items():
        if name not in raw.table.column_names:
            arrays[name] = pa.chunked_array([pa.nulls(n_rows, pa.null())])
            arrays[name], _ = cast_column(arrays[name], column, timezone)
            continue
        values = raw.table.column(name)
        arrays[name], bad = cast_column(values, column, timezone)
        for index in np.flatnonzero(bad):
            complaints.setdefault(int(index), {})[name] = str(values[int(index)].as_py())
    unreadable = pa.array(_cells(complaints, n_rows), pa.string())
    table = pa.table({**arrays, ROW: pa.array(raw.rows), UNREADABLE: unreadable})
    return _with_broken(table, raw.broken)


def _cells(complaints: Mapping[int, Mapping[str, str]], n_rows: int) -> list[str | None]:
    cells: list[str | None] = [None] * n_rows
    for index, cell in complaints.items():
        cells[index] = json.dumps(cell, ensure_ascii=False)
    return cells


def _with_broken(table: pa.Table, broken: Mapping[int, str]) -> pa.Table:
    if not broken:
        return table
    rows = [{ROW: row, UNREADABLE: json.dumps({"": text}, ensure_ascii=False)} for row, text in broken.items()]
    return pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)]).sort_by(ROW)


def _read_csv(path: Path, source: Source, columns: Mapping[str, Column]) -> _Raw:
    delimiter = source.delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
    encoding = source.encoding or "utf8"
    header = _csv_header(path, encoding, delimiter)
    _require(header, columns, hint=_delimiter_hint(header, delimiter))
    if path.stat().st_size < _HEADER_BYTES and path.read_bytes().rstrip().count(b"\n") == 0:
        raise DataRejectedError(_NO_ROWS)  # Arrow calls a header without a line end an empty file
    wanted = [name for name in columns if name in header]
    read = pacsv.ReadOptions(encoding=encoding)
    # Timestamps stay text here: Arrow's parser takes either zoned or zoneless ones, ours takes both.
    types = {name: _csv_type(columns[name]) for name in wanted}
    try:
        table = pacsv.read_csv(
            path, read_options=read, parse_options=_parse(delimiter), convert_options=_convert(source, types, wanted)
        )
    except pa.ArrowInvalid:
        return _read_csv_leniently(path, source, delimiter, {name: columns[name] for name in wanted})
    return _Raw(table, np.arange(1, table.num_rows + 1, dtype=np.int64))


def _read_csv_leniently(path: Path, source: Source, delimiter: str, columns: Mapping[str, Column]) -> _Raw:
    """All cells as text, rows of a wrong number of fields set aside. Slower: one thread, for the row numbers."""
    wanted = list(columns)
    broken: dict[int, str] = {}

    def set_aside(row: pacsv.InvalidRow) -> str:
        # Arrow numbers physical rows from 1 and counts the header.
        broken[row.number - 1] = f"{row.actual_columns} fields, expected {row.expected_columns}: {row.text[:500]}"
        return "skip"

    table = pacsv.read_csv(
        path,
        read_options=pacsv.ReadOptions(encoding=source.encoding or "utf8", use_threads=False),
        parse_options=_parse(delimiter, set_aside),
        convert_options=_convert(source, {name: pa.string() for name in wanted}, wanted),
    )
    every = np.arange(1, table.num_rows + len(broken) + 1, dtype=np.int64)
    rows = np.setdiff1d(every, np.fromiter(broken, dtype=np.int64, count=len(broken)))
    if source.decimal == ",":
        numbers = {name: _decimal_comma(table.column(name)) for name in wanted if columns[name].type == "number"}
        table = pa.table({name: numbers.get(name, table.column(name)) for name in table.column_names})
    return _Raw(table, rows, broken)


def _decimal_comma(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(values, r"^(\s*[+-]?\d*),(\d*(?:[eE][+-]?\d+)?\s*)$", r"\1.\2")


def _parse(delimiter: str, handler: object = None) -> pacsv.ParseOptions:
    return pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=handler)


def _convert(source: Source, types: Mapping[str, pa.DataType], wanted: Sequence[str]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(
        column_types=types,
        include_columns=list(wanted),
        null_values=_NULLS,
        strings_can_be_null=True,
        decimal_point=source.decimal or ".",
    )


def _csv_type(column: Column) -> pa.DataType:
    types = {"integer": pa.int64(), "number": pa.float64()}
    return types.get(column.type, pa.string())


def _csv_header(path: Path, encoding: str, delimiter: str) -> list[str]:
    # A byte order mark is no part of the first name; codecs.lookup knows all of an encoding's names.
    known = codecs.lookup(encoding).name
    with path.open(encoding="utf-8-sig" if known == "utf-8" else encoding, newline="") as handle:
        try:
            return next(text_csv.reader(handle, delimiter=delimiter))
        except (text_csv.Error, StopIteration) as error:
            raise DataRejectedError(f"can't be read as csv: no header line ({error or 'no text'})") from None


def _delimiter_hint(header: Sequence[str], delimiter: str) -> str:
    if len(header) == 1:
        other = max(_DELIMITERS, key=header[0].count)
        if other != delimiter and header[0].count(other):
            return f" The header has {other!r} between names; source.delimiter is {delimiter!r}."
    return ""


def _require(found: Sequence[str], columns: Mapping[str, Column], hint: str = "") -> None:
    repeated = sorted({name for name in found if found.count(name) > 1 and name in columns})
    if repeated:
        raise DataRejectedError(f"columns stand twice: {', '.join(repeated)}; expected each once")
    missing = [name for name, column in columns.items() if column.required and name not in found]
    if missing:
        shown = ", ".join(name[:60] for name in found[:40])
        raise DataRejectedError(f"columns missing: {', '.join(missing)}; found: {shown}.{hint}")


def _read_parquet(path: Path, _source: Source, columns: Mapping[str, Column]) -> _Raw:
    with pq.ParquetFile(path, memory_map=True) as opened:
        names = opened.schema_arrow.names
        _require(names, columns)
        table = opened.read(columns=[name for name in columns if name in names])
    return _Raw(table, np.arange(1, table.num_rows + 1, dtype=np.int64))


def _read_jsonl(path: Path, _source: Source, columns: Mapping[str, Column]) -> _Raw:
    schema = pa.schema([(name, _csv_type(column)) for name, column in columns.items()])
    options = pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    _refuse_other_bytes(path)
    _require(_json_names(path), columns)
    try:
        table = pajson.read_json(path, parse_options=options)
    except pa.ArrowInvalid:
        return _read_jsonl_leniently(path, columns)
    return _Raw(table, np.arange(1, table.num_rows + 1, dtype=np.int64))


def _refuse_other_bytes(path: Path) -> None:
    """Arrow's JSON reader lets bytes that are no UTF-8 through."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as handle:
        while block := handle.read(_HEADER_BYTES):
            decoder.decode(block)
    decoder.decode(b"", final=True)


def _json_names(path: Path, lines: int = 100) -> list[str]:
    names: dict[str, None] = {}
    with path.open(encoding="utf-8-sig") as handle:
        for _, line in zip(range(lines), handle, strict=False):
            try:
                names.update(dict.fromkeys(json.loads(line)))
            except (ValueError, TypeError):
                continue  # told with its line number when the rows are read
    return list(names)


def _read_jsonl_leniently(path: Path, columns: Mapping[str, Column]) -> _Raw:
    cells: dict[str, list[str | None]] = {name: [] for name in columns}
    rows: list[int] = []
    broken: dict[int, str] = {}
    with path.open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                broken[number] = f"not a JSON object: {line[:500].rstrip()}"
                continue
            rows.append(number)
            for name, column_cells in cells.items():
                column_cells.append(_json_text(record.get(name)))
    table = pa.table({name: pa.array(values, pa.string()) for name, values in cells.items()})
    return _Raw(table, np.array(rows, dtype=np.int64), broken)


def _json_text(value: object) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
