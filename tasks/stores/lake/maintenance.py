"""Upkeep of Delta tables: small files merged, the log made quick to open, files freed that no kept version has."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pyarrow.fs as pafs

from tasks.errors import PerennialError
from tasks.stores.lake import delta
from tasks.stores.lake.versions import LOG, commits, data_files, missing_files, storage

# Longer than any write takes. Under the pipeline's locks nobody else writes: this is for those that are none of ours.
MINIMUM_AGE = timedelta(hours=1)
_TARGET_BYTES = 100 << 20
_COMMITS_PER_CHECKPOINT = 10
# What a killed write leaves beside the table: deltalake's own listing, and so its vacuum, passes over it.
_DRAFT = re.compile(r"\.parquet#\d+$")


class UpkeepError(PerennialError):
    """A table whose log or files are not as they must be: nothing of it was freed."""


def small_files(opened: delta.Table) -> list[str]:
    """Files of the opened version that merging would make fewer: those below half the size that it aims at."""
    return [name for name, size in data_files(opened).items() if size < _TARGET_BYTES // 2]


def compact(opened: delta.Table) -> int:
    """Merge small files, rows in their order; how many files went into others. The opened table is the newest then."""
    # One at a time: memory stays that of one merged file.
    merged = opened.optimize.compact(target_size=_TARGET_BYTES, max_concurrent_tasks=1, writer_properties=delta.MERGED)
    return int(merged["numFilesRemoved"])


def checkpoint(opened: delta.Table) -> bool:
    """Write a checkpoint of the opened version if there were some commits since the last; whether it was written.

    The log before it stays: with it, every version whose files are kept can be read.
    """
    try:
        with storage(opened).open_input_stream(f"{LOG}/_last_checkpoint") as stream:
            last = int(json.loads(stream.read())["version"])
    except FileNotFoundError:
        last = -1
    due = opened.version() - last > _COMMITS_PER_CHECKPOINT
    if due:
        opened.create_checkpoint()
    return due


def unreferenced_files(url: str, opened: delta.Table, since: int, kept: Iterable[int]) -> dict[str, int]:
    """Files that neither `kept` versions nor any from `since` on have, by path below the table, with sizes in bytes.

    A file must be found by two ways: deltalake's own vacuum, with the kept versions, and our reading of the log. By
    itself deltalake's takes a file whose removal a checkpoint has forgotten, which it does after a week, for one that
    no version ever had: it frees it by the file's age alone, though a version of yesterday may have it.

    Args:
        url: The table's.
        opened: Its newest version.
        since: From this version on, all are kept.
        kept: Older versions that are kept, too.

    Raises:
        UpkeepError: the log lacks a commit that must be known.
    """
    needed = _needed(url, opened, since)
    for version in kept:
        needed |= set(_files_at(url, version))
    hours = int(MINIMUM_AGE.total_seconds() // 3600)
    found = opened.vacuum(
        hours, dry_run=True, enforce_retention_duration=False, full=True, keep_versions=sorted({*kept, since})
    )
    return _sizes(storage(opened), [name for name in found if name.endswith(".parquet") and name not in needed])


def count_missing_files(url: str, version: int) -> int:
    """How many files of a version are not there any more."""
    at = delta.open_table(url, version)
    return 0 if at is None else len(missing_files(at))


def _files_at(url: str, version: int) -> dict[str, int]:
    at = delta.open_table(url, version)
    return {} if at is None else data_files(at)


def _needed(url: str, opened: delta.Table, since: int) -> set[str]:
    """Files of the versions from `since` to the opened one: those it has, and those that were removed in between."""
    needed, reached = set(data_files(opened)), opened.version() + 1
    for change in commits(opened):
        reached = change.version
        if reached <= since:
            return needed
        needed |= change.removed
    raise UpkeepError(
        f"{url}: found no commit before version {reached} in its log, but what versions from {since} on have must be "
        "known. Nothing was freed. Put the missing files of _delta_log back; nothing of ours removes them."
    )


def _sizes(place: pafs.FileSystem, names: list[str]) -> dict[str, int]:
    found = place.get_file_info(names)
    return {info.path: int(info.size) for info in found if info.type == pafs.FileType.File}


def leftover_drafts(url: str) -> dict[str, int]:
    """What killed writes left in a table's folder on a local disk, as absolute paths, and the sizes in bytes."""
    if "://" in url:
        return {}  # an object store shows no file before it is whole
    limit = time.time() - MINIMUM_AGE.total_seconds()
    found = [path for path in Path(url).iterdir() if _DRAFT.search(path.name)]
    return {str(path): path.stat().st_size for path in found if path.stat().st_mtime < limit}


def delete_files(opened: delta.Table, names: Iterable[str]) -> None:
    """Delete files of a table. Stopped half-way, the rest is found again."""
    place = storage(opened)
    for name in names:
        place.delete_file(name)
