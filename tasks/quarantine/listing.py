"""Entries of quarantine as lists: by file and expectation, one by one, and recorded duplicates."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pydantic import JsonValue

from tasks.quarantine.entries import STATE, Entry, Quarantine, State
from tasks.quarantine.select import KEY_COLUMN, Chosen, Key, keys_of
from tasks.records.base import Record
from tasks.stores.lake.schemas import DUPLICATES

_BY = ["batch", "path", "feed", "kind", "expectation", STATE]
_DUPLICATE_BY = ["by", "feed", "kind"]


class Group(Record):
    """Entries of one file and one expectation.

    Attributes:
        rows: How many; 1 for a file as a whole.
        row, line: The first one's, where it has one.
        reason: Of a file as a whole.
        at: When the last one came.
    """

    path: str
    batch: str
    feed: str
    kind: str
    expectation: str
    rows: int
    row: int | None
    line: int | None
    at: datetime
    state: State
    became: str = ""
    reason: str = ""


class Page(NamedTuple):
    """Some of many."""

    entries: list[Entry]
    total: int


class Waiting(Record):
    """How much waits in quarantine."""

    rows: int
    files: int

    @property
    def entries(self) -> int:
        """Both."""
        return self.rows + self.files

    @property
    def told(self) -> str:
        """In words."""
        rows = f"{self.rows} row{'' if self.rows == 1 else 's'}"
        return f"{rows} and {self.files} file{'' if self.files == 1 else 's'}"


class Duplicate(Record):
    """Rows of one file that another of the same key stands for."""

    path: str
    batch: str
    feed: str
    kind: str
    rows: int
    first_row: int
    first_key: dict[str, JsonValue]
    kept: str
    at: datetime


def waiting(quarantine: Quarantine, chosen: Chosen) -> Waiting:
    """How many entries are open."""
    rows = sum(table.num_rows for table in quarantine.rows(chosen))
    return Waiting(rows=rows, files=len(quarantine.files(chosen)))


def groups(quarantine: Quarantine, chosen: Chosen, *, resolved: bool = False) -> list[Group]:
    """Entries by file and expectation, newest first."""
    parts = [_counted(table) for table in quarantine.rows(chosen, resolved=resolved) if table.num_rows]
    summed = [("rows", "sum"), ("row", "min"), ("line", "min"), ("at", "max")]
    whole = pa.concat_tables(parts).group_by(_BY).aggregate(summed).to_pylist() if parts else []
    found = [
        Group(
            **{name: row[name] for name in _BY if name != STATE},
            state=row[STATE],
            rows=row["rows_sum"],
            row=row["row_min"],
            line=row["line_min"],
            at=row["at_max"],
        )
        for row in whole
    ]
    found += [_of_file(one) for one in quarantine.files(chosen, resolved=resolved)]
    return sorted(found, key=lambda one: (-one.at.timestamp(), one.path, one.expectation))


def _counted(table: pa.Table) -> pa.Table:
    found = table.group_by(_BY).aggregate([("row", "count"), ("row", "min"), ("line", "min"), ("at", "max")])
    new = {"row_count": "rows", "row_min": "row", "line_min": "line", "at_max": "at"}
    return found.rename_columns([new.get(name, name) for name in found.column_names])


def _of_file(one: Entry) -> Group:
    plain = one.model_dump(include={"path", "batch", "feed", "kind", "expectation", "row", "line", "at", "state"})
    return Group(rows=1, became=one.became, reason=one.reason, **plain)


def page(quarantine: Quarantine, chosen: Chosen, limit: int, offset: int, *, resolved: bool = False) -> Page:
    """Entries one by one, newest first: `limit` of them from `offset` on, and how many there are."""
    order = [("at", "descending"), ("batch", "ascending"), ("row", "ascending")]
    best, total = pa.table({}), 0
    for table in quarantine.rows(chosen, resolved=resolved):
        total += table.num_rows
        both = pa.concat_tables([best, table]) if best.num_rows else table
        best = both.sort_by(order).slice(0, limit + offset)
    rows = [quarantine.entry(row) for row in best.to_pylist()]
    files = quarantine.files(chosen, resolved=resolved)
    merged = list(heapq.merge(files, rows, key=lambda one: (-one.at.timestamp(), one.batch, one.row or 0)))
    return Page(merged[offset : offset + limit], total + len(files))


def duplicates(quarantine: Quarantine, chosen: Chosen) -> list[Duplicate]:
    """Recorded duplicates by the file that they were found with, newest first."""
    found = quarantine.lake.read("duplicates", [name for name in DUPLICATES.names if name != "content"])
    if not found.num_rows:
        return []
    paths = {one.batch: one.path for one in quarantine.ledger}
    named = found.append_column("path", pa.array([paths.get(one, "") for one in found.column("by").to_pylist()]))
    named = named.append_column("expectation", named.column("kind"))
    asked = named.drop_columns(["batch", "row"]).rename_columns(
        ["batch" if name == "by" else name for name in named.drop_columns(["batch", "row"]).column_names]
    )
    asked = asked.append_column(KEY_COLUMN, keys_of(found.column("by"), found.column("row")))
    kept = named.filter(chosen.mask(asked))
    firsts = ["row", "key", "kept_batch", "kept_row", "path"]
    wanted = [("row", "count"), ("at", "max"), *((name, "first") for name in firsts)]
    rows = kept.group_by(_DUPLICATE_BY, use_threads=False).aggregate(wanted).to_pylist()
    return sorted((_duplicate(row) for row in rows), key=lambda one: (-one.at.timestamp(), one.path, one.kind))


def _duplicate(row: dict[str, object]) -> Duplicate:
    kept = Key(str(row["kept_batch_first"]), _integer(row["kept_row_first"]))
    return Duplicate.model_validate(
        {
            "path": row["path_first"],
            "batch": row["by"],
            "feed": row["feed"],
            "kind": row["kind"],
            "rows": row["row_count"],
            "first_row": row["row_first"],
            "first_key": json.loads(str(row["key_first"])) if row["key_first"] else {},
            "kept": kept.id if row["kept_batch_first"] else "",
            "at": row["at_max"],
        }
    )


def _integer(value: object) -> int | None:
    return None if value is None else int(str(value))


def total(found: Iterable[Group]) -> Waiting:
    """How many entries groups are of, those that are open."""
    still = [one for one in found if one.state == "open"]
    rows: Sequence[int] = [one.rows for one in still if one.kind == "row"]
    return Waiting(rows=sum(rows), files=sum(one.kind == "file" for one in still))


def where(one: Entry) -> str:
    """A row's place in its file, in words."""
    if one.row is None:
        return "the whole file"
    return f"row {one.row}" if one.line is None else f"line {one.line}"
