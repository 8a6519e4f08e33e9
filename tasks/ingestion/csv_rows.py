"""Rows of a csv file. Fast while all cells are of their type; from the first that is not, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.limits import check_columns, limit_error
from tasks.ingestion.names import Fields
from tasks.ingestion.raw import BROKEN_SHOWN, RawRows, row_numbers
from tasks.ingestion.sniff import Dialect, delimiter_hint
from tasks.ingestion.text import Utf8

_BLOCK = 4 << 20
_MAX_BROKEN_BYTES = 512 << 20
_STRICT = {"integer": pa.int64(), "number": pa.float64()}
# Timestamps stay text here: Arrow's parser takes either zoned or zoneless ones, ours takes both.


class CsvReader:
    """An open csv file; see Reader."""

    def __init__(self, path: Path, dialect: Dialect, source: Source) -> None:
        self._path, self._dialect, self._source = path, dialect, source
        self._rows = 0
        self._line_count = -1
        self.names: Sequence[str] = dialect.names
        self.hint = delimiter_hint(dialect.names, dialect.delimiter)
        check_columns(len(dialect.names), source.limits)

    @property
    def lines(self) -> int | None:
        """Lines of the header; None where a row has several lines, or lines are blank."""
        return self._dialect.lines if self._line_count == self._rows + self._dialect.lines else None

    def batches(self, fields: Fields) -> Iterator[RawRows]:
        """Its rows; see Reader."""
        try:
            for raw in self._strict(fields):
                self._rows += len(raw.rows)
                yield raw
        except pa.ArrowInvalid:
            yield from self._leniently(fields, self._rows)

    def _strict(self, fields: Fields) -> Iterator[RawRows]:
        types = {name: _STRICT.get(column.type, pa.string()) for name, column in fields.columns.items()}
        number = 1
        with _CsvStream(self._path, self._dialect, self._source) as stream:
            for batch in stream.read(fields, types, use_threads=True):
                if any(_has_nan(values) for values in batch.columns):
                    raise pa.ArrowInvalid("a spelling of NaN that does not mean missing")  # the lenient pass reports it
                yield _raw_rows(batch, fields, row_numbers(number, batch.num_rows))
                number += batch.num_rows
            stream.check_quotes_closed(number - 1)
            self._line_count = stream.line_count

    def _leniently(self, fields: Fields, n_emitted: int) -> Iterator[RawRows]:
        """All cells as text, rows of a wrong number of fields set aside. `given` rows, all good, are out already."""
        text = dict.fromkeys(fields.columns, pa.string())
        last_number = 0
        with _CsvStream(self._path, self._dialect, self._source, lenient=True) as stream:
            for batch in stream.read(fields, text, use_threads=False):
                rows, broken = stream.numbers(last_number, batch.num_rows)
                last_number = max(int(rows[-1]) if len(rows) else last_number, max(broken, default=last_number))
                raw = _skip_rows(
                    _raw_rows(batch, fields, pa.array(rows), broken, decimal_comma=self._dialect.decimal == ","),
                    n_emitted,
                )
                self._rows = last_number
                if len(raw.rows) or raw.broken:
                    yield raw
            last = stream.trailing_broken()
            self._rows = max(last, default=last_number)
            stream.check_quotes_closed(self._rows)
            self._line_count = stream.line_count
            if last:
                yield RawRows(pa.array([], pa.int64()), {}, broken=last)


class _CsvStream:
    """One pass over the rows. A last row is added that fits no column: if Arrow does not see it, a quote is open."""

    def __init__(self, path: Path, dialect: Dialect, source: Source, *, lenient: bool = False) -> None:
        self._dialect, self._source, self._lenient = dialect, source, lenient
        self._sentinel = dialect.delimiter.join(["end of file"] * (len(dialect.names) + 1))
        self._bytes = Utf8(path, dialect.encoding, source.limits, newline=dialect.newline)
        self._broken: dict[int, str] = {}
        self._broken_bytes = 0
        self._quotes_closed = False
        self._tail = self._unread = b""
        self._at_end = self._abandoned = False
        self.closed = False
        self.line_count = 0
        skip = dialect.skip
        while skip:
            skip -= len(self._bytes.read(skip))

    def __enter__(self) -> _CsvStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes.close()

    def read(self, fields: Fields, types: Mapping[str, pa.DataType], *, use_threads: bool) -> Iterator[pa.RecordBatch]:
        """Batches with the wanted columns, named by their places."""
        wanted = {str(place): types[name] for name, place in fields.positions.items()}
        wanted |= {str(place): pa.string() for place in fields.kept.values()}
        names = [str(place) for place in range(len(self._dialect.names))]
        reader = pacsv.open_csv(
            pa.PythonFile(_StreamFile(self), mode="r"),
            read_options=pacsv.ReadOptions(
                column_names=names, block_size=max(_BLOCK, self._source.limits.row_bytes), use_threads=use_threads
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=self._dialect.quote,
                newlines_in_values=True,
                invalid_row_handler=self._on_invalid_row,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=wanted,
                include_columns=list(wanted),
                null_values=list(self._source.missing),
                strings_can_be_null=True,
                decimal_point=self._dialect.decimal,
            ),
        )
        try:
            yield from reader
        except pa.ArrowInvalid as error:
            if self._lenient and "straddling" in str(error):
                limit = self._source.limits.row_bytes
                raise limit_error("a row with line breaks in quotes is too long", "row_bytes", limit) from None
            raise
        finally:
            self._drain(reader)

    def _drain(self, reader: pacsv.CSVStreamingReader) -> None:
        """Let Arrow's thread come to its end: one that reads from Python as Python ends takes the process down."""
        self._abandoned = True
        try:
            for _ in reader:
                pass
        except (pa.ArrowException, DataRejectedError):
            pass  # of rows that nobody wants any more

    def next_bytes(self, size: int) -> bytes:
        """What Arrow reads: the rows, then the last one that is added."""
        if self._abandoned:
            return b""
        block = self._bytes.read(size)
        self._tail = block[-1:] or self._tail
        if len(block) < size:  # no block is short but the last: a row may not lie in three
            block += self._unread if self._at_end else self._sentinel_row()
            self._at_end = True
            block, self._unread = block[:size], block[size:]
        return block

    def _sentinel_row(self) -> bytes:
        newline = self._dialect.newline
        self.line_count = self._bytes.lines + (self._tail != newline)
        return (b"" if self._tail == newline else newline) + self._sentinel.encode() + newline

    def _on_invalid_row(self, row: pacsv.InvalidRow) -> str:
        if row.text == self._sentinel:
            self._quotes_closed = True
            return "skip"
        if not self._lenient:
            return "error"
        fields = "1 field" if row.actual_columns == 1 else f"{row.actual_columns} fields"
        text = f"{fields}, expected {row.expected_columns}: {row.text[:BROKEN_SHOWN]}"
        self._broken[row.number] = text
        self._broken_bytes += len(text) + 100
        return "error" if self._broken_bytes > _MAX_BROKEN_BYTES else "skip"

    def numbers(self, last_number: int, rows: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], dict[int, str]]:
        """The numbers of the next good rows, and the broken ones before and among them.

        Args:
            last_number: The last number given.
            rows: How many good rows.
        """
        broken = np.sort(np.fromiter(self._broken, dtype=np.int64, count=len(self._broken)))
        numbers = np.arange(last_number + 1, last_number + 1 + rows + len(broken), dtype=np.int64)
        valid = np.setdiff1d(numbers, broken, assume_unique=True)[:rows]
        last = int(valid[-1]) if rows else last_number
        return valid, {int(number): self._pop_broken(int(number)) for number in broken[broken <= last]}

    def _pop_broken(self, number: int) -> str:
        text = self._broken.pop(number)
        self._broken_bytes -= len(text) + 100
        return text

    def trailing_broken(self) -> dict[int, str]:
        """Broken rows after the last good one."""
        trailing, self._broken = dict(sorted(self._broken.items())), {}
        return trailing

    def check_quotes_closed(self, rows: int) -> None:
        """Refuse a file whose last row is in a quote that never ends: it may hold many rows more.

        Raises:
            DataRejectedError: it is so.
        """
        if not self._quotes_closed:
            raise DataRejectedError(
                f"a quote is opened in row {rows:,} and never closed: everything after it would be one field. "
                "Correct the file, or set source.quote: none if quotes are plain text."
            )


