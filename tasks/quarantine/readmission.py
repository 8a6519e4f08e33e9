"""What one readmission hands to ingestion: refused rows as they are stored, or a file that a person repaired."""

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
from tasks.quarantine.entries import Quarantine, nothing
from tasks.quarantine.readmit import folder, give_back, originals, put, repairs, settle, shown, stands_for
from tasks.quarantine.select import Chosen, Key, Selection
from tasks.records.data import BatchRecord, Feed, rules_digest
from tasks.stores.lake.schemas import ORIGIN, ROW
from tasks.stores.lake.tables import Lake
from tasks.stores.landing.folder import Folder
from tasks.stores.settings import Settings
from tasks.stores.state.audit import Audit
from tasks.stores.state.tokens import person


class Handed:
    """What one readmission hands to ingestion.

    Attributes:
        paths: Of the files that it wrote.
        keys: The entries that are to be told of.
        only: Paths that ingestion is to look at.
        given: The batches of the files that it wrote.
        notes: What a person should know.
    """

    def __init__(self, paths: tuple[str, ...], keys: list[Key], only: set[str], notes: list[str]) -> None:
        self.paths, self.keys, self.only, self.notes = paths, keys, only, notes
        self.given: list[str] = []


class Request(NamedTuple):
    """What a person asks for.

    Attributes:
        wanted: Which entries are given back as they are.
        repaired: A repaired file instead.
        of: The refused file that it stands for.
    """

    wanted: Selection
    repaired: Path | None
    of: str | None


def meant(config: PipelineConfig, settings: Settings, request: Request) -> list[Key]:
    """The open entries that are to be given back as they are."""
    if request.repaired is not None:
        return []
    quarantine = Quarantine(Lake(settings, config))
    return open_keys(quarantine, quarantine.choose(request.wanted))


def hand(config: PipelineConfig, settings: Settings, request: Request, before: Sequence[Key], now: datetime) -> Handed:
    """Write what is given back. The data lock is held, and no file that was given back earlier waits.

    Args:
        config: The pipeline.
        settings: Where its stores are.
        request: What is asked for.
        before: Entries that were meant, and may have come in meanwhile with files that were given back earlier.
        now: The run's clock.
    """
    quarantine = Quarantine(Lake(settings, config))
    if request.repaired is None:
        handed = _give_back(config, settings, quarantine, request.wanted, before)
    elif request.of is not None:
        handed = _put_file(config, settings, quarantine, request.repaired, request.of, now)
    else:
        handed = _put_rows(config, settings, quarantine, request.repaired)
    handed.given = _batches(settings, config, handed.paths)
    _settle_rivals(config, settings, quarantine, handed, now)
    details: dict[str, JsonValue] = {
        "files": list(handed.paths),
        "entries": len(handed.keys),
        "first": shown(handed.keys),
    }
    who = person(settings).name
    Audit(settings).write(config.name, "readmit", "done", at=now, actor=who, reason="given back", details=details)
    return handed


def _give_back(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, wanted: Selection, before: Sequence[Key]
) -> Handed:
    # What was refused anew meanwhile has other ids, and is not given back again at once.
    chosen = Chosen(keys=tuple(before)) if before else quarantine.choose(wanted)
    rows, files = give_back(config, settings, quarantine, chosen), quarantine.files(chosen)
    if not (rows.keys or files or rows.torn or before):
        raise nothing(config.name, wanted)
    notes, only = [], set(rows.paths)
    if rows.torn:
        notes.append(
            f"{shown(rows.torn)}: rows that could not be cut into fields wait for a person: "
            f"`perennial quarantine export {config.name}`, mend them, then `readmit --file`"
        )
    rules = rules_digest(config)
    for one in files:
        record = quarantine.batch(one.batch)
        if record is None or record.rules != rules:
            only.add(one.path)
        else:
            notes.append(
                f"{one.path}: nothing that it is judged by changed since it was refused. Correct the contract, or "
                f"repair a copy: `readmit {config.name} --file COPY --of {one.id}`"
            )
    keys = dict.fromkeys([*before, *rows.keys, *(Key(one.batch, None) for one in files), *rows.torn])
    return Handed(rows.paths, list(keys), only, notes)


def _put_file(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, file: Path, of: str, now: datetime
) -> Handed:
    """A file that stands for one that was refused whole."""
    key = quarantine.choose_one(of)
    record = quarantine.batch(key.batch)
    content = _content(file, record.feed if record is not None else "observations")
    known = quarantine.batch(content)
    if known is not None:
        return _again(config, settings, quarantine, known, file)
    record = repairs(quarantine, of)
    settle(quarantine, [record.batch], f"{file.name} stands for it", now)
    name = put(file, folder(settings, config.name, record.feed), content, record.batch)
    return Handed((name,), [key], {name}, [])


