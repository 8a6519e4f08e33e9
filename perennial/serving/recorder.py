"""What was answered, and what was not, for the metrics and the prediction log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from perennial.serving.loaded import LoadedModel, ModelOutput, ServedVersions
from perennial.serving.log.prediction_record import PredictionRecord, Role
from perennial.serving.log.record import PredictionLog
from perennial.serving.metrics import Metrics
from perennial.serving.rows import TypedColumns

_NO_OUTPUT = ModelOutput([], {}, 0.0)


class PredictionRequest(NamedTuple):
    """A request while it is answered."""

    live: ServedVersions
    request: str
    at_us: int
    began: float
    columns: TypedColumns
    rows: int

    def latency(self) -> float:
        """Milliseconds since it came."""
        return (time.perf_counter() - self.began) * 1000.0

    def columns_of(self, places: Sequence[int]) -> TypedColumns:
        """The columns of some of its rows."""
        if len(places) == self.rows:
            return self.columns
        return {name: [values[place] for place in places] for name, values in self.columns.items()}


class PredictionRecorder:
    """Tells the metrics and the log of each version's answers.

    Args:
        metrics: Counts.
        log: Keeps.
    """

    def __init__(self, metrics: Metrics, log: PredictionLog) -> None:
        self._metrics, self._log = metrics, log

    @property
    def full(self) -> bool:
        """Whether the log needs a moment before it can take more."""
        return self._log.full

    async def record(
        self,
        asked: PredictionRequest,
        loaded: LoadedModel,
        role: Role,
        places: Sequence[int],
        output: ModelOutput,
        *,
        keep: bool,
    ) -> None:
        """A version answered some of a request's rows.

        Args:
            asked: The request.
            loaded: The version.
            role: What its answers are.
            places: The rows.
            output: What it predicted.
            keep: Kept whatever the sample says: another version is asked the same rows.
        """
        self._metrics.predictions.labels(loaded.pipeline, str(loaded.version), role).inc(len(places))
        await self._put(asked, loaded, role, places, output, "", keep=keep)

    async def record_failure(
        self,
        asked: PredictionRequest,
        loaded: LoadedModel,
        role: Role,
        places: Sequence[int],
        kind: Literal["exception", "timeout", "busy"],
        reason: str,
    ) -> None:
        """A version gave no answer for some of a request's rows, and why."""
        self._metrics.errors.labels(loaded.pipeline, str(loaded.version), role, kind).inc(len(places))
        await self._put(asked, loaded, role, places, None, reason, keep=True)

    async def _put(
        self,
        asked: PredictionRequest,
        loaded: LoadedModel,
        role: Role,
        places: Sequence[int],
        output: ModelOutput | None,
        error: str,
        *,
        keep: bool,
    ) -> None:
        known = output or _NO_OUTPUT
        self._metrics.logged.labels(loaded.pipeline).inc(len(places))
        prediction_record = PredictionRecord(
            pipeline=loaded.pipeline,
            request=asked.request,
            at_us=asked.at_us,
            role=role,
            version=loaded.version,
            positions=places,
            columns=asked.columns_of(places),
            predictions=None if output is None else output.predictions,
            probabilities=known.probabilities,
            latency_ms=asked.latency(),
            predict_ms=known.seconds * 1000.0,
            error=error,
            keep=keep,
        )
        if self._log.quick(len(places)):
            self._log.put(prediction_record)
        else:  # it goes to the disk by itself, which other callers are not to wait for
            await asyncio.to_thread(self._log.put, prediction_record)
