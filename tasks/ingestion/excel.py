"""Rows of a sheet of an Excel file, streamed."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.limits import check_columns, check_unpacked, rejecting_read_errors
from tasks.ingestion.names import Fields, unknown_columns_error
from tasks.ingestion.raw import RawRows
from tasks.ingestion.read_errors import first_line, read_error_message
from tasks.ingestion.sniff import NO_ROWS
from tasks.ingestion.unpack import check_zip, is_unsafe_name

_ROWS = 20_000
_SHEET_ROWS = 1 << 20
_TEXT = 16 << 20  # characters of rows that are held at once
_KINDS: dict[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "text", datetime: "timestamp", date: "date",
}  # fmt: skip
_XLS_SIGNATURE = b"\xd0\xcf\x11\xe0"


class ExcelReader:
    """An open sheet; see Reader. The number of a row is its distance from the header."""

    hint = ""

    def __init__(self, path: Path, source: Source, stack: ExitStack) -> None:
        self._source = source
        handle = stack.enter_context(path.open("rb"))
        if handle.read(4) == _XLS_SIGNATURE:
            raise DataRejectedError("it is an old .xls file, or has a password; save it as .xlsx without a password")
        _check_members(path, source)
        handle.seek(0)
        self._bytes = 0
        with _rejecting_excel_errors():
            self._rows = _sheet_rows(handle, source, stack)
        self.lines, header = self._header()
        self.names: Sequence[str] = ["" if name is None else str(name) for name in header]
        while self.names and not self.names[-1].strip():
            self.names = self.names[:-1]
        check_columns(len(self.names), source.limits)

    def batches(self, fields: Fields) -> Iterator[RawRows]:
        """Its rows; see Reader."""
        number = 1
        while True:
            with _rejecting_excel_errors():
                rows = self._next_rows()
            if not rows:
                return
            if number + len(rows) + self.lines > _SHEET_ROWS + 1:
                raise DataRejectedError(
                    f"the sheet has more than {_SHEET_ROWS:,} rows, the most that Excel allows; it is damaged"
                )
            yield self._raw(rows, number, fields)
            number += len(rows)

    def _next_rows(self) -> list[Sequence[Any]]:
        """The next rows, fewer where their texts are long: cells may share one, which then stands in each row."""
        rows: list[Sequence[Any]] = []
        size = 0
        for row in islice(self._rows, _ROWS):
            rows.append(row)
            size += sum(len(cell) for cell in row if isinstance(cell, str))
            if size > _TEXT:
                break
        self._bytes += size
        check_unpacked(self._bytes, self._bytes, self._source.limits)
        return rows

    def _header(self) -> tuple[int, Sequence[Any]]:
        """The number of the first row that is not blank, and the row."""
        with _rejecting_excel_errors():
            for number, row in enumerate(islice(self._rows, _ROWS), start=1):
                if any(cell is not None for cell in row):
                    return number, row
        raise DataRejectedError(NO_ROWS)

    def _raw(self, rows: Sequence[Sequence[Any]], first: int, fields: Fields) -> RawRows:
        non_blank = [
            (number, row) for number, row in enumerate(rows, start=first) if any(cell is not None for cell in row)
        ]
        width = len(self.names)
        if fields.unknown == "reject":
            for _, row in non_blank:
                if any(cell is not None for cell in row[width:]):
                    raise unknown_columns_error(["a cell beyond the header"])
        kinds: dict[str, frozenset[str]] = {}
        columns: dict[str, pa.Array] = {}
        for name, place in fields.positions.items():
            cells = [self._without_missing(row[place]) if place < len(row) else None for _, row in non_blank]
            columns[name] = _texts(cells)
            kinds[name] = _cell_types(cells, fields, name)
        kept = {
            name: _texts([self._without_missing(row[place]) if place < len(row) else None for _, row in non_blank])
            for name, place in fields.kept.items()
        }
        return RawRows(pa.array([number for number, _ in non_blank], pa.int64()), columns, kept, kinds=kinds)

    def _without_missing(self, cell: Any) -> Any:
        return None if isinstance(cell, str) and cell.strip() in self._source.missing else cell


@contextmanager
def _rejecting_excel_errors() -> Iterator[None]:
    """Whatever openpyxl stumbles over in a damaged file refuses the file."""
    try:
        with rejecting_read_errors("excel"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which are not read
            yield
    except DataRejectedError:
        raise
    except Exception as error:  # openpyxl and its XML parser raise of every kind
        if isinstance(error, OSError):
            raise
        raise DataRejectedError(read_error_message("excel", first_line(error))) from None


def _sheet_rows(handle: Any, source: Source, stack: ExitStack) -> Iterator[Sequence[Any]]:
    from openpyxl import load_workbook

    book = load_workbook(handle, read_only=True, data_only=True, keep_links=False)
    stack.callback(book.close)
    names = [sheet.title for sheet in book.worksheets]
    if not names or (source.sheet is not None and source.sheet not in names):
        raise DataRejectedError(
            f"no sheet {source.sheet or ''!r}; found: {', '.join(names) or 'none'}. See source.sheet"
        )
    sheet = book[source.sheet or names[0]]
    sheet.reset_dimensions()  # what a file says of its size may be wrong
    rows: Iterator[Sequence[Any]] = sheet.iter_rows(values_only=True)
    return rows


def _check_members(path: Path, source: Source) -> None:
    check_zip(path, "excel")
    with rejecting_read_errors("excel"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    check_unpacked(sum(member.file_size for member in members), path.stat().st_size, source.limits)
    for member in members:
        if is_unsafe_name(member.filename) or member.flag_bits & 0x1:
            raise DataRejectedError(
                f"can't be read as excel: its member {member.filename[:100]!r} is encrypted or has an invalid name"
            )


def _cell_types(cells: Sequence[Any], fields: Fields, name: str) -> frozenset[str]:
    types = {_KINDS.get(type(cell), type(cell).__name__) for cell in cells if cell is not None}
    if fields.columns[name].type == "number" and "integer" in types:
        types = (types - {"integer"}) | {"number"}  # a sheet has one kind of number
    return frozenset(types)


def _texts(cells: Sequence[Any]) -> pa.Array:
    return pa.array([_text(cell) for cell in cells], pa.string())


def _text(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1 << 53:
        return str(int(cell))
    return cell.isoformat() if isinstance(cell, datetime | date) else str(cell)
