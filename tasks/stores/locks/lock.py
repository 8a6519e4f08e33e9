"""One writer a pipeline: a lock between processes, freed at once when its holder dies, also by kill -9.

On one machine a locked file in the state folder; where the state is on PostgreSQL a lock there, for every machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tasks.errors import PerennialError
from tasks.stores.locks.file import FileLock
from tasks.stores.locks.postgres import AdvisoryLock
from tasks.stores.settings import Settings

_POLL_SECONDS = 0.1


class LockTimeoutError(PerennialError):
    """Another process held the lock for longer than the setting allows."""


class LockLostError(PerennialError):
    """The lock was not ours any more while we worked under it."""


class _Lock(Protocol):
    """What a kind of lock can do."""

    def try_acquire(self) -> bool:
        """Try once; whether it is ours."""

    def is_held(self) -> bool:
        """Whether it still is."""

    def holder(self) -> str:
        """Who has it, as far as it is known, for example `process 12`."""

    def release(self) -> bool:
        """Give it back; whether it was ours until now."""

    def close(self) -> None:
        """Let go of it in any case."""


class HeldLock:
    """A lock while it is held."""

    def __init__(self, lock: _Lock, name: str) -> None:
        self._lock = lock
        self._name = name

    def check(self) -> None:
        """Ask before what can't be undone, after long work: is it still held?

        Raises:
            LockLostError: the connection to PostgreSQL broke meanwhile, and another writer may be at work.
        """
        if not self._lock.is_held():
            raise LockLostError(_lost_message(self._name))


class _LockEntry:
    """One lock as this process has it: the thread that may use it, and what it holds."""

    def __init__(self) -> None:
        self.thread = threading.RLock()
        self.held: HeldLock | None = None


_entries: dict[tuple[str, str], _LockEntry] = {}
_guard = threading.Lock()


@contextmanager
def hold(settings: Settings, name: str, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[HeldLock]:
    """Hold the lock `name` while the block runs. A thread that holds it may take it again.

    Args:
        settings: Where the state is, and how long to wait for another holder.
        name: The lock's name, for example `bike_demand.data`.
        on_wait: Called once with a message when another process has the lock.

    Raises:
        LockTimeoutError: still held by another after `settings.lock_timeout` seconds.
        LockLostError: at the end of the block: the lock was lost in it.
        DatabaseError: PostgreSQL can't be reached.
    """
    deadline = time.monotonic() + settings.lock_timeout
    with _guard:
        entry = _entries.setdefault(
            (settings.audit_url if _remote(settings) else str(settings.state), name), _LockEntry()
        )
    if not entry.thread.acquire(timeout=settings.lock_timeout):
        raise LockTimeoutError(_timeout_message(name, "another thread of this process", settings.lock_timeout))
    try:
        if entry.held is not None:
            yield entry.held
            return
        with _acquired(settings, name, deadline, on_wait) as entry.held:
            try:
                yield entry.held
            finally:
                entry.held = None
    finally:
        entry.thread.release()


@contextmanager
def _acquired(settings: Settings, name: str, deadline: float, on_wait: Callable[[str], None]) -> Iterator[HeldLock]:
    lock: _Lock = AdvisoryLock(settings, name) if _remote(settings) else FileLock(settings.state / "locks", name)
    try:
        _wait(lock, settings, name, deadline, on_wait)
        yield HeldLock(lock, name)
        if not lock.release():
            raise LockLostError(_lost_message(name))
    finally:
        lock.close()


def _wait(lock: _Lock, settings: Settings, name: str, deadline: float, on_wait: Callable[[str], None]) -> None:
    notified = False
    while not lock.try_acquire():
        if time.monotonic() >= deadline:
            raise LockTimeoutError(_timeout_message(name, lock.holder(), settings.lock_timeout))
        if not notified:
            on_wait(f"waiting for another writer of {name} ({lock.holder()})")
            notified = True
        time.sleep(_POLL_SECONDS)


def _remote(settings: Settings) -> bool:
    return settings.audit_url.startswith("postgresql")


def _timeout_message(name: str, holder: str, timeout: float) -> str:
    return (
        f"{name} was held by another writer ({holder}) for {timeout:g} s. "
        "Wait until it is done, or raise PERENNIAL_LOCK_TIMEOUT."
    )


def _lost_message(name: str) -> str:
    return (
        f"{name} was not locked all the time: the connection to PostgreSQL that held the lock broke. "
        "Another writer may have worked meanwhile. Look at `perennial status`, then run it again."
    )
