"""Time travel: which version of a table was current when, and which of them can still be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from tasks.errors import UsageError
from tasks.stores.lake import delta

AsOf = int | datetime
LOG = "_delta_log"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_COMMITS = 64


class Snapshot(NamedTuple):
    """A table at a version, all of whose files are there, and when that version was written."""

    table: delta.Table
    version: int
    at: datetime


class CommitFiles(NamedTuple):
    """What one commit did to the files of a table."""

    version: int
    added: frozenset[str]
    removed: frozenset[str]


def snapshot(url: str, as_of: AsOf | None = None) -> Snapshot | None:
    """A table as of a version or a moment (the newest by default); None where it was never made.

    Args:
        url: The table's.
        as_of: A version, or a moment (UTC where it has no zone): the version that was current then.

    Raises:
        UsageError: there is no such version, the table was not there yet, or upkeep has freed files of that version.
    """
    newest = delta.open_table(url)
    if newest is None:
        return None
    version = newest.version() if as_of is None else _resolve(url, newest, as_of)
    opened = newest if version == newest.version() else delta.open_table(url, version)
    if opened is None:
        return None
    missing = len(missing_files(opened))
    if missing:
        raise UsageError(
            f"{url}: version {version} can't be read any more: {missing} of its {len(data_files(opened))} files are "
            f"missing, removed by upkeep. Readable versions: {format_ranges(readable_versions(newest))}."
        )
    return Snapshot(opened, version, timestamps(opened, limit=1)[0][1])


def _resolve(url: str, newest: delta.Table, as_of: AsOf) -> int:
    if not isinstance(as_of, datetime):
        if not 0 <= as_of <= newest.version():
            raise UsageError(f"{url}: found version {as_of}; expected 0 to {newest.version()}, which is the newest.")
        return as_of
    timestamp = as_of.replace(tzinfo=UTC) if as_of.tzinfo is None else as_of
    found = version_at(newest, timestamp)
    if found is None:
        first, created = timestamps(newest)[-1]
        raise UsageError(
            f"{url}: found {format_timestamp(timestamp)}, but its first version, {first}, was written at "
            f"{format_timestamp(created)}. Pass a later time."
        )
    return found


def version_at(opened: delta.Table, timestamp: datetime) -> int | None:
    """The version that was current at a moment; None before the first one."""
    return next((version for version, at in timestamps(opened, back_to=timestamp) if at <= timestamp), None)


def timestamps(
    opened: delta.Table, back_to: datetime | None = None, limit: int | None = None
) -> list[tuple[int, datetime]]:
    """Versions up to the opened one and when each was written, newest first.

    The log's own times count, not those of its files, which change when a lake is copied.

    Args:
        opened: The table.
        back_to: No further back than to the version that was current then.
        limit: No more than so many.
    """
    count = limit or _FIRST_COMMITS
    while True:
        lines = opened.history(count)
        found = [(int(line["version"]), _EPOCH + timedelta(milliseconds=line["timestamp"])) for line in lines]
        reached = back_to is not None and bool(found) and found[-1][1] <= back_to
        if limit is not None or len(found) < count or reached:
            return found
        count *= 4


def data_files(opened: delta.Table) -> dict[str, int]:
    """Data files of the opened version, by their path below the table, and their sizes in bytes."""
    found = pa.table(opened.get_add_actions(flatten=True))
    sizes = zip(found.column("path").to_pylist(), found.column("size_bytes").to_pylist(), strict=True)
    return {unquote(path): int(size) for path, size in sizes}


def missing_files(opened: delta.Table) -> list[str]:
    """Files of the opened version that are not there."""
    stored = _stored(opened)
    return [name for name in data_files(opened) if name not in stored]


def storage(opened: delta.Table) -> pafs.FileSystem:
    """The table's folder, wherever it lies."""
    return opened.to_pyarrow_dataset().filesystem


def commits(opened: delta.Table) -> Iterator[CommitFiles]:
    """What each commit did, from that of the opened version back to the first that the log has."""
    place = storage(opened)
    for version in range(opened.version(), -1, -1):
        try:
            with place.open_input_stream(f"{LOG}/{version:020}.json") as stream:
                lines = [json.loads(line) for line in stream.read().splitlines() if line]
        except FileNotFoundError:
            return
        kinds = (frozenset(unquote(line[kind]["path"]) for line in lines if kind in line) for kind in ("add", "remove"))
        yield CommitFiles(version, *kinds)


def readable_versions(newest: delta.Table) -> list[int]:
    """Versions all of whose files are there, ascending."""
    stored, live, found = _stored(newest), set(data_files(newest)), list[int]()
    for change in commits(newest):
        if live <= stored:
            found.append(change.version)
        live = (live - change.added) | change.removed
    return found[::-1]


def _stored(opened: delta.Table) -> set[str]:
    """Paths below the table of what lies in it. One listing asks less of an object store than a look at each file."""
    found = storage(opened).get_file_info(pafs.FileSelector("", recursive=False))
    return {info.path for info in found if info.type == pafs.FileType.File}


def format_ranges(versions: Sequence[int]) -> str:
    """Ascending versions in words: 0-5, 31, 33-40."""
    if not versions:
        return "none"
    breaks = [right for left, right in pairwise(versions) if right != left + 1]
    starts = [versions[0], *breaks]
    ends = [versions[versions.index(start) - 1] for start in breaks] + [versions[-1]]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


def format_timestamp(timestamp: datetime) -> str:
    """A moment for people, to the second and in UTC."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
