"""The worker: takes runs from the work pool `perennial` and forks each from a process that has all imports done."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from configs.load import ConfigError, load
from flows.names import pipeline_tag
from flows.reconcile import mark_gone
from perennial.ops.flow_process import run as run_engine
from perennial.ops.turns import Turns
from tasks.stores.locks.flow_runs import register_process
from tasks.stores.settings import Settings, load_settings, prepare

POOL = "perennial"
_LOOK_SECONDS = 2.0
_GRACE_SECONDS = 10.0
# What callers and people wait for: these runs take no place of those that train, score or ingest.
_CONTROL = ("rollout", "approve", "rollback", "reconcile")
_CONTROL_RUNS = 50


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
        self._turns = Turns()
        self._places = asyncio.Semaphore(settings.worker_runs)
        self._control_places = asyncio.Semaphore(_CONTROL_RUNS)
        self._flows: dict[UUID, str] = {}

    def warm(self) -> None:
        """Start the process that runs are forked from; it imports while the worker introduces itself."""
        forkserver.ensure_running()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WarmWorkerResult:
        """Run a flow run to its end, or until somebody cancels it; skip one that has nothing to do."""
        register_process(self._settings, str(flow_run.id))  # until the run's own process does
        flow, pipeline = await self._flow(flow_run), str(flow_run.parameters.get("pipeline") or "")
        if pipeline:
            await self._label(flow_run, flow, pipeline)
        if _disabled(flow_run, pipeline):
            return await self._skip(flow_run, task_status, f"{pipeline}.yaml says `enabled: false`")
        places = self._control_places if flow in _CONTROL else self._places
        if not pipeline or flow in ("approve", "rollback"):
            async with places:
                return await self._start(flow_run, configuration, task_status)
        key = (flow, pipeline)
        turn = self._turns.request(key, json.dumps(flow_run.parameters, sort_keys=True, default=str))
        if turn is None:
            return await self._skip(flow_run, task_status, f"another run of {flow} waits for {pipeline} already")
        try:
            if not turn.is_set() and not await self._wait(flow_run, turn):
                if task_status is not None:
                    task_status.started(0)
                return WarmWorkerResult(identifier="", status_code=0)
            async with places:
                return await self._start(flow_run, configuration, task_status)
        finally:
            self._turns.release(key, turn)

    async def _flow(self, flow_run: FlowRun) -> str:
        """The name of a run's flow."""
        if flow_run.flow_id not in self._flows:
            self._flows[flow_run.flow_id] = (await self.client.read_flow(flow_run.flow_id)).name
        return self._flows[flow_run.flow_id]

    async def _label(self, flow_run: FlowRun, flow: str, pipeline: str) -> None:
        """Show whose run it is while it waits, too."""
        tags = sorted({*flow_run.tags, pipeline_tag(pipeline)})
        await self.client.update_flow_run(flow_run.id, name=f"{flow}-{pipeline}", tags=tags)

    async def _skip(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[int] | None, why: str
    ) -> WarmWorkerResult:
        await self.client.set_flow_run_state(flow_run.id, Completed(name="Skipped", message=why), force=True)
        if task_status is not None:
            task_status.started(0)
        return WarmWorkerResult(identifier="", status_code=0)

    async def _wait(self, flow_run: FlowRun, turn: asyncio.Event) -> bool:
        """Wait for a run's turn; whether it is still to run then."""
        while not turn.is_set():
            with anyio.move_on_after(_LOOK_SECONDS):
                await turn.wait()
                break
            state = await self._state(flow_run)
            if state is not None and state.is_cancelling():
                cancelled: State[Any] = Cancelled(message="cancelled by a person")
                await self.client.set_flow_run_state(flow_run.id, cancelled, force=True)
                return False
            if state is not None and state.is_final():
                return False
        return True

    async def _start(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None,
    ) -> WarmWorkerResult:
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
            state = await self._state(flow_run)
            if state is not None and state.is_cancelling():
                await _end(process)
                await self.client.set_flow_run_state(
                    flow_run.id, Cancelled(message="cancelled by a person"), force=True
                )

    async def _state(self, flow_run: FlowRun) -> State | None:
        """The state that the server has; None while it can't be asked: the run goes on, cancelling waits."""
        try:
            return (await self.client.read_flow_run(flow_run.id)).state
        except httpx.HTTPError as error:
            self._logger.debug("no answer about run %s: %s", flow_run.id, error)
            return None

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


def _disabled(flow_run: FlowRun, pipeline: str) -> bool:
    """Whether nobody but a schedule, an event or the sweep asked for a run of a pipeline that is not enabled."""
    created_by = flow_run.created_by.type if flow_run.created_by else ""
    asked = not (flow_run.auto_scheduled or created_by in ("SCHEDULE", "AUTOMATION") or "sweep" in flow_run.tags)
    if asked or not pipeline:
        return False
    try:
        return not load(pipeline).enabled
    except ConfigError:
        return False  # the run itself reports what is wrong


async def _end(process: ForkServerProcess) -> None:
    process.terminate()
    with anyio.move_on_after(_GRACE_SECONDS):
        await anyio.wait_readable(process.sentinel)
        return
    process.kill()
    await anyio.wait_readable(process.sentinel)


async def _serve(settings: Settings) -> None:
    # No prefetching: a run that waits a second for what else lands must not begin before that second is over.
    worker = WarmWorker(settings, name=f"perennial-{os.uname().nodename}", prefetch_seconds=0)
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
    """Work until asked to stop."""
    settings = load_settings()
    prepare(settings)
    asyncio.run(_serve(settings))


if __name__ == "__main__":
    main()
