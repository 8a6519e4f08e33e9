"""The sensor's process: it wakes when files land, and tells Prefect. `perennial watch` runs it until it is stopped."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import closing

from watchfiles import watch as watch_folders
from watchfiles._rust_notify import WatchfilesRustInternalError
from watchfiles.main import FileChange

from perennial.ops.sensor.feed import log
from perennial.ops.sensor.pipelines import Sensor
from perennial.ops.signals import on_signals
from tasks.stores.settings import Settings, load_settings, prepare

_TICK_MS = 100
_GROUP_MS = 20  # changes that follow each other this closely are taken together
_HOUSEKEEPING_SECONDS = 2.0


def watch(settings: Settings, stop: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
    """Watch all landing places and tell Prefect of what lands, until `stop` is set.

    Local folders wake it at once. Every `watch_seconds` all places are listed: remote ones, and local ones for what
    a network file system did not notify. YAMLs, folders and events that wait are looked at every other second.
    """
    sensor = Sensor(settings)
    while not stop.is_set():
        sensor.refresh()
        _watch_these(sensor, sensor.folders(), settings.watch_seconds, stop, clock)


def _watch_these(
    sensor: Sensor,
    folders: dict[str, tuple[int, int]],
    every: float,
    stop: threading.Event,
    clock: Callable[[], float],
) -> None:
    """Work until the folders to watch are others."""
    listed = kept = -float("inf")  # what landed before the folders were watched is found by a listing
    with closing(_changes(folders, stop)) as wakes:
        for changes in wakes:
            now = clock()
            sensor.notice(changes, now)
            listing = now - listed >= every
            events = sensor.work(now, listing=listing)
            listed = now if listing else listed
            if events:
                sensor.send()
            if now - kept >= _HOUSEKEEPING_SECONDS:
                kept = now
                sensor.send()
                sensor.refresh()
                if sensor.folders() != folders:
                    return


def _changes(folders: Collection[str], stop: threading.Event) -> Generator[set[FileChange]]:
    """Changes in the folders as they come, and nothing every tenth of a second."""
    try:
        yield from watch_folders(
            *folders,
            watch_filter=None,
            step=_GROUP_MS,
            debounce=_TICK_MS,
            rust_timeout=_TICK_MS,
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
    except (OSError, WatchfilesRustInternalError) as error:
        log.warning("folders can't be watched (%s): they are listed from time to time instead", error)
        while not stop.wait(_TICK_MS / 1000):
            yield set()


def main() -> None:
    """Watch until SIGTERM or SIGINT."""
    settings = load_settings()
    prepare(settings)
    _log_to_stderr()
    stop = on_signals(signal.SIGTERM, signal.SIGINT)
    log.info("watching; events go to Prefect")
    watch(settings, stop)
    log.info("stopped")


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


if __name__ == "__main__":
    main()
