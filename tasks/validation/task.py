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
    """Validate staged batches of one feed and commit the results, the ledger last. The data lock is held.

    Args:
        config: The pipeline.
        batches: The batches.
        now: The run's clock.
        expected: The configuration's expectations, with their references filled in; by default as configured.
    """
    from tasks.validation.commit import commit_batches

    committed = commit_batches(
        config, load_settings(), batches, now, config.expectations if expected is None else expected
    )
    accepted = sum(record.verdict == "accepted" for record, _ in committed)
    description = f"{accepted} of {len(batches)} files accepted"
    create_markdown_artifact(
        batches_page(config.name, committed), key=artifact_key(config.name, "validate"), description=description
    )
    for batch in batches:  # last: another try of this task reads them again
        if batch.staged:
            Path(batch.staged).unlink(missing_ok=True)
    return tuple(record for record, _ in committed)


@task(name="refer-to-champion", cache_policy=NO_CACHE, **RETRIES)
def refer_to_champion(config: PipelineConfig) -> tuple[Expectation, ...]:
    """Return the expectations, with distributions of the champion's training data as references."""
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
    """Build missing Data Docs pages of the newest batches; return the index page."""
    from tasks.validation.docs.site import build_docs

    built = build_docs(load_settings(), config)
    for problem in built.problems:
        get_run_logger().warning("not rendered: %s", problem)
    return built.index
