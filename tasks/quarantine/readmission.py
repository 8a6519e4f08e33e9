"""Preparation of a readmission: stored rejected rows, or a repaired file, as input to ingestion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from pydantic import JsonValue

from configs.contract import Column
from configs.schema import PipelineConfig
from tasks.errors import DataRejectedError, UsageError
from tasks.ingestion.discover import content_hash, feeds, locations
from tasks.ingestion.read import read_batches
from tasks.ingestion.search import Search
from tasks.quarantine.drop import open_keys
from tasks.quarantine.entries import Quarantine, no_entries_error
from tasks.quarantine.readmission_files import (
    close_batches,
    copy_repaired,
    folder,
    format_keys,
    original_entries,
    rejected_file,
    repaired_batches,
    write_entries,
)
from tasks.quarantine.select import EntryFilter, Key, Selection
from tasks.records.data import BatchRecord, Feed, rules_digest
from tasks.stores.lake.schemas import ORIGIN, ROW
from tasks.stores.lake.tables import Lake
from tasks.stores.landing.folder import Folder
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.tokens import person


class Readmission:
    """The input of one readmission to ingestion.

    Attributes:
        paths: Paths of the files written.
        keys: Entries to report.
        ingest_paths: Paths to ingest.
        batches: Batches of the files written.
        notes: Notes for users.
    """

    def __init__(self, paths: tuple[str, ...], keys: list[Key], ingest_paths: set[str], notes: list[str]) -> None:
        self.paths, self.keys, self.ingest_paths, self.notes = paths, keys, ingest_paths, notes
        self.batches: list[str] = []


class ReadmitRequest(NamedTuple):
    """A request for readmission.

    Attributes:
        selection: Entries to readmit unchanged.
        repaired: A repaired file to readmit instead.
        repairs: Id of the rejected file that it replaces.
    """

    selection: Selection
    repaired: Path | None
    repairs: str | None


def selected_keys(config: PipelineConfig, settings: Settings, request: ReadmitRequest) -> list[Key]:
    """Return the open entries to readmit unchanged."""
    if request.repaired is not None:
        return []
    quarantine = Quarantine(Lake(settings, config))
    return open_keys(quarantine, quarantine.resolve(request.selection))


def prepare_readmission(
    config: PipelineConfig, settings: Settings, request: ReadmitRequest, before: Sequence[Key], now: datetime
) -> Readmission:
    """Write the files to readmit. The data lock is held, and no earlier readmitted file is pending.

    Args:
        config: The pipeline.
        settings: Location of the stores.
        request: The request.
        before: Entries selected before pending files were ingested; some may be resolved since.
        now: The run's clock.
    """
    quarantine = Quarantine(Lake(settings, config))
    if request.repaired is None:
        readmission = _readmit_entries(config, settings, quarantine, request.selection, before)
    elif request.repairs is not None:
        readmission = _readmit_file(config, settings, quarantine, request.repaired, request.repairs, now)
    else:
        readmission = _readmit_rows(config, settings, quarantine, request.repaired)
    readmission.batches = _batches(settings, config, readmission.paths)
    _close_superseded(config, settings, quarantine, readmission, now)
    details: dict[str, JsonValue] = {
        "files": list(readmission.paths),
        "entries": len(readmission.keys),
        "first": format_keys(readmission.keys),
    }
    who = person(settings).name
    Audit(settings).write(config.name, "readmit", "done", at=now, actor=who, reason="given back", details=details)
    return readmission


def _readmit_entries(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, selection: Selection, before: Sequence[Key]
) -> Readmission:
    # Entries rejected again meanwhile have new ids and are not readmitted at once.
    entry_filter = EntryFilter(keys=tuple(before)) if before else quarantine.resolve(selection)
    rows, files = write_entries(config, settings, quarantine, entry_filter), quarantine.files(entry_filter)
    if not (rows.keys or files or rows.unparsed or before):
        raise no_entries_error(config.name, selection)
    notes, ingest_paths = [], set(rows.paths)
    if rows.unparsed:
        notes.append(
            f"{format_keys(rows.unparsed)}: rows that could not be split into fields need manual correction: "
            f"`perennial quarantine export {config.name}`, correct them, then `readmit --file`"
        )
    rules = rules_digest(config)
    for file in files:
        record = quarantine.batch(file.batch)
        if record is None or record.rules != rules:
            ingest_paths.add(file.path)
        else:
            notes.append(
                f"{file.path}: the rules have not changed since it was rejected. Correct the contract, or "
                f"repair a copy: `readmit {config.name} --file COPY --of {file.id}`"
            )
    keys = dict.fromkeys([*before, *rows.keys, *(Key(file.batch, None) for file in files), *rows.unparsed])
    return Readmission(rows.paths, list(keys), ingest_paths, notes)


def _readmit_file(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, file: Path, repairs: str, now: datetime
) -> Readmission:
    """Readmit a file that replaces a rejected one."""
    key = quarantine.find_key(repairs)
    record = quarantine.batch(key.batch)
    content = _content_hash(file, record.feed if record is not None else "observations")
    known = quarantine.batch(content)
    if known is not None:
        return _already_readmitted(config, settings, quarantine, known, file)
    record = rejected_file(quarantine, repairs)
    close_batches(quarantine, [record.batch], f"{file.name} replaces it", now)
    name = copy_repaired(file, folder(settings, config.name, record.feed), content, record.batch)
    return Readmission((name,), [key], {name}, [])


def _readmit_rows(config: PipelineConfig, settings: Settings, quarantine: Quarantine, file: Path) -> Readmission:
    """Readmit an export with corrected cells."""
    for feed in feeds(config):
        known = quarantine.batch(_content_hash(file, feed))
        if known is not None:
            return _already_readmitted(config, settings, quarantine, known, file)
    try:
        named_entries = list(_named_entries(config, file, config.contract.columns, _draft(config, settings)))
    except DataRejectedError as error:
        raise DataRejectedError(f"{file} can't be readmitted: {error}") from None
    if all(text is None for _, text in named_entries):
        raise UsageError(
            f"{file} names no entries: expected an export of quarantine, with its column `{ORIGIN}`; or say --of ID, "
            "the rejected file that it repairs."
        )
    keys = list(original_entries(quarantine, named_entries).values())
    feeds_of_entries = {record.feed for key in keys if (record := quarantine.batch(key.batch)) is not None}
    if len(feeds_of_entries) > 1:
        raise UsageError(f"{file} has entries of observations and of labels; readmit a file for each.")
    (feed,) = feeds_of_entries
    name = copy_repaired(file, folder(settings, config.name, feed), _content_hash(file, feed))
    return Readmission((name,), keys, {name}, [])


def _content_hash(file: Path, feed: Feed) -> str:
    """Return a file's content hash.

    Raises:
        UsageError: it can't be opened.
    """
    try:
        return content_hash(Folder(file.parent), file.name, feed)
    except OSError as error:
        raise UsageError(f"--file: {file} can't be opened: {error.strerror or error}.") from None


def _already_readmitted(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, known: BatchRecord, file: Path
) -> Readmission:
    """Return the readmission of a repaired file whose content was readmitted before.

    Raises:
        UsageError: the content is that of a landed file.
    """
    if not (folder(settings, config.name, known.feed) / known.path).is_file():
        status = "was accepted" if known.verdict == "accepted" else "was rejected"
        raise UsageError(f"--file: {file} has the same content as {known.path}, which {status}. Correct it first.")
    keys = [quarantine.find_key(text) for text in entries_by_row(config, settings, known).values()]
    keys += [Key(batch, None) for batch in repaired_batches(known.path)]
    return Readmission((known.path,), keys, set(), [f"{file.name} was readmitted before, as {known.path}"])


def _named_entries(
    config: PipelineConfig, file: Path, columns: Mapping[str, Column], draft: Path
) -> Iterator[tuple[int, str | None]]:
    """Yield each row's number and entry id."""
    optional_columns = {name: column.model_copy(update={"required": False}) for name, column in columns.items()}
    with read_batches(
        file, config.source, optional_columns, config.contract.timezone, readmitted=True, draft=draft
    ) as reading:
        for batch in reading:
            yield from zip(batch.column(ROW).to_pylist(), batch.column(ORIGIN).to_pylist(), strict=True)


