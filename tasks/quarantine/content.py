"""Content of quarantined rows: the cells as they were in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import JsonValue

from configs.contract import Column
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.select import EntryFilter, Key
from tasks.stores.lake.schemas import EXTRA, ORIGIN
from tasks.stores.lake.staging import UNREADABLE

_METADATA = ("feed", "path", "line", "reason", "expectation")


class QuarantinedRow(NamedTuple):
    """A quarantined row.

    Attributes:
        cells: Values by column name at that time; the text of unreadable cells; without missing values.
        unreadable: Names of the cells that could not be read.
        extra: Columns that the contract did not have, as text.
        unparsed: The text of a row that could not be split into fields; such a row has no cells.
        previous_entry: Id of the entry before it was readmitted and rejected again.
        metadata: The other columns of its row in the table `quarantine`.
    """

    key: Key
    cells: dict[str, JsonValue]
    unreadable: tuple[str, ...]
    extra: dict[str, str]
    unparsed: str
    previous_entry: str
    metadata: dict[str, Any]


def parse_row(line: Mapping[str, Any]) -> QuarantinedRow:
    """Parse a row of the lake's table."""
    content: dict[str, Any] = json.loads(line["content"] or "{}")
    previous_entry = content.pop(ORIGIN, None) or ""
    extra: dict[str, str] = content.pop(EXTRA.name, None) or {}
    texts: dict[str, str] = json.loads(content.pop(UNREADABLE, None) or "{}")
    unparsed = texts.pop("", "")
    key = Key(line["batch"], line["row"])
    return QuarantinedRow(
        key,
        {**content, **texts},
        tuple(texts),
        extra,
        unparsed,
        previous_entry,
        {name: line[name] for name in _METADATA},
    )


def parse_rows(tables: Iterable[pa.Table]) -> Iterator[QuarantinedRow]:
    """Parse rows of the lake's table, each entry once."""
    seen: set[Key] = set()
    for table in tables:
        for line in table.to_pylist():
            row = parse_row(line)
            if row.key not in seen:
                seen.add(row.key)
                yield row


def cells_by_column(row: QuarantinedRow, columns: Mapping[str, Column]) -> dict[str, JsonValue]:
    """Return a row's cells by the contract's current column names; aliases and unknown columns are mapped."""
    values = {**row.extra, **row.cells}
    by_name = {
        name: next((values[alias] for alias in (name, *column.aliases) if alias in values), None)
        for name, column in columns.items()
    }
    return {name: value for name, value in by_name.items() if value is not None}


def unknown_cells(row: QuarantinedRow, columns: Mapping[str, Column]) -> dict[str, str]:
    """Return a row's cells that belong to no column of the contract."""
    known = {alias for name, column in columns.items() for alias in (name, *column.aliases)}
    return {name: value for name, value in row.extra.items() if name not in known}


def requarantined_as(quarantine: Quarantine, key: Key) -> str:
    """Return the id of the new entry of a readmitted and again rejected one; empty if it was accepted."""
    resolved = quarantine.resolution(key)
    if resolved is None or resolved.into is None:
        return ""
    for table in quarantine.rows(EntryFilter(batch=resolved.into), resolved=True, content=True):
        for row in map(parse_row, table.to_pylist()):
            if row.previous_entry == key.id:
                return row.key.id
    return ""
