"""Everything that is known of one entry."""

from __future__ import annotations

from pydantic import Field, JsonValue

from configs.schema import PipelineConfig
from tasks.errors import PerennialError, UsageError
from tasks.quarantine.content import refused_again, row_of
from tasks.quarantine.entries import Entry, Quarantine, Resolved
from tasks.quarantine.listing import where
from tasks.quarantine.readmit import folder
from tasks.quarantine.select import Chosen, Key, short
from tasks.records.base import Record
from tasks.records.data import BatchRecord
from tasks.stores.landing.folder import open_landing, printable
from tasks.stores.settings import Settings

_NEAR = 5


class Detail(Record):
    """One entry.

    Attributes:
        entry: As it is in quarantine; None where it was dropped.
        cells: Its cells as they were, those that are not missing.
        unreadable: Names of the cells that could not be read.
        extra: Columns that the contract did not have.
        torn: The text of a row that could not be cut into fields.
        was: What it was before, where it was readmitted and refused again: entry, file and place.
        resolved: What became of it.
        again: The entry that it is now, where it was readmitted and refused again.
        batch: Its file in the ledger.
        lies: Where its file lies, and whether it is there as it was.
    """

    id: str
    entry: Entry | None
    cells: dict[str, JsonValue] = Field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    extra: dict[str, str] = Field(default_factory=dict)
    torn: str = ""
    was: str = ""
    resolved: Resolved | None = None
    again: str = ""
    batch: BatchRecord | None = None
    lies: str = ""


def detail(config: PipelineConfig, settings: Settings, quarantine: Quarantine, text: str) -> Detail:
    """Everything about one entry.

    Raises:
        UsageError: there is no such one.
    """
    key = quarantine.choose_one(text)
    batch, resolved = quarantine.batch(key.batch), quarantine.resolution(key)
    lies = "" if batch is None else _lies(config, settings, batch)
    known = {"id": key.id, "resolved": resolved, "batch": batch, "lies": lies}
    if key.row is None:
        files = quarantine.files(Chosen(keys=(key,)), resolved=True)
        entry = files[0] if files else None
        if entry is None and resolved is None:
            raise _absent(quarantine, key)
        return Detail.model_validate({**known, "entry": entry})
    lines = [
        line
        for table in quarantine.rows(Chosen(keys=(key,)), resolved=True, content=True)
        for line in table.to_pylist()
    ]
    if not lines and resolved is None:
        raise _absent(quarantine, key)
    if not lines:
        return Detail.model_validate({**known, "entry": None})
    row = row_of(lines[0])
    order = [*config.columns_of(row.told["feed"]), *row.cells]
    cells = {name: row.cells[name] for name in order if name in row.cells}
    held = {"cells": cells, "unreadable": row.unreadable, "extra": row.extra, "torn": row.torn}
    told = {"was": _was(quarantine, row.was), "again": refused_again(quarantine, key)}
    return Detail.model_validate({**known, **held, **told, "entry": quarantine.entry(lines[0])})


def _was(quarantine: Quarantine, text: str) -> str:
    """An earlier entry in words."""
    if not text:
        return ""
    key = quarantine.choose_one(text)
    for table in quarantine.rows(Chosen(keys=(key,)), resolved=True):
        for line in table.to_pylist():
            before = quarantine.entry(line)
            return f"{before.id}, {where(before)} of {before.path}: {before.reason}"
    return text


def _absent(quarantine: Quarantine, key: Key) -> UsageError:
    rows = sorted(
        number
        for table in quarantine.rows(Chosen(batch=key.batch), resolved=True)
        for number in table.column("row").to_pylist()
    )
    record = quarantine.batch(key.batch)
    path = record.path if record else short(key.batch)
    if key.row is None:
        told = f"it was not refused whole; {len(rows)} of its rows were: `list NAME --rows --batch {key.id}`"
        return UsageError(f"{path} is no entry by itself: {told if rows else 'nothing of it is in quarantine'}.")
    near = ", ".join(Key(key.batch, one).id for one in sorted(rows, key=lambda one: abs(one - (key.row or 0)))[:_NEAR])
    return UsageError(f"No entry {key.id}: row {key.row} of {path} is not in quarantine. Near it: {near or 'none'}.")


def _lies(config: PipelineConfig, settings: Settings, batch: BatchRecord) -> str:
    """Where a file lies, in words."""
    returned = folder(settings, config.name, batch.feed)
    source = config.source if batch.feed == "observations" or config.labels is None else config.labels
    address = str(returned) if (returned / batch.path).is_file() else settings.landing(source.landing)
    try:
        landing = open_landing(address)
        place = printable(landing.uri(batch.path))
        found = landing.stat(batch.path)
    except FileNotFoundError:
        return f"{place}, gone"
    except (PerennialError, OSError) as error:
        return f"{address}, can't be looked at: {error}"
    same = (found.size, found.mtime_ns) == (batch.size, batch.mtime_ns)
    return place if same else f"{place}, changed since"
