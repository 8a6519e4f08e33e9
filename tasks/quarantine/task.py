"""Prefect tasks of quarantine."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from configs.schema import PipelineConfig
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import entry_groups, open_in_groups
from tasks.quarantine.page import quarantine_page
from tasks.quarantine.select import EntryFilter
from tasks.records.base import artifact_key
from tasks.retry import RETRIES
from tasks.stores.lake.tables import Lake
from tasks.stores.settings import load_settings


@task(name="publish-quarantine-page", cache_policy=NO_CACHE, **RETRIES)
def publish_quarantine_page(config: PipelineConfig) -> None:
    """Publish the page of open quarantine entries."""
    quarantine = Quarantine(Lake(load_settings(), config))
    open_groups = entry_groups(quarantine, EntryFilter())
    create_markdown_artifact(
        quarantine_page(config.name, quarantine, open_groups),
        key=artifact_key(config.name, "quarantine"),
        description=f"{open_in_groups(open_groups).description} in quarantine",
    )
