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
from tasks.ingestion.limits import beyond, check_columns
from tasks.ingestion.names import Fields
from tasks.ingestion.raw import BROKEN_SHOWN, Raw, numbered
from tasks.ingestion.sniff import Dialect, delimiter_hint
from tasks.ingestion.text import Utf8

_BLOCK = 4 << 20
_WAITING = 512 << 20
_STRICT = {"integer": pa.int64(), "number": pa.float64()}
# Timestamps stay text here: Arrow's parser takes either zoned or zoneless ones, ours takes both.


class CsvReader:
    """An open csv file; see Reader."""

    def __init__(self, path: Path, dialect: Dialect, source: Source) -> None:
        self._path, self._dialect, self._source = path, dialect, source
        self._rows = 0
        self._ends = -1
        self.names: Sequence[str] = dialect.names
        self.hint = delimiter_hint(dialect.names, dialect.delimiter)
        check_columns(len(dialect.names), source.limits)

    @property
    def lines(self) -> int | None:
        """Lines of the header; None where a row has several lines, or lines are blank."""
        return self._dialect.lines if self._ends == self._rows + self._dialect.lines else None

    def batches(self, fields: Fields) -> Iterator[Raw]:
        """Its rows; see Reader."""
        try:
            for raw in self._strict(fields):
                self._rows += len(raw.rows)
                yield raw
        except pa.ArrowInvalid:
            yield from self._leniently(fields, self._rows)

    def _strict(self, fields: Fields) -> Iterator[Raw]:
        types = {name: _STRICT.get(column.type, pa.string()) for name, column in fields.columns.items()}
        number = 1
        with _Stream(self._path, self._dialect, self._source) as stream:
            for batch in stream.read(fields, types, use_threads=True):
                if any(_has_nan(values) for values in batch.columns):
                    raise pa.ArrowInvalid("a spelling of NaN that does not mean missing")  # as text, it is told
                yield _raw(batch, fields, numbered(number, batch.num_rows))
                number += batch.num_rows
            stream.close_quotes(number - 1)
            self._ends = stream.ends

    def _leniently(self, fields: Fields, given: int) -> Iterator[Raw]:
        """All cells as text, rows of a wrong number of fields set aside. `given` rows, all good, are out already."""
        text = dict.fromkeys(fields.columns, pa.string())
        upto = 0
        with _Stream(self._path, self._dialect, self._source, lenient=True) as stream:
            for batch in stream.read(fields, text, use_threads=False):
                rows, broken = stream.numbers(upto, batch.num_rows)
                upto = max(int(rows[-1]) if len(rows) else upto, max(broken, default=upto))
                raw = _after(_raw(batch, fields, pa.array(rows), broken, comma=self._dialect.decimal == ","), given)
                self._rows = upto
                if len(raw.rows) or raw.broken:
                    yield raw
            last = stream.rest()
            self._rows = max(last, default=upto)
            stream.close_quotes(self._rows)
            self._ends = stream.ends
            if last:
                yield Raw(pa.array([], pa.int64()), {}, broken=last)


