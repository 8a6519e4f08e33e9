"""The worker: takes runs from the work pool `perennial` and forks each from a process that has all imports done."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Any

import anyio
import anyio.abc
import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from flows.reconcile import mark_gone
from perennial.ops.flow_process import run as run_engine
from tasks.stores.locks.flow_runs import register_process
from tasks.stores.settings import Settings, load_settings, prepare

POOL = "perennial"
_LOOK_SECONDS = 2.0
_GRACE_SECONDS = 10.0


class WarmWorkerResult(BaseWorkerResult):
    """How a run's process ended."""


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, WarmWorkerResult]):
    """Runs each flow run in a process of its own, forked from a warm one."""

    type = "perennial"
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _display_name = "Perennial"
    _description = "Runs flows in processes that are forked from one that has done all imports."

    def __init__(self, settings: Settings, **options: Any) -> None:
        super().__init__(POOL, **options)
        self._settings = settings
        self._warm = multiprocessing.get_context("forkserver")
        self._warm.set_forkserver_preload(["perennial.ops.preload"])
        self._running: set[ForkServerProcess] = set()

    def warm(self) -> None:
        """Start the process that runs are forked from; it imports while the worker introduces itself."""
        forkserver.ensure_running()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WarmWorkerResult:
        """Run a flow run to its end, or until somebody cancels it."""
        register_process(self._settings, str(flow_run.id))  # until the run's own process does
        own = {name: value for name, value in configuration.env.items() if value is not None}
        process = self._warm.Process(target=run_engine, args=(own,), name=flow_run.name)
        await anyio.to_thread.run_sync(process.start)  # the first waits for the fork server's imports
        self._running.add(process)
        try:
            if task_status is not None:
                task_status.started(process.pid or 0)
            await self._end_of(process, flow_run)
        finally:
            self._running.discard(process)
        return WarmWorkerResult(identifier=str(process.pid), status_code=process.exitcode or 0)

    async def _end_of(self, process: ForkServerProcess, flow_run: FlowRun) -> None:
        while process.exitcode is None:
            with anyio.move_on_after(_LOOK_SECONDS):
                await anyio.wait_readable(process.sentinel)
                continue
            try:
                state = (await self.client.read_flow_run(flow_run.id)).state
            except httpx.HTTPError as error:  # the API is away: the run goes on, cancelling waits
                self._logger.debug("no answer about run %s: %s", flow_run.id, error)
                continue
            if state is not None and state.is_cancelling():
                await _end(process)
                await self.client.set_flow_run_state(
                    flow_run.id, Cancelled(message="cancelled by a person"), force=True
                )

    async def kill_infrastructure(
        self,
        infrastructure_pid: str,
        configuration: BaseJobConfiguration,  # noqa: ARG002  # as Prefect calls it
        grace_seconds: int = 30,  # noqa: ARG002
    ) -> None:
        """End a run's process that did not begin its run yet."""
        for process in list(self._running):
            if str(process.pid) == infrastructure_pid:
                await _end(process)

    async def teardown(self, *exc_info: Any) -> None:
        """End the runs' processes, then the worker."""
        for process in list(self._running):
            await _end(process)
        await super().teardown(*exc_info)


async def _end(process: ForkServerProcess) -> None:
    process.terminate()
    with anyio.move_on_after(_GRACE_SECONDS):
        await anyio.wait_readable(process.sentinel)
        return
    process.kill()
    await anyio.wait_readable(process.sentinel)


async def _serve(settings: Settings) -> None:
    # No prefetching: a run that waits a second for what else lands must not begin before that second is over.
    worker = WarmWorker(
        settings, name=f"perennial-{os.uname().nodename}", limit=settings.worker_runs, prefetch_seconds=0
    )
    worker.warm()
    await anyio.to_thread.run_sync(_mark_gone, settings)
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel if task else lambda: None)
    try:
        await worker.start(printer=_say)
    except asyncio.CancelledError:
        _say("worker stopped")


def _mark_gone(settings: Settings) -> None:
    """Mark at once what a killed worker left, rather than with the next sweep."""
    try:
        with get_client(sync_client=True) as client:
            for name in mark_gone(client, settings):
                _say(f"run {name} crashed: its process is gone")
    except httpx.HTTPError as error:
        _say(f"the Prefect server gives no answer yet ({type(error).__name__})")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Work until told to stop."""
    settings = load_settings()
    prepare(settings)
    asyncio.run(_serve(settings))


if __name__ == "__main__":
    main()
