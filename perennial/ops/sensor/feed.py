"""The files of one feed as the sensor sees them. The clock is passed in."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from watchfiles import Change
from watchfiles.main import FileChange

from configs.source import Source
from tasks.errors import PerennialError
from tasks.ingestion.debounce import Debouncer
from tasks.ingestion.discover import accepts, matching_files
from tasks.records.data import Feed
from tasks.stores.landing.folder import FileStat, Folder, Landing, open_landing

QUICK_SECONDS = 0.2  # for a file that looks complete

log = logging.getLogger("perennial.sensor")


class Problems:
    """What is wrong, each reported once and once more when it is over."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def tell(self, what: str, text: str) -> None:
        """Something is wrong with `what`."""
        if self._told.get(what) != text:
            self._told[what] = text
            log.warning("%s: %s", what, text)

    def over(self, what: str) -> None:
        """Nothing is wrong with `what`."""
        if self._told.pop(what, None):
            log.info("%s: recovered", what)


class Listing(threading.Thread):
    """A listing of a remote place, which may take its time: beside the loop, and no hindrance to its end."""

    def __init__(self, landing: Landing, source: Source) -> None:
        super().__init__(daemon=True)
        self._landing, self._source = landing, source
        self.found: list[FileStat] | None = None
        self.problem = ""
        self.lines: list[str] = []

    def run(self) -> None:
        """List it."""
        try:
            self.found = matching_files(self._landing, self._source, self.lines.append)
        except PerennialError as error:
            self.problem = str(error)


class FeedWatch:
    """The files of one feed of one pipeline."""

    def __init__(self, feed: Feed, source: Source, address: str, problems: Problems, pipeline: str) -> None:
        self.feed, self.source = feed, source
        self.landing = open_landing(address)
        self.folder = self.landing.root if isinstance(self.landing, Folder) else None
        self._marked = source.ready == "marker"
        at_once = self._marked or self.landing.is_atomic
        self.files = Debouncer(0.0 if at_once else source.stable_seconds, QUICK_SECONDS)
        self.what = f"{pipeline} {feed}"
        self._problems = problems
        self._listing: Listing | None = None

    def list_all(self, now: float) -> None:
        """Look at everything that lies there; a remote place is asked, and its answer taken when it comes."""
        if self.folder is None:
            if self._listing is None:
                self._listing = Listing(self.landing, self.source)
                self._listing.start()
            return
        lines: list[str] = []
        self._take(matching_files(self.landing, self.source, lines.append), lines, now)

    def answered(self, now: float) -> None:
        """Take a remote place's answer, if there is one."""
        listing = self._listing
        if listing is None or listing.is_alive():
            return
        self._listing = None
        if listing.found is None:
            self._problems.tell(self.what, listing.problem or "the listing failed")
        else:
            self._take(listing.found, listing.lines, now)

    def _take(self, found: Sequence[FileStat], lines: Sequence[str], now: float) -> None:
        for one in found:
            self._see(one, now)
        self.files.retain({one.path for one in found})
        if lines:
            self._problems.tell(self.what, "; ".join(lines))
        else:
            self._problems.over(self.what)

    def notice(self, changes: Collection[FileChange], now: float) -> None:
        """Files changed: look at them, and at everything where one is a folder. Paths are relative to the landing."""
        moved = any(change == Change.deleted for change, _ in changes)  # from a draft beside it, most likely
        for change, path in changes:
            if self._marked:
                path = path.removesuffix(self.source.marker)  # the file that the marker speaks of
            if change == Change.modified:
                self.files.restart(path, now)
            self.look(path, now, moved=moved)
            if Path(self.landing.uri(path)).is_dir():
                self.list_all(now)

    def look(self, path: str, now: float, *, moved: bool = False) -> None:
        """Look at one local file."""
        assert isinstance(self.landing, Folder)  # noqa: S101  # for the type checker: remote places are listed
        if not accepts(self.source, PurePath(path).name):
            return
        ready = not self._marked or Path(self.landing.uri(path + self.source.marker)).exists()
        try:
            if ready and self.landing.holds(path):
                self._see(self.landing.stat(path), now, moved=moved)
            else:
                self.files.remove(path)
        except FileNotFoundError:
            self.files.remove(path)

    def _see(self, one: FileStat, now: float, *, moved: bool = False) -> None:
        stamp = (one.size, one.mtime_ns)
        complete = False
        if self.files.is_new(one.path, stamp):
            with suppress(FileNotFoundError):
                complete = one.size > 0 and (moved or self.landing.looks_complete(one.path, self.source.stable_seconds))
        if self.files.observe(one.path, stamp, now, complete=complete) and self.landing.open_for_writing(one.path):
            self.files.restart(one.path, now)

    def check(self, now: float) -> None:
        """Look again at the files whose time is over."""
        due = self.files.due(now)
        if due and self.folder is None:
            self.list_all(now)
            return
        for path in due:
            self.look(path, now)
