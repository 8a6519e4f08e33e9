"""Predictions off the event loop: what waits for one model is predicted together, one batch after the other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from perennial.serving.loaded import Answers, Loaded

Columns = Mapping[str, Sequence[Any]]


class BusyError(Exception):
    """Too many rows wait for this model."""


class _Job(NamedTuple):
    columns: Columns
    rows: int
    done: asyncio.Future[Answers]


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
        batched: Told of each batch's rows.
    """

    def __init__(
        self,
        loaded: Loaded,
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
        self._jobs: deque[_Job] = deque()
        self._more = threading.Condition()
        self._running = False
        self._last = 1
        self.waiting = 0

    def ask(self, columns: Columns, rows: int) -> asyncio.Future[Answers]:
        """Answers, later, for columns of the version's.

        Raises:
            BusyError: too many rows wait already.
        """
        if self.waiting and self.waiting + rows > self._most:
            raise BusyError
        done: asyncio.Future[Answers] = self._loop.create_future()
        with self._more:
            self._jobs.append(_Job(columns, rows, done))
            self.waiting += rows
            if self._running:
                self._more.notify()
                return done
            self._running = True
        self._pool.submit(self._run)
        return done

    def _run(self) -> None:
        while True:
            jobs = self._take()
            if not jobs:
                return
            self._answer(jobs)

    def _take(self) -> list[_Job]:
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

    def _answer(self, jobs: list[_Job]) -> None:
        self._batched(float(sum(job.rows for job in jobs)))
        try:
            answers = self._together(jobs)
        except Exception as error:  # a model is anything: whoever asked is told
            if len(jobs) == 1:
                self._tell(_fail, jobs[0].done, error)
            else:
                for job in jobs:  # one row's trouble is not the others'
                    self._answer([job])
            return
        self._tell(_deliver, jobs, answers)

    def _together(self, jobs: list[_Job]) -> Answers:
        if len(jobs) == 1:
            return self.loaded.answer(jobs[0].columns)
        names = self.loaded.takes
        return self.loaded.answer({name: [job.columns[name][0] for job in jobs] for name in names})

    def _tell(self, what: Any, *given: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *given)
        except RuntimeError:  # the loop has ended: nobody waits for it
            return


def _deliver(jobs: list[_Job], answers: Answers) -> None:
    if len(jobs) == 1:
        if not jobs[0].done.done():
            jobs[0].done.set_result(answers)
        return
    for place, job in enumerate(jobs):
        if not job.done.done():
            job.done.set_result(answers.part(place, place + 1))


def _fail(done: asyncio.Future[Answers], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
