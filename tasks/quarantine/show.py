"""Details of one entry."""

from __future__ import annotations

from pydantic import Field, JsonValue

from configs.schema import PipelineConfig
from tasks.errors import PerennialError, UsageError
from tasks.quarantine.content import parse_row, requarantined_as
from tasks.quarantine.entries import Entry, EntryResolution, Quarantine
from tasks.quarantine.listing import location
from tasks.quarantine.readmission_files import folder
from tasks.quarantine.select import EntryFilter, Key, short_id
from tasks.records.base import Record
from tasks.records.data import BatchRecord
from tasks.stores.landing.folder import open_landing, printable
from tasks.stores.settings import Settings

_MAX_NEAREST = 5


class EntryDetail(Record):
    """Details of one entry.

    Attributes:
        entry: The entry; None if it was dropped.
        cells: Its cells, without missing ones.
        unreadable: Names of the cells that could not be read.
        extra: Columns that the contract did not have.
        torn: The text of a row that could not be split into fields.
        was: The previous entry, if it was readmitted and rejected again: id, row and file.
        resolved: Its resolution.
        again: The new entry, if it was readmitted and rejected again.
        batch: Its ledger record.
        lies: Location of its file, and whether it is unchanged.
    """

    id: str
    entry: Entry | None
    cells: dict[str, JsonValue] = Field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    extra: dict[str, str] = Field(default_factory=dict)
    torn: str = ""
    was: str = ""
    resolved: EntryResolution | None = None
    again: str = ""
    batch: BatchRecord | None = None
    lies: str = ""


def entry_detail(config: PipelineConfig, settings: Settings, quarantine: Quarantine, text: str) -> EntryDetail:
    """Return the details of one entry.

    Raises:
        UsageError: there is no such entry.
    """
    key = quarantine.find_key(text)
    batch, resolved = quarantine.batch(key.batch), quarantine.resolution(key)
    lies = "" if batch is None else _file_location(config, settings, batch)
    fields = {"id": key.id, "resolved": resolved, "batch": batch, "lies": lies}
    if key.row is None:
        files = quarantine.files(EntryFilter(keys=(key,)), resolved=True)
        entry = files[0] if files else None
        if entry is None and resolved is None:
            raise _not_found_error(quarantine, key)
        return EntryDetail.model_validate({**fields, "entry": entry})
    lines = [
        line
        for table in quarantine.rows(EntryFilter(keys=(key,)), resolved=True, content=True)
        for line in table.to_pylist()
    ]
    if not lines and resolved is None:
        raise _not_found_error(quarantine, key)
    if not lines:
        return EntryDetail.model_validate({**fields, "entry": None})
    row = parse_row(lines[0])
    order = [*config.columns_of(row.metadata["feed"]), *row.cells]
    cells = {name: row.cells[name] for name in order if name in row.cells}
    content = {"cells": cells, "unreadable": row.unreadable, "extra": row.extra, "torn": row.unparsed}
    history = {"was": _describe_previous(quarantine, row.previous_entry), "again": requarantined_as(quarantine, key)}
    return EntryDetail.model_validate({**fields, **content, **history, "entry": quarantine.entry(lines[0])})


def _describe_previous(quarantine: Quarantine, text: str) -> str:
    """Describe an earlier entry."""
    if not text:
        return ""
    key = quarantine.find_key(text)
    for table in quarantine.rows(EntryFilter(keys=(key,)), resolved=True):
        for line in table.to_pylist():
            before = quarantine.entry(line)
            return f"{before.id}, {location(before)} of {before.path}: {before.reason}"
    return text


def _not_found_error(quarantine: Quarantine, key: Key) -> UsageError:
    rows = sorted(
        number
        for table in quarantine.rows(EntryFilter(batch=key.batch), resolved=True)
        for number in table.column("row").to_pylist()
    )
    record = quarantine.batch(key.batch)
    path = record.path if record else short_id(key.batch)
    if key.row is None:
        explanation = (
            f"it was not rejected as a whole; {len(rows)} of its rows were: `list NAME --rows --batch {key.id}`"
        )
        return UsageError(f"{path} is not an entry: {explanation if rows else 'it has no rows in quarantine'}.")
    near = ", ".join(
        Key(key.batch, one).id for one in sorted(rows, key=lambda one: abs(one - (key.row or 0)))[:_MAX_NEAREST]
    )
    return UsageError(
        f"No entry {key.id}: row {key.row} of {path} is not in quarantine. The nearest: {near or 'none'}."
    )


def _file_location(config: PipelineConfig, settings: Settings, batch: BatchRecord) -> str:
    """Describe the location of a file."""
    readmitted_folder = folder(settings, config.name, batch.feed)
    source = config.source if batch.feed == "observations" or config.labels is None else config.labels
    address = str(readmitted_folder) if (readmitted_folder / batch.path).is_file() else settings.landing(source.landing)
    try:
        landing = open_landing(address)
        place = printable(landing.uri(batch.path))
        status = landing.stat(batch.path)
    except FileNotFoundError:
        return f"{place}, removed"
    except (PerennialError, OSError) as error:
        return f"{address}, can't be read: {error}"
    unchanged = (status.size, status.mtime_ns) == (batch.size, batch.mtime_ns)
    return place if unchanged else f"{place}, changed since"
