"""Lines of jsonl one by one: what can be read of each is, and what can't is reported with its line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from configs.source import Limits
from tasks.ingestion.limits import check_columns
from tasks.ingestion.names import Fields, clean, duplicate_column_error, unknown_columns_error
from tasks.ingestion.raw import BROKEN_SHOWN, RawRows

_KINDS: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "text", dict: "object", list: "list"}


class Line(NamedTuple):
    """A line that is not blank, and its number."""

    number: int
    text: str


class Lines:
    """The lines of a block that are not blank."""

    def __init__(self, block: bytes, first: int) -> None:
        self._block, self._first = block, first

    def __iter__(self) -> Iterator[Line]:
        for number, line in enumerate(self._block.split(b"\n"), start=self._first):
            text = line.decode(errors="replace").strip()
            if text:
                yield Line(number, text)


def parse_record(text: str) -> dict[str, Any] | None:
    """The object that a line is; None where it is none."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return {clean(name): value for name, value in record.items()} if isinstance(record, dict) else None


def read_lines(block: bytes, first: int, fields: Fields, limits: Limits) -> RawRows:
    """A block's rows, read one by one; values that are no text as JSON writes them.

    Args:
        block: Whole lines.
        first: The number of the first one.
        fields: What is to be read.
        limits: The most that is read.

    Raises:
        DataRejectedError: a column stands under two names, or is unknown where that is not allowed.
    """
    rows = _RowBuilder(fields, limits)
    for line in Lines(block, first):
        rows.add_line(line)
    return rows.raw()


class _RowBuilder:
    """Rows as they come together."""

    def __init__(self, fields: Fields, limits: Limits) -> None:
        self._fields, self._limits = fields, limits
        self._names = fields.alternatives()
        self._file_names = {name: fields.file_names[place] for name, place in fields.positions.items()}
        self._cells: dict[str, list[str | None]] = {name: [] for name in fields.columns}
        self._kinds: dict[str, set[str]] = {}
        self._kept: dict[str, list[str | None]] = {}
        self._numbers: list[int] = []
        self._broken: dict[int, str] = {}

    def add_line(self, line: Line) -> None:
        """A line more."""
        record = parse_record(line.text)
        if record is None:
            self._broken[line.number] = f"not a JSON object: {line.text[:BROKEN_SHOWN]}"
        elif _has_lone_surrogate(record):
            self._broken[line.number] = f"text that is no Unicode: {line.text[:BROKEN_SHOWN]}"
        else:
            self._add_record(record, line.number)

    def _add_record(self, record: Mapping[str, Any], number: int) -> None:
        empty_row = dict.fromkeys(self._cells)
        row: dict[str, Any] = dict(empty_row)
        unmapped: dict[str, Any] = {}
        for file_name, value in record.items():
            name = self._names.get(file_name)
            if name is None:
                unmapped[file_name] = value
            elif value is not None and not _is_nan(value):
                if self._file_names.setdefault(name, file_name) != file_name:
                    raise duplicate_column_error(name, (self._file_names[name], file_name))
                row[name] = value
        self._unknown(
            {file_name: value for file_name, value in unmapped.items() if file_name not in self._fields.other_names}
        )
        self._numbers.append(number)
        for name, value in row.items():
            self._cells[name].append(json_text(value))
            if value is not None:
                self._kinds.setdefault(name, set()).add(self._kind(name, value))

    def _unknown(self, unmapped: Mapping[str, Any]) -> None:
        if self._fields.unknown == "reject" and unmapped:
            raise unknown_columns_error(list(unmapped))
        if self._fields.unknown != "keep":
            return
        for file_name, value in unmapped.items():
            cells = self._kept.setdefault(file_name, [])
            cells += [None] * (len(self._numbers) - len(cells))
            cells.append(json_text(value))
        check_columns(len(self._kept), self._limits)

    def _kind(self, name: str, value: object) -> str:
        kind = _KINDS[type(value)]
        # JSON has one kind of number: 1 among 1.5 and 2.5 is one of them.
        return "number" if kind == "integer" and self._fields.columns[name].type == "number" else kind

    def raw(self) -> RawRows:
        """The rows."""
        count = len(self._numbers)
        return RawRows(
            pa.array(self._numbers, pa.int64()),
            {name: pa.array(cells, pa.string()) for name, cells in self._cells.items()},
            {name: pa.array(cells + [None] * (count - len(cells)), pa.string()) for name, cells in self._kept.items()},
            self._broken,
            {name: frozenset(kinds) for name, kinds in self._kinds.items()},
        )


def json_text(value: object) -> str | None:
    """A value as text: text as it is, else as JSON writes it."""
    if value is None:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_nan(value: object) -> bool:
    """Whether a value is NaN: no JSON, but what Python writes for a missing number."""
    return isinstance(value, float) and math.isnan(value)


def _has_lone_surrogate(record: Mapping[str, Any]) -> bool:
    """Whether a text in it holds half of a surrogate pair, which no file can hold."""
    try:
        for name, value in record.items():
            name.encode()
            (json_text(value) or "").encode()
    except UnicodeEncodeError:
        return True
    return False
