"""The thread that ships: who of several processes does, when, and what if the lake is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from configs.schema import PipelineConfig
from perennial.serving.log.files import CLOSED, segments
from perennial.serving.log.prediction_record import Meters
from perennial.serving.log.recovery import recover_files
from perennial.serving.log.settings import LogSettings
from perennial.serving.log.ship import ship
from tasks.stores.locks.file import FileLock
from tasks.stores.settings import Settings

_log = logging.getLogger(__name__)
_LONGEST_PAUSE = 60.0
_BUSY_PAUSE = 0.1


class Shipper:
    """Closes a worker's files in their rhythm, and ships what any worker closed.

    Args:
        settings: The rhythms.
        places: Where the lake is.
        configs: The pipelines by name.
        meters: Counts what is shipped and lost.
        rotate: Closes this worker's file of a pipeline where that is due; it must not raise.
    """

    def __init__(
        self,
        settings: LogSettings,
        places: Settings,
        configs: Mapping[str, PipelineConfig],
        meters: Meters,
        rotate: Callable[[str], None],
    ) -> None:
        self._settings, self._places, self._configs, self._meters = settings, places, configs, meters
        self._rotate = rotate
        self._hurried: frozenset[str] = frozenset()
        self._attempted_at: dict[str, float] = {}
        self._failures: dict[str, int] = {}
        self._wake = threading.Event()
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="served-ship", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def hurry(self, pipelines: frozenset[str]) -> None:
        """These are shipped every `hurry_seconds`."""
        if pipelines != self._hurried:
            self._hurried = pipelines
            self._wake.set()

    def end(self) -> None:
        """Ship what is closed by now, for at most `close_seconds`."""
        self._deadline = time.monotonic() + self._settings.close_seconds
        self._wake.set()
        self._thread.join(self._settings.close_seconds)

    def _run(self) -> None:
        while self._deadline is None:
            self._wake.wait(self._pause())
            self._wake.clear()
            if self._deadline is None:
                self._ship_all(self._due())
        while not self._ship_all(sorted(self._configs)) and time.monotonic() < self._deadline:
            time.sleep(_BUSY_PAUSE)

    def _pause(self) -> float:
        soonest = min((self._next(name) for name in list(self._configs)), default=0.0)
        return min(1.0, max(_BUSY_PAUSE, soonest - time.monotonic()))

    def _due(self) -> list[str]:
        now = time.monotonic()
        return [name for name in list(self._configs) if now >= self._next(name)]

    def _next(self, name: str) -> float:
        """When it is a pipeline's turn."""
        looked = self._attempted_at.get(name)
        if looked is None:
            return 0.0
        period = self._settings.hurry_seconds if name in self._hurried else self._settings.ship_seconds
        tries = self._failures.get(name, 0)
        return looked + (min(_LONGEST_PAUSE, period * 2 ** min(tries, 10)) if tries else period)

    def _ship_all(self, names: list[str]) -> bool:
        """Close and ship the files of pipelines; whether it is done: nobody else was at it, and the lake took them."""
        if not names:
            return True
        for name in names:
            self._rotate(name)
        lock = FileLock(self._settings.folder, "ship")
        try:
            return lock.try_acquire() and not [name for name in names if not self._try_ship(name)]
        finally:
            lock.close()

    def _try_ship(self, name: str) -> bool:
        """Ship a pipeline's files; whether the lake took them."""
        try:
            self._ship(name)
        except Exception as error:  # whatever it is: answers wait on disk, other pipelines' are shipped
            tries = self._failures[name] = self._failures.get(name, 0) + 1
            if tries == 1:
                _log.exception(
                    "%s: predictions wait on disk: the lake can't be written (%s)", name, type(error).__name__
                )
            return False
        finally:
            self._attempted_at[name] = time.monotonic()
        if self._failures.pop(name, 0):
            _log.info("%s: the lake can be written again", name)
        return True

    def _ship(self, name: str) -> None:
        root, config = self._settings.folder, self._configs[name]
        if not (root / name).is_dir():
            return
        lost = recover_files(root, name)
        if lost:
            self._meters.lost(name, lost)
        if segments(root / name, CLOSED):
            from tasks.stores.lake.tables import Lake

            ship(root, config, Lake(self._places, config), self._meters)
