"""What a worker that was killed left behind: its files are closed, and what it lost is reported."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import orjson

from perennial.serving.log.files import CLOSED, COUNT, OPEN, Counts, Segment, segment, segments
from perennial.serving.log.lines import committed_rows

_log = logging.getLogger(__name__)
LOST = "lost.jsonl"
_MESSAGES = {
    "killed": "%s: worker %s was killed, and %d rows of its prediction log were lost",
    "dropped": "%s: worker %s dropped %d rows of its prediction log",
}


def recover_files(root: Path, pipeline: str) -> int:
    """Close the files of dead workers, cut what they had not written whole; how many rows they lost.

    One process at a time may. Killed meanwhile, the next one goes on, and nothing is reported twice.

    Args:
        root: The log's folder.
        pipeline: The pipeline's name.
    """
    folder = root / pipeline
    total = 0
    for path in sorted(folder.glob(f"*{COUNT}")):
        counts = Counts.of_ended(path)
        if counts is not None:
            total += _recover_worker(root, pipeline, path.stem, counts)
    left = {one.worker for one in map(segment, segments(folder, OPEN)) if one is not None}
    for worker in left - {path.stem for path in folder.glob(f"*{COUNT}")}:  # its numbers were taken away by hand
        _close(folder, _open_files(folder, worker))
    return total


def _recover_worker(root: Path, pipeline: str, worker: str, counts: Counts) -> int:
    folder = root / pipeline
    files = _open_files(folder, worker)
    through = max((_last_committed(folder, one) for one in files), default=0)
    # Where a power cut took lines that had been written, they were lost, too; they are part of the difference.
    lost = max(0, counts.put - counts.dropped - through)
    if lost:
        record_lost(root, worker, pipeline, lost, "killed", counts.bound)
    if counts.dropped:
        record_lost(root, worker, pipeline, counts.dropped, "dropped", counts.bound)
    _close(folder, files)
    counts.remove()
    return lost


def _open_files(folder: Path, worker: str) -> list[Segment]:
    found = (segment(path) for path in segments(folder, OPEN))
    return [one for one in found if one is not None and one.worker == worker]


def _close(folder: Path, files: Sequence[Segment]) -> None:
    for one in files:
        _last_committed(folder, one)
        one.path(folder, OPEN).rename(one.path(folder, CLOSED))


def _last_committed(folder: Path, one: Segment) -> int:
    """Rows settled up to the end of a file; a line that is not whole is cut off."""
    with one.path(folder, OPEN).open("r+b") as handle:
        if os.fstat(handle.fileno()).st_size == 0:
            return one.committed_rows
        with mmap.mmap(handle.fileno(), 0) as content:
            end = content.rfind(b"\n") + 1
            found = _last_readable(content, end)
        handle.truncate(end)
    return one.committed_rows if found is None else found


def _last_readable(content: mmap.mmap, end: int) -> int | None:
    """What the last line that can be read says; a power cut leaves others behind it."""
    while end > 0:
        start = content.rfind(b"\n", 0, end - 1) + 1
        found = committed_rows(content[start:end])
        if found is not None:
            return found
        end = start
    return None


def record_lost(
    root: Path, worker: str, pipeline: str, rows: int, cause: Literal["killed", "dropped"], bound: int
) -> None:
    """Tell of rows that will never be in the lake: in the log, and in `lost.jsonl`, there once for each worker.

    Raises:
        OSError: the disk can't be written.
    """
    _log.warning(_MESSAGES[cause], pipeline, worker, rows, extra={"pipeline": pipeline, "worker": worker, "rows": rows})
    path = root / LOST
    entry = {"worker": worker, "pipeline": pipeline, "why": cause}
    if any(entry.items() <= description.items() for description in lost_rows(root)):
        return
    full = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry, "rows": rows, "bound": bound}
    with path.open("ab", buffering=0) as sink:
        sink.write(orjson.dumps(full, option=orjson.OPT_APPEND_NEWLINE))


def lost_rows(root: Path) -> list[dict[str, object]]:
    """What `lost.jsonl` tells, oldest first."""
    try:
        lines = (root / LOST).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [found for found in map(_entry, lines) if found]


def _entry(line: bytes) -> dict[str, object]:
    """A line of `lost.jsonl`; nothing where a power cut left it half written."""
    try:
        found = orjson.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
