"""The prediction log as the service uses it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime

from configs.schema import PipelineConfig
from perennial.serving.log.files import new_worker
from perennial.serving.log.inputs import input_counts
from perennial.serving.log.prediction_record import DropReason, InputCounts, Meters, PredictionRecord, Role
from perennial.serving.log.sampling import split_record
from perennial.serving.log.settings import LogSettings
from perennial.serving.log.ship import waiting
from perennial.serving.log.shipper import Shipper
from perennial.serving.log.spool import Spool
from tasks.stores.settings import Settings

__all__ = ["DropReason", "InputCounts", "LogSettings", "Meters", "PredictionLog", "PredictionRecord", "Role"]

_log = logging.getLogger(__name__)
_MOST_PIECE = 1000
_CHECK_SECONDS = 1.0


class PredictionLog:
    """Answers on their way to the lake's table `served`: in memory, in files below `settings.folder`, shipped.

    Threads of its own write and ship. One log a process; made after a fork, never before one.

    Args:
        settings: Bounds and rhythms.
        places: Where the lake is.
        configs: The pipelines by name. It may change while the log works.
        meters: Counts what happens.
    """

    def __init__(
        self, settings: LogSettings, places: Settings, configs: Mapping[str, PipelineConfig], meters: Meters
    ) -> None:
        self._settings, self._configs, self._meters = settings, configs, meters
        self._worker = new_worker(datetime.now(UTC).strftime("%Y%m%dT%H%M%S"))
        self._most = settings.lose_rows
        self._spools: dict[str, Spool] = {}
        self._failing: dict[str, float] = {}  # pipelines whose files could not be made, and when
        self._waiting: deque[tuple[Spool, PredictionRecord]] = deque()
        self._unmetered: deque[tuple[Spool, PredictionRecord]] = deque()
        self._pending = 0
        self._guard = threading.Lock()  # of what waits and of the numbers; held for microseconds
        self._disk = threading.RLock()  # of the files
        self._wake = threading.Event()
        self._stop = self._ended = self._over = False
        self._check_disk_at = 0.0
        self._sync_at = time.monotonic()
        self._shipper = Shipper(settings, places, configs, meters, self._rotate)
        self._writer = threading.Thread(target=self._run, name="served-write", daemon=True)
        self._writer.start()
        self._shipper.start()

    def put(self, record: PredictionRecord) -> bool:
        """Take an answer; to be called before it is sent, from any thread. Whether it will be kept, sampling aside.

        Takes microseconds where `quick` says so. Where `lose_rows` would be passed, it first writes what waits to the
        disk, itself: an event loop has a thread call it. It never raises for the disk's sake: what can't be kept is
        dropped and counted.

        Raises:
            KeyError: no such pipeline.
        """
        config = self._configs[record.pipeline]
        spool = self._spools.get(record.pipeline) or self._open_spool(config)
        rows = len(record.positions)
        if spool is None or self._over or self._stop:
            self._drop(record.pipeline, spool, rows)
            return False
        if spool.config is not config:
            spool.set_config(config)
        most = max(1, min(_MOST_PIECE, self._most // 2))
        for piece in (record,) if rows <= most else split_record(record, most):
            while not self._try_enqueue(spool, piece):
                self._flush()
        return not self._ended

    def _try_enqueue(self, spool: Spool, piece: PredictionRecord) -> bool:
        """Take a piece, unless more than may be lost would wait. After the end nothing is: it is dropped."""
        rows = len(piece.positions)
        with self._guard:
            pending = self._pending + rows
            if pending > self._most:
                return False
            if self._ended:
                self._meters.dropped(piece.pipeline, rows, "full")
                return True
            self._pending = pending
            spool.counts.add(put=rows)
            self._waiting.append((spool, piece))
        if pending * 2 >= self._most and not self._wake.is_set():
            self._wake.set()
        return True

    def _drop(self, pipeline: str, spool: Spool | None, rows: int) -> None:
        if spool is not None and not self._stop:
            with self._guard:
                spool.counts.add(put=rows, dropped=rows)
        self._meters.dropped(pipeline, rows, "disk" if spool is None else "full")

    @property
    def pending(self) -> int:
        """Rows in memory that are not on disk yet; never more than `lose_rows`."""
        return self._pending

    def quick(self, rows: int) -> bool:
        """Whether a put of so many rows need not write to the disk."""
        return self._pending + rows <= self._most

    @property
    def full(self) -> bool:
        """Whether three quarters of `lose_rows` wait: hold the next request back for a moment."""
        return self._pending * 4 >= self._most * 3

    def hurry(self, pipelines: set[str]) -> None:
        """These are in a rollout, no others: ship theirs every `hurry_seconds`."""
        self._shipper.hurry(frozenset(pipelines))

    def close(self) -> None:
        """Write all to disk, ship what can be within `close_seconds`, end the threads. Then nothing is taken."""
        self._stop = True
        self._wake.set()
        self._writer.join()
        with self._disk:
            with self._guard:
                self._ended = True
            self._flush()
            for spool in self._spools.values():
                self._end(spool)
            self._spools.clear()
        self._shipper.end()

    def _end(self, spool: Spool) -> None:
        try:
            _sync(spool.end())
        except OSError as error:  # what is on disk stays there: the next worker adopts it
            _log.error("%s: the prediction log could not be closed: %s", spool.pipeline, error)

    def _open_spool(self, config: PipelineConfig) -> Spool | None:
        """A pipeline's files, made with its first answer; None where the disk can't be written."""
        with self._disk:
            spool = self._spools.get(config.name)
            now = time.monotonic()
            if spool is None and not self._stop and now >= self._failing.get(config.name, 0.0):
                try:
                    spool = Spool(self._settings.folder, config, self._worker, self._most, self._meters)
                    self._spools[config.name] = spool
                except OSError as error:
                    if config.name not in self._failing:
                        _log.error("%s: the prediction log can't be written: %s", config.name, error)
                    self._failing[config.name] = now + _CHECK_SECONDS
            return spool

    def _flush(self) -> None:
        """Give what waits to the disk."""
        with self._disk:
            with self._guard:
                queued = list(self._waiting)
                self._waiting.clear()
            try:
                for spool, answers in _by_spool(queued).items():
                    spool.write(answers)
            finally:
                with self._guard:
                    self._pending -= sum(len(answer.positions) for _, answer in queued)
            self._unmetered.extend(queued)

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait(self._settings.flush_seconds)
            self._wake.clear()
            try:
                self._flush()
                self._meter()
                for spool in list(self._spools.values()):
                    if spool.rows >= self._settings.segment_rows or spool.large:
                        self._close_file(spool)
                self._sync()
                self._check_disk()
            except Exception:  # whatever it is, the service goes on, and so does the log
                _log.exception("the prediction log failed")

    def _meter(self) -> None:
        taken = [self._unmetered.popleft() for _ in range(len(self._unmetered))]
        for spool, answers in _by_spool(taken).items():
            for column, counts in input_counts(spool.config, answers).items():
                self._meters.inputs(spool.pipeline, column, counts)

    def _sync(self) -> None:
        """Have the disk keep what it was given; nobody waits for that meanwhile."""
        if time.monotonic() - self._sync_at < self._settings.sync_seconds:
            return
        for spool in list(self._spools.values()):
            with self._disk:
                handle = spool.handle_to_sync()
            _sync(handle)
        self._sync_at = time.monotonic()

    def _check_disk(self) -> None:
        """See whether there is space on the disk for more."""
        began = time.monotonic()
        if began < self._check_disk_at:
            return
        files, size = waiting(self._settings.folder, list(self._configs))
        over = size >= self._settings.spill_mebibytes * (1 << 20)
        if over and not self._over:
            _log.error("files of the prediction log take %d bytes, the limit: predictions are dropped", size)
        elif self._over and not over:
            _log.info("the prediction log has disk space again")
        self._over = over
        self._meters.waiting(files, size)
        now = time.monotonic()
        self._check_disk_at = now + max(_CHECK_SECONDS, 50 * (now - began))

    def _rotate(self, name: str) -> None:
        """Close a pipeline's file, so that it is shipped, unless the one before still waits for that."""
        spool = self._spools.get(name)
        if spool is not None and spool.filled and not (spool.closed is not None and spool.closed.exists()):
            self._close_file(spool)

    def _close_file(self, spool: Spool) -> None:
        try:
            with self._disk:
                handle = spool.rotate()
            _sync(handle)
        except OSError as error:  # it goes on in the file that is open
            _log.error("%s: a file of the prediction log can't be closed: %s", spool.pipeline, error)


def _by_spool(records: list[tuple[Spool, PredictionRecord]]) -> dict[Spool, list[PredictionRecord]]:
    found: dict[Spool, list[PredictionRecord]] = {}
    for spool, answer in records:
        found.setdefault(spool, []).append(answer)
    return found


def _sync(handle: int | None) -> None:
    """Have the disk keep a file, and let go of it."""
    if handle is not None:
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)
