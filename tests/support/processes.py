"""Processes and what they start; waiting for what becomes true."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 60.0

Process = tuple[int, str]  # pid, and when it started: a pid alone may be used again


def processes(parent: int) -> set[Process]:
    """Children of a process and theirs. Every process is asked for its parent: the kernel's list may skip some."""
    stats = {int(entry.name): stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found: set[Process] = set()
    parents = {parent}
    while parents:
        born = {(pid, told[19]) for pid, told in stats.items() if told and int(told[1]) in parents}
        parents = {pid for pid, _ in born - found}
        found |= born
    return found


def stat(pid: int) -> list[str]:
    """State, parent and so on of a process; nothing where it has ended (also one that nobody waited for)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    fields = text.rpartition(")")[2].split()
    return [] if fields[0] in "ZX" else fields


def still_runs(process: Process) -> bool:
    told = stat(process[0])
    return bool(told) and told[19] == process[1]


def await_end(children: set[Process]) -> set[Process]:
    """The children that still run after a bounded wait."""
    deadline = time.monotonic() + PATIENCE
    while left := {child for child in children if still_runs(child)}:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.1)
    return set()


def until(true: Callable[[], object], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
