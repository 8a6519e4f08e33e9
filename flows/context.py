"""What every flow begins with: its configuration, its clock, who runs it, and the locks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from configs.load import ConfigError, load
from configs.schema import PipelineConfig
from flows.progress import say
from tasks.errors import UsageError
from tasks.stores.locks.flow_runs import register_process
from tasks.stores.locks.lock import HeldLock, hold
from tasks.stores.settings import Settings, load_settings, prepare
from tasks.validation.gallery_check import check_expectations


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
    _answer_for_run(settings)
    return config, settings


def open_home() -> Settings:
    """The settings, with home made ready: for what needs no pipeline's YAML.

    Raises:
        UsageError: a home that can't be written.
    """
    settings = load_settings()
    prepare(settings)
    _answer_for_run(settings)
    return settings


def _answer_for_run(settings: Settings) -> None:
    """Note that this process runs the flow run that it is in, if any: the sweep marks what a dead one left."""
    if "prefect" in sys.modules:
        from prefect.runtime import flow_run

        if flow_run.id:
            register_process(settings, str(flow_run.id))


@contextmanager
def writing(settings: Settings, pipeline: str, what: Literal["data", "model", "alias"]) -> Iterator[HeldLock]:
    """Be the one writer of a pipeline's data, or of its model, or the one who moves its aliases, for a block.

    Data and model are held for as long as a stage works. The aliases only while they are moved, and last: taking a
    version back must not wait for a training.
    """
    with hold(settings, f"{pipeline}.{what}", say) as held:
        yield held
