"""Prefect tasks of quarantine."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.context import StageContext
from tasks.quarantine.entries import Quarantine
from tasks.quarantine.listing import EntryGroup, entry_groups, open_in_groups
from tasks.quarantine.page import quarantine_page
from tasks.quarantine.select import EntryFilter
from tasks.records.base import artifact_key
from tasks.retry import RETRIES
from tasks.stores.lake.tables import Lake


@task(name="publish-quarantine-page", cache_policy=NO_CACHE, **RETRIES)
def open_entries(context: StageContext) -> list[EntryGroup]:
    """The open entries; and their page."""
    quarantine = Quarantine(Lake(context.settings, context.config))
    open_groups = entry_groups(quarantine, EntryFilter())
    create_markdown_artifact(
        quarantine_page(context.pipeline, quarantine, open_groups),
        key=artifact_key(context.pipeline, "quarantine"),
        description=f"{open_in_groups(open_groups).description} in quarantine",
    )
    return open_groups
