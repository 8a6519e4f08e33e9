"""The files that answers wait in: their names, and the numbers that outlive their process.

Below `PIPELINE/`: `WORKER.count`, locked by its worker while that lives; `WORKER.NUMBER.SETTLED.open`, which it writes;
the same with `.jsonl` once nothing is written to it any more. SETTLED: rows of the worker that were settled before.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
from pathlib import Path
from typing import NamedTuple

OPEN, CLOSED, COUNT = ".open", ".jsonl", ".count"
_NUMBERS = 3  # put, dropped, bound
_SIZE = 8 * _NUMBERS


class Segment(NamedTuple):
    """A file's name, without its ending."""

    worker: str
    number: int
    committed_rows: int

    def path(self, folder: Path, ending: str) -> Path:
        """Where it lies."""
        return folder / f"{self.worker}.{self.number:06d}.{self.committed_rows}{ending}"


def segment(path: Path) -> Segment | None:
    """What a file's name says; None where it is none of ours."""
    worker, *rest = path.stem.split(".")
    if len(rest) != 2 or not all(one.isascii() and one.isdigit() for one in rest):
        return None
    return Segment(worker, int(rest[0]), int(rest[1]))


def segments(folder: Path, ending: str) -> list[Path]:
    """The files of an ending, in the order of their workers and numbers."""
    found = ((segment(path), path) for path in folder.glob(f"*{ending}"))
    return [path for _, path in sorted((one, path) for one, path in found if one is not None)]


def in_order(folder: Path) -> list[Segment]:
    """Closed files, none of which has an older one of its worker that is not among them, in their order.

    A worker closes its files in their order. A folder that changes while it is listed may show a file and not the one
    closed before; the second listing has all that were closed before any that the first one shows.
    """
    last = {one.worker: one.number for one in map(segment, segments(folder, CLOSED)) if one is not None}
    found = (segment(path) for path in segments(folder, CLOSED))
    return [one for one in found if one is not None and one.number <= last.get(one.worker, -1)]


def new_worker(now: str) -> str:
    """A name that no other process has."""
    return f"{now}-{os.getpid()}-{secrets.token_hex(6)}"


class Counts:
    """Numbers of one worker and pipeline. A kill -9 does not touch them; a lock on them says that the worker lives.

    Attributes:
        path: The file's.
    """

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self._handle = path, handle
        self._map = mmap.mmap(handle, _SIZE)
        self._numbers = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, path: Path, bound: int) -> Counts:
        """Numbers that begin at 0, for a worker that can lose `bound` rows.

        Raises:
            OSError: the disk can't be written.
        """
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if _same(path, handle):  # else one who looks for the dead took it, empty as it was, for theirs
                    # Written, not only made longer: a full disk must fail here, not once the numbers are touched.
                    os.pwrite(handle, bytes(_SIZE), 0)
                    counts = cls(path, handle)
                    counts._numbers[2] = bound
                    return counts
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    @classmethod
    def of_ended(cls, path: Path) -> Counts | None:
        """The numbers of a worker that is dead; None while it lives, or where others took them away.

        A file that its worker did not come to fill is removed.
        """
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same(path, handle):
                if os.fstat(handle).st_size >= _SIZE:
                    return cls(path, handle)
                path.unlink()
        except BlockingIOError:
            pass  # it lives
        os.close(handle)
        return None

    def add(self, put: int = 0, dropped: int = 0) -> None:
        """Count rows. Callers see to it that only one does at a time."""
        self._numbers[0] += put
        self._numbers[1] += dropped

    @property
    def put(self) -> int:
        """Rows that the worker was given."""
        return self._numbers[0]

    @property
    def dropped(self) -> int:
        """Those of them that it could not keep, for the disk's sake."""
        return self._numbers[1]

    @property
    def bound(self) -> int:
        """Most rows that a kill can lose."""
        return self._numbers[2]

    def remove(self) -> None:
        """The worker has settled all; the numbers are removed."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file as it is."""
        self._numbers.release()
        self._map.close()
        os.close(self._handle)


def _same(path: Path, handle: int) -> bool:
    """Whether an open file is still the one of that path."""
    try:
        return path.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False
