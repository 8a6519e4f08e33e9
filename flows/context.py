"""What every flow begins with: the pipeline's configuration, the settings, the run's clock, who runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime

from configs.load import ConfigError, load
from configs.schema import PipelineConfig
from tasks import progress
from tasks.context import StageContext
from tasks.errors import UsageError
from tasks.stores.lake.tables import Lake
from tasks.stores.lineage.emitter import channel
from tasks.stores.locks.flow_runs import register_process
from tasks.stores.runtime import actor, clock
from tasks.stores.settings import Settings, load_settings, prepare
from tasks.validation.gallery_check import check_expectations

_outer: ContextVar[StageContext | None] = ContextVar("outer", default=None)


@contextmanager
def stage_context(pipeline: str, now: datetime | None = None, *, tables: bool = True) -> Iterator[StageContext]:
    """The context of a flow run's stages; their OpenLineage events are parts of that run.

    A flow that another calls for the same pipeline has that one's configuration, settings and OpenLineage run.

    Args:
        pipeline: The pipeline's name.
        now: The run's clock; the present by default.
        tables: Whether tables of the lake that are not there yet are made.

    Raises:
        UsageError: no such pipeline, a mistake in its YAML, a home that can't be written, or a column of the lake has
            another type than the contract says now.
    """
    outer = _outer.get()
    if outer is not None and outer.pipeline == pipeline:
        _register_process(outer.settings)  # the sweep marks what a dead process left, sub-flows too
        yield replace(outer, now=clock(now), flow_run=_flow_run()[0])
        return
    config, settings = open_pipeline(pipeline)
    if tables:
        Lake(settings, config).create()
    flow_run, flow = _flow_run()
    context = StageContext(config, settings, clock(now), actor(), flow_run)
    token = _outer.set(context)
    try:
        with channel(settings, pipeline, (flow_run, flow) if flow_run else None, progress.say):
            yield context
    finally:
        _outer.reset(token)


def open_pipeline(name: str) -> tuple[PipelineConfig, Settings]:
    """A pipeline's configuration, and the settings, with home made ready.

    Raises:
        UsageError: no such pipeline, a mistake in its YAML, or a home that can't be written.
    """
    settings = load_settings()
    try:
        config = load(name)
        prepare(settings)
        check_expectations(config, settings)
    except ConfigError as error:
        raise UsageError(str(error)) from None
    _register_process(settings)
    return config, settings


def open_home() -> Settings:
    """The settings, with home made ready: for what needs no pipeline's YAML.

    Raises:
        UsageError: a home that can't be written.
    """
    settings = load_settings()
    prepare(settings)
    _register_process(settings)
    return settings


def _register_process(settings: Settings) -> None:
    """Note that this process runs the flow run that it is in, if any: the sweep marks what a dead one left."""
    flow_run, _ = _flow_run()
    if flow_run:
        register_process(settings, flow_run)


def _flow_run() -> tuple[str, str]:
    """Id and flow of the flow run that this is in; empty outside of one."""
    if "prefect" not in sys.modules:
        return "", ""
    from prefect.runtime import flow_run

    return (str(flow_run.id), str(flow_run.flow_name)) if flow_run.id else ("", "")


def _log(text: str) -> None:
    """A line in the flow run's log, which the Prefect page shows; nothing outside of a run."""
    if "prefect" not in sys.modules:
        return
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        get_run_logger().info(text)
    except MissingContextError:
        return


progress.add_log(_log)
