"""Progress of a run: stages begin and end, a reporter shows them. Flows add the log of their run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from tasks.records.report import StageRecord
from tasks.records.stages import ReportedStage


class Reporter(Protocol):
    """Shows a run's progress to someone."""

    def begin(self, stage: str) -> None:
        """A stage begins."""

    def end(self, record: StageRecord) -> None:
        """A stage ended."""

    def say(self, text: str) -> None:
        """Something worth a line happened."""


class _Silent:
    """Shows nothing: where no one watches but the run's own log."""

    def begin(self, stage: str) -> None:
        pass

    def end(self, record: StageRecord) -> None:
        pass

    def say(self, text: str) -> None:
        pass


_logs: list[Callable[[str], None]] = []


def add_log(write: Callable[[str], None]) -> None:
    """Send each line of progress to `write`, too, from now on in this process."""
    _logs.append(write)


def _log(text: str) -> None:
    for write in _logs:
        write(text)


_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)
_stages: ContextVar[list[StageRecord] | None] = ContextVar("stages", default=None)


class Stage:
    """A stage that is running.

    Set `note` to a short account of its outcome, `skipped` if it had nothing to do, `reused` if an earlier outcome
    was taken.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.note = ""
        self.skipped = False
        self.reused = False

    @property
    def state(self) -> Literal["done", "reused", "skipped"]:
        """How it ended, if it did not fail."""
        return "reused" if self.reused else "skipped" if self.skipped else "done"


def say(text: str) -> None:
    """Report a line of progress."""
    _log(text)
    (_reporter.get() or _Silent()).say(text)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Send progress to a reporter while the block runs."""
    message = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(message)


@contextmanager
def collecting() -> Iterator[list[StageRecord]]:
    """Collect the stages that end while the block runs, those of flows that it calls too."""
    stages: list[StageRecord] = []
    kept = _stages.set(stages)
    try:
        yield stages
    finally:
        _stages.reset(kept)


def stage(name: ReportedStage) -> AbstractContextManager[Stage]:
    """Time a stage of a run, report it, and collect its record."""
    return timed(name)


@contextmanager
def timed(name: str) -> Iterator[Stage]:
    """Time a step of any command, report it as a stage, and collect its record."""
    reporter = _reporter.get() or _Silent()
    running = Stage(name)
    reporter.begin(name)
    started = time.perf_counter()
    failed = True
    try:
        yield running
        failed = False
    finally:
        record = StageRecord(
            name=name,
            state="failed" if failed else running.state,
            seconds=round(time.perf_counter() - started, 3),
            note=running.note,
        )
        collected = _stages.get()
        if collected is not None:
            collected.append(record)
        _log(f"{name} {record.state} in {record.seconds:.1f} s: {running.note}")
        reporter.end(record)
