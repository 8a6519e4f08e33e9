"""Predictions off the event loop: what waits for one model is predicted together, one batch after the other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from perennial.serving.loaded import LoadedModel, ModelOutput

Columns = Mapping[str, Sequence[Any]]


class BusyError(Exception):
    """Too many rows wait for this model."""


class _PredictionJob(NamedTuple):
    columns: Columns
    rows: int
    done: asyncio.Future[ModelOutput]


class Runner:
    """Answers for one version. Single rows that wait at the same time are one batch; a larger request is its own.

    So rows sent together are predicted together and alone, and their answers are those of a batch of that shape.

    Args:
        loaded: The version.
        pool: Threads that predict; one at a time for this version.
        loop: Where the answers are awaited.
        batch_rows: Most single rows of one batch.
        wait: Seconds that a batch waits for more rows, where the one before had several.
        most: Most rows that wait.
        batched: Called with each batch's number of rows.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        pool: Executor,
        loop: asyncio.AbstractEventLoop,
        *,
        batch_rows: int,
        wait: float,
        most: int,
        batched: Callable[[float], None],
    ) -> None:
        self.loaded = loaded
        self._pool, self._loop = pool, loop
        self._batch_rows, self._wait, self._most = batch_rows, wait, most
        self._batched = batched
        self._jobs: deque[_PredictionJob] = deque()
        self._more = threading.Condition()
        self._running = False
        self._last = 1
        self.waiting = 0

    def submit(self, columns: Columns, rows: int) -> asyncio.Future[ModelOutput]:
        """Answers, later, for columns of the version's.

        Raises:
            BusyError: too many rows wait already.
        """
        if self.waiting and self.waiting + rows > self._most:
            raise BusyError
        done: asyncio.Future[ModelOutput] = self._loop.create_future()
        with self._more:
            self._jobs.append(_PredictionJob(columns, rows, done))
            self.waiting += rows
            if self._running:
                self._more.notify()
                return done
            self._running = True
        self._pool.submit(self._run)
        return done

    def _run(self) -> None:
        while True:
            jobs = self._next_batch()
            if not jobs:
                return
            self._predict(jobs)

    def _next_batch(self) -> list[_PredictionJob]:
        """The next batch; none ends the run."""
        with self._more:
            while self._jobs and self._jobs[0].done.cancelled():  # nobody waits for it any more
                self.waiting -= self._jobs.popleft().rows
            if not self._jobs:
                self._running = False
                return []
            if self._jobs[0].rows == 1 and self._last > 1 and self._wait:
                until = time.monotonic() + self._wait
                while len(self._jobs) < self._last and (left := until - time.monotonic()) > 0:
                    self._more.wait(left)
            jobs = [self._jobs.popleft()]
            if jobs[0].rows == 1:
                while self._jobs and self._jobs[0].rows == 1 and len(jobs) < self._batch_rows:
                    jobs.append(self._jobs.popleft())
            self._last = len(jobs)
            self.waiting -= sum(job.rows for job in jobs)
        return jobs

    def _predict(self, jobs: list[_PredictionJob]) -> None:
        self._batched(float(sum(job.rows for job in jobs)))
        try:
            output = self._predict_batch(jobs)
        except Exception as error:  # a model is anything: whoever asked gets the error
            if len(jobs) == 1:
                self._call_in_loop(_set_exception, jobs[0].done, error)
            else:
                for job in jobs:  # one row's trouble is not the others'
                    self._predict([job])
            return
        self._call_in_loop(_set_results, jobs, output)

    def _predict_batch(self, jobs: list[_PredictionJob]) -> ModelOutput:
        if len(jobs) == 1:
            return self.loaded.predict(jobs[0].columns)
        names = self.loaded.input_columns
        return self.loaded.predict({name: [job.columns[name][0] for job in jobs] for name in names})

    def _call_in_loop(self, function: Any, *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop has ended: nobody waits for it
            return


def _set_results(jobs: list[_PredictionJob], output: ModelOutput) -> None:
    if len(jobs) == 1:
        if not jobs[0].done.done():
            jobs[0].done.set_result(output)
        return
    for place, job in enumerate(jobs):
        if not job.done.done():
            job.done.set_result(output.rows(place, place + 1))


def _set_exception(done: asyncio.Future[ModelOutput], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
