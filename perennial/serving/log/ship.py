"""Files of answers into the lake: each exactly once, however often who ships them is killed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from configs.schema import PipelineConfig
from perennial.serving.log.files import CLOSED, Segment, in_order, segment
from perennial.serving.log.prediction_record import Meters

if TYPE_CHECKING:
    from perennial.serving.log.rows import LogFileRows
    from tasks.stores.lake.tables import Lake

_log = logging.getLogger(__name__)
REJECTED_FOLDER = "bad"
_MOST_FILES, _MOST_BYTES = 64, 96 << 20
_DAY = 86400.0


def ship(root: Path, config: PipelineConfig, lake: Lake, meters: Meters) -> int:
    """Put a pipeline's closed files into the lake and remove them; how many rows. One process at a time may.

    Args:
        root: The log's folder.
        config: The pipeline's.
        lake: Its lake.
        meters: Counts what was shipped, and what does not fit.

    Raises:
        Exception: what the lake raises where it can't be reached; the files stay.
    """
    folder = root / config.name
    found = [one.path(folder, CLOSED) for one in in_order(folder)]
    fresh = [path for path in found if not _set_aside_outdated(root, config.name, path)]
    known = lake.transactions("served", {_transaction(path) for path in fresh})
    due = [path for path in fresh if _version(path) > known.get(_transaction(path), 0)]
    _remove([path for path in fresh if path not in due])  # committed by one who was killed before he removed them
    return sum(_commit(root, config, lake, meters, group) for group in _groups(due))


def _segment(path: Path) -> Segment:
    found = segment(path)
    if found is None:
        raise ValueError(f"{path}: not a file of the prediction log")
    return found


def _transaction(path: Path) -> str:
    """One a worker: the lake would else keep, and look through, thousands a day."""
    return f"served:{_segment(path).worker}"


def _version(path: Path) -> int:
    return _segment(path).number + 1


def _set_aside_outdated(root: Path, pipeline: str, path: Path) -> bool:
    """Put a file aside that the lake may have, and have forgotten that it has."""
    from tasks.stores.lake.schemas import SERVED_DAYS

    if time.time() - path.stat().st_mtime < (SERVED_DAYS - 1) * _DAY:
        return False
    folder = root / REJECTED_FOLDER / pipeline
    folder.mkdir(parents=True, exist_ok=True)
    path.replace(folder / path.name)
    _log.error(
        "%s: found a file of the prediction log that waited for %d days; it is not shipped, for the table `served` "
        "can't tell any more whether it has its rows. It is now %s: look there, and delete it",
        pipeline,
        SERVED_DAYS - 1,
        folder / path.name,
    )
    return True


def _groups(files: Sequence[Path]) -> Iterator[list[Path]]:
    """As many files as make a good commit and fit into memory."""
    group: list[Path] = []
    size = 0
    for path in files:
        more = path.stat().st_size
        if group and (len(group) >= _MOST_FILES or size + more > _MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(path)
        size += more
    if group:
        yield group


def _commit(root: Path, config: PipelineConfig, lake: Lake, meters: Meters, files: Sequence[Path]) -> int:
    from perennial.serving.log.rows import unify
    from tasks.stores.lake.delta import TransactionRows

    found = [_read(path, config) for path in files]
    for path, one in zip(files, found, strict=True):
        if one.invalid:
            _set_aside(root, config.name, path, one.invalid)
    full = [(path, one.table) for path, one in zip(files, found, strict=True) if one.table.num_rows]
    if full:
        schema = unify([table.schema.empty_table() for _, table in full]).schema
        tables = [unify([schema.empty_table(), table]) for _, table in full]
        parts = [
            TransactionRows(_transaction(path), _version(path), table, ordered=True)
            for (path, _), table in zip(full, tables, strict=True)
        ]
        lake.append_parts_once("served", parts)
    _remove(files)
    for one in found:
        if one.invalid:
            meters.dropped(config.name, len(one.invalid), "unfit")
    rows = sum(int(table.num_rows) for _, table in full)
    if rows:
        meters.shipped(config.name, rows)
    return rows


def _read(path: Path, config: PipelineConfig) -> LogFileRows:
    """A file's rows: at once, or one by one where something in it does not fit."""
    import pyarrow as pa

    from perennial.serving.log.columnar import read_whole
    from perennial.serving.log.rows import LogFileRows, read

    try:
        return LogFileRows(read_whole(path, config), [])
    except pa.ArrowException:
        return read(path, config)


def _set_aside(root: Path, pipeline: str, path: Path, unfit: Sequence[object]) -> None:
    """Keep, for a person, what the table can't take; written whole, and the same again after a kill."""
    folder = root / REJECTED_FOLDER / pipeline
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{path.name}"
    draft.write_bytes(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in unfit))
    draft.replace(folder / path.name)
    _log.error("%s: %d rows do not fit the table `served`; they are in %s", pipeline, len(unfit), folder / path.name)


def _remove(files: Sequence[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)


def waiting(root: Path, pipelines: Sequence[str]) -> tuple[int, int]:
    """Files below the log's folder that are not in the lake yet, and their bytes."""
    files = size = 0
    for name in pipelines:
        try:
            with os.scandir(root / name) as found:
                for entry in found:
                    if entry.name.endswith((".open", CLOSED)):
                        files += 1
                        size += _size(entry)
        except FileNotFoundError:
            continue
    return files, size


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0  # shipped meanwhile
