"""Refused rows and repaired files on their way back: into a folder that every ingest run looks into."""

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
from tasks.quarantine.content import Row, by_column, refused_again, rows_of, unknown
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.export import atomic
from tasks.quarantine.select import Chosen, Key, short
from tasks.records.data import NEVER_REVALIDATE, BatchRecord, Feed
from tasks.stores.lake.schemas import ORIGIN
from tasks.stores.settings import Settings

_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_OF = re.compile(r"of-([0-9a-f]{64})--")
_LONGEST = 100
_SHOWN = 5


class Given(NamedTuple):
    """Rows that were written.

    Attributes:
        paths: Of the files, relative to their feed's folder.
        keys: The entries that are in them.
        torn: Entries that could not be cut into fields: only a person can give these back.
    """

    paths: tuple[str, ...]
    keys: tuple[Key, ...]
    torn: tuple[Key, ...]


def folder(settings: Settings, pipeline: str, feed: Feed) -> Path:
    """Where files lie that quarantine gave back."""
    return settings.state / "readmitted" / pipeline / feed


def give_back(config: PipelineConfig, settings: Settings, quarantine: Quarantine, chosen: Chosen) -> Given:
    """Write the open rows that are meant, as they are stored, to a file a feed; the same rows make the same file."""
    paths: list[str] = []
    torn: list[Key] = []
    keys: list[Key] = []
    settled = {one.batch for one in quarantine.ledger if one.rules == NEVER_REVALIDATE}
    feeds: tuple[Feed, ...] = ("observations",) if config.labels is None else ("observations", "labels")
    for feed in feeds:
        if chosen.selection.feed not in (None, feed):
            continue
        only = Chosen(chosen.selection.model_copy(update={"feed": feed}), chosen.batch, chosen.keys)
        rows = rows_of(quarantine.rows(only, content=True))
        written = _write(config, folder(settings, config.name, feed), feed, rows, settled)
        paths += written.paths
        keys += written.keys
        torn += written.torn
    return Given(tuple(paths), tuple(keys), tuple(torn))


def _write(config: PipelineConfig, into: Path, feed: Feed, rows: Iterable[Row], settled: Collection[str]) -> Given:
    torn: list[Key] = []
    keys: list[Key] = []
    hasher = hashlib.sha256(feed.encode() + b"\0")
    into.mkdir(parents=True, exist_ok=True)
    draft = into / "_rows.jsonl"  # not taken for its name
    with atomic(draft) as handle:
        for row in rows:
            if row.torn:
                torn.append(row.key)
                continue
            line = json.dumps(_record(config, feed, row), ensure_ascii=False) + "\n"
            hasher.update(line.encode())
            handle.write(line)
            keys.append(row.key)
        while hasher.hexdigest() in settled:  # the same rows once more: an empty line makes it another batch
            hasher.update(b"\n")
            handle.write("\n")
    name = f"readmitted-{short(hasher.hexdigest())}.jsonl"
    if not keys or (into / name).exists():
        draft.unlink()
    else:
        draft.replace(into / name)
    return Given((name,) if keys else (), tuple(keys), tuple(torn))


def _record(config: PipelineConfig, feed: Feed, row: Row) -> dict[str, JsonValue]:
    columns = config.columns_of(feed)
    keep = config.contract.policies.unknown_columns == "keep"
    extra: dict[str, JsonValue] = {**unknown(row, columns)} if keep else {}
    absent: dict[str, JsonValue] = dict.fromkeys(columns)
    return {ORIGIN: row.key.id, **extra, **absent, **by_column(row, columns)}


def put(file: Path, into: Path, content: str, of: str = "") -> str:
    """Copy a repaired file to where ingest runs look; its name there, which tells the batch that it repairs.

    Args:
        file: The file.
        into: The folder.
        content: Its content hash.
        of: The batch, where it stands for a whole file.
    """
    plain = _PLAIN.sub("_", file.name)[-_LONGEST:]
    name = f"of-{of}--{short(content)}-{plain}" if of else f"repaired-{short(content)}--{plain}"
    into.mkdir(parents=True, exist_ok=True)
    draft = into / f"_{name}"
    try:
        shutil.copyfile(file, draft)
        draft.replace(into / name)
    finally:
        draft.unlink(missing_ok=True)
    return name


def stands_for(path: str) -> list[str]:
    """The batch that a file stands for, by the name that `put` gave it; none where it is of single rows."""
    found = _OF.match(path)
    return [found[1]] if found else []


def originals(quarantine: Quarantine, named: Sequence[tuple[int, str | None]]) -> dict[int, Key]:
    """The open entries that a repaired file's rows are of, by row.

    Args:
        quarantine: The entries.
        named: Number of each row and what its `_quarantine` says.

    Raises:
        UsageError: a row names none, an unknown one, one that is not open, or one that another row names.
    """
    keys = {row: _key(quarantine, row, text) for row, text in named}
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
            found = quarantine.resolution(key)
            told = found.told if found else state
            again = refused_again(quarantine, key)
            told += f", and refused again as {again}: write that, or export anew" if again else ". Leave the row out"
            raise UsageError(f"Row {row}: the entry {key.id} is not open any more: {told}.")
    return keys


def _key(quarantine: Quarantine, row: int, text: str | None) -> Key:
    if not text:
        raise UsageError(
            f"Row {row} names no entry: `{ORIGIN}` is empty. New rows belong into the landing folder; for a file that "
            "repairs a whole refused file, say --of ID."
        )
    key = quarantine.choose_one(text)
    if key.row is None or text != key.id:
        raise UsageError(
            f"Row {row}: `{ORIGIN}` is {text!r}; expected a row's entry as it was exported, such as 3fa9c1d2e4b5:17."
        )
    return key


def repairs(quarantine: Quarantine, text: str) -> BatchRecord:
    """The refused file that an id means.

    Raises:
        UsageError: it is none.
    """
    key = quarantine.choose_one(text)
    record = quarantine.batch(key.batch)
    state = quarantine.states([Key(key.batch, None)]).get(Key(key.batch, None))
    if key.row is not None or record is None or state is None:
        told = (
            "rows of it are in quarantine, not the file" if record is not None and record.quarantined else "it is none"
        )
        raise UsageError(f"--of {text}: expected the id of a file that was refused whole; {told}.")
    if state != "open":
        found = quarantine.resolution(key)
        raise UsageError(f"--of {text}: {record.path} is not open any more: {found.told if found else state}.")
    return record


def settle(quarantine: Quarantine, batches: Sequence[str], why: str, at: datetime) -> None:
    """See to it that refused files are not judged anew when the rules change."""
    highest = max((one.seq for one in quarantine.ledger), default=0)
    found = [quarantine.batch(one) for one in batches]
    due = [one for one in found if one is not None and one.verdict == "rejected" and one.rules != NEVER_REVALIDATE]
    quarantine.lake.append_ledger(
        [
            one.model_copy(
                update={
                    "seq": highest + number,
                    "rules": NEVER_REVALIDATE,
                    "reasons": (*one.reasons, why),
                    "ingested_at": at,
                }
            )
            for number, one in enumerate(due, start=1)
        ]
    )


def shown(keys: Sequence[Key]) -> str:
    """Some ids, and how many more there are."""
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(key.id for key in keys[:_SHOWN]) + more
