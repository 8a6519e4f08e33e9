"""Which process runs which flow run, and whether it still lives: a lock that the system frees when a process ends."""

from __future__ import annotations

import fcntl
import os
from functools import cache
from pathlib import Path
from uuid import uuid4

from tasks.stores.settings import Settings


def register_process(settings: Settings, flow_run: str) -> None:
    """Note that this process answers for a flow run."""
    folder = settings.state / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{flow_run}.{os.getpid()}"
    draft.write_text(_process_file(settings.state / "processes", os.getpid()), encoding="ascii")
    draft.replace(folder / flow_run)


def process_ended(settings: Settings, flow_run: str) -> bool:
    """Whether the process that answered for a flow run on this machine has ended. One of elsewhere is not known."""
    try:
        mark = (settings.state / "runs" / flow_run).read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return not _is_locked(settings.state / "processes" / mark)


def remove_ended(settings: Settings, unfinished: set[str]) -> None:
    """Drop the notes of runs that have ended, and of processes that have.

    Args:
        settings: Says where the notes are.
        unfinished: Ids of the runs that Prefect takes for unfinished.
    """
    for note in (settings.state / "runs").glob("[0-9a-f]*"):
        if note.name not in unfinished and process_ended(settings, note.name):
            note.unlink(missing_ok=True)
    named = {note.read_text(encoding="ascii") for note in (settings.state / "runs").glob("[0-9a-f]*")}
    for mark in (settings.state / "processes").glob("[0-9a-f]*"):
        if mark.name not in named and not _is_locked(mark):
            mark.unlink(missing_ok=True)


@cache
def _process_file(folder: Path, _pid: int) -> str:
    """A file of this process that is locked as long as it lives; the pid keeps a forked process from its parent's."""
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid4().hex
    draft = folder / f".{name}"
    handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(handle, fcntl.LOCK_EX)
    draft.rename(folder / name)  # only now: whoever finds it unlocked may take it for that of a dead process
    _locks.append(handle)
    return name


_locks: list[int] = []


def _close_inherited() -> None:
    """Close what a forked process has of its parent: it must not keep the parent's lock."""
    while _locks:
        os.close(_locks.pop())


os.register_at_fork(after_in_child=_close_inherited)


def _is_locked(mark: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        handle = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: others may look at the same time
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
