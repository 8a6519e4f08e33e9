"""A lock between the processes of one machine: an flock, on a file of the state folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.05


class FileLock:
    """An flock. The system frees it when the process ends, however it ends.

    Args:
        folder: Where lock files lie; a local disk.
        name: The lock's name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.lock"
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def try_acquire(self) -> bool:
        """Try once; whether it is ours."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, str(os.getpid()).encode(), 0)
        return True

    def is_held(self) -> bool:
        """Always: nobody can take it from a process that lives."""
        return True

    def holder(self) -> str:
        """Who has it."""
        return f"process {self._path.read_text(encoding='ascii') or 'unknown'}"

    def release(self) -> bool:
        """Give it back; it was ours until now."""
        fcntl.flock(self._handle, fcntl.LOCK_UN)
        return True

    def close(self) -> None:
        """Let go of it in any case."""
        os.close(self._handle)


@contextmanager
def exclusive(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock while the block runs, after waiting as long as another process holds it: for short work only.

    Args:
        folder: Where the lock file lies; a local disk.
        name: The lock's name.
    """
    lock = FileLock(folder, name)
    try:
        while not lock.try_acquire():
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        lock.close()
