"""Debouncing of landing files: when a file is stable enough to be reported. Pure: stats and clock are passed in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

Stamp = tuple[int, int]  # size in bytes, time of the last change


@dataclass
class _PendingFile:
    stamp: Stamp
    since: float
    seconds: float
    stable: bool = False


class Debouncer:
    """Tracks the files of one feed, from the first observation until they are reported.

    Args:
        seconds: How long a file must stay unchanged.
        quick_seconds: The same for a file that looks complete: it was renamed into the folder, or is old.
    """

    def __init__(self, seconds: float, quick_seconds: float) -> None:
        self._seconds = seconds
        self._quick_seconds = min(seconds, quick_seconds)
        self._waiting: dict[str, _PendingFile] = {}
        self._reported: dict[str, Stamp] = {}

    def observe(self, path: str, stamp: Stamp, now: float, *, complete: bool = False) -> bool:
        """Observe a file; return whether it is stable now. Files already reported as they are now are ignored.

        Args:
            path: The file's.
            stamp: Its size and time.
            now: The clock, in seconds.
            complete: Whether it looks complete at the first observation.
        """
        if self._reported.get(path) == stamp:
            self._waiting.pop(path, None)
            return False
        pending = self._waiting.get(path)
        if pending is None or pending.stamp != stamp:
            quick = complete and pending is None
            pending = self._waiting[path] = _PendingFile(stamp, now, self._quick_seconds if quick else self._seconds)
        pending.stable = now - pending.since >= pending.seconds
        return pending.stable

    def is_new(self, path: str, stamp: Stamp) -> bool:
        """Return whether this would be the first observation of this version of a file."""
        return path not in self._waiting and self._reported.get(path) != stamp

    def restart(self, path: str, now: float) -> None:
        """Restart the waiting time of a file that is being written."""
        pending = self._waiting.get(path)
        if pending is not None:
            self._waiting[path] = _PendingFile(pending.stamp, now, self._seconds)

    def due(self, now: float) -> list[str]:
        """Return files whose waiting time has passed and that must be observed again."""
        return [
            path
            for path, pending in self._waiting.items()
            if not pending.stable and now - pending.since >= pending.seconds
        ]

    def stable(self) -> dict[str, Stamp]:
        """Return stable files that were not reported yet."""
        return {path: pending.stamp for path, pending in self._waiting.items() if pending.stable}

    def mark_reported(self, files: Iterable[tuple[str, Stamp]]) -> None:
        """Mark files as reported in their current version."""
        for path, stamp in files:
            self._reported[path] = stamp
            if path in self._waiting and self._waiting[path].stamp == stamp:
                del self._waiting[path]

    def remove(self, path: str) -> None:
        """Remove a file that no longer exists."""
        self._waiting.pop(path, None)
        self._reported.pop(path, None)

    def retain(self, paths: Collection[str]) -> None:
        """Remove all other files."""
        for path in (self._waiting.keys() | self._reported.keys()) - set(paths):
            self.remove(path)