class _Stream:
    """One pass over the rows. A last row is added that fits no column: if Arrow does not see it, a quote is open."""

    def __init__(self, path: Path, dialect: Dialect, source: Source, *, lenient: bool = False) -> None:
        self._dialect, self._source, self._lenient = dialect, source, lenient
        self._end = dialect.delimiter.join(["end of file"] * (len(dialect.names) + 1))
        self._bytes = Utf8(path, dialect.encoding, source.limits, newline=dialect.newline)
        self._broken: dict[int, str] = {}
        self._waiting = 0
        self._closed_well = False
        self._tail = self._rest = b""
        self._done = self._left = False
        self.closed = False
        self.ends = 0
        skip = dialect.skip
        while skip:
            skip -= len(self._bytes.read(skip))

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes.close()

    def read(self, fields: Fields, types: Mapping[str, pa.DataType], *, use_threads: bool) -> Iterator[pa.RecordBatch]:
        """Batches with the wanted columns, named by their places."""
        wanted = {str(place): types[name] for name, place in fields.places.items()}
        wanted |= {str(place): pa.string() for place in fields.kept.values()}
        names = [str(place) for place in range(len(self._dialect.names))]
        opened = pacsv.open_csv(
            pa.PythonFile(_Source(self), mode="r"),
            read_options=pacsv.ReadOptions(
                column_names=names, block_size=max(_BLOCK, self._source.limits.row_bytes), use_threads=use_threads
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._dialect.delimiter,
                quote_char=self._dialect.quote,
                newlines_in_values=True,
                invalid_row_handler=self._handle,
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
            yield from opened
        except pa.ArrowInvalid as error:
            if self._lenient and "straddling" in str(error):
                limit = self._source.limits.row_bytes
                raise beyond("a row with line breaks in quotes is too long", "row_bytes", limit) from None
            raise
        finally:
            self._leave(opened)

    def _leave(self, opened: pacsv.CSVStreamingReader) -> None:
        """Let Arrow's thread come to its end: one that reads from Python as Python ends takes the process down."""
        self._left = True
        try:
            for _ in opened:
                pass
        except (pa.ArrowException, DataRejectedError):
            pass  # of rows that nobody wants any more

    def next_bytes(self, size: int) -> bytes:
        """What Arrow reads: the rows, then the last one that is added."""
        if self._left:
            return b""
        block = self._bytes.read(size)
        self._tail = block[-1:] or self._tail
        if len(block) < size:  # no block is short but the last: a row may not lie in three
            block += self._rest if self._done else self._last_row()
            self._done = True
            block, self._rest = block[:size], block[size:]
        return block

    def _last_row(self) -> bytes:
        newline = self._dialect.newline
        self.ends = self._bytes.lines + (self._tail != newline)
        return (b"" if self._tail == newline else newline) + self._end.encode() + newline

    def _handle(self, row: pacsv.InvalidRow) -> str:
        if row.text == self._end:
            self._closed_well = True
            return "skip"
        if not self._lenient:
            return "error"
        found = "1 field" if row.actual_columns == 1 else f"{row.actual_columns} fields"
        text = f"{found}, expected {row.expected_columns}: {row.text[:BROKEN_SHOWN]}"
        self._broken[row.number] = text
        self._waiting += len(text) + 100
        return "error" if self._waiting > _WAITING else "skip"

    def numbers(self, upto: int, rows: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], dict[int, str]]:
        """The numbers of the next good rows, and the broken ones before and among them.

        Args:
            upto: The last number given.
            rows: How many good rows.
        """
        broken = np.sort(np.fromiter(self._broken, dtype=np.int64, count=len(self._broken)))
        numbers = np.arange(upto + 1, upto + 1 + rows + len(broken), dtype=np.int64)
        good = np.setdiff1d(numbers, broken, assume_unique=True)[:rows]
        last = int(good[-1]) if rows else upto
        return good, {int(one): self._taken(int(one)) for one in broken[broken <= last]}

    def _taken(self, number: int) -> str:
        text = self._broken.pop(number)
        self._waiting -= len(text) + 100
        return text

    def rest(self) -> dict[int, str]:
        """Broken rows after the last good one."""
        left, self._broken = dict(sorted(self._broken.items())), {}
        return left

    def close_quotes(self, rows: int) -> None:
        """Refuse a file whose last row is in a quote that never ends: it may hold many rows more.

        Raises:
            DataRejectedError: it is so.
        """
        if not self._closed_well:
            raise DataRejectedError(
                f"a quote is opened in row {rows:,} and never closed: all that follows would be one field. Mend the "
                "file, or set source.quote: none if quotes are plain text."
            )


class _Source:
    """A stream as the file object that Arrow wants."""

    def __init__(self, stream: _Stream) -> None:
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


def _raw(
    batch: pa.RecordBatch,
    fields: Fields,
    rows: pa.Array,
    broken: Mapping[int, str] | None = None,
    *,
    comma: bool = False,
) -> Raw:
    columns = {name: batch.column(str(place)) for name, place in fields.places.items()}
    kept = {name: batch.column(str(place)) for name, place in fields.kept.items()}
    return Raw(rows, columns, kept, broken or {}, comma=comma)


def _after(raw: Raw, given: int) -> Raw:
    """Rows beyond those that are out already; these come first, and none of them is broken."""
    skip = min(max(given - int(raw.rows[0].as_py()) + 1, 0), len(raw.rows)) if len(raw.rows) else 0
    if not skip:
        return raw
    columns = {name: values.slice(skip) for name, values in raw.columns.items()}
    kept = {name: values.slice(skip) for name, values in raw.kept.items()}
    return replace(raw, rows=raw.rows.slice(skip), columns=columns, kept=kept)
