"""Rows of a jsonl file, block by block. Fast while a block's values are of their type; else line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson

from configs.source import Source
from tasks.errors import DataRejectedError
from tasks.ingestion.json_lines import Line, Lines, parse_record, read_lines
from tasks.ingestion.limits import check_columns
from tasks.ingestion.names import Fields, duplicate_column_error
from tasks.ingestion.nesting import check_nesting
from tasks.ingestion.raw import RawRows, combine_chunks
from tasks.ingestion.text import Utf8, encoding_of

_BLOCK = 16 << 20
_STRICT = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
_KINDS = {"string": "text", "timestamp": "text"}
_SAMPLE_LINES = 20_000
_SHOWN = 60
NO_ROWS = "no rows; expected at least one line, with a JSON object"


class JsonlReader:
    """An open jsonl file; see Reader. The number of a row is the number of its line."""

    hint = ""
    lines = 0

    def __init__(self, path: Path, source: Source) -> None:
        self._path, self._source = path, source
        self._encoding = encoding_of(path, source)
        self._first: Line | None = None
        self.names: Sequence[str] = self._sampled_names()
        self._check_any_record()
        check_columns(len(self.names), source.limits)

    def batches(self, fields: Fields) -> Iterator[RawRows]:
        """Its rows; see Reader."""
        for block, first in self._blocks():
            check_nesting(block, first, self._source.limits)
            raw = None if fields.unknown == "keep" else _strict(block, first, fields, self._source)
            yield raw or read_lines(block, first, fields, self._source.limits)

    def _sampled_names(self) -> list[str]:
        """Names in the first lines, in their order."""
        names: dict[str, None] = {}
        for block, first in self._blocks():
            check_nesting(block, first, self._source.limits)
            for count, line in enumerate(Lines(block, first)):
                if count == _SAMPLE_LINES:
                    break
                names.update(dict.fromkeys(parse_record(line.text) or ()))
                self._first = self._first or line
            break
        return list(names)

    def _check_any_record(self) -> None:
        """Refuse a file in whose first lines there is no object with anything in it.

        Raises:
            DataRejectedError: it is one.
        """
        if self._first is None:
            raise DataRejectedError(NO_ROWS)
        if not self.names:
            shown = "".join(
                character if character.isprintable() else "\ufffd" for character in self._first.text[:_SHOWN]
            )
            more = "…" if len(self._first.text) > _SHOWN else ""
            raise DataRejectedError(
                f"can't be read as jsonl: line {self._first.number:,} is {shown}{more}, and none of the first lines is "
                "a JSON object with names in it; expected one object a line"
            )

    def _blocks(self) -> Iterator[tuple[bytes, int]]:
        """Whole lines, and the number of the first."""
        stream = Utf8(self._path, self._encoding, self._source.limits)
        number, buffered = 1, [b""]
        try:
            while block := stream.read(_BLOCK):
                cut = block.rfind(b"\n") + 1
                if not cut:
                    buffered.append(block)
                    continue
                whole_lines = b"".join((*buffered, block[:cut]))
                yield whole_lines, number
                number += whole_lines.count(b"\n")
                buffered = [block[cut:]]
        finally:
            stream.close()
        if last_lines := b"".join(buffered):
            yield last_lines, number


def _strict(block: bytes, first: int, fields: Fields, source: Source) -> RawRows | None:
    """A block's rows; None where Arrow's own reading stumbles, or where rows and lines don't go together."""
    names = fields.alternatives()
    types = {name: _STRICT.get(column.type, pa.string()) for name, column in fields.columns.items()}
    unexpected = "error" if fields.unknown == "reject" else "ignore"
    schema = pa.schema([(file_name, types[name]) for file_name, name in names.items()])
    schema = schema if unexpected == "ignore" else _with_other_names(schema, fields)
    if not block.strip():
        return RawRows(pa.array([], pa.int64()), {})
    try:
        table = pajson.read_json(
            pa.BufferReader(block),
            read_options=pajson.ReadOptions(block_size=max(1 << 20, source.limits.row_bytes + 1)),
            parse_options=pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
        )
    except pa.ArrowInvalid:
        return None
    rows = _line_numbers(block, first, table.num_rows)
    if rows is None:
        return None
    columns = _select_columns(table, fields, names)
    kinds = {
        name: frozenset({_KINDS.get(fields.columns[name].type, fields.columns[name].type)})
        for name, values in columns.items()
        if values.null_count < len(values)
    }
    return RawRows(rows, columns, kinds=kinds)


def _with_other_names(schema: pa.Schema, fields: Fields) -> pa.Schema:
    """The schema with the contract's further names, which are not unknown. Of another type, they are read by line."""
    return pa.schema(
        [*schema, *[pa.field(name, pa.string()) for name in fields.other_names if name not in schema.names]]
    )


def _select_columns(table: pa.Table, fields: Fields, names: Mapping[str, str]) -> dict[str, pa.Array]:
    """Each column under the name that the block has it by."""
    columns: dict[str, pa.Array] = {}
    file_names: dict[str, str] = {name: fields.file_names[place] for name, place in fields.positions.items()}
    for file_name, name in names.items():
        values = combine_chunks(table.column(file_name))
        if values.null_count == len(values):
            continue
        if file_names.setdefault(name, file_name) != file_name:
            raise duplicate_column_error(name, (file_names[name], file_name))
        columns[name] = values
    return columns


def _line_numbers(block: bytes, first: int, rows: int) -> pa.Array | None:
    """The numbers of the lines that rows stand in; None where a row is not a line."""
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    if lines == rows:
        return pa.array(np.arange(first, first + rows, dtype=np.int64))
    filled = [number for number, line in enumerate(block.split(b"\n"), start=first) if line.strip()]
    return pa.array(filled, pa.int64()) if len(filled) == rows else None
