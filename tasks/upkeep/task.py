"""Prefect tasks of upkeep."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.records.base import artifact_key
from tasks.retry import RETRIES
from tasks.upkeep import report, stage

collect_references = task(name="collect-references", cache_policy=NO_CACHE, **RETRIES)(stage.collect_references)
maintain_table = task(name="maintain-table", task_run_name="maintain-{table}", cache_policy=NO_CACHE, **RETRIES)(
    stage.maintain_table
)
clear_staging = task(name="clear-staging", cache_policy=NO_CACHE, **RETRIES)(stage.clear_staging)


@task(name="publish-upkeep-page", cache_policy=NO_CACHE, **RETRIES)
def publish_upkeep_page(done: report.UpkeepReport) -> None:
    """Publish the page of the run."""
    key = artifact_key(done.pipeline, "upkeep")
    create_markdown_artifact(report.page(done), key=key, description=report.headline(done))
