"""One request's rows to answers: checked, sent to the champion or, by key, to a canary, and noted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

from perennial.serving.body import RequestRows
from perennial.serving.loaded import LoadedModel, ModelOutput, ServedVersions
from perennial.serving.log.prediction_record import Role
from perennial.serving.log.record import PredictionLog
from perennial.serving.metrics import Metrics
from perennial.serving.problem import RequestRejectedError
from perennial.serving.recorder import PredictionRecorder, PredictionRequest
from perennial.serving.rows import MissingColumnsError, TypedColumns, fraction, keys, typed_columns
from perennial.serving.runner import BusyError, Runner
from perennial.serving.settings import ServeSettings

_log = logging.getLogger("perennial.serving")
_FULL_SECONDS = 0.005
_FEW_ROWS = 200
_BESIDE_TIMES = 10.0  # of what a canary may take: what nobody waits for


class PredictionResponse(NamedTuple):
    """What a caller gets.

    Attributes:
        predictions: One a row.
        probabilities: By class, one a row; empty where there are none.
        versions: The version that gave each row's answer.
        roles: What it was: champion or canary.
    """

    predictions: list[Any]
    probabilities: dict[str, list[float]]
    versions: list[int]
    roles: list[Role]


class RequestHandler:
    """Answers requests of all pipelines in one process.

    Args:
        serve: Bounds.
        metrics: Counts each request.
        log: Keeps each.
        loop: The process's event loop.
    """

    def __init__(
        self, serve: ServeSettings, metrics: Metrics, log: PredictionLog, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._serve, self._metrics, self._loop = serve, metrics, loop
        self._recorder = PredictionRecorder(metrics, log)
        # Two threads: models hold Python's lock most of the time. What nobody waits for has threads of its own, so that
        # a slow challenger keeps no caller of the champion waiting.
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="champion")
        self._side_pool = ThreadPoolExecutor(2, thread_name_prefix="beside")
        self._runners: dict[tuple[int, bool], Runner] = {}
        self._beside: set[asyncio.Task[None]] = set()

    async def handle(
        self, live: ServedVersions, sent: RequestRows, request: str, at_us: int, began: float
    ) -> PredictionResponse:
        """Answers for what was sent.

        Args:
            live: The pipeline's versions when the request came.
            sent: The rows.
            request: The request's id.
            at_us: When it came, microseconds since 1970.
            began: The same on the clock of performance.

        Raises:
            RefusedError: rows that do not keep the contract, too many rows waiting, or a model that fails.
        """
        if not sent.columns and not sent.rows:
            return PredictionResponse([], {}, [], [])
        # Many rows take their time, which other callers are not to wait for.
        columns = (
            typed_columns(live, sent) if sent.rows <= _FEW_ROWS else await asyncio.to_thread(typed_columns, live, sent)
        )
        prediction_request = PredictionRequest(live, request, at_us, began, columns, sent.rows)
        if not sent.rows:
            return PredictionResponse([], {}, [], [])
        if self._recorder.full:
            await asyncio.sleep(_FULL_SECONDS)
        exposure = live.exposure
        if live.challenger is None or exposure is None:
            return await self._champion_response(
                prediction_request, await self._champion(prediction_request, range(sent.rows)), keep=False
            )
        if exposure.kind == "shadow":
            output = await self._champion(prediction_request, range(sent.rows))
            result = await self._champion_response(prediction_request, output, keep=True)
            self._schedule(self._run_beside(prediction_request, live.challenger, range(sent.rows), "shadow"))
            return result
        return await self._split(prediction_request, live.challenger, exposure.share, exposure.rollout)

    async def _champion_response(
        self, asked: PredictionRequest, output: ModelOutput, *, keep: bool
    ) -> PredictionResponse:
        champion = asked.live.champion
        await self._recorder.record(asked, champion, "champion", range(asked.rows), output, keep=keep)
        versions: list[int] = [champion.version] * asked.rows
        roles: list[Role] = ["champion"] * asked.rows
        return PredictionResponse(output.predictions, output.probabilities, versions, roles)

    async def _split(
        self, asked: PredictionRequest, challenger: LoadedModel, share: float, salt: int
    ) -> PredictionResponse:
        """By each row's key, some rows to the canary, the others to the champion."""
        known_by = keys(asked.live, asked.columns)
        mine = [place for place, key in enumerate(known_by) if fraction(key, salt) < share]
        rest = sorted({*range(asked.rows)} - {*mine})
        # The champion first: who is asked first finds the processor cold, and the challenger is evaluated by its time.
        others = await self._champion(asked, rest) if rest else None
        canary = await self._canary(asked, challenger, mine) if mine else None
        if mine and canary is None:  # the champion answers in its place
            mine, rest = [], list(range(asked.rows))
            others = await self._champion(asked, rest)
        if others is not None:
            await self._recorder.record(asked, asked.live.champion, "champion", rest, others, keep=True)
        if canary is not None:
            await self._recorder.record(asked, challenger, "canary", mine, canary, keep=True)
            self._schedule(self._run_beside(asked, asked.live.champion, mine, "control"))
        return _merge_outputs(asked, challenger, (mine, canary), (rest, others))

    async def _canary(
        self, asked: PredictionRequest, challenger: LoadedModel, places: Sequence[int]
    ) -> ModelOutput | None:
        """The canary's answers; None where it failed, which is noted."""
        columns = asked.columns_of(places)
        try:
            self._check_columns(challenger, columns)
            async with asyncio.timeout(self._serve.canary_seconds):
                return await self._predict(challenger, columns, len(places), beside=True)
        except TimeoutError:
            kind: Literal["exception", "timeout", "busy"] = "timeout"
            reason = f"no answer within {self._serve.canary_seconds:g} s"
        except BusyError:
            kind, reason = "busy", "too many rows waited"
        except Exception as error:  # a model is anything
            kind, reason = "exception", _error_text(error)
        await self._recorder.record_failure(asked, challenger, "canary", places, kind, reason)
        return None

    async def _champion(self, asked: PredictionRequest, places: Sequence[int]) -> ModelOutput:
        champion = asked.live.champion
        try:
            return await self._predict(champion, asked.columns_of(places), len(places), beside=False)
        except BusyError:
            raise RequestRejectedError(
                429, f"More than {self._serve.most_rows} rows wait for this model. Try again.", retry_after=1
            ) from None
        except Exception as error:
            await self._recorder.record_failure(asked, champion, "champion", places, "exception", _error_text(error))
            _log.exception("the champion failed", extra={"pipeline": champion.pipeline, "request": asked.request})
            raise RequestRejectedError(
                500, f"The model failed on this request; the log tells where (request {asked.request})."
            ) from None

    async def _run_beside(
        self, asked: PredictionRequest, loaded: LoadedModel, places: Sequence[int], role: Role
    ) -> None:
        """What the other version answers for the same rows, which nobody waits for; but not for ever."""
        columns, seconds = asked.columns_of(places), _BESIDE_TIMES * self._serve.canary_seconds
        try:
            self._check_columns(loaded, columns)
            async with asyncio.timeout(seconds):
                output = await self._predict(loaded, columns, len(places), beside=True)
        except TimeoutError:
            if role == "control":  # the champion's: nobody is evaluated on it
                self._metrics.shadow_dropped.labels(loaded.pipeline).inc(len(places))
            else:
                reason = f"no answer within {seconds:g} s"
                await self._recorder.record_failure(asked, loaded, role, places, "timeout", reason)
        except BusyError:
            self._metrics.shadow_dropped.labels(loaded.pipeline).inc(len(places))
        except Exception as error:  # a model is anything: it is noted, and evaluated on that
            await self._recorder.record_failure(asked, loaded, role, places, "exception", _error_text(error))
        else:
            await self._recorder.record(asked, loaded, role, places, output, keep=True)

    def _check_columns(self, loaded: LoadedModel, columns: Mapping[str, Sequence[Any]]) -> None:
        absent = loaded.input_columns - columns.keys()
        if absent:
            raise MissingColumnsError(", ".join(sorted(absent)))

    async def _predict(self, loaded: LoadedModel, columns: TypedColumns, rows: int, *, beside: bool) -> ModelOutput:
        output = await self._runner(loaded, beside=beside).submit(columns, rows)
        self._metrics.predict_seconds.labels(loaded.pipeline, "beside" if beside else "champion").observe(
            output.seconds
        )
        return output

    def _runner(self, loaded: LoadedModel, *, beside: bool) -> Runner:
        key = (id(loaded), beside)
        runner = self._runners.get(key)
        if runner is None or runner.loaded is not loaded:
            serve = self._serve
            runner = self._runners[key] = Runner(
                loaded,
                self._side_pool if beside else self._pool,
                self._loop,
                batch_rows=serve.batch_rows,
                wait=serve.batch_milliseconds / 1000.0,
                most=serve.most_rows,
                batched=self._metrics.batch_rows.labels(loaded.pipeline).observe,
            )
        return runner

    def keep_only(self, loaded: Sequence[LoadedModel]) -> None:
        """Forget versions that are not live any more; what they were asked is still answered."""
        live = {id(one) for one in loaded}
        self._runners = {key: one for key, one in self._runners.items() if key[0] in live}

    def waiting(self) -> dict[str, int]:
        """Rows that wait, by pipeline."""
        rows: dict[str, int] = {}
        for runner in list(self._runners.values()):
            rows[runner.loaded.pipeline] = rows.get(runner.loaded.pipeline, 0) + runner.waiting
        return rows

    def _schedule(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def drain(self, seconds: float) -> None:
        """Wait for what nobody waits for, so that the log has it."""
        if self._beside:
            await asyncio.wait(list(self._beside), timeout=seconds)


def _error_text(error: Exception) -> str:
    """What is kept of a model's trouble: not its own words, which may hold what it was asked."""
    details = f": callers do not send {error}" if isinstance(error, MissingColumnsError) else ""
    return f"{type(error).__name__}{details}"


def _merge_outputs(
    asked: PredictionRequest,
    challenger: LoadedModel,
    canary: tuple[Sequence[int], ModelOutput | None],
    others: tuple[Sequence[int], ModelOutput | None],
) -> PredictionResponse:
    champion = asked.live.champion
    predictions: list[Any] = [None] * asked.rows
    versions, roles = [champion.version] * asked.rows, ["champion"] * asked.rows
    shares: dict[str, list[float]] = {}
    for (places, answers), loaded, role in ((others, champion, "champion"), (canary, challenger, "canary")):
        if answers is None:
            continue
        for index, place in enumerate(places):
            predictions[place], versions[place], roles[place] = answers.predictions[index], loaded.version, role
            for name, values in answers.probabilities.items():
                shares.setdefault(name, [0.0] * asked.rows)[place] = values[index]
    return PredictionResponse(predictions, shares, versions, roles)  # type: ignore[arg-type]  # both are roles
