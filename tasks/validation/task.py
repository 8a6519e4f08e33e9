"""Prefect tasks of validation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.contract import Expectation
from configs.schema import PipelineConfig
from tasks.records.base import artifact_key
from tasks.records.data import BatchRecord, StagedBatch
from tasks.retry import RETRIES
from tasks.stores.settings import load_settings
from tasks.validation.page import batches_page


@task(name="validate", task_run_name="validate-{batches[0].file.path}", cache_policy=NO_CACHE, **RETRIES)
def validate(
    config: PipelineConfig,
    batches: Sequence[StagedBatch],
    now: datetime,
    expected: Sequence[Expectation] | None = None,
) -> tuple[BatchRecord, ...]:
    """Judge staged batches of one feed and write what comes of them, each part once; the ledger last. Lock held.

    Args:
        config: The pipeline.
        batches: The batches.
        now: The run's clock.
        expected: The configuration's expectations, with what they refer to filled in; as they are by default.
    """
    from tasks.validation.take import take

    taken = take(config, load_settings(), batches, now, config.expectations if expected is None else expected)
    accepted = sum(record.verdict == "accepted" for record, _ in taken)
    told = f"{accepted} of {len(batches)} files accepted"
    create_markdown_artifact(
        batches_page(config.name, taken), key=artifact_key(config.name, "validate"), description=told
    )
    for batch in batches:  # last: another try of this task reads them again
        if batch.staged:
            Path(batch.staged).unlink(missing_ok=True)
    return tuple(record for record, _ in taken)


@task(name="refer-to-champion", cache_policy=NO_CACHE, **RETRIES)
def refer_to_champion(config: PipelineConfig) -> tuple[Expectation, ...]:
    """The expectations, with distributions of the champion's training data where they refer to it."""
    import pandas as pd

    from tasks.stores.registry import models
    from tasks.stores.registry.tracking import Tracking
    from tasks.validation.reference import with_reference

    champion = Tracking(load_settings(), config.name).champion()
    sample = None
    if champion is not None:
        sample = pd.read_parquet(Path(champion.folder) / models.EXTRA / models.REFERENCE_FILE)
    filled, notes = with_reference(config.expectations, sample, config.contract.columns)
    for note in notes:
        get_run_logger().info(note)
    return tuple(filled)


@task(name="data-docs", cache_policy=NO_CACHE, **RETRIES)
def data_docs(config: PipelineConfig) -> str:
    """Make the pages of the newest batches that have none yet; the page to open."""
    from tasks.validation.docs.site import make

    built = make(load_settings(), config)
    for problem in built.problems:
        get_run_logger().warning("not drawn: %s", problem)
    return built.index
