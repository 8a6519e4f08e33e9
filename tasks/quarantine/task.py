"""Prefect tasks of quarantine."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import groups, total
from tasks.quarantine.page import page
from tasks.quarantine.select import Chosen
from tasks.records.base import artifact_key
from tasks.retry import RETRIES
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import load_settings


@task(name="show-quarantine", cache_policy=NO_CACHE, **RETRIES)
def show_quarantine(config: PipelineConfig) -> None:
    """The page of what waits in quarantine now."""
    quarantine = Quarantine(Lake(load_settings(), config))
    found = groups(quarantine, Chosen())
    create_markdown_artifact(
        page(config.name, quarantine, found),
        key=artifact_key(config.name, "quarantine"),
        description=f"{total(found).told} in quarantine",
    )
