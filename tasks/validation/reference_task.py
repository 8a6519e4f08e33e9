"""The Prefect task that reads what expectations refer to."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from configs.contract import Expectation
from configs.schema import PipelineConfig
from tasks.retry import RETRIES
from tasks.stores.settings import load_settings


@task(name="refer-to-champion", cache_policy=NO_CACHE, **RETRIES)
def refer_to_champion(config: PipelineConfig) -> tuple[Expectation, ...]:
    """The expectations, with distributions of the champion's training data where they refer to it."""
    import pandas as pd

    from tasks.stores import models
    from tasks.stores.tracking import Tracking
    from tasks.validation.reference import with_reference

    champion = Tracking(load_settings(), config.name).champion()
    sample = None
    if champion is not None:
        sample = pd.read_parquet(Path(champion.folder) / models.EXTRA / models.REFERENCE_FILE)
    filled, notes = with_reference(config.expectations, sample, config.contract.columns)
    for note in notes:
        get_run_logger().info(note)
    return tuple(filled)
