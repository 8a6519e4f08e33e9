"""One writer a pipeline: a lock between processes, freed at once when its holder dies, also by kill -9."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import PerennialError

_POLL_SECONDS = 0.1
_threads: dict[Path, threading.RLock] = {}
_depth: dict[Path, int] = {}
_guard = threading.Lock()


class LockTimeoutError(PerennialError):
    """Another process held the lock for longer than the setting allows."""


@contextmanager
def hold(folder: Path, name: str, timeout: float, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock `name` while the block runs. A thread that holds it may take it again.

    Args:
        folder: Where lock files lie; a local disk.
        name: The lock's name, for example `bike_demand.data`.
        timeout: Seconds to wait for another holder.
        on_wait: Told once, in words, when the lock is not free at once.

    Raises:
        LockTimeoutError: still held by another after `timeout` seconds.
    """
    path = folder / f"{name}.lock"
    with _guard:
        mine = _threads.setdefault(path, threading.RLock())
    if not mine.acquire(timeout=timeout):
        raise LockTimeoutError(_busy(name, path, timeout))
    try:
        if _depth.get(path, 0):
            _depth[path] += 1
            try:
                yield
            finally:
                _depth[path] -= 1
        else:
            with _flock(path, name, timeout, on_wait):
                _depth[path] = 1
                try:
                    yield
                finally:
                    _depth[path] = 0
    finally:
        mine.release()


@contextmanager
def _flock(path: Path, name: str, timeout: float, on_wait: Callable[[str], None]) -> Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(handle, path, name, timeout, on_wait)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _wait(handle: int, path: Path, name: str, timeout: float, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise LockTimeoutError(_busy(name, path, timeout)) from None
            if not told:
                on_wait(f"waiting for another writer of {name} (process {_holder(path)})")
                told = True
            time.sleep(_POLL_SECONDS)
        else:
            return


def _holder(path: Path) -> str:
    return path.read_text(encoding="ascii") or "unknown"


def _busy(name: str, path: Path, timeout: float) -> str:
    return (
        f"{name} was held by another writer (process {_holder(path)}) for {timeout:g} s. "
        "Wait until it is done, or raise PERENNIAL_LOCK_TIMEOUT."
    )
