"""How a csv file is written: given by the source, else found in its first rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from configs.contract import Column
from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.limits import limit_error
from tasks.ingestion.names import clean
from tasks.ingestion.text import Utf8, encoding_of

_DELIMITERS = ",;\t|"
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_SAMPLE_ROWS = 500
NO_ROWS = "no rows below the header; expected at least one"
_NEVER_CLOSED = (
    "a quote is opened in the header and not closed: everything after it would be one name. Correct the file, or set "
    "source.quote: none if quotes are plain text."
)


@dataclass(frozen=True)
class Dialect:
    """How a csv file is written.

    Attributes:
        names: The header's names, as they stand there.
        skip: Bytes of UTF-8 up to the first row below the header.
        lines: Lines up to there.
        quote: What fields are quoted with; False for nothing.
        newline: What ends a line: a carriage return alone only where there is nothing else.
    """

    names: tuple[str, ...]
    encoding: str
    delimiter: str
    quote: str | bool
    decimal: str
    skip: int
    lines: int
    newline: bytes


def dialect(path: Path, ending: str, source: Source, columns: Mapping[str, Column], known: Collection[str]) -> Dialect:
    """How a csv file is written.

    Args:
        path: The file.
        ending: Its name's ending; that of a .tsv makes tabs likelier.
        source: What the source tells.
        columns: The columns that are to be read.
        known: All names that the contract's columns have or had.

    Raises:
        DataRejectedError: it has no header that can be read.
    """
    encoding = encoding_of(path, source)
    sample, whole = _sample(path, encoding, source)
    newline = b"\r" if "\n" not in sample and "\r" in sample else b"\n"
    delimiter, quote = _delimiter_and_quote(sample, ending, source, known)
    names, used, lines = _header(sample, delimiter, quote)
    if not any(name.strip() for name in names):
        raise DataRejectedError("can't be read as csv: there is no header line with names; expected the columns' names")
    if used == len(sample) and not whole:
        raise limit_error(f"the header line has {used:,} characters or more", "row_bytes", source.limits.row_bytes)
    body = sample[used:]
    if whole and not body.strip("\r\n"):
        raise DataRejectedError(_NEVER_CLOSED if any("\n" in name for name in names) else NO_ROWS)
    decimal = source.decimal or _decimal(body, names, delimiter, quote, columns, source)
    skip = len(sample[:used].encode())
    return Dialect(names, encoding, delimiter, quote, decimal, skip, lines, newline)


def delimiter_hint(names: Sequence[str], delimiter: str) -> str:
    """What a person may have missed, where a header came out as one name."""
    if len(names) == 1:
        other = max(_DELIMITERS, key=names[0].count)
        if other != delimiter and names[0].count(other):
            return f" The header has {other!r} between names; source.delimiter is {delimiter!r}."
    return ""


def _sample(path: Path, encoding: str, source: Source) -> tuple[str, bool]:
    """The first characters, and whether that is all."""
    size = max(1 << 16, min(source.limits.row_bytes, 1 << 20))
    stream = Utf8(path, encoding, source.limits.model_copy(update={"row_bytes": 1 << 30}))
    try:
        text = stream.read(size + 1)
    finally:
        stream.close()
    return text[:size].decode(errors="ignore"), len(text) <= size  # ignored: a character that the cut goes through


def _records(text: str, delimiter: str, quote: str | bool) -> Iterator[list[str]]:
    lines = io.StringIO(text, newline="")
    return _reader(lines, delimiter, quote)


def _reader(lines: Iterator[str], delimiter: str, quote: str | bool) -> Iterator[list[str]]:
    if isinstance(quote, bool):
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote)


def _header(text: str, delimiter: str, quote: str | bool) -> tuple[tuple[str, ...], int, int]:
    """The first row that is not blank, and the characters and lines up to its end."""
    used = lines = 0

    def counted() -> Iterator[str]:
        nonlocal used, lines
        for line in io.StringIO(text, newline=""):
            used += len(line)
            lines += 1
            yield line

    try:
        names = next((row for row in _reader(counted(), delimiter, quote) if row), [])
    except csv.Error as error:
        raise DataRejectedError(f"can't be read as csv: no header line ({error})") from None
    return tuple(names), used, lines


def _delimiter_and_quote(text: str, ending: str, source: Source, known: Collection[str]) -> tuple[str, str | bool]:
    """Those under which the header has most of the names known."""
    first = "\t" if ending == ".tsv" else ","
    delimiters = [source.delimiter] if source.delimiter else [first, *(one for one in _DELIMITERS if one != first)]
    quotes: list[str | bool] = ['"', "'"]
    if source.quote is not None:
        quotes = [False] if source.quote == "none" else [source.quote]
    names = set(known)

    def score(pair: tuple[str, str | bool]) -> int:
        return len(names & {clean(name) for name in _try_header(text, *pair)})

    return max(((delimiter, quote) for delimiter in delimiters for quote in quotes), key=score)  # of equals, the first


def _try_header(text: str, delimiter: str, quote: str | bool) -> tuple[str, ...]:
    try:
        return _header(text, delimiter, quote)[0]
    except DataRejectedError:
        return ()  # the dialect chosen in the end reports the error


def _decimal(
    body: str,
    names: Sequence[str],
    delimiter: str,
    quote: str | bool,
    columns: Mapping[str, Column],
    source: Source,
) -> str:
    """The mark in numbers: a comma where some of the first ones have one, and none has a point."""
    numbers = {n for name, one in columns.items() if one.type == "number" for n in (name, *one.aliases)}
    places = [place for place, name in enumerate(names) if clean(name) in numbers]
    commas = points = False
    try:
        for row in islice(_records(body, delimiter, quote), _SAMPLE_ROWS):
            cells = [row[place].strip() for place in places if place < len(row) and row[place] not in source.missing]
            commas = commas or any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)
            points = points or any("." in cell for cell in cells)
    except csv.Error:
        return "."  # reported with its row when the rows are read
    return "," if commas and not points else "."
