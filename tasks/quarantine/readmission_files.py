"""Files of readmitted rows and repaired files, in a folder that every ingest run reads."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from configs.schema import PipelineConfig
from tasks.errors import UsageError
from tasks.quarantine.content import QuarantinedRow, cells_by_column, parse_rows, requarantined_as, unknown_cells
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.export import atomic_writer
from tasks.quarantine.select import EntryFilter, Key, short_id
from tasks.records.data import NEVER_REVALIDATE, BatchRecord, Feed
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.settings import Settings

_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+")
_REPAIRED_NAME = re.compile(r"of-([0-9a-f]{64})--")
_MAX_NAME = 100
_MAX_SHOWN = 5


class WrittenRows(NamedTuple):
    """The rows written for a readmission.

    Attributes:
        paths: Paths of the files, relative to their feed's folder.
        keys: The entries in them.
        unparsed: Entries that could not be split into fields and need manual correction.
    """

    paths: tuple[str, ...]
    keys: tuple[Key, ...]
    unparsed: tuple[Key, ...]


def folder(settings: Settings, pipeline: str, feed: Feed) -> Path:
    """Return the folder of readmitted files."""
    return settings.state / "readmitted" / pipeline / feed


def write_entries(
    config: PipelineConfig, settings: Settings, quarantine: Quarantine, entry_filter: EntryFilter
) -> WrittenRows:
    """Write the selected open rows, as stored, to one file per feed; the same rows give the same file."""
    paths: list[str] = []
    unparsed: list[Key] = []
    keys: list[Key] = []
    closed = {one.batch for one in quarantine.ledger if one.rules == NEVER_REVALIDATE}
    feeds: tuple[Feed, ...] = ("observations",) if config.labels is None else ("observations", "labels")
    for feed in feeds:
        if entry_filter.selection.feed not in (None, feed):
            continue
        feed_filter = EntryFilter(
            entry_filter.selection.model_copy(update={"feed": feed}), entry_filter.batch, entry_filter.keys
        )
        rows = parse_rows(quarantine.rows(feed_filter, content=True))
        written = _write(config, folder(settings, config.name, feed), feed, rows, closed)
        paths += written.paths
        keys += written.keys
        unparsed += written.unparsed
    return WrittenRows(tuple(paths), tuple(keys), tuple(unparsed))


def _write(
    config: PipelineConfig, target: Path, feed: Feed, rows: Iterable[QuarantinedRow], closed: Collection[str]
) -> WrittenRows:
    unparsed: list[Key] = []
    keys: list[Key] = []
    hasher = hashlib.sha256(feed.encode() + b"\0")
    target.mkdir(parents=True, exist_ok=True)
    draft = target / "_rows.jsonl"  # ignored by ingestion because of its name
    with atomic_writer(draft) as handle:
        for row in rows:
            if row.unparsed:
                unparsed.append(row.key)
                continue
            line = json.dumps(_record(config, feed, row), ensure_ascii=False) + "\n"
            hasher.update(line.encode())
            handle.write(line)
            keys.append(row.key)
        while hasher.hexdigest() in closed:  # an empty line makes the same rows another batch
            hasher.update(b"\n")
            handle.write("\n")
    name = f"readmitted-{short_id(hasher.hexdigest())}.jsonl"
    if not keys or (target / name).exists():
        draft.unlink()
    else:
        draft.replace(target / name)
    return WrittenRows((name,) if keys else (), tuple(keys), tuple(unparsed))


def _record(config: PipelineConfig, feed: Feed, row: QuarantinedRow) -> dict[str, JsonValue]:
    columns = config.columns_of(feed)
    keep = config.contract.policies.unknown_columns == "keep"
    extra: dict[str, JsonValue] = {**unknown_cells(row, columns)} if keep else {}
    absent: dict[str, JsonValue] = dict.fromkeys(columns)
    return {ORIGIN: row.key.id, **extra, **absent, **cells_by_column(row, columns)}


def copy_repaired(file: Path, target: Path, content: str, repairs: str = "") -> str:
    """Copy a repaired file to the readmission folder; return its name there, which contains the repaired batch.

    Args:
        file: The file.
        target: The folder.
        content: Its content hash.
        repairs: The batch, if it replaces a whole file.
    """
    safe_name = _UNSAFE_CHARACTERS.sub("_", file.name)[-_MAX_NAME:]
    name = f"of-{repairs}--{short_id(content)}-{safe_name}" if repairs else f"repaired-{short_id(content)}--{safe_name}"
    target.mkdir(parents=True, exist_ok=True)
    draft = target / f"_{name}"
    try:
        shutil.copyfile(file, draft)
        draft.replace(target / name)
    finally:
        draft.unlink(missing_ok=True)
    return name


def repaired_batches(path: str) -> list[str]:
    """Return the batch that a file replaces, from the name given by `copy_repaired`; empty for single rows."""
    match = _REPAIRED_NAME.match(path)
    return [match[1]] if match else []


def original_entries(quarantine: Quarantine, named: Sequence[tuple[int, str | None]]) -> dict[int, Key]:
    """Return the open entries of a repaired file's rows, by row.

    Args:
        quarantine: The entries.
        named: Number of each row and its `_quarantine` value.

    Raises:
        UsageError: a row names none, an unknown one, one that is not open, or one that another row names.
    """
    keys = {row: _original_key(quarantine, row, text) for row, text in named}
    states = quarantine.states(list(keys.values()))
    rows: dict[Key, int] = {}
    for row, key in keys.items():
        if key in rows:
            raise UsageError(f"Rows {rows[key]} and {row} both name the entry {key.id}; expected each once.")
        rows[key] = row
        state = states.get(key)
        if state is None:
            raise UsageError(f"Row {row}: no entry {key.id} in quarantine; expected `{ORIGIN}` as it was exported.")
        if state != "open":
            resolution = quarantine.resolution(key)
            status = resolution.description if resolution else state
            again = requarantined_as(quarantine, key)
            status += f", and rejected again as {again}: use that id, or export again" if again else ". Remove the row"
            raise UsageError(f"Row {row}: the entry {key.id} is no longer open: {status}.")
    return keys


def _original_key(quarantine: Quarantine, row: int, text: str | None) -> Key:
    if not text:
        raise UsageError(
            f"Row {row} names no entry: `{ORIGIN}` is empty. New rows belong in the landing folder; for a file that "
            "repairs a whole rejected file, set --of ID."
        )
    key = quarantine.find_key(text)
    if key.row is None or text != key.id:
        raise UsageError(
            f"Row {row}: `{ORIGIN}` is {text!r}; expected a row's entry as it was exported, such as 3fa9c1d2e4b5:17."
        )
    return key


def rejected_file(quarantine: Quarantine, text: str) -> BatchRecord:
    """Return the rejected file of an id.

    Raises:
        UsageError: it is not one, or is no longer open.
    """
    key = quarantine.find_key(text)
    record = quarantine.batch(key.batch)
    state = quarantine.states([Key(key.batch, None)]).get(Key(key.batch, None))
    if key.row is not None or record is None or state is None:
        problem = (
            "only rows of it are in quarantine"
            if record is not None and record.quarantined
            else "there is no such file"
        )
        raise UsageError(f"--of {text}: expected the id of a rejected file; {problem}.")
    if state != "open":
        resolution = quarantine.resolution(key)
        raise UsageError(
            f"--of {text}: {record.path} is no longer open: {resolution.description if resolution else state}."
        )
    return record


def close_batches(quarantine: Quarantine, batches: Sequence[str], reason: str, at: datetime) -> None:
    """Record that rejected files are not validated again when the rules change."""
    highest = max((one.seq for one in quarantine.ledger), default=0)
    records = [quarantine.batch(one) for one in batches]
    open_records = [
        one for one in records if one is not None and one.verdict == "rejected" and one.rules != NEVER_REVALIDATE
    ]
    quarantine.lake.append_ledger(
        [
            one.model_copy(
                update={
                    "seq": highest + number,
                    "rules": NEVER_REVALIDATE,
                    "reasons": (*one.reasons, reason),
                    "ingested_at": at,
                }
            )
            for number, one in enumerate(open_records, start=1)
        ]
    )


def format_keys(keys: Sequence[Key]) -> str:
    """Return the first ids, and the number of others."""
    more = f" and {len(keys) - _MAX_SHOWN} more" if len(keys) > _MAX_SHOWN else ""
    return ", ".join(key.id for key in keys[:_MAX_SHOWN]) + more