class _StreamFile:
    """A stream as the file object that Arrow wants."""

    def __init__(self, stream: _CsvStream) -> None:
        self._stream = stream
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        return self._stream.next_bytes(size)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def _has_nan(values: pa.Array) -> bool:
    return pa.types.is_floating(values.type) and bool(pc.any(pc.is_nan(values)).as_py())


def _raw_rows(
    batch: pa.RecordBatch,
    fields: Fields,
    rows: pa.Array,
    broken: Mapping[int, str] | None = None,
    *,
    decimal_comma: bool = False,
) -> RawRows:
    columns = {name: batch.column(str(place)) for name, place in fields.positions.items()}
    kept = {name: batch.column(str(place)) for name, place in fields.kept.items()}
    return RawRows(rows, columns, kept, broken or {}, decimal_comma=decimal_comma)


def _skip_rows(raw: RawRows, n_emitted: int) -> RawRows:
    """Rows beyond those that are out already; these come first, and none of them is broken."""
    skip = min(max(n_emitted - int(raw.rows[0].as_py()) + 1, 0), len(raw.rows)) if len(raw.rows) else 0
    if not skip:
        return raw
    columns = {name: values.slice(skip) for name, values in raw.columns.items()}
    kept = {name: values.slice(skip) for name, values in raw.kept.items()}
    return replace(raw, rows=raw.rows.slice(skip), columns=columns, kept=kept)
