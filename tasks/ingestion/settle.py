"""When a file that was seen landing is complete enough to be told of. Pure: looks and clock are passed in."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

Stamp = tuple[int, int]  # size in bytes, time of the last change


@dataclass
class _Wait:
    stamp: Stamp
    since: float
    seconds: float
    settled: bool = False


class Settling:
    """The files of one feed, from their first look until they were told of.

    Args:
        seconds: How long a file must stay as it is.
        quick: How long one must that looks complete already: it was renamed into the folder, or is old.
    """

    def __init__(self, seconds: float, quick: float) -> None:
        self._seconds = seconds
        self._quick = min(seconds, quick)
        self._waiting: dict[str, _Wait] = {}
        self._told: dict[str, Stamp] = {}

    def see(self, path: str, stamp: Stamp, now: float, *, complete: bool = False) -> bool:
        """A look at a file; whether it is settled now. One that was told of as it is now is left alone.

        Args:
            path: The file's.
            stamp: Its size and time.
            now: The clock, in seconds.
            complete: Whether it looks complete already, should this be the first look at it.
        """
        if self._told.get(path) == stamp:
            self._waiting.pop(path, None)
            return False
        waits = self._waiting.get(path)
        if waits is None or waits.stamp != stamp:
            quick = complete and waits is None
            waits = self._waiting[path] = _Wait(stamp, now, self._quick if quick else self._seconds)
        waits.settled = now - waits.since >= waits.seconds
        return waits.settled

    def is_new(self, path: str, stamp: Stamp) -> bool:
        """Whether this would be the first look at a file as it is."""
        return path not in self._waiting and self._told.get(path) != stamp

    def written(self, path: str, now: float) -> None:
        """Someone writes to a file that waits: its time begins anew."""
        waits = self._waiting.get(path)
        if waits is not None:
            self._waiting[path] = _Wait(waits.stamp, now, self._seconds)

    def due(self, now: float) -> list[str]:
        """Files to look at again: their time is over, if they are still the same."""
        return [path for path, one in self._waiting.items() if not one.settled and now - one.since >= one.seconds]

    def settled(self) -> dict[str, Stamp]:
        """Files that stayed as they are for long enough and were not told of yet."""
        return {path: one.stamp for path, one in self._waiting.items() if one.settled}

    def tell(self, files: Iterable[tuple[str, Stamp]]) -> None:
        """Files were told of, or are known from elsewhere, as they are."""
        for path, stamp in files:
            self._told[path] = stamp
            if path in self._waiting and self._waiting[path].stamp == stamp:
                del self._waiting[path]

    def gone(self, path: str) -> None:
        """A file is not there any more."""
        self._waiting.pop(path, None)
        self._told.pop(path, None)

    def keep(self, paths: Collection[str]) -> None:
        """These are all there are."""
        for path in (self._waiting.keys() | self._told.keys()) - set(paths):
            self.gone(path)
