"""When a file that was seen landing is complete enough to be reported. Pure: looks and clock are passed in."""

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
    """The files of one feed, from their first look until they were reported.

    Args:
        seconds: How long a file must stay as it is.
        quick_seconds: How long one must that looks complete already: it was renamed into the folder, or is old.
    """

    def __init__(self, seconds: float, quick_seconds: float) -> None:
        self._seconds = seconds
        self._quick_seconds = min(seconds, quick_seconds)
        self._waiting: dict[str, _PendingFile] = {}
        self._reported: dict[str, Stamp] = {}

    def observe(self, path: str, stamp: Stamp, now: float, *, complete: bool = False) -> bool:
        """A look at a file; whether it is settled now. One that was reported as it is now is left alone.

        Args:
            path: The file's.
            stamp: Its size and time.
            now: The clock, in seconds.
            complete: Whether it looks complete already, should this be the first look at it.
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
        """Whether this would be the first look at a file as it is."""
        return path not in self._waiting and self._reported.get(path) != stamp

    def restart(self, path: str, now: float) -> None:
        """Someone writes to a file that waits: its time begins anew."""
        pending = self._waiting.get(path)
        if pending is not None:
            self._waiting[path] = _PendingFile(pending.stamp, now, self._seconds)

    def due(self, now: float) -> list[str]:
        """Files to look at again: their time is over, if they are still the same."""
        return [
            path
            for path, pending in self._waiting.items()
            if not pending.stable and now - pending.since >= pending.seconds
        ]

    def stable(self) -> dict[str, Stamp]:
        """Files that stayed as they are for long enough and were not reported yet."""
        return {path: pending.stamp for path, pending in self._waiting.items() if pending.stable}

    def mark_reported(self, files: Iterable[tuple[str, Stamp]]) -> None:
        """Files were reported, or are known from elsewhere, as they are."""
        for path, stamp in files:
            self._reported[path] = stamp
            if path in self._waiting and self._waiting[path].stamp == stamp:
                del self._waiting[path]

    def remove(self, path: str) -> None:
        """A file is not there any more."""
        self._waiting.pop(path, None)
        self._reported.pop(path, None)

    def retain(self, paths: Collection[str]) -> None:
        """These are all there are."""
        for path in (self._waiting.keys() | self._reported.keys()) - set(paths):
            self.remove(path)
