"""One worker's answers for one pipeline, on their way from memory to files that wait for the lake."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from configs.schema import PipelineConfig
from perennial.serving.log.files import CLOSED, COUNT, OPEN, Counts, Segment
from perennial.serving.log.lines import committed_rows_line, encode
from perennial.serving.log.prediction_record import Meters, PredictionRecord
from perennial.serving.log.recovery import record_lost
from perennial.serving.log.sampling import Sampler

_log = logging.getLogger(__name__)
_MOST_BYTES = 64 << 20


class Spool:
    """A worker's numbers and open file for one pipeline. Its callers see to it that one thread at a time uses it.

    Args:
        root: The log's folder.
        config: The pipeline.
        worker: The worker's name.
        bound: Most rows that it can lose.
        meters: Counts what is written and dropped.

    Raises:
        OSError: the disk can't be written.
    """

    def __init__(self, root: Path, config: PipelineConfig, worker: str, bound: int, meters: Meters) -> None:
        self.pipeline = config.name
        self.folder = root / config.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.counts = Counts.create(self.folder / f"{worker}{COUNT}", bound)
        self.closed: Path | None = None
        self._root, self._worker, self._meters = root, worker, meters
        self.set_config(config)
        self._committed_rows = 0
        self._next = 0
        self._handle = -1
        self._open: Segment | None = None
        self._unrenamed: Segment | None = None  # written to no more, and not renamed yet
        self._rows = self._size = 0
        self._synced = True
        self._failing = False

    def set_config(self, config: PipelineConfig) -> None:
        """Go by another state of the pipeline's YAML from now on."""
        self.config = config
        self._sample = Sampler(config)

    @property
    def rows(self) -> int:
        """Rows in the open file."""
        return self._rows

    @property
    def filled(self) -> bool:
        """Whether anything is in the open file."""
        return self._size > 0

    @property
    def large(self) -> bool:
        """Whether the open file has so many bytes that another one is due."""
        return self._size >= _MOST_BYTES

    def write(self, records: Sequence[PredictionRecord]) -> None:
        """Settle answers: what is kept of them is written, and survives this process."""
        committed_rows, kept, lines = self._committed_rows, 0, []
        for answer in records:
            rows = len(answer.positions)
            try:
                chosen = self._sample(answer)
                text = None if chosen is None else encode(chosen, committed_rows + rows)
            except Exception as error:  # whatever it holds, the other answers are written
                self._drop_invalid(rows, error)
                continue
            committed_rows += rows
            lines.append(committed_rows_line(committed_rows) if text is None else text)
            kept += 0 if chosen is None else len(chosen.positions)
        if lines:
            self._append(b"".join(lines), committed_rows, kept)

    def _append(self, text: bytes, committed_rows: int, kept: int) -> None:
        try:
            if self._open is None:
                self._begin()
            _write(self._handle, text, self._size)
        except OSError as error:
            self._drop(committed_rows - self._committed_rows, error)
            return
        if self._failing:
            _log.info("the prediction log of %s is written again", self.pipeline)
            self._failing = False
        self._committed_rows = committed_rows
        self._rows += kept
        self._size += len(text)
        self._synced = False
        if kept:
            self._meters.written(self.pipeline, kept)

    def _begin(self) -> None:
        fresh = Segment(self._worker, self._next, self._committed_rows)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._handle = os.open(fresh.path(self.folder, OPEN), flags, 0o644)
        self._open, self._rows, self._size = fresh, 0, 0
        self._next += 1

    def _drop(self, rows: int, error: OSError) -> None:
        self.counts.add(dropped=rows)
        self._meters.dropped(self.pipeline, rows, "disk")
        if not self._failing:
            _log.error("the prediction log of %s can't be written: %s; answers are dropped", self.pipeline, error)
            self._failing = True

    def _drop_invalid(self, rows: int, error: Exception) -> None:
        self.counts.add(dropped=rows)
        self._meters.dropped(self.pipeline, rows, "unfit")
        _log.error("%s: an answer can't be written: %s", self.pipeline, type(error).__name__, exc_info=error)

    def handle_to_sync(self) -> int | None:
        """A handle of its own for `os.fdatasync`, to be closed afterwards; None where the disk has all."""
        if self._synced or self._open is None:
            return None
        self._synced = True
        return os.dup(self._handle)

    def rotate(self) -> int | None:
        """Close the open file, so that it can be shipped; its handle, to be synced and closed. None: there is none.

        Raises:
            OSError: the file can't be renamed.
        """
        self._rename_closed()
        if self._open is None:
            return None
        old, handle = self._open, self._handle
        # How many rows are settled must be given by a file of this worker, also should it be killed right now.
        self._begin()
        self._unrenamed = old
        try:
            self._rename_closed()
        except OSError:
            os.close(handle)
            raise
        return handle

    def _rename_closed(self) -> None:
        """Files are closed in their order: the lake knows by the number of the last one what it has of a worker."""
        if self._unrenamed is not None:
            self.closed = self._unrenamed.path(self.folder, CLOSED)
            try:
                self._unrenamed.path(self.folder, OPEN).rename(self.closed)
            except FileNotFoundError:
                _log.error("%s: %s was taken away while it was written", self.pipeline, self.closed.stem)
            self._unrenamed = None

    def end(self) -> int | None:
        """All is settled: close the file and remove the numbers; the handle, to be synced and closed."""
        handle = None if self._open is None else self._handle
        self._rename_closed()
        if self._open is not None:
            path = self._open.path(self.folder, OPEN)
            path.rename(self._open.path(self.folder, CLOSED)) if self._size else path.unlink()
            self._open = None
        if self.counts.dropped:
            record_lost(self._root, self._worker, self.pipeline, self.counts.dropped, "dropped", self.counts.bound)
        self.counts.remove()
        return handle


def _write(handle: int, text: bytes, start: int) -> None:
    """Write all, or nothing."""
    done = 0
    view = memoryview(text)
    try:
        while done < len(text):
            done += os.pwrite(handle, view[done:], start + done)
    except OSError:
        os.ftruncate(handle, start)
        raise
