"""The entries of quarantine as they are in the lake, each with what became of it."""

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
from tasks.quarantine.select import KEY_COLUMN, Chosen, Key, Selection, choose, keys_of, short
from tasks.records.base import Record, read_row
from tasks.records.data import BatchRecord, Feed
from tasks.stores.lake.schemas import QUARANTINE
from tasks.stores.lake.tables import Lake

State = Literal["open", "readmitted", "dropped", "came in"]
STATE, CONTENT = "_state", "content"
_LIGHT = [name for name in QUARANTINE.names if name != CONTENT]


class Entry(Record):
    """One refused row, or one file that was refused whole.

    Attributes:
        id: As people name it.
        state: What became of it. came in: a file that was judged anew and accepted.
        became: The same in words; nothing while it is open.
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
    state: State = "open"
    became: str = ""


class Resolved(Record):
    """What became of an entry, as it is written down."""

    entry: str
    batch: str
    row: int | None
    action: Literal["readmitted", "dropped"]
    into: str | None
    by: str | None
    why: str | None
    at: datetime

    @property
    def told(self) -> str:
        """In words."""
        why = f": {self.why}" if self.why else ""
        if self.action == "dropped":
            return f"dropped by {self.by}{why}"
        return f"readmitted with {short(self.into or '')}{why}"


class Quarantine:
    """A pipeline's entries at one moment: those of batches that the ledger knows.

    What a killed run wrote before it came to the ledger counts once the next run has judged its files again.

    Args:
        lake: Where they are.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.ledger = lake.ledger()
        self._batches = {one.batch: one for one in self.ledger}
        found = lake.read("resolutions")
        states = found.column("action") if found.num_rows else pa.chunked_array([[]], pa.string())
        keys = keys_of(found.column("batch"), found.column("row")) if found.num_rows else states
        self._by_state = {state: keys.filter(pc.equal(states, state)) for state in ("readmitted", "dropped")}
        self._resolved = found

    def choose(self, selection: Selection) -> Chosen:
        """A selection held against the batches there are; see choose."""
        return choose(selection, self.ledger)

    def choose_one(self, text: str) -> Key:
        """The entry that an id means; whether there is one is another question.

        Raises:
            UsageError: it is no id, or that of no batch or of several.
        """
        return choose(Selection(entries=(text,)), self.ledger).keys[0]

    def batch(self, batch: str) -> BatchRecord | None:
        """A batch's newest line in the ledger."""
        return self._batches.get(batch)

    def rows(self, chosen: Chosen, *, resolved: bool = False, content: bool = False) -> Iterator[pa.Table]:
        """Refused rows, some at a time: the columns of the lake's table, `_key` and `_state`.

        Args:
            chosen: Which.
            resolved: Whether also those that are not open any more.
            content: Whether with their values.
        """
        columns = QUARANTINE.names if content else _LIGHT
        where = self._judged(pc.field("kind") == "row")
        if chosen.batches is not None:
            where = where & pc.field("batch").isin(pa.array(chosen.batches, pa.string()))
        schema = pa.schema([QUARANTINE.field(name) for name in columns])
        for batch in self.lake.scan("quarantine", columns, where):
            table = self._with_state(pa.Table.from_batches([batch]).select(columns).cast(schema))
            kept = chosen.mask(table)
            if not resolved:
                kept = pc.and_(kept, pc.equal(table.column(STATE), "open"))
            yield table.filter(kept)

    def files(self, chosen: Chosen, *, resolved: bool = False) -> list[Entry]:
        """Files that were refused whole, newest first; of one that was refused again and again the last time."""
        found = self.lake.read("quarantine", _LIGHT, where=self._judged(pc.field("kind") == "file"))
        if not found.num_rows:
            return []
        table = self._with_state(found.cast(pa.schema([QUARANTINE.field(name) for name in _LIGHT])))
        rows = table.filter(chosen.mask(table)).sort_by("at").to_pylist()
        newest = {row["batch"]: row for row in rows}
        entries = [self.entry(row) for row in newest.values()]
        return [one for one in reversed(entries) if resolved or one.state == "open"]

    def _judged(self, where: pc.Expression) -> pc.Expression:
        return where & pc.field("batch").isin(pa.array(list(self._batches), pa.string()))

    def entry(self, row: Mapping[str, Any]) -> Entry:
        """An entry, from its line in the lake's table with `_state`."""
        key, state = Key(row["batch"], row["row"]), row[STATE]
        record = self.batch(key.batch)
        if key.row is None and state == "open" and record is not None and record.verdict == "accepted":
            state = "came in"
        became = self.resolution(key) if state in ("readmitted", "dropped") else None
        words = f"judged anew, {record.accepted} rows came in" if state == "came in" and record is not None else ""
        plain = {name: row[name] for name in ("batch", "row", "path", "feed", "kind", "line", "expectation", "reason")}
        told = json.loads(row["key"]) if row["key"] else {}
        return Entry(id=key.id, key=told, at=row["at"], state=state, became=became.told if became else words, **plain)

    def resolution(self, key: Key) -> Resolved | None:
        """What became of an entry, the last word on it."""
        found = self._last.get(key)
        return None if found is None else _resolved(found)

    @cached_property
    def _last(self) -> dict[Key, dict[str, Any]]:
        rows = self._resolved.sort_by("at").to_pylist() if self._resolved.num_rows else []
        return {Key(row["batch"], row["row"]): row for row in rows}

    def dropped(self, chosen: Chosen) -> list[Resolved]:
        """Entries that were dropped, newest first. Of these only what is written here is left."""
        if not self._resolved.num_rows:
            return []
        batches = [self._batches.get(one) for one in self._resolved.column("batch").to_pylist()]
        known = {
            "path": pa.array(["" if one is None else one.path for one in batches], pa.string()),
            "feed": pa.array(["" if one is None else one.feed for one in batches], pa.string()),
            "expectation": pa.nulls(len(batches), pa.string()).fill_null(""),
            KEY_COLUMN: keys_of(self._resolved.column("batch"), self._resolved.column("row")),
        }
        table = pa.table({**{name: self._resolved.column(name) for name in self._resolved.column_names}, **known})
        kept = pc.and_(chosen.mask(table), pc.equal(table.column("action"), "dropped"))
        rows = self._resolved.filter(kept).sort_by([("at", "descending")]).to_pylist()
        return [_resolved(row) for row in rows]

    def states(self, keys: Sequence[Key]) -> dict[Key, State]:
        """What became of entries; those that never were are left out."""
        chosen = Chosen(keys=tuple(keys))
        found: dict[Key, State] = {}
        for table in self.rows(chosen, resolved=True):
            found |= {
                Key(row["batch"], row["row"]): row[STATE] for row in table.select(["batch", "row", STATE]).to_pylist()
            }
        files = {one.batch: one.state for one in self.files(chosen, resolved=True)}
        gone = {Key(one.batch, one.row): one.action for one in self.dropped(chosen)}
        return {**gone, **found, **{Key(batch, None): state for batch, state in files.items()}}

    def _with_state(self, table: pa.Table) -> pa.Table:
        keys = keys_of(table.column("batch"), table.column("row"))
        state = pa.chunked_array([pa.repeat(pa.scalar("open"), table.num_rows)])
        for name, known in self._by_state.items():
            if len(known):
                state = pc.if_else(pc.is_in(keys, known.combine_chunks()), name, state)
        return table.append_column(KEY_COLUMN, keys).append_column(STATE, state)


def _resolved(row: Mapping[str, Any]) -> Resolved:
    return read_row(Resolved, row, "The lake's table resolutions")


def nothing(pipeline: str, selection: Selection) -> UsageError:
    """The error of a command that no entry is meant by."""
    told = "nothing waits there" if selection.everything else "no entry that waits fits"
    return UsageError(
        f"{pipeline}: {told} in quarantine. `perennial quarantine list {pipeline}` tells what waits, with --all also "
        "what was readmitted or dropped."
    )
