"""One process of the service: its pipelines, what answers for them, its log; begun and ended in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from perennial.serving import body
from perennial.serving.feedback import Feedback
from perennial.serving.follower import Follower, PipelineSlot
from perennial.serving.handler import RequestHandler
from perennial.serving.loaded import ServedVersions
from perennial.serving.log.prediction_record import DropReason, InputCounts
from perennial.serving.log.record import PredictionLog
from perennial.serving.log.settings import LogSettings
from perennial.serving.metrics import Metrics
from perennial.serving.problem import RequestRejectedError
from perennial.serving.settings import ServeSettings
from tasks.stores.settings import Settings

_log = logging.getLogger("perennial.serving")
_GAUGE_SECONDS = 1.0


class Service:
    """What the endpoints ask.

    Args:
        settings: Places.
        serve: Bounds and rhythms.
        only: The pipelines to serve; all that have a YAML by default.

    Raises:
        UsageError: one of them has no YAML, or one with a mistake.
    """

    def __init__(self, settings: Settings, serve: ServeSettings, only: tuple[str, ...] = ()) -> None:
        self.settings, self.serve = settings, serve
        self.metrics = Metrics()
        self.draining = False
        self._follower = Follower(settings, serve, self.metrics, only, self._changed)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bounds = LogSettings(
            folder=settings.state / "served",
            lose_rows=serve.log_lose_rows,
            ship_seconds=serve.log_ship_seconds,
            hurry_seconds=serve.log_hurry_seconds,
            spill_mebibytes=serve.log_spill_mebibytes,
        )
        self.log: PredictionLog
        self.feedback: Feedback
        self.handler: RequestHandler
        self._gauging: asyncio.Task[None]

    def load(self) -> None:
        """Load what the registry, or the local copy, names, and follow it from now on."""
        self.log = PredictionLog(self._bounds, self.settings, self._follower.configs, _LogMeters(self.metrics))
        self.feedback = Feedback(self.settings, self._follower.configs)
        self._follower.start()
        self._changed()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start handling requests."""
        self._loop = loop
        self.handler = RequestHandler(self.serve, self.metrics, self.log, loop)
        self._gauging = loop.create_task(self._gauge())

    async def stop(self) -> None:
        """Stop handling requests; what was predicted is in the log."""
        self.draining = True
        self._gauging.cancel()
        await self.handler.drain(self.serve.drain_seconds)
        await asyncio.to_thread(self._follower.stop)
        await asyncio.to_thread(self.log.close)
        await asyncio.to_thread(self.feedback.close)

    @property
    def slots(self) -> Mapping[str, PipelineSlot]:
        """The pipelines served, by name."""
        return self._follower.slots

    def slot(self, name: str) -> PipelineSlot:
        """A pipeline's.

        Raises:
            RefusedError: it is not served here.
        """
        found = self.slots.get(name)
        if found is None:
            raise RequestRejectedError(404, "No such pipeline is served here. GET /pipelines lists those that are.")
        return found

    def default(self) -> PipelineSlot:
        """The pipeline that a path without a name means.

        Raises:
            RefusedError: several are served, and none is the default.
        """
        if self.serve.default is not None:
            return self.slot(self.serve.default)
        if len(self.slots) == 1:
            return next(iter(self.slots.values()))
        raise RequestRejectedError(
            404,
            "Several pipelines are served: ask /pipelines/NAME/invocations, or start the service with one pipeline, or "
            "with PERENNIAL_SERVE_DEFAULT.",
        )

    def versions(self, slot: PipelineSlot) -> ServedVersions:
        """The versions that answer now.

        Raises:
            RefusedError: there is none yet.
        """
        if slot.versions is None:
            why = slot.problem or "it has no champion yet"
            raise RequestRejectedError(503, f"This pipeline can't answer: {why}.", retry_after=5)
        return slot.versions

    def is_ready(self) -> bool:
        """Whether a model is there: that of the default pipeline, or any where several are served."""
        if self.draining:
            return False
        if self.serve.default is not None:
            slot = self.slots.get(self.serve.default)
            return slot is not None and slot.versions is not None
        return any(slot.versions is not None for slot in self.slots.values())

    def accept_labels(self, slot: PipelineSlot, content_type: str, content: bytes) -> tuple[int, str]:
        """Keep labels that came by key; how many, and under which id.

        Raises:
            RefusedError: they are in no form that is taken, or do not keep the contract.
        """
        contract = slot.config.contract
        order = (*contract.key, contract.target)
        rows = body.labels(content_type, content, order, slot.config.serving.max_rows)
        key = self.feedback.put(slot.config.name, rows)
        self.metrics.labels.labels(slot.config.name).inc(len(rows))
        return len(rows), key

    async def _gauge(self) -> None:
        """Bring up to date what is a state, not a count; each process its own, whoever is asked for the metrics."""
        while True:
            self.gauge()
            await asyncio.sleep(_GAUGE_SECONDS)

    def gauge(self) -> None:
        """What is a state, as it is now."""
        for name, rows in self.handler.waiting().items():
            self.metrics.waiting.labels(name).set(rows)
        self.metrics.pending.set(self.log.pending)

    def _changed(self) -> None:
        """The versions that serve are others now. In the follower's thread."""
        lives = [slot.versions for slot in self.slots.values() if slot.versions is not None]
        self.log.hurry({live.config.name for live in lives if live.exposure is not None})
        if self._loop is not None:
            loaded = [one for live in lives for one in (live.champion, live.challenger) if one is not None]
            self._loop.call_soon_threadsafe(self.handler.keep_only, loaded)


class _LogMeters:
    """What the log tells, for the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def written(self, pipeline: str, rows: int) -> None:
        """Counted once they are in the lake."""

    def shipped(self, pipeline: str, rows: int) -> None:
        """Rows are in the lake."""
        self._metrics.shipped.labels(pipeline).inc(rows)

    def dropped(self, pipeline: str, rows: int, why: DropReason) -> None:
        """Rows that the log will never have."""
        self._metrics.dropped.labels(pipeline).inc(rows)
        _log.warning("predictions are not logged", extra={"pipeline": pipeline, "rows": rows, "why": why})

    def lost(self, pipeline: str, rows: int) -> None:
        """Rows that a killed process lost."""
        self._metrics.lost.labels(pipeline).inc(rows)

    def waiting(self, files: int, size: int) -> None:  # noqa: ARG002  # as the log calls it
        """Files that wait for the lake."""
        self._metrics.spilled.set(size)

    def inputs(self, pipeline: str, column: str, counts: InputCounts) -> None:
        """What came in for a column."""
        metrics = self._metrics
        metrics.inputs.labels(pipeline, column).inc(counts.values)
        metrics.missing.labels(pipeline, column).inc(counts.missing)
        metrics.unseen.labels(pipeline, column).inc(counts.unseen)
        metrics.sums.labels(pipeline, column).inc(counts.total)
        metrics.squares.labels(pipeline, column).inc(counts.squares)
