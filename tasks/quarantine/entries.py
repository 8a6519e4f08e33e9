"""Quarantine entries in the lake, with their states."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import JsonValue

from tasks.errors import UsageError
from tasks.quarantine.select import KEY_COLUMN, EntryFilter, Key, Selection, keys_of, resolve_selection, short_id
from tasks.records.base import Record, read_row
from tasks.records.data import BatchRecord, Feed
from tasks.stores.lake.schemas import QUARANTINE
from tasks.stores.lake.tables import Lake

EntryState = Literal["open", "readmitted", "dropped", "came in"]
STATE, CONTENT = "_state", "content"
_WITHOUT_CONTENT = [name for name in QUARANTINE.names if name != CONTENT]


class Entry(Record):
    """One rejected row or file.

    Attributes:
        id: Short id.
        state: The state; `came in`: a file that was validated again and accepted.
        became: Description of the state; empty while open.
    """

    id: str
    batch: str
    row: int | None
    path: str
    feed: Feed
    kind: Literal["row", "file"]
    line: int | None
    expectation: str
    reason: str
    key: dict[str, JsonValue]
    at: datetime
    state: EntryState = "open"
    became: str = ""


class EntryResolution(Record):
    """A recorded resolution of an entry."""

    entry: str
    batch: str
    row: int | None
    action: Literal["readmitted", "dropped"]
    into: str | None
    by: str | None
    why: str | None
    at: datetime

    @property
    def description(self) -> str:
        """Description for users."""
        why = f": {self.why}" if self.why else ""
        if self.action == "dropped":
            return f"dropped by {self.by}{why}"
        return f"readmitted with {short_id(self.into or '')}{why}"


class Quarantine:
    """Snapshot of a pipeline's quarantine: the entries of batches in the ledger.

    Entries of an interrupted run are not included until the next run has validated its files again.

    Args:
        lake: The pipeline's lake.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.ledger = lake.ledger()
        self._batches = {record.batch: record for record in self.ledger}
        resolutions = lake.read("resolutions")
        states = resolutions.column("action") if resolutions.num_rows else pa.chunked_array([[]], pa.string())
        keys = keys_of(resolutions.column("batch"), resolutions.column("row")) if resolutions.num_rows else states
        self._by_state = {state: keys.filter(pc.equal(states, state)) for state in ("readmitted", "dropped")}
        self._resolved = resolutions

    def resolve(self, selection: Selection) -> EntryFilter:
        """Resolve a selection against the known batches; see `resolve_selection`."""
        return resolve_selection(selection, self.ledger)

    def find_key(self, text: str) -> Key:
        """Return the key for an id; the entry itself may not exist.

        Raises:
            UsageError: it is not an id, or matches no batch or several.
        """
        return resolve_selection(Selection(entries=(text,)), self.ledger).keys[0]

    def batch(self, batch: str) -> BatchRecord | None:
        """Return a batch's newest ledger record."""
        return self._batches.get(batch)

    def rows(self, entry_filter: EntryFilter, *, resolved: bool = False, content: bool = False) -> Iterator[pa.Table]:
        """Yield tables of rejected rows: the columns of the lake's table, `_key` and `_state`.

        Args:
            entry_filter: Selects the entries.
            resolved: Whether to include entries that are no longer open.
            content: Whether to include their values.
        """
        columns = QUARANTINE.names if content else _WITHOUT_CONTENT
        where = self._judged(pc.field("kind") == "row")
        if entry_filter.batches is not None:
            where = where & pc.field("batch").isin(pa.array(entry_filter.batches, pa.string()))
        schema = pa.schema([QUARANTINE.field(name) for name in columns])
        for batch in self.lake.scan("quarantine", columns, where):
            table = self._with_state(pa.Table.from_batches([batch]).select(columns).cast(schema))
            kept = entry_filter.mask(table)
            if not resolved:
                kept = pc.and_(kept, pc.equal(table.column(STATE), "open"))
            yield table.filter(kept)

    def files(self, entry_filter: EntryFilter, *, resolved: bool = False) -> list[Entry]:
        """Return rejected files, newest first; each file once."""
        table_of_files = self.lake.read("quarantine", _WITHOUT_CONTENT, where=self._judged(pc.field("kind") == "file"))
        if not table_of_files.num_rows:
            return []
        table = self._with_state(table_of_files.cast(pa.schema([QUARANTINE.field(name) for name in _WITHOUT_CONTENT])))
        rows = table.filter(entry_filter.mask(table)).sort_by("at").to_pylist()
        newest = {row["batch"]: row for row in rows}
        entries = [self.entry(row) for row in newest.values()]
        return [entry for entry in reversed(entries) if resolved or entry.state == "open"]

    def _judged(self, where: pc.Expression) -> pc.Expression:
        return where & pc.field("batch").isin(pa.array(list(self._batches), pa.string()))

    def entry(self, row: Mapping[str, Any]) -> Entry:
        """Return an entry from its row in the lake's table with `_state`."""
        key, state = Key(row["batch"], row["row"]), row[STATE]
        record = self.batch(key.batch)
        if key.row is None and state == "open" and record is not None and record.verdict == "accepted":
            state = "came in"
        resolution = self.resolution(key) if state in ("readmitted", "dropped") else None
        accepted_note = (
            f"validated again, {record.accepted} rows accepted" if state == "came in" and record is not None else ""
        )
        fields = {name: row[name] for name in ("batch", "row", "path", "feed", "kind", "line", "expectation", "reason")}
        key_values = json.loads(row["key"]) if row["key"] else {}
        return Entry(
            id=key.id,
            key=key_values,
            at=row["at"],
            state=state,
            became=resolution.description if resolution else accepted_note,
            **fields,
        )

    def resolution(self, key: Key) -> EntryResolution | None:
        """Return the latest resolution of an entry."""
        found = self._latest.get(key)
        return None if found is None else _resolution(found)

    @cached_property
    def _latest(self) -> dict[Key, dict[str, Any]]:
        rows = self._resolved.sort_by("at").to_pylist() if self._resolved.num_rows else []
        return {Key(row["batch"], row["row"]): row for row in rows}

    def dropped(self, entry_filter: EntryFilter) -> list[EntryResolution]:
        """Return dropped entries, newest first."""
        if not self._resolved.num_rows:
            return []
        batches = [self._batches.get(record) for record in self._resolved.column("batch").to_pylist()]
        extra_columns = {
            "path": pa.array(["" if record is None else record.path for record in batches], pa.string()),
            "feed": pa.array(["" if record is None else record.feed for record in batches], pa.string()),
            "expectation": pa.nulls(len(batches), pa.string()).fill_null(""),
            KEY_COLUMN: keys_of(self._resolved.column("batch"), self._resolved.column("row")),
        }
        table = pa.table(
            {**{name: self._resolved.column(name) for name in self._resolved.column_names}, **extra_columns}
        )
        kept = pc.and_(entry_filter.mask(table), pc.equal(table.column("action"), "dropped"))
        rows = self._resolved.filter(kept).sort_by([("at", "descending")]).to_pylist()
        return [_resolution(row) for row in rows]

    def states(self, keys: Sequence[Key]) -> dict[Key, EntryState]:
        """Return the states of entries; unknown ones are left out."""
        entry_filter = EntryFilter(keys=tuple(keys))
        states: dict[Key, EntryState] = {}
        for table in self.rows(entry_filter, resolved=True):
            states |= {
                Key(row["batch"], row["row"]): row[STATE] for row in table.select(["batch", "row", STATE]).to_pylist()
            }
        files = {one.batch: one.state for one in self.files(entry_filter, resolved=True)}
        dropped = {Key(one.batch, one.row): one.action for one in self.dropped(entry_filter)}
        return {**dropped, **states, **{Key(batch, None): state for batch, state in files.items()}}

    def _with_state(self, table: pa.Table) -> pa.Table:
        keys = keys_of(table.column("batch"), table.column("row"))
        state = pa.chunked_array([pa.repeat(pa.scalar("open"), table.num_rows)])
        for name, known in self._by_state.items():
            if len(known):
                state = pc.if_else(pc.is_in(keys, known.combine_chunks()), name, state)
        return table.append_column(KEY_COLUMN, keys).append_column(STATE, state)


def _resolution(row: Mapping[str, Any]) -> EntryResolution:
    return read_row(EntryResolution, row, "The lake's table resolutions")


def no_entries_error(pipeline: str, selection: Selection) -> UsageError:
    """Return the error of a command whose selection matches no entry."""
    problem = "there is no open entry" if selection.everything else "no open entry matches"
    return UsageError(
        f"{pipeline}: {problem} in quarantine. `perennial quarantine list {pipeline}` lists open entries, "
        "with --all also "
        "readmitted and dropped ones."
    )