def _put_rows(config: PipelineConfig, settings: Settings, quarantine: Quarantine, file: Path) -> Handed:
    """An export with mended cells."""
    for feed in feeds(config):
        known = quarantine.batch(_content(file, feed))
        if known is not None:
            return _again(config, settings, quarantine, known, file)
    try:
        named = list(_named(config, file, config.contract.columns, _draft(config, settings)))
    except DataRejectedError as error:
        raise DataRejectedError(f"{file} can't be readmitted: {error}") from None
    if all(text is None for _, text in named):
        raise UsageError(
            f"{file} names no entries: expected an export of quarantine, with its column `{ORIGIN}`; or say --of ID, "
            "the refused file that it repairs."
        )
    keys = list(originals(quarantine, named).values())
    found = {record.feed for key in keys if (record := quarantine.batch(key.batch)) is not None}
    if len(found) > 1:
        raise UsageError(f"{file} has entries of observations and of labels; give back a file for each.")
    (feed,) = found
    name = put(file, folder(settings, config.name, feed), _content(file, feed))
    return Handed((name,), keys, {name}, [])


def _content(file: Path, feed: Feed) -> str:
    """A file's content hash.

    Raises:
        UsageError: it can't be opened.
    """
    try:
        return content_hash(Folder(file.parent), file.name, feed)
    except OSError as error:
        raise UsageError(f"--file: {file} can't be opened: {error.strerror or error}.") from None


def _again(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, known: BatchRecord, file: Path
) -> Handed:
    """A repaired file of a content that was judged before: only what came of it is told.

    Raises:
        UsageError: it is no repaired one.
    """
    if not (folder(settings, config.name, known.feed) / known.path).is_file():
        became = "came in" if known.verdict == "accepted" else "was refused"
        raise UsageError(f"--file: {file} has the very content of {known.path}, which {became}. Mend it first.")
    keys = [quarantine.choose_one(text) for text in rows_of(config, settings, known).values()]
    keys += [Key(batch, None) for batch in stands_for(known.path)]
    return Handed((known.path,), keys, set(), [f"{file.name} was given back before, as {known.path}"])


def _named(
    config: PipelineConfig, file: Path, columns: Mapping[str, Column], draft: Path
) -> Iterator[tuple[int, str | None]]:
    """Each row's number, and the entry that it names."""
    loose = {name: one.model_copy(update={"required": False}) for name, one in columns.items()}
    with read_batches(file, config.source, loose, config.contract.timezone, readmitted=True, draft=draft) as reading:
        for batch in reading:
            yield from zip(batch.column(ROW).to_pylist(), batch.column(ORIGIN).to_pylist(), strict=True)


def settle_refused(config: PipelineConfig, settings: Settings, handed: Handed, now: datetime) -> None:
    """Rows that were refused again, all of them, wait as they did: they are given back when a person says so."""
    quarantine = Quarantine(Lake(settings, config))
    settle(quarantine, handed.given, "its rows wait in quarantine as before", now)


def left(config: PipelineConfig, settings: Settings) -> list[str]:
    """Paths of files that were given back and are still to be judged."""
    ledger = Lake(settings, config).ledger()
    mine = [place for place in locations(config, settings) if place.origin == "readmitted"]
    return [found.path for place in mine for found in Search(config, settings, place, ledger).unprocessed()]


def _batches(settings: Settings, config: PipelineConfig, paths: tuple[str, ...]) -> list[str]:
    """The content hashes of files that were given back."""
    there = [(feed, folder(settings, config.name, feed)) for feed in feeds(config)]
    return [content_hash(Folder(at), path, feed) for feed, at in there for path in paths if (at / path).is_file()]


def _settle_rivals(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, handed: Handed, now: datetime
) -> None:
    """Files that gave the same entries back and were refused are not judged again: else rows could come in twice."""
    rows = {key.id for key in handed.keys if key.row is not None}
    files = {key.batch for key in handed.keys if key.row is None} if handed.paths else set()
    rivals = [
        one.batch
        for one in _refused_returns(config, settings, quarantine)
        if one.batch not in handed.given
        and (files & set(stands_for(one.path)) or rows & set(rows_of(config, settings, one).values()))
    ]
    settle(quarantine, rivals, "its entries were given back again", now)


def _refused_returns(config: PipelineConfig, settings: Settings, quarantine: Quarantine) -> Iterator[BatchRecord]:
    for one in quarantine.ledger:
        if one.verdict == "rejected" and (folder(settings, config.name, one.feed) / one.path).is_file():
            yield one


def rows_of(config: PipelineConfig, settings: Settings, record: BatchRecord) -> dict[int, str]:
    """The entries that the rows of a returned file come from, by row; none where it can't be read."""
    file = folder(settings, config.name, record.feed) / record.path
    try:
        return {
            row: text
            for row, text in _named(config, file, config.columns_of(record.feed), _draft(config, settings))
            if text
        }
    except DataRejectedError:
        return {}  # no row of it could come in


def _draft(config: PipelineConfig, settings: Settings) -> Path:
    """Where a file may be decompressed to; the next run clears it away, should this one be killed."""
    return settings.state / "staging" / f"{config.name}-{uuid4().hex}.opened"
