"""What a refused row held: the cells as they were in its file, as far as they were kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import JsonValue

from configs.contract import Column
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.select import Chosen, Key
from tasks.stores.lake.schemas import EXTRA, ORIGIN
from tasks.stores.lake.staging import UNREADABLE

_LIGHT = ("feed", "path", "line", "reason", "expectation")


class Row(NamedTuple):
    """A refused row.

    Attributes:
        cells: Its values by the names of then; of cells that could not be read their text; none that is missing.
        unreadable: Names of the cells that could not be read.
        extra: Columns that the contract did not have, as text.
        torn: The text of a row that could not be cut into fields; such a row has no cells.
        was: The entry that it was before it was readmitted and refused again.
        told: The other columns of its line in quarantine.
    """

    key: Key
    cells: dict[str, JsonValue]
    unreadable: tuple[str, ...]
    extra: dict[str, str]
    torn: str
    was: str
    told: dict[str, Any]


def row_of(line: Mapping[str, Any]) -> Row:
    """A row from its line in the lake's table."""
    content: dict[str, Any] = json.loads(line["content"] or "{}")
    was = content.pop(ORIGIN, None) or ""
    extra: dict[str, str] = content.pop(EXTRA.name, None) or {}
    texts: dict[str, str] = json.loads(content.pop(UNREADABLE, None) or "{}")
    torn = texts.pop("", "")
    key = Key(line["batch"], line["row"])
    return Row(key, {**content, **texts}, tuple(texts), extra, torn, was, {name: line[name] for name in _LIGHT})


def rows_of(tables: Iterable[pa.Table]) -> Iterator[Row]:
    """Rows from some of the lake's table, each once."""
    seen: set[Key] = set()
    for table in tables:
        for line in table.to_pylist():
            row = row_of(line)
            if row.key not in seen:
                seen.add(row.key)
                yield row


def by_column(row: Row, columns: Mapping[str, Column]) -> dict[str, JsonValue]:
    """A row's cells by the contract's present names; a column may have had another one then, or have been unknown."""
    had = {**row.extra, **row.cells}
    found = {
        name: next((had[one] for one in (name, *column.aliases) if one in had), None)
        for name, column in columns.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def unknown(row: Row, columns: Mapping[str, Column]) -> dict[str, str]:
    """A row's cells that are of no column that the contract has now."""
    known = {one for name, column in columns.items() for one in (name, *column.aliases)}
    return {name: value for name, value in row.extra.items() if name not in known}


def refused_again(quarantine: Quarantine, key: Key) -> str:
    """The entry that a readmitted one became; nothing where it came in."""
    resolved = quarantine.resolution(key)
    if resolved is None or resolved.into is None:
        return ""
    for table in quarantine.rows(Chosen(batch=resolved.into), resolved=True, content=True):
        for row in map(row_of, table.to_pylist()):
            if row.was == key.id:
                return row.key.id
    return ""
