"""Emits OpenLineage events of each stage's run. Errors are logged and never fail the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from configs.schema import PipelineConfig
from tasks.records.base import Record
from tasks.records.stages import StageName
from tasks.stores.lineage.sender import EventSender, disabled, has_endpoint
from tasks.stores.lineage.stage_data import DataStatistics, StageData
from tasks.stores.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import RunEvent

    from tasks.stores.lineage.datasets import StageDatasets
    from tasks.stores.lineage.events import StageEvents

OnProblem = Callable[[str], None]


class Channel:
    """Where the events of a flow run go: always a file, and the endpoint where one is set.

    Args:
        settings: Say where the file is.
        pipeline: Whose events they are.
        parent: Prefect's id of the flow run, and the flow's name.
        tell: Called with a message for each problem.
    """

    def __init__(
        self, settings: Settings, pipeline: str, parent: tuple[str, str] | None, on_problem: OnProblem
    ) -> None:
        self.settings, self.pipeline, self.parent, self.on_problem = settings, pipeline, parent, on_problem
        self.path = events_file(settings, pipeline)
        self._sender: EventSender | None = None
        self._unwritten = False

    def emit(self, event: RunEvent) -> None:
        """Append an event to the file, then hand it on."""
        from openlineage.client.serde import Serde

        try:
            append(self.path, Serde.to_json(event))
        except OSError as error:
            self._report_once(f"OpenLineage events can't be written to {self.path}: {error.strerror or error}")
        if self._sender is None and has_endpoint():
            self._sender = EventSender()
        if self._sender is not None:
            self._sender.put(event)

    def close(self) -> None:
        """Wait for the endpoint, no longer than the settings say, and tell what it did not take."""
        problem = self._sender.close(self.settings.lineage_wait) if self._sender is not None else ""
        if problem:
            self.on_problem(problem if self._unwritten else f"{problem}; they are in {self.path}")

    def _report_once(self, problem: str) -> None:
        if not self._unwritten:
            self._unwritten = True
            self.on_problem(problem)


_channel: ContextVar[Channel | None] = ContextVar("channel", default=None)


def events_file(settings: Settings, pipeline: str) -> Path:
    """The file of a pipeline's events, one JSON a line."""
    return settings.lineage / "events" / f"{pipeline}.jsonl"


def append(path: Path, line: str) -> None:
    """Append a line in one write, so that several processes' lines do not mix.

    Raises:
        OSError: it could not be written whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = f"{line}\n".encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(handle, data) != len(data):
            raise OSError(f"{path} took only a part of a line: the disk is full")
    finally:
        os.close(handle)


@contextmanager
def channel(settings: Settings, pipeline: str, parent: tuple[str, str] | None, on_problem: OnProblem) -> Iterator[None]:
    """Send the events of the block to the file and the endpoint; inside another such block, by that one."""
    if _channel.get() is not None:
        yield
        return
    opened = Channel(settings, pipeline, parent, on_problem)
    token = _channel.set(opened)
    try:
        yield
    finally:
        _channel.reset(token)
        opened.close()


class StageRun:
    """A stage that is running. `made` receives what it made."""

    def __init__(self, data: StageData) -> None:
        self.data = data

    def add_output(self, output: Record) -> None:
        """Note a record that the stage made."""
        self.data = self.data.with_output(output)


@contextmanager
def emit_stage(config: PipelineConfig, stage: StageName, data: StageData, *, at: datetime) -> Iterator[StageRun]:
    """Tell that a stage begins, and that it ended well or failed. Only inside of `channel`; else nothing is reported.

    Args:
        config: The pipeline.
        stage: The stage.
        data: What it was given.
        at: The run's clock.
    """
    stage_run, opened = StageRun(data), _channel.get()
    if opened is None or disabled():
        yield stage_run
        return
    emitter = _StageEmitter(opened, config, stage, at)
    emitter.start(data)
    try:
        yield stage_run
    except BaseException as error:
        emitter.fail(stage_run.data, error)
        raise
    emitter.complete(stage_run.data)


class _StageEmitter:
    """The events of one stage's run. What can't be determined is said once, and the run goes on."""

    def __init__(self, opened: Channel, config: PipelineConfig, stage: StageName, at: datetime) -> None:
        self._channel, self._config, self._stage, self._at = opened, config, stage, at
        self._events: StageEvents | None = None
        self._before = DataStatistics()
        self._reported: set[str] = set()

    def start(self, data: StageData) -> None:
        self._try(lambda: self._emit_start(data))

    def complete(self, data: StageData) -> None:
        self._try(lambda: self._emit_end(data, None))

    def fail(self, data: StageData, error: BaseException) -> None:
        self._try(lambda: self._emit_end(data, error))

    def _try(self, emit: Callable[[], None]) -> None:
        try:
            emit()
        except Exception as error:
            # The stage's own outcome stands, whatever its tale: a full disk, a store that is gone by now.
            self._report(f"no OpenLineage events of {self._stage}: {type(error).__name__}: {error}")

    def _emit_start(self, data: StageData) -> None:
        from tasks.stores.lineage.events import Parent, StageEvents

        settings, parent = self._channel.settings, self._channel.parent
        self._before = self._statistics(data)
        self._events = StageEvents(
            settings.lineage_namespace, self._config, self._stage, self._at, parent and Parent(*parent)
        )
        for event in self._events.start(datetime.now(UTC), self._datasets(data, self._before)):
            self._channel.emit(event)

    def _emit_end(self, data: StageData, error: BaseException | None) -> None:
        if self._events is None:
            return  # that it began could not be reported, which was said
        now, events = datetime.now(UTC), self._events
        traffic = self._datasets(data, self._statistics(data).model_copy(update={"before": self._before.tables}))
        run_events = events.complete(now, traffic, data.verdict) if error is None else events.fail(now, traffic, error)
        for event in run_events:
            self._channel.emit(event)

    def _statistics(self, data: StageData) -> DataStatistics:
        """What there is to see; nothing where it can't be looked at, which may be why the stage fails."""
        from tasks.stores.lineage.statistics import collect_statistics

        try:
            return collect_statistics(self._channel.settings, self._config, self._stage, data)
        except Exception as error:
            # A stage whose data are gone must tell that it failed.
            self._report(f"OpenLineage events of {self._stage} lack versions and sizes: {error}")
            return DataStatistics()

    def _report(self, problem: str) -> None:
        if problem not in self._reported:
            self._reported.add(problem)
            self._channel.on_problem(problem)

    def _datasets(self, data: StageData, statistics: DataStatistics) -> StageDatasets:
        from tasks.stores.lineage.datasets import LineageContext, stage_datasets

        return stage_datasets(self._stage, LineageContext(self._channel.settings, self._config, data, statistics))