def close_rejected(config: PipelineConfig, settings: Settings, readmission: Readmission, now: datetime) -> None:
    """Close readmitted files that were rejected: their rows stay in quarantine until readmitted again."""
    quarantine = Quarantine(Lake(settings, config))
    close_batches(quarantine, readmission.batches, "its rows are still in quarantine", now)


def pending_files(config: PipelineConfig, settings: Settings) -> list[str]:
    """Return the paths of readmitted files that are not validated yet."""
    ledger = Lake(settings, config).ledger()
    readmitted = [place for place in locations(config, settings) if place.origin == "readmitted"]
    return [file.path for place in readmitted for file in Search(config, settings, place, ledger).unprocessed()]


def _batches(settings: Settings, config: PipelineConfig, paths: tuple[str, ...]) -> list[str]:
    """Return the content hashes of readmitted files."""
    there = [(feed, folder(settings, config.name, feed)) for feed in feeds(config)]
    return [content_hash(Folder(at), path, feed) for feed, at in there for path in paths if (at / path).is_file()]


def _close_superseded(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, readmission: Readmission, now: datetime
) -> None:
    """Close rejected files with the same entries, so that no row is accepted twice."""
    rows = {key.id for key in readmission.keys if key.row is not None}
    files = {key.batch for key in readmission.keys if key.row is None} if readmission.paths else set()
    superseded = [
        record.batch
        for record in _rejected_readmissions(config, settings, quarantine)
        if record.batch not in readmission.batches
        and (
            files & set(repaired_batches(record.path)) or rows & set(entries_by_row(config, settings, record).values())
        )
    ]
    close_batches(quarantine, superseded, "its entries were readmitted again", now)


def _rejected_readmissions(config: PipelineConfig, settings: Settings, quarantine: Quarantine) -> Iterator[BatchRecord]:
    for one in quarantine.ledger:
        if one.verdict == "rejected" and (folder(settings, config.name, one.feed) / one.path).is_file():
            yield one


def entries_by_row(config: PipelineConfig, settings: Settings, record: BatchRecord) -> dict[int, str]:
    """Return the entry ids of a readmitted file's rows, by row; empty if it can't be read."""
    file = folder(settings, config.name, record.feed) / record.path
    try:
        return {
            row: text
            for row, text in _named_entries(config, file, config.columns_of(record.feed), _draft(config, settings))
            if text
        }
    except DataRejectedError:
        return {}  # none of its rows can be accepted


def _draft(config: PipelineConfig, settings: Settings) -> Path:
    """Return a path for a decompressed file; the next run removes it if this one is interrupted."""
    return settings.state / "staging" / f"{config.name}-{uuid4().hex}.opened"
