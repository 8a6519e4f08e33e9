"""The Prefect task that makes Data Docs."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.schema import PipelineConfig
from tasks.refs import BatchRecord
from tasks.retry import RETRIES
from tasks.stores.settings import load_settings
from tasks.validation.site import make


@task(name="data-docs", cache_policy=NO_CACHE, **RETRIES)
def data_docs(config: PipelineConfig, judged: Sequence[BatchRecord]) -> str:
    """Make the pages of a run's newest batches that failed something, and of its last; the page to open."""
    built = make(load_settings(), config, judged)
    for problem in built.problems:
        get_run_logger().warning("not drawn: %s", problem)
    return built.index
