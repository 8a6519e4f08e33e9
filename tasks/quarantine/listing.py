"""Lists of quarantine entries: by file and expectation, one by one, and recorded duplicates."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
from pydantic import JsonValue

from tasks.quarantine.entries import STATE, Entry, EntryState, Quarantine
from tasks.quarantine.select import KEY_COLUMN, EntryFilter, Key, keys_of
from tasks.records.base import Record
from tasks.stores.lake.schemas import DUPLICATES

_GROUP_COLUMNS = ["batch", "path", "feed", "kind", "expectation", STATE]
_DUPLICATE_COLUMNS = ["by", "feed", "kind"]


class EntryGroup(Record):
    """Entries of one file and one expectation.

    Attributes:
        rows: Number of rows; 1 for a whole file.
        row, line: Of the first row, if known.
        reason: Of a whole file.
        at: Time of the last one.
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
    state: EntryState
    became: str = ""
    reason: str = ""


class EntryPage(NamedTuple):
    """A page of entries, and the total number."""

    entries: list[Entry]
    total: int


class OpenEntries(Record):
    """Number of open entries in quarantine."""

    rows: int
    files: int

    @property
    def entries(self) -> int:
        """Number of rows and files together."""
        return self.rows + self.files

    @property
    def description(self) -> str:
        """Description for users."""
        rows = f"{self.rows} row{'' if self.rows == 1 else 's'}"
        return f"{rows} and {self.files} file{'' if self.files == 1 else 's'}"


class RecordedDuplicate(Record):
    """Duplicate rows of one file."""

    path: str
    batch: str
    feed: str
    kind: str
    rows: int
    first_row: int
    first_key: dict[str, JsonValue]
    kept: str
    at: datetime


def open_entries(quarantine: Quarantine, entry_filter: EntryFilter) -> OpenEntries:
    """Count the open entries."""
    rows = sum(table.num_rows for table in quarantine.rows(entry_filter))
    return OpenEntries(rows=rows, files=len(quarantine.files(entry_filter)))


def entry_groups(quarantine: Quarantine, entry_filter: EntryFilter, *, resolved: bool = False) -> list[EntryGroup]:
    """Return entries by file and expectation, newest first."""
    tables = [_aggregate(table) for table in quarantine.rows(entry_filter, resolved=resolved) if table.num_rows]
    summed = [("rows", "sum"), ("row", "min"), ("line", "min"), ("at", "max")]
    totals = pa.concat_tables(tables).group_by(_GROUP_COLUMNS).aggregate(summed).to_pylist() if tables else []
    result = [
        EntryGroup(
            **{name: row[name] for name in _GROUP_COLUMNS if name != STATE},
            state=row[STATE],
            rows=row["rows_sum"],
            row=row["row_min"],
            line=row["line_min"],
            at=row["at_max"],
        )
        for row in totals
    ]
    result += [_file_group(group) for group in quarantine.files(entry_filter, resolved=resolved)]
    return sorted(result, key=lambda group: (-group.at.timestamp(), group.path, group.expectation))


def _aggregate(table: pa.Table) -> pa.Table:
    totals = table.group_by(_GROUP_COLUMNS).aggregate(
        [("row", "count"), ("row", "min"), ("line", "min"), ("at", "max")]
    )
    names = {"row_count": "rows", "row_min": "row", "line_min": "line", "at_max": "at"}
    return totals.rename_columns([names.get(name, name) for name in totals.column_names])


def _file_group(entry: Entry) -> EntryGroup:
    fields = entry.model_dump(include={"path", "batch", "feed", "kind", "expectation", "row", "line", "at", "state"})
    return EntryGroup(rows=1, became=entry.became, reason=entry.reason, **fields)


def entry_page(
    quarantine: Quarantine, entry_filter: EntryFilter, limit: int, offset: int, *, resolved: bool = False
) -> EntryPage:
    """Return `limit` entries from `offset` on, newest first, and their total number."""
    order = [("at", "descending"), ("batch", "ascending"), ("row", "ascending")]
    newest, total = pa.table({}), 0
    for table in quarantine.rows(entry_filter, resolved=resolved):
        total += table.num_rows
        combined = pa.concat_tables([newest, table]) if newest.num_rows else table
        newest = combined.sort_by(order).slice(0, limit + offset)
    rows = [quarantine.entry(row) for row in newest.to_pylist()]
    files = quarantine.files(entry_filter, resolved=resolved)
    merged = list(heapq.merge(files, rows, key=lambda entry: (-entry.at.timestamp(), entry.batch, entry.row or 0)))
    return EntryPage(merged[offset : offset + limit], total + len(files))


def recorded_duplicates(quarantine: Quarantine, entry_filter: EntryFilter) -> list[RecordedDuplicate]:
    """Return recorded duplicates by file, newest first."""
    table = quarantine.lake.read("duplicates", [name for name in DUPLICATES.names if name != "content"])
    if not table.num_rows:
        return []
    paths = {one.batch: one.path for one in quarantine.ledger}
    with_paths = table.append_column("path", pa.array([paths.get(one, "") for one in table.column("by").to_pylist()]))
    with_paths = with_paths.append_column("expectation", with_paths.column("kind"))
    by_batch = with_paths.drop_columns(["batch", "row"]).rename_columns(
        ["batch" if name == "by" else name for name in with_paths.drop_columns(["batch", "row"]).column_names]
    )
    by_batch = by_batch.append_column(KEY_COLUMN, keys_of(table.column("by"), table.column("row")))
    kept = with_paths.filter(entry_filter.mask(by_batch))
    firsts = ["row", "key", "kept_batch", "kept_row", "path"]
    wanted = [("row", "count"), ("at", "max"), *((name, "first") for name in firsts)]
    rows = kept.group_by(_DUPLICATE_COLUMNS, use_threads=False).aggregate(wanted).to_pylist()
    return sorted((_duplicate(row) for row in rows), key=lambda one: (-one.at.timestamp(), one.path, one.kind))


def _duplicate(row: dict[str, object]) -> RecordedDuplicate:
    kept = Key(str(row["kept_batch_first"]), _optional_int(row["kept_row_first"]))
    return RecordedDuplicate.model_validate(
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


def _optional_int(value: object) -> int | None:
    return None if value is None else int(str(value))


def open_in_groups(groups: Iterable[EntryGroup]) -> OpenEntries:
    """Count the open entries in groups."""
    open_groups = [group for group in groups if group.state == "open"]
    rows: Sequence[int] = [group.rows for group in open_groups if group.kind == "row"]
    return OpenEntries(rows=sum(rows), files=sum(group.kind == "file" for group in open_groups))


def location(entry: Entry) -> str:
    """Return a row's position in its file, as text."""
    if entry.row is None:
        return "the whole file"
    return f"row {entry.row}" if entry.line is None else f"line {entry.line}"
